"""How far from its median a column has ever been, and how long it has ever stood still: what no share of values can tell."""

from __future__ import annotations

from dataclasses import dataclass
from math import asinh, isfinite, sinh

import numpy as np
from numpy.typing import NDArray

from huracan.statistics.moments import Moments
from huracan.statistics.weighted_sample import WeightedSample

__all__ = ["UsualRange", "longest_still"]

_TIMES, _POWER, _LONGER = 5.0, 1.5, 3.0
_OVERFLOWS = 700.0
_MOMENTS = 5
_SHARE = 0.005


@dataclass(frozen=True)
class UsualRange:
    """Of a column of the reference.

    A test of shares of values cannot tell a value beyond the largest from one a thousand times as far out, and where a column
    remembers for long, no share is enough. So a window in which at least five moments and half a percent lie **far beyond any
    value of the reference**, or stand still **three times as long as it ever did**, is called drifted by that alone. Far is
    five times as far from the median, and more where the reference itself reaches over many orders of magnitude: with ``s``
    half the distance of the quartiles, ``asinh(distance / s)`` is 1.5 times that of the farthest.

    It is a rule and has no level, but hardly comes by chance. In windows of a quarter of the reference (672 and 168 rows):
    1 of 10,000 where GARCH(.08, .90) has t shocks of 5 degrees, less of Cauchy's numbers; 13 of 1,000 of ``exp(3 z)`` and 2 of
    1,000 of ``exp(1.5 z)`` with ``z`` of autocorrelation .98 and .95; a tenth of that where the reference has 5,000.

    Attributes
    ----------
    median : of all values. reach : largest distance of a value from it. limit : distance from which on a value is far beyond.
    longest_still : most rows of one symbol in a row that were equal; 1 where no two were.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal(1_000)
    >>> usual = UsualRange.of(x, WeightedSample.of(x, None), None)
    >>> now = np.where(np.arange(100) < 7, 50.0, x[:100])
    >>> usual.unlike(now, WeightedSample.of(now, None), Moments.each_row(100), None)
    ['7.0% of the window lie 5 times as far from the median as any value before', 'stands still for 7 rows, at most 1 before']
    """

    median: float
    reach: float
    limit: float
    longest_still: int

    @classmethod
    def of(cls, values: NDArray[np.floating], sample: WeightedSample, codes: NDArray[np.integer] | None) -> UsualRange:
        """From values in order of time, none NaN; ``sample`` has them in their own order.

        Parameters
        ----------
        codes : (rows,) number of each row's symbol, where there are several.
        """
        quarter, median, three = sample.quantiles(4)[1:4].tolist()
        lowest, highest = float(sample.values[0]), float(sample.values[-1])
        reach, spread = max(median - lowest, highest - median), (three - quarter) / 2.0
        if not isfinite(reach):
            return cls(median, float("inf"), float("inf"), longest_still(values, codes))
        if not spread > 0.0:
            distances = np.abs(sample.values - median)
            spread = float(np.median(distances[distances > 0.0])) if reach > 0.0 else 1.0
        return cls(median, reach, _far(spread, reach), longest_still(values, codes))

    def unlike(
        self,
        values: NDArray[np.floating],
        sample: WeightedSample,
        moments: Moments,
        codes: NDArray[np.integer] | None,
        *,
        limits: tuple[float, float] | None = None,
    ) -> list[str]:
        """What a window does that the reference never did, in words; nothing where it does not.

        Parameters
        ----------
        limits : smallest and largest value of the reference. A column that is cut off at them, as preprocessing cuts it, stands
            still there whenever it would be beyond: that counts only where it lasts for half the window.
        """
        said = []
        limit = self.limit
        below, above = self.median - float(sample.values[0]), float(sample.values[-1]) - self.median
        if isfinite(limit) and max(below, above) > limit:
            share, enough = _moments_of(np.abs(values - self.median) > limit, moments)
            if enough:
                times = f" {limit / self.reach:.3g} times" if self.reach > 0.0 else ""
                said.append(f"{share:.1%} of the window lie{times} as far from the median as any value before")
        still = longest_still(values, codes)
        if limits is not None and self._is_long(still, moments) and 2 * still < len(values):
            within = (values > limits[0]) & (values < limits[1])
            still = longest_still(np.where(within, values, np.nan), codes)
        if self._is_long(still, moments):
            said.append(f"stands still for {still:,} rows, at most {self.longest_still:,} before")
        return said

    def _is_long(self, still: int, moments: Moments) -> bool:
        return still > _LONGER * self.longest_still and still >= max(_MOMENTS, _SHARE * moments.n)


def longest_still(values: NDArray[np.floating], codes: NDArray[np.integer] | None) -> int:
    """Most equal values in a row, of one symbol.

    >>> longest_still(np.array([1.0, 1.0, 2.0, 2.0, 2.0, 1.0]), None)
    3
    >>> longest_still(np.array([1.0, 1.0, 2.0, 1.0, 3.0, 1.0]), np.array([0, 1, 0, 1, 0, 1]))
    3
    """
    if codes is not None:
        order = np.argsort(codes, kind="stable")
        values, codes = values[order], codes[order]
    alike = values[1:] == values[:-1]
    if codes is not None:
        alike &= codes[1:] == codes[:-1]
    if not alike.any():
        return min(len(values), 1)
    ends = np.concatenate([[-1], np.flatnonzero(~alike), [len(alike)]])
    return int(np.diff(ends).max())


def _far(spread: float, reach: float) -> float:
    """From which distance on a value is far beyond those whose largest is ``reach``."""
    far = _POWER * asinh(reach / spread)
    return max(_TIMES * reach, spread * sinh(far)) if far < _OVERFLOWS else float("inf")


def _moments_of(happens: NDArray[np.bool_], moments: Moments) -> tuple[float, bool]:
    """Share of the moments at which it happens to any row, and whether they are enough."""
    if moments.of_row is not None:
        happens = np.bincount(moments.of_row, happens, minlength=moments.n) > 0
    count = int(np.count_nonzero(happens))
    return count / max(moments.n, 1), count >= max(_MOMENTS, _SHARE * moments.n)
