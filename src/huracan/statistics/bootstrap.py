"""Block bootstrap of series that remember: automatic block length, blocks drawn, means of what was drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from huracan.errors import DataError
from huracan.statistics.loss_table import check_level
from huracan.statistics.sample_checks import check_open_unit
from huracan.statistics.series import as_series

__all__ = [
    "BlockLength",
    "Blocks",
    "BootstrapInterval",
    "BootstrapKind",
    "block_bootstrap",
    "draw_blocks",
    "draw_means",
    "optimal_block_length",
    "resampled_means",
]

BootstrapKind = Literal["circular", "stationary"]

_CHUNK = 4_000_000
"""Numbers gathered at a time; results do not depend on it."""
_NEAR = 100_000
"""Blocks drawn at a time where they are forgotten at once: they stay in the processor's caches, and memory is used again."""


@dataclass(frozen=True)
class BlockLength:
    """Mean block length for each kind of bootstrap; arrays where a batch of series was measured."""

    stationary: Any
    circular: Any


def optimal_block_length(x: ArrayLike) -> BlockLength:
    """Choose the block length that makes the bootstrap variance of the mean most accurate.

    The length grows as ``n^(1/3)`` times how fast the autocovariances die out, measured with a flat-top window up to
    the lag from which five autocorrelations in a row are insignificant.

    Parameters
    ----------
    x : (n,) in time order, or (repetitions, n). At least 20 observations, not constant.

    Returns
    -------
    Lengths as real numbers, at most ``min(3 sqrt(n), n / 3)`` rounded up; 0 where nothing is remembered at all.

    References
    ----------
    Politis and White (2004), Econometric Reviews 23(1); corrected by Patton, Politis and White (2009), 28(4).

    Examples
    --------
    >>> from scipy.signal import lfilter
    >>> noise = np.random.default_rng(0).standard_normal(1000)
    >>> optimal_block_length(noise).circular < 10 < optimal_block_length(lfilter([1], [1, -0.9], noise)).circular
    True
    """
    values = as_series(x)
    batch = np.atleast_2d(values)
    n = batch.shape[1]
    run = max(5, int(np.log10(n)))
    highest = int(np.ceil(np.sqrt(n))) + run
    centred = batch - batch.mean(axis=1, keepdims=True)
    size = fft.next_fast_len(n + highest + 1, real=True)
    cross = fft.irfft(np.abs(fft.rfft(centred, size, axis=1)) ** 2, size, axis=1)[:, : highest + 1]
    # each autocorrelation is scaled by the part of the series that has a partner one lag further on
    squares = np.cumsum(centred**2, axis=1)
    total, lag = squares[:, -1:], np.arange(1, highest + 2)
    scale = np.sqrt((total - squares[:, lag - 1]) * squares[:, n - lag - 1])
    small = np.abs(cross) < 2 * np.sqrt(np.log10(n) / n) * scale
    calm = np.all(np.lib.stride_tricks.sliding_window_view(small, run, axis=1)[:, :-1], axis=2)
    window = np.where(np.any(calm, axis=1), np.minimum(2 * np.maximum(np.argmax(calm, axis=1), 1), highest), highest)[:, None]
    covariance, lags = cross[:, 1:] / n, np.arange(1, highest + 1)
    weight = np.clip(2 * (1 - lags / window), 0.0, 1.0)
    slope = 2 * np.sum(weight * lags * covariance, axis=1)
    long_run = cross[:, 0] / n + 2 * np.sum(weight * covariance, axis=1)
    longest = np.ceil(min(3 * np.sqrt(n), n / 3))
    with np.errstate(divide="ignore"):  # a long-run variance of zero asks for the longest block there is
        base = np.cbrt(n * slope**2 / long_run**2)
    stationary, circular = np.minimum(base, longest), np.minimum(base * np.cbrt(1.5), longest)
    if values.ndim == 2:
        return BlockLength(stationary, circular)
    return BlockLength(float(stationary[0]), float(circular[0]))


