"""A sample in ascending order: shares, quantiles, and how far two samples are apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from huracan.statistics.compiled import KERNELS, compiled_loops

__all__ = ["WeightedSample"]


@dataclass(frozen=True, eq=False)
class WeightedSample:
    """Values in ascending order, none NaN, and the share of weight up to each.

    Attributes
    ----------
    values : (n,) ascending. cumulative : (n,) up to 1; None where all weigh the same.

    Examples
    --------
    >>> sample = WeightedSample.of(np.array([3.0, 1.0, 2.0]), np.array([0.5, 0.25, 0.25]))
    >>> sample.share(np.array([1.0, 2.5])).tolist(), sample.quantiles(2).tolist()
    ([0.25, 0.5], [1.0, 2.0, 3.0])
    >>> sample.wasserstein(WeightedSample.of(np.array([2.0, 3.0, 4.0]), np.array([0.25, 0.25, 0.5])))
    1.0
    """

    values: NDArray[np.floating]
    cumulative: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, values: NDArray[np.floating], weights: NDArray[np.float64] | None = None) -> WeightedSample:
        """From values in any order."""
        if weights is None:
            return cls(np.sort(values))
        order = np.argsort(values, kind="stable")
        total = np.cumsum(weights[order])
        return cls(values[order], total / total[-1])

    @property
    def holds_nan(self) -> bool:
        """Whether a value is NaN after all, which comes last in order; of such a sample nothing else is right."""
        return len(self.values) > 0 and bool(np.isnan(self.values[-1]))

    def share(self, at: NDArray[np.floating], side: Literal["left", "right"] = "right") -> NDArray[np.float64]:
        """Share of the weight at or below each value, or strictly below (``side="left"``)."""
        if at.dtype != self.values.dtype and (at == (exact := at.astype(self.values.dtype))).all():
            at = exact  # numpy would copy all values into the wider type
        place = self.values.searchsorted(at, side=side)
        if self.cumulative is None:
            return place / len(self.values)
        return np.concatenate([[0.0], self.cumulative])[place]

    def quantiles(self, parts: int) -> NDArray[np.float64]:
        """At shares 0, 1 / parts, ... 1: the smallest value at or below which lies as much, at 0 the smallest of all."""
        n = len(self.values)
        if self.cumulative is None:
            place = _places(n, parts)
        else:
            place = np.minimum(np.searchsorted(self.cumulative, np.arange(parts + 1) / parts - 1e-12, side="left"), n - 1)
        return self.values[place].astype(np.float64)

    def gap(self, other: WeightedSample) -> tuple[float, float]:
        """The largest distance of the two distribution functions, and a value where it is reached."""
        points = np.concatenate([self.values, other.values])
        apart = np.abs(self.share(points) - other.share(points))
        at = int(apart.argmax())
        return float(apart[at]), float(points[at])

    def wasserstein(self, other: WeightedSample) -> float:
        """How far mass must be moved, on average, to make one of the other; both finite.

        References
        ----------
        Vallender (1974), "Calculation of the Wasserstein distance between probability distributions on the line".
        """
        a, b = self.values, other.values
        if self.cumulative is None and other.cumulative is None:
            if len(a) < len(b):
                a, b = b, a
            if len(a) % len(b) == 0:
                kernels = compiled_loops(KERNELS)
                if kernels is not None and a.dtype == b.dtype:
                    return float(kernels.summed_moves(a, b)) / len(a)
                apart = a.reshape(len(b), -1) - b[:, None]
                return float(np.abs(apart, out=apart).mean())
            i, j, width = _merged_levels(len(a), len(b))
            return float(np.abs(a[i] - b[j]) @ width)
        points = np.sort(np.concatenate([a, b]))
        apart = np.abs(self.share(points[:-1]) - other.share(points[:-1]))
        return float(apart @ np.diff(points))


@lru_cache(maxsize=64)
def _places(n: int, parts: int) -> NDArray[np.intp]:
    """Rows of the quantiles of n ascending values of equal weight."""
    return np.maximum(-(-np.arange(parts + 1) * n // parts), 1) - 1


@lru_cache(maxsize=8)
def _merged_levels(m: int, n: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Where two empirical quantile functions are both constant: row of one, row of the other, and how wide in share."""
    edges = np.unique(np.concatenate([np.arange(m + 1, dtype=np.int64) * n, np.arange(n + 1, dtype=np.int64) * m]))
    return edges[:-1] // n, edges[:-1] // m, np.diff(edges) / (m * n)
