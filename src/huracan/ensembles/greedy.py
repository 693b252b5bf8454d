"""Greedy ensemble selection: add, again and again, the member that lowers the ensemble's loss most."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError, NotEnoughData
from huracan.validation.row_losses import LEAST_PROBABILITY, Metric

__all__ = ["greedy_weights"]

_FACTORS = 8
"""Probabilities whose product is taken before its logarithm: it does not vanish, since 1e-15 to the 8th is 1e-120."""
_SMALL_LIBRARY = 8

Costs = Callable[[NDArray[np.int64], int], NDArray[np.float64]]
"""Loss of the ensemble of a multiset of members (counts, size) with each member added in turn: (members,)."""


def greedy_weights(
    predictions: ArrayLike,
    y: ArrayLike,
    loss: Metric = "squared_error",
    *,
    n_steps: int = 50,
    n_bags: int = 20,
    bag_share: float = 0.5,
    start_best: int = 1,
    blocks: int | ArrayLike = 20,
    sample_weight: ArrayLike | None = None,
    random_state: int = 0,
) -> NDArray[np.float64]:
    """Choose weights by forward selection with replacement, averaged over bags of members and of spans of time.

    Each bag draws a share of the members and, with replacement, as many blocks of time as there are. It starts with its
    ``start_best`` best members, adds the one that lowers the loss most, ``n_steps`` times, and keeps the best ensemble on the
    way. Members that only chance chose are chosen in few bags, and get little weight.

    Parameters
    ----------
    predictions : (n, m) out-of-fold predictions in time order, finite: forecasts, or probabilities of class 1.
    y : (n,) labels; 0 and 1 for ``"log_loss"``.
    loss : of the averaged prediction: ``"squared_error"`` or ``"log_loss"``.
    n_steps : members added in a bag, at least 1.
    n_bags : bags; with 1 there is one selection from all members on all rows, as in the paper's first algorithm.
    bag_share : share of the members that a bag may choose from, above 0 to 1; of up to 8 members all.
    start_best : best members an ensemble starts with.
    blocks : number of blocks of equally many consecutive rows, or a block code (n,) for each row (rows that belong together,
        such as all symbols of one day, in one block). 1 draws no time.
    sample_weight : (n,) weights of rows, >= 0.
    random_state : seed.

    Returns
    -------
    float64 (m,), >= 0, sum 1. Equally good members of one step are told apart by their order.

    Raises
    ------
    DataError : shapes do not fit, a value is not finite (row and member are named), or a setting is out of bounds.

    References
    ----------
    Caruana, Niculescu-Mizil, Crew and Ksikes (2004), "Ensemble Selection from Libraries of Models", ICML, sections 2.1 to 2.4.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = rng.standard_normal(1_000)
    >>> noise = rng.standard_normal((1_000, 3)) * [0.5, 0.5, 3.0]
    >>> greedy_weights(y[:, None] + noise, y).round(1).tolist()
    [0.5, 0.5, 0.0]
    """
    table, target, weight = _checked(predictions, y, loss, sample_weight)
    _check_settings(n_steps, n_bags, bag_share, start_best)
    code = _block_codes(blocks, len(table))
    n_blocks, m = int(code.max()) + 1, table.shape[1]
    losses: _SquaredErrors | _LogLosses
    losses = _SquaredErrors(table, target, weight, code) if loss == "squared_error" else _LogLosses(table, target, weight, code)
    rng = np.random.default_rng(random_state)
    everyone = np.arange(m)
    if n_bags == 1:
        return _select(losses.of(np.ones(n_blocks), everyone), m, n_steps, start_best)
    size = max(min(m, _SMALL_LIBRARY), round(bag_share * m))
    total = np.zeros(m)
    for _ in range(n_bags):
        chosen = np.sort(rng.choice(m, size, replace=False))
        drawn = np.bincount(rng.integers(n_blocks, size=n_blocks), minlength=n_blocks).astype(np.float64)
        if not losses.weigh(drawn):
            drawn[:] = 1.0
        total[chosen] += _select(losses.of(drawn, chosen), len(chosen), n_steps, start_best)
    return total / total.sum()


def _select(costs: Costs, m: int, n_steps: int, start_best: int) -> NDArray[np.float64]:
    """The best multiset on the way of forward selection, as weights."""
    count = np.zeros(m, np.int64)
    alone = costs(count, 0)
    first = np.argsort(alone, kind="stable")[: min(start_best, m)]
    # sorted initialisation: as long as one more of the best helps
    count[first[0]] = 1
    lowest = float(alone[first[0]])
    for member in first[1:]:
        with_it = float(costs(count, int(count.sum()))[member])
        if with_it >= lowest:
            break
        count[member] += 1
        lowest = with_it
    best = count.copy()
    for _ in range(n_steps):
        cost = costs(count, int(count.sum()))
        added = int(np.argmin(cost))
        count[added] += 1
        if cost[added] < lowest:
            lowest, best = float(cost[added]), count.copy()
    return best / best.sum()


class _SquaredErrors:
    """Squared errors of any multiset from the members' second moments, block by block: a step costs m numbers, not n."""

    def __init__(
        self, table: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64], code: NDArray[np.int64]
    ) -> None:
        n_blocks = int(code.max()) + 1
        error = table - y[:, None]  # weights sum to 1, so the ensemble's error is the mean of the members' errors
        order = np.argsort(code, kind="stable")
        stops = np.searchsorted(code[order], np.arange(n_blocks), side="right")
        spans = zip(np.concatenate(([0], stops[:-1])), stops)
        parts = [(error[order[a:b]], weight[order[a:b]]) for a, b in spans]
        self.moments = np.stack([part.T @ (part * w[:, None]) for part, w in parts])
        self.weights = np.array([w.sum() for _, w in parts])

    def weigh(self, drawn: NDArray[np.float64]) -> float:
        return float(drawn @ self.weights)

    def of(self, drawn: NDArray[np.float64], members: NDArray[np.int64]) -> Costs:
        moment = np.tensordot(drawn, self.moments[:, members[:, None], members], 1) / self.weigh(drawn)
        own = np.diag(moment)

        def costs(count: NDArray[np.int64], size: int) -> NDArray[np.float64]:
            with_others = moment @ count
            return (count @ with_others + 2.0 * with_others + own) / (size + 1) ** 2

        return costs