@dataclass(frozen=True)
class Blocks:
    """What a bootstrap drew, apart from any data: for each resample, blocks of consecutive rows on a circle of ``n``.

    Attributes
    ----------
    n : rows of the series, and of every resample.
    start, length : (all blocks,) first row and number of rows of each block, resample after resample.
    first : (resamples + 1,) where each resample's blocks begin in ``start``.
    """

    n: int
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    first: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of resamples."""
        return len(self.first) - 1

    def indices(self) -> NDArray[np.int64]:
        """Row numbers, (resamples, n): ``x[blocks.indices()]`` are the resampled series."""
        begin = np.cumsum(self.length) - self.length
        within = np.arange(len(self) * self.n) - np.repeat(begin, self.length)
        return ((np.repeat(self.start, self.length) + within) % self.n).reshape(len(self), self.n)

    @classmethod
    def from_indices(cls, indices: ArrayLike) -> Blocks:
        """Take over what another bootstrap drew.

        Parameters
        ----------
        indices : (resamples, n) row numbers from 0 to n - 1.

        Examples
        --------
        >>> Blocks.from_indices([[3, 0, 1, 1]]).length.tolist()
        [3, 1]
        """
        drawn = np.asarray(indices)
        if drawn.ndim != 2 or not np.issubdtype(drawn.dtype, np.integer) or drawn.size == 0:
            raise DataError(f"indices are {drawn.dtype} of shape {drawn.shape}; row numbers (resamples, n) were expected.")
        n = drawn.shape[1]
        if drawn.min() < 0 or drawn.max() >= n:
            raise DataError(f"indices run from {drawn.min()} to {drawn.max()}; rows 0 to {n - 1} were expected.")
        begins = np.ones(drawn.shape, dtype=bool)
        begins[:, 1:] = drawn[:, 1:] != (drawn[:, :-1] + 1) % n
        place = np.flatnonzero(begins)
        first = np.concatenate(([0], np.cumsum(begins.sum(axis=1))))
        return cls(n, drawn.reshape(-1)[place].astype(np.int64), np.diff(np.append(place, drawn.size)), first)


def draw_blocks(
    n: int, block_length: float, resamples: int | range, *, kind: BootstrapKind = "circular", seed: int = 0
) -> Blocks:
    """Draw the blocks of a circular or stationary bootstrap.

    Every resample has a random stream of its own, so that resample 7 of a seed is the same whether 10 or 10,000 are
    drawn, all at once or in parts.

    Parameters
    ----------
    n : rows of the series.
    block_length : rows of a block, 1 to ``n``: "circular" rounds it, for "stationary" it is the mean of a geometric law.
    resamples : how many, or which.
    kind : "circular" (blocks of one length, Politis and Romano 1992) or "stationary" (of random length, 1994).
    seed : of the generator.

    Raises
    ------
    DataError : a block length that is not from 1 to ``n``, no resamples, or an unknown kind.

    Examples
    --------
    >>> draw_blocks(5, 2, 2, seed=1).indices().shape
    (2, 5)
    >>> part = draw_blocks(100, 8, range(3, 5), kind="stationary")
    >>> bool(np.all(part.indices() == draw_blocks(100, 8, 5, kind="stationary").indices()[3:]))
    True
    """
    if kind not in get_args(BootstrapKind):
        raise DataError(f"kind of bootstrap is '{kind}'; 'circular' or 'stationary' was expected.")
    if n < 1:
        raise DataError(f"n is {n}; a series of at least one row was expected.")
    if not 1 <= block_length <= n:
        raise DataError(f"block_length is {block_length}; a number from 1 to {n} was expected for {n} rows.")
    which = range(resamples) if isinstance(resamples, (int, np.integer)) else resamples
    if len(which) == 0 or which[0] < 0 or seed < 0:
        raise DataError(f"resamples is {resamples} and seed {seed}; at least one resample and a seed from 0 on were expected.")
    starts, lengths = [], []
    for number in which:
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(number,))))
        length = _lengths(n, block_length, kind, generator)
        starts.append(generator.integers(0, n, len(length)))
        lengths.append(length)
    first = np.concatenate(([0], np.cumsum([len(length) for length in lengths])))
    return Blocks(n, np.concatenate(starts), np.concatenate(lengths), first)


def resampled_means(x: ArrayLike, blocks: Blocks) -> NDArray[np.float64]:
    """Mean of every resample of every column, from cumulative sums: a block costs two look-ups, whatever its length.

    Parameters
    ----------
    x : (n,) or (n, k) floats, rows in time order.
    blocks : drawn for ``n`` rows.

    Returns
    -------
    (resamples,) or (resamples, k).

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 4.0, 8.0])
    >>> blocks = Blocks.from_indices([[2, 3, 0, 1], [3, 0, 3, 0]])
    >>> resampled_means(x, blocks).tolist(), x[blocks.indices()].mean(axis=1).tolist()
    ([3.75, 4.5], [3.75, 4.5])
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim not in (1, 2) or len(values) != blocks.n:
        raise DataError(f"x has shape {values.shape}; {blocks.n} rows were expected, as the blocks were drawn for.")
    columns = values.reshape(blocks.n, -1)
    mean = columns.mean(axis=0)
    running = np.zeros((blocks.n + 1, columns.shape[1]))
    np.cumsum(columns - mean, axis=0, out=running[1:])
    means = np.empty((len(blocks), columns.shape[1]))
    for part in _parts(blocks.first, columns.shape[1]):
        low, high = blocks.first[part.start], blocks.first[part.stop]
        start = blocks.start[low:high]
        end = start + blocks.length[low:high]
        wraps = end > blocks.n
        sums = running[np.where(wraps, end - blocks.n, end)] - running[start]
        sums[wraps] += running[-1]
        means[part.start : part.stop] = np.add.reduceat(sums, blocks.first[part.start : part.stop] - low, axis=0)
    means = means / blocks.n + mean
    return means if values.ndim == 2 else means[:, 0]


