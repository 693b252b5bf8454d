"""Several mean differences at once: a t statistic for each, and how all of them move together when nothing differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from huracan.errors import DataError
from huracan.statistics.bootstrap import draw_blocks
from huracan.statistics.persistence import choose_n_cosines
from huracan.statistics.sample_checks import never_zero

__all__ = ["JointMeans", "NullKind", "joint_means", "means_of_runs", "pairs_of"]

NullKind = Literal["cosines", "bootstrap"]

_CHUNK = 4_000_000
_MOST_ROWS = 10_000
_FEWEST_BLOCKS = 4
_FARTHEST = 38.5
_ALIKE = 1e-6
"""Share of two models' own variation below which their difference is not taken from products."""


@dataclass(frozen=True)
class JointMeans:
    """Result of :func:`joint_means`; arrays have one entry for each difference.

    Attributes
    ----------
    difference, standard_error, t, degrees_of_freedom : as of :func:`huracan.statistics.ewc_t_test`.
    score : ``t`` on the scale of the standard normal, so that differences that remember longer, and have fewer degrees of
        freedom, can be compared with the others. p_value : two-sided.
    decidable : false where the difference remembers too long to be tested; then ``t`` is 0 and ``p_value`` 1.
    same : true where the two losses are the same on every row; likewise.
    n : points in time.
    null : how the joint null distribution is drawn.
    """

    difference: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    t: NDArray[np.float64]
    degrees_of_freedom: NDArray[np.int64]
    score: NDArray[np.float64]
    p_value: NDArray[np.float64]
    decidable: NDArray[np.bool_]
    same: NDArray[np.bool_]
    n: int
    null: NullKind
    contrasts: NDArray[np.float64]
    source: NDArray[np.float64]
    block_rows: int = 0

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Which differences take part in the joint test."""
        return self.decidable & ~self.same

    def null_scores(self, resamples: int, *, seed: int = 0) -> Iterator[NDArray[np.float64]]:
        """Draw scores as they would be if no model differed, in chunks of (some resamples, differences).

        Under "cosines" the mean and the cosine ordinates of all models are drawn from the normal distribution that has
        their long-run covariance, and studentised as the data were (fixed smoothing: each marginal is exactly the t
        distribution). Under "bootstrap" circular blocks are resampled and studentised by the variance of the blocks
        that were drawn. Differences that are not tested score 0.
        """
        draw = self._cosine_draws if self.null == "cosines" else self._block_draws
        rows, scale, degrees = self._roots(self.degrees_of_freedom)
        squares = _SquaredContrasts.of(self.source, self.contrasts, rows)
        for mean, roots in draw(resamples, seed, squares.numbers_each):
            # one product for each resample: a chunk of another size gives the same bits
            moved = (mean[:, None] @ self.contrasts)[:, 0]
            yield _null_score(moved, squares(roots) * scale, degrees, self.tested)

    def interval(self, critical_score: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ends of the intervals whose differences score up to ``critical_score``; the whole line where undecidable."""
        half = stdtrit(self.degrees_of_freedom, ndtr(critical_score)) * self.standard_error
        half = np.where(self.same, 0.0, np.where(self.decidable, half, np.inf))
        return self.difference - half, self.difference + half

    def _roots(self, degrees: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """How many squared roots make each squared standard error, the share of each in it, and its degrees of freedom."""
        if self.null == "cosines":
            return degrees, 1.0 / degrees, degrees
        blocks = len(self.source) // self.block_rows
        return np.full(len(degrees), blocks), np.full(len(degrees), 1.0 / blocks**2), np.full(len(degrees), blocks - 1)

    def _cosine_draws(self, resamples: int, seed: int, width: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        factor: NDArray[np.float64] = np.asarray(np.linalg.qr(self.source, mode="r"))
        generator, rows = np.random.default_rng(seed), len(self.source)
        for count in _chunks(resamples, max(rows * factor.shape[1], width)):
            drawn = generator.standard_normal((count, rows + 1, len(factor))) @ factor
            yield drawn[:, 0], drawn[:, 1:]

    def _block_draws(self, resamples: int, seed: int, width: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        rows, n = self.block_rows, len(self.source)
        running = np.concatenate(
            (np.zeros((1, self.source.shape[1])), np.cumsum(np.vstack((self.source, self.source)), axis=0))
        )
        block_mean = (running[rows : rows + n] - running[:n]) / rows
        number, low = n // rows, 0
        for count in _chunks(resamples, max(number * self.source.shape[1], width)):
            drawn = draw_blocks(n, rows, range(low, low + count), seed=seed)
            roots = block_mean[drawn.start.reshape(count, -1)[:, :number]]
            mean = roots.mean(axis=1)
            yield mean, roots - mean[:, None]
            low += count


@dataclass(frozen=True)
class _SquaredContrasts:
    """Sum of the first squared roots of each contrast, (resamples, roots, k) -> (resamples, differences).

    Where contrasts are pairs, and the two are not so alike that digits would be lost, the sums come from the products of all
    models with each other, of which there are fewer than of roots and pairs.
    """

    contrasts: NDArray[np.float64]
    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    by_products: NDArray[np.bool_]
    numbers_each: int

    @classmethod
    def of(cls, source: NDArray[np.float64], contrasts: NDArray[np.float64], rows: NDArray[np.int64]) -> _SquaredContrasts:
        k = len(contrasts)
        first, second = contrasts.argmax(axis=0), contrasts.argmin(axis=0)
        pairs = np.array_equal(contrasts, pairs_of(k, first, second))
        products = source.T @ source
        own = products[first, first] + products[second, second]
        by_products = (own - 2.0 * products[first, second] > _ALIKE * own) & pairs
        direct = int((~by_products).sum())
        return cls(contrasts, rows, first, second, by_products, max(len(source) * direct, 2 * k * k, len(rows)))

    def __call__(self, roots: NDArray[np.float64]) -> NDArray[np.float64]:
        squares = np.empty((len(roots), len(self.rows)))
        products, done = np.zeros((len(roots), *[roots.shape[2]] * 2)), 0
        for stop in np.unique(self.rows[self.by_products]).tolist():
            part = roots[:, done:stop]
            products += part.transpose(0, 2, 1) @ part
            which, done = np.flatnonzero(self.by_products & (self.rows == stop)), stop
            a, b = self.first[which], self.second[which]
            squares[:, which] = products[:, a, a] + products[:, b, b] - 2.0 * products[:, a, b]
        direct = np.flatnonzero(~self.by_products)
        if len(direct):
            inside = np.arange(roots.shape[1])[:, None] < self.rows[direct]
            spread = roots @ self.contrasts[:, direct]
            squares[:, direct] = np.einsum("rdp,rdp,dp->rp", spread, spread, inside.astype(np.float64))
        return squares


def joint_means(
    table: NDArray[np.float64],
    contrasts: NDArray[np.float64],
    same: NDArray[np.bool_] | None = None,
    *,
    null: NullKind = "cosines",
    block_length: float | Literal["auto"] = "auto",
) -> JointMeans:
    """Test many mean differences of losses, each with equal-weighted cosines, ready for a joint correction.

    Beyond 20,000 rows the standard errors come from the means of runs of rows (about 10,000 of them): the low
    frequencies, which are all that the variance of a mean depends on, stay as they are.

    Parameters
    ----------
    table : (n, k) losses. contrasts : (k, differences), each column summing to 0.
    same : (differences,) true where the losses are known to be the same; such a difference is not tested.
    null : see :meth:`JointMeans.null_scores`.
    block_length : rows of a block under "bootstrap"; "auto" makes as many blocks as the median number of cosines.

    Raises
    ------
    DataError : a block length that leaves fewer than 4 blocks, an unknown ``null``, or a difference without variation.

    References
    ----------
    Lazarus, Lewis, Stock and Watson (2018), JBES 36(4); Götze and Künsch (1996), Annals of Statistics 24.

    Examples
    --------
    >>> losses = np.random.default_rng(0).standard_normal((500, 3))
    >>> result = joint_means(losses, pairs_of(3, np.array([0, 0]), np.array([1, 2])))
    >>> result.t.shape, next(result.null_scores(99)).shape
    ((2,), (99, 2))
    """
    if null not in get_args(NullKind):
        raise DataError(f"null is '{null}'; 'cosines' or 'bootstrap' was expected.")
    if null == "cosines" and block_length != "auto":
        raise DataError(f"block_length is {block_length}; it goes with null='bootstrap' only.")
    number = contrasts.shape[1]
    same = np.zeros(number, dtype=bool) if same is None else same
    # what all models share is in no difference; without it nothing is lost to rounding
    relative = table - table.mean(axis=1, keepdims=True)
    difference = np.where(same, 0.0, relative.mean(axis=0) @ contrasts)
    coarse = means_of_runs(relative)
    coarse = coarse - coarse.mean(axis=0)
    cosines, decidable = _cosines(coarse, contrasts, same)
    projection = fft.dct(coarse, type=2, axis=0)[1 : int(cosines.max()) + 1] / np.sqrt(2 * len(coarse))
    square = np.cumsum((projection @ contrasts) ** 2, axis=0)
    variance = square[cosines - 1, np.arange(number)] / cosines / len(coarse)
    tested = decidable & ~same
    if np.any(variance[tested] <= 0.0):
        raise DataError("the lowest frequencies of a loss difference hold no variation; its mean cannot be tested.")
    error = np.sqrt(np.where(tested, variance, 1.0))
    t = np.where(tested, difference / error, 0.0)
    rows = _block_rows(block_length, len(table), len(coarse), cosines[tested]) if null == "bootstrap" else 0
    return JointMeans(
        difference=difference,
        standard_error=np.where(same, 0.0, np.where(decidable, error, np.inf)),
        t=t,
        degrees_of_freedom=cosines,
        score=_score(t, cosines),
        p_value=never_zero(2 * stdtr(cosines, -np.abs(t))),
        decidable=decidable,
        same=same,
        n=len(table),
        null=null,
        contrasts=contrasts,
        source=projection if null == "cosines" else coarse,
        block_rows=rows,
    )


def pairs_of(k: int, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Contrasts (k, pairs) that subtract column ``second`` from column ``first``.

    Examples
    --------
    >>> pairs_of(3, np.array([0]), np.array([2])).T
    array([[ 1.,  0., -1.]])
    """
    contrasts = np.zeros((k, len(first)))
    contrasts[first, np.arange(len(first))] += 1.0
    contrasts[second, np.arange(len(first))] -= 1.0
    return contrasts


def means_of_runs(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of about 10,000 runs of rows where there are 20,000 rows or more; fewer rows are left as they are.

    Examples
    --------
    >>> means_of_runs(np.ones((25_000, 1))).shape, means_of_runs(np.ones((500, 1))).shape
    ((10000, 1), (500, 1))
    """
    n = len(table)
    if n < 2 * _MOST_ROWS:
        return table
    edge = np.linspace(0, n, _MOST_ROWS + 1).astype(np.int64)
    return np.add.reduceat(table, edge[:-1], axis=0) / np.diff(edge)[:, None]


def _score(t: NDArray[np.float64], degrees: NDArray[np.int64]) -> NDArray[np.float64]:
    size = np.abs(t)
    with np.errstate(divide="ignore"):
        score = -ndtri(stdtr(degrees, -size))
    # beyond what a p-value can express (38.5 standard deviations) the order of t goes on
    return np.sign(t) * np.where(np.isinf(score), _FARTHEST + np.log1p(size), score)


def _null_score(
    mean: NDArray[np.float64], square: NDArray[np.float64], degrees: NDArray[np.int64], tested: NDArray[np.bool_]
) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(tested, _score(mean / np.sqrt(square), degrees), 0.0)


def _cosines(
    coarse: NDArray[np.float64], contrasts: NDArray[np.float64], same: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    cosines, decidable = np.ones(len(same), dtype=np.int64), np.ones(len(same), dtype=bool)
    active = np.flatnonzero(~same)
    width = max(1, _CHUNK // len(coarse))
    for low in range(0, len(active), width):
        which = active[low : low + width]
        chosen, hopeless = choose_n_cosines(np.ascontiguousarray((coarse @ contrasts[:, which]).T))
        cosines[which], decidable[which] = chosen, ~hopeless
    return cosines, decidable


def _block_rows(block_length: Any, n: int, coarse: int, cosines: NDArray[np.int64]) -> int:
    if block_length == "auto":
        number = max(_FEWEST_BLOCKS, int(np.median(cosines))) if len(cosines) else _FEWEST_BLOCKS
        return coarse // number
    if not 1 <= block_length <= n // _FEWEST_BLOCKS:
        raise DataError(
            f"block_length is {block_length}; a number from 1 to {n // _FEWEST_BLOCKS} was expected: {n} rows must hold at "
            f"least {_FEWEST_BLOCKS} blocks."
        )
    return max(1, round(block_length * coarse / n))


def _chunks(resamples: int, numbers_each: int) -> Iterator[int]:
    step = max(1, _CHUNK // max(numbers_each, 1))
    for low in range(0, resamples, step):
        yield min(step, resamples - low)
