"""Choosing a position policy on training rows, no trading included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.accounting.costs import CostModel
from huracan.accounting.metrics import bars_in_a_year
from huracan.accounting.policy import Holding, PositionPolicy
from huracan.dataset import TrainingSet
from huracan.errors import AccountingError
from huracan.statistics import ewc_t_test

__all__ = ["default_grid", "policy_account", "tune_policy"]

Floats = NDArray[np.float64]


def default_grid(base: PositionPolicy | None = None) -> tuple[PositionPolicy, ...]:
    """The grid :meth:`PositionPolicy.tune` searches: seven thresholds and four scales, in standard deviations.

    Volatility target, cap and short selling are those of ``base``.

    >>> len(default_grid())
    11
    """
    start = base or PositionPolicy()
    thresholds = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5)
    scales = (0.1, 0.25, 0.5, 1.0)
    return (
        *(replace(start, mode="threshold", threshold=t) for t in thresholds),
        *(replace(start, mode="scaled", scale=s, threshold=0.0) for s in scales),
    )


def tune_policy(
    rows: TrainingSet,
    score: ArrayLike,
    costs: CostModel,
    *,
    grid: Sequence[PositionPolicy] | None = None,
    horizon: int = 1,
    base: PositionPolicy | None = None,
    minimum_t: float = 0.0,
) -> PositionPolicy:
    """Choose the policy with the best net mean return, as a dependence-robust t statistic, on the rows given.

    ``center`` and ``spread`` become the median and standard deviation of ``score``. Every policy of the grid and "no
    trading" is then run on the rows; the one with the largest t statistic of its net portfolio return is returned, and
    no trading where none exceeds ``minimum_t``.

    The account here is a first-order one, without drift, lots and compounding: a row earns
    ``weight * execution_return``, pays per-side costs on the change of the position of its symbol (from and to nothing
    at both ends of consecutive rows) and borrow on a short one. Labels of several bars (``horizon`` > 1) are held by
    overlap: each decision invests 1/horizon of the capital and earns its label's whole return. Its total is that of the
    bar-by-bar account; booking it at the decision makes neighbouring returns overlap, which the t statistic allows for.

    Parameters
    ----------
    rows : training rows with ``execution_return`` over ``horizon`` bars; older than the rows the policy is used on.
    score : (n,) out-of-fold scores of those rows, larger meaning up.
    costs : per-side costs and borrow; lots, minimum notional and volume limits are left to the backtest.
    grid : policies to try, their ``center``, ``spread``, ``holding`` and ``horizon`` replaced; by default
        :func:`default_grid`.
    horizon : bars an ``execution_return`` runs.
    base : volatility target, cap and short selling of the default grid.
    minimum_t : what the best policy must exceed to be preferred to no trading.

    Returns
    -------
    PositionPolicy with ``n_tried`` (the grid and no trading) and ``net_t``.

    Raises
    ------
    AccountingError : rows without ``execution_return``, a score of another length or not finite.
    NotEnoughData : fewer than 20 decision times.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> price = 100 * np.cumprod(1 + rng.normal(0, 0.01, 501))
    >>> rows = TrainingSet.from_arrays(np.zeros((500, 1)), np.zeros(500), prices=price[:500])
    >>> tune_policy(rows, rows.execution_return + rng.normal(0, 0.01, 500), CostModel.free()).trades
    True
    >>> tune_policy(rows, rng.normal(0, 0.01, 500), CostModel(fee_bps=100)).trades
    False
    """
    earned, values = _checked(rows, score)
    center, spread = _location_and_scale(values)
    holding: Holding = "overlap" if horizon > 1 else "latest"
    candidates = [
        replace(policy, holding=holding, horizon=horizon, center=center, spread=spread)
        for policy in (default_grid(base) if grid is None else grid)
    ]
    account = _Account(rows, earned / horizon, costs)
    net = np.stack([account.net(*_decided(rows, values, policy)) for policy in candidates])
    t = np.full(len(candidates), -np.inf)
    moves = np.ptp(net, axis=1) > 0
    if moves.any():
        test = ewc_t_test(net[moves])
        t[moves] = np.where(test.decidable, test.t, -np.inf)
    tried = len(candidates) + 1
    best = int(np.argmax(t))
    if t[best] <= minimum_t:
        return replace(candidates[0], cap=0.0, n_tried=tried, net_t=0.0)
    return replace(candidates[best], n_tried=tried, net_t=float(t[best]))


def policy_account(
    rows: TrainingSet, score: ArrayLike, policy: PositionPolicy, costs: CostModel
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What a policy earns on rows by the first-order account of :func:`tune_policy`, and what it trades.

    Parameters
    ----------
    rows : with ``execution_return`` over ``policy.horizon`` bars. score : (n,). policy, costs : as they are.

    Returns
    -------
    net : mean return over symbols at every decision time, a fraction. turnover : mean absolute change of position there.

    Raises
    ------
    AccountingError : rows without ``execution_return``, a score of another length or not finite.

    Examples
    --------
    >>> rows = TrainingSet.from_arrays(np.zeros((4, 1)), np.zeros(4), prices=[100.0, 100.0, 110.0, 110.0])
    >>> net, turnover = policy_account(rows, [1.0, 1.0, 0.0, 0.0], PositionPolicy(), CostModel.free())
    >>> net.round(2).tolist(), turnover.tolist()
    ([0.1, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0])
    """
    earned, values = _checked(rows, score)
    account = _Account(rows, earned / policy.horizon, costs)
    decided, position = _decided(rows, values, policy)
    return account.net(decided, position), account.mean_of(account.traded(position))