def draw_means(
    x: ArrayLike, block_length: float, resamples: int, *, kind: BootstrapKind = "circular", seed: int = 0
) -> NDArray[np.float64]:
    """Means of resamples whose blocks nobody else needs; where blocks are short, several times faster than to keep them all.

    Parameters
    ----------
    x : (n,) or (n, k) floats, rows in time order. block_length, resamples, kind, seed : as of :func:`draw_blocks`.

    Returns
    -------
    What :func:`resampled_means` gives of the blocks that :func:`draw_blocks` draws, bit for bit.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((300, 2))
    >>> bool((draw_means(x, 5, 20) == resampled_means(x, draw_blocks(300, 5, 20))).all())
    True
    """
    values = np.asarray(x, dtype=np.float64)
    n = len(values)
    step = 1 + int(_NEAR * max(1.0, min(block_length, n)) / max(n, 1))
    parts = [range(low, min(low + step, resamples)) for low in range(0, max(resamples, 1), step)]
    return np.concatenate([resampled_means(values, draw_blocks(n, block_length, p, kind=kind, seed=seed)) for p in parts])


@dataclass(frozen=True)
class BootstrapInterval:
    """Result of :func:`block_bootstrap`: a statistic, its bootstrap standard error and interval, and how it was drawn."""

    estimate: float
    standard_error: float
    ci_low: float
    ci_high: float
    block_length: float
    resamples: int