class _LogLosses:
    """Log-losses of averaged probabilities: only what each member gave to the class that came true matters."""

    def __init__(
        self, table: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64], code: NDArray[np.int64]
    ) -> None:
        self.true = np.clip(np.where(y[:, None] == 1.0, table, 1.0 - table), LEAST_PROBABILITY, 1.0)
        self.weight, self.code = weight, code
        self.equal = bool(np.all(weight == weight[0]))
        self.weights = np.bincount(code, weight)

    def weigh(self, drawn: NDArray[np.float64]) -> float:
        return float(drawn @ self.weights)

    def of(self, drawn: NDArray[np.float64], members: NDArray[np.int64]) -> Costs:
        times = drawn[self.code].astype(np.int64)
        rows = np.flatnonzero(times)
        if self.equal:  # rows that count equally often lie together, so that their logarithms can be one of their product
            rows = rows[np.argsort(times[rows], kind="stable")]
        often, starts = np.unique(times[rows], return_index=True)
        true = np.ascontiguousarray(self.true[rows[:, None], members])
        weight = (self.weight * times)[rows]
        share = weight.sum()
        summed = np.empty_like(true)

        def costs(count: NDArray[np.int64], size: int) -> NDArray[np.float64]:
            np.add(true, (true @ count)[:, None], out=summed)
            if self.equal:
                parts = zip(often, np.split(summed, starts[1:]))
                total = weight[0] / often[0] * np.sum([k * _sum_of_logarithms(part) for k, part in parts], axis=0)
            else:
                total = weight @ np.log(summed)
            return np.log(size + 1) - total / share

        return costs


def _sum_of_logarithms(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over rows of logarithms (columns,), a product of 8 rows at a time: an eighth of the logarithms."""
    whole = len(p) // _FACTORS * _FACTORS
    product = np.multiply.reduce(p[:whole].reshape(_FACTORS, -1, p.shape[1]), axis=0)
    return np.log(product).sum(axis=0) + np.log(p[whole:]).sum(axis=0)


def _checked(
    predictions: ArrayLike, y: ArrayLike, loss: str, sample_weight: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    table, target = np.asarray(predictions, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if table.ndim != 2 or not table.shape[1] or target.shape != table.shape[:1]:
        raise DataError(f"predictions {table.shape} and y {target.shape}: (rows, members) and (rows,) were expected.")
    if not len(table):
        raise NotEnoughData("greedy selection got 0 rows; at least 1 is needed.")
    for name, values in (("predictions", table), ("y", target[:, None])):
        bad = ~np.isfinite(values)
        if bad.any():
            row, column = map(int, np.argwhere(bad)[0])
            who = f" of member {column}" if name == "predictions" else ""
            raise DataError(f"{name}{who} is {values[row, column]} in row {row}; a finite number was expected.")
    if loss not in ("squared_error", "log_loss"):
        raise DataError(f"loss is {loss!r}; 'squared_error' or 'log_loss' was expected.")
    if loss == "log_loss":
        beyond = ((table < 0.0) | (table > 1.0)).any(axis=1)
        for name, wrong in (("y", ~np.isin(target, (0.0, 1.0))), ("predictions", beyond)):
            if np.any(wrong):
                row = int(np.argmax(wrong))
                shown = target[row] if name == "y" else table[row].tolist()
                raise DataError(f"{name} is {shown} in row {row}; {'0 or 1' if name == 'y' else '0 to 1'} was expected.")
    if sample_weight is None:
        return table, target, np.full(len(table), 1.0 / len(table))
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != target.shape or not np.all(np.isfinite(weight) & (weight >= 0)) or not weight.sum() > 0:
        raise DataError(f"sample_weight {weight.shape} must hold {len(table)} finite numbers >= 0, not all of them 0.")
    return table, target, weight / weight.sum()


def _check_settings(n_steps: int, n_bags: int, bag_share: float, start_best: int) -> None:
    for name, value in (("n_steps", n_steps), ("n_bags", n_bags), ("start_best", start_best)):
        if value < 1:
            raise DataError(f"{name} is {value}; at least 1 was expected.")
    if not 0.0 < bag_share <= 1.0:
        raise DataError(f"bag_share is {bag_share}; a share above 0 and up to 1 was expected.")


def _block_codes(blocks: int | ArrayLike, n: int) -> NDArray[np.int64]:
    if isinstance(blocks, int | np.integer):
        if blocks < 1:
            raise DataError(f"blocks is {blocks}; at least 1 was expected.")
        return np.arange(n) * min(int(blocks), n) // n
    code = np.asarray(blocks)
    if code.shape != (n,):
        raise DataError(f"blocks has shape {code.shape}; a number, or a code for each of {n} rows, was expected.")
    return np.unique(code, return_inverse=True)[1].astype(np.int64)