def _decided(rows: TrainingSet, score: Floats, policy: PositionPolicy) -> tuple[Floats, Floats]:
    """What each row asks for on its own, and what is held."""
    year = bars_in_a_year(rows.bar_length)
    decided = policy.decisions(score, volatility=rows.volatility, bars_per_year=year)
    held = policy.targets(
        score, volatility=rows.volatility, symbol_code=rows.symbol_code, segment=rows.segment, bars_per_year=year
    )
    return decided, held


class _Account:
    """Net portfolio return over time of target weights on training rows."""

    def __init__(self, rows: TrainingSet, earned: Floats, costs: CostModel) -> None:
        self.earned, self.costs, self.n_symbols = earned, costs, len(np.unique(rows.symbol_code))
        self.order = np.lexsort((rows.decision_time, rows.symbol_code))
        code, when = rows.symbol_code[self.order], rows.decision_time[self.order]
        # the distance between consecutive rows may differ from the bar length by jitter of the source
        self.follows = (code[1:] == code[:-1]) & (
            np.diff(when) <= 1.5 * rows.bar_length.astype(np.int64) * np.timedelta64(1, "ms")
        )
        self.first_of_time = np.flatnonzero(np.concatenate(([True], np.diff(rows.decision_time) > np.timedelta64(0, "ms"))))

    def net(self, decided: Floats, position: Floats) -> Floats:
        """Mean over symbols, at every decision time; a symbol without a row there holds nothing."""
        charge = self.costs.per_side_rate * self.traded(position)
        return self.mean_of(decided * self.earned - charge - self.costs.borrow_rate * np.maximum(-position, 0.0))

    def traded(self, position: Floats) -> Floats:
        """Absolute change of position on each row, and what leaving costs where no row follows."""
        held = position[self.order]
        before = np.concatenate(([0.0], np.where(self.follows, held[:-1], 0.0)))
        leaving = np.concatenate((np.where(self.follows, 0.0, np.abs(held[:-1])), np.abs(held[-1:])))
        change = np.empty(len(held))
        change[self.order] = np.abs(held - before) + leaving
        return change

    def mean_of(self, values: Floats) -> Floats:
        """Sum of the rows of each decision time over the number of symbols."""
        return np.add.reduceat(values, self.first_of_time) / self.n_symbols


def _location_and_scale(score: Floats) -> tuple[float, float]:
    center, spread = float(np.median(score)), float(score.std())
    if spread > 64 * np.finfo(np.float64).eps * max(float(np.abs(score).max()), np.finfo(np.float64).tiny):
        return center, spread
    return 0.0, abs(center) or 1.0  # one constant score: keep its sign


def _checked(rows: TrainingSet, score: ArrayLike) -> tuple[Floats, Floats]:
    if rows.execution_return is None:
        raise AccountingError("the rows have no execution_return; without prices no policy can be tuned net of costs.")
    values = np.asarray(score, dtype=np.float64)
    if values.shape != (len(rows),):
        raise AccountingError(f"score has shape {values.shape} where there are {len(rows)} rows.")
    for name, column in (("score", values), ("execution_return", rows.execution_return)):
        bad = ~np.isfinite(column)
        if bad.any():
            row = int(np.argmax(bad))
            raise AccountingError(
                f"{name} of {rows.symbol[row]} at {rows.ts[row]} (row {row}) is {column[row]}; a finite number was expected."
            )
    return rows.execution_return, values