def block_bootstrap(
    x: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], ArrayLike] | None = None,
    *,
    kind: BootstrapKind = "stationary",
    block_length: float | Literal["auto"] = "auto",
    resamples: int = 1999,
    confidence: float = 0.95,
    seed: int = 0,
) -> BootstrapInterval:
    """Interval for the mean, or any statistic, of a series that remembers.

    The basic interval ``2 estimate - quantiles``. On strongly autocorrelated data every block bootstrap understates
    the uncertainty of a mean; to *test* a mean use :func:`huracan.statistics.ewc_t_test`.

    Parameters
    ----------
    x : (n,) in time order.
    statistic : from resampled series (resamples, n) to (resamples,); by default the mean.
    kind : "stationary" or "circular".
    block_length : rows; "auto" is :func:`optimal_block_length`, at least 1.
    resamples, confidence, seed : number of resamples, level of the interval, seed.

    Raises
    ------
    DataError : a value is not finite, ``x`` is constant, a setting is out of bounds, or ``statistic`` does not return
        one finite number for every series.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal(500)
    >>> result = block_bootstrap(x)
    >>> result.ci_low < 0 < result.ci_high, abs(result.standard_error * 500**0.5 - 1) < 0.2
    (True, True)
    >>> block_bootstrap(x, lambda series: np.median(series, axis=1)).ci_low < 0
    True
    """
    check_open_unit(confidence, "confidence")
    check_level((1.0 - confidence) / 2.0, resamples, what="(1 - confidence) / 2")
    series = as_series(x)
    if series.ndim != 1:
        raise DataError(f"x has {series.ndim} dimensions; one series was expected.")
    rows = max(1.0, getattr(optimal_block_length(series), kind)) if block_length == "auto" else block_length
    if statistic is None:
        estimate = float(series.mean())
        drawn = draw_means(series, rows, resamples, kind=kind, seed=seed)
    else:
        estimate = float(_applied(statistic, series[None])[0])
        step = max(1, _CHUNK // len(series))
        parts = (range(low, min(low + step, resamples)) for low in range(0, resamples, step))
        drawn = np.concatenate(
            [
                _applied(statistic, series[draw_blocks(len(series), rows, part, kind=kind, seed=seed).indices()])
                for part in parts
            ]
        )
    low, high = np.quantile(drawn, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return BootstrapInterval(
        estimate=estimate,
        standard_error=float(drawn.std(ddof=1)),
        ci_low=float(2 * estimate - high),
        ci_high=float(2 * estimate - low),
        block_length=float(rows),
        resamples=resamples,
    )


def _applied(statistic: Callable[[NDArray[np.float64]], ArrayLike], series: NDArray[np.float64]) -> NDArray[np.float64]:
    result = np.asarray(statistic(series), dtype=np.float64)
    if result.shape != (len(series),) or not np.all(np.isfinite(result)):
        raise DataError(
            f"the statistic gave shape {result.shape} for series of shape {series.shape}"
            + (", some of it not finite" if result.shape == (len(series),) else "")
            + "; one finite number for every row was expected."
        )
    return result


def _lengths(n: int, block_length: float, kind: BootstrapKind, generator: np.random.Generator) -> NDArray[np.int64]:
    """Lengths of the blocks that fill ``n`` rows, the last one cut."""
    if kind == "circular":
        rows = round(block_length)
        length = np.full(-(-n // rows), rows)
        length[-1] -= len(length) * rows - n
        return length
    length, end = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    while not len(end) or end[-1] < n:
        more = generator.geometric(1.0 / block_length, int(1.2 * n / block_length) + 8)
        length = np.concatenate((length, more)) if len(length) else more
        end = np.cumsum(length)
    last = int(np.searchsorted(end, n))
    length[last] -= end[last] - n
    return length[: last + 1]


def _parts(first: NDArray[np.int64], columns: int) -> Iterator[range]:
    """Runs of resamples whose blocks fit into one chunk of memory."""
    blocks = max(1, _CHUNK // max(columns, 1))
    low = 0
    while low < len(first) - 1:
        high = max(low + 1, int(np.searchsorted(first, first[low] + blocks, side="right")) - 1)
        yield range(low, high)
        low = high
