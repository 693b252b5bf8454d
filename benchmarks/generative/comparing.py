"""How far samples are from real windows in facts, and whether a trained generator is better than its start beyond chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.generative.judging import FACTS

__all__ = ["Bands", "difference_of_days"]

_RATIOS = ("kurtosis", "kurtosis, pooled")


@dataclass(frozen=True)
class Bands:
    """For every fact the lower end, the middle and the upper end of what sets of real windows show.

    >>> bands = Bands.of([dict.fromkeys(FACTS, value) for value in np.linspace(1.0, 3.0, 201)], (0.05, 0.95))
    >>> bands.inside("leverage", 2.0), round(bands.distance("leverage", 3.8), 6), round(bands.excess("leverage", 3.8), 6)
    (True, 2.0, 1.0)
    """

    ends: Mapping[str, tuple[float, float, float]]

    @classmethod
    def of(cls, sets: Sequence[Mapping[str, float]], shares: tuple[float, float]) -> Bands:
        """From the facts of many sets."""
        low, high = shares
        quantiles = {fact: np.quantile([found[fact] for found in sets], [low, 0.5, high]) for fact in FACTS}
        return cls({fact: (float(a), float(b), float(c)) for fact, (a, b, c) in quantiles.items()})

    def inside(self, fact: str, value: float) -> bool:
        """Whether a value lies within the band."""
        low, _, high = self.ends[fact]
        return low <= value <= high

    def distance(self, fact: str, value: float) -> float:
        """From the middle of the band, in half widths of it; kurtoses, ratios of moments, by their logarithms."""
        low, middle, high = (_scale(fact, end) for end in self.ends[fact])
        return abs(_scale(fact, value) - middle) / (0.5 * (high - low))

    def excess(self, fact: str, value: float) -> float:
        """By how much a value lies beyond its band, in half widths; 0 within."""
        low, _, high = (_scale(fact, end) for end in self.ends[fact])
        at = _scale(fact, value)
        return max(low - at, at - high, 0.0) / (0.5 * (high - low))

    def total(self, facts: Mapping[str, float]) -> float:
        """Sum of the distances of all facts."""
        return sum(self.distance(fact, facts[fact]) for fact in FACTS)


def _scale(fact: str, value: float) -> float:
    return float(np.log(value)) if fact in _RATIOS else value


def difference_of_days(
    one: NDArray[np.float64], other: NDArray[np.float64], day: NDArray[np.datetime64], *, samples: int, seed: int
) -> tuple[float, float, float]:
    """Mean of ``one - other`` over windows, and its 95 % interval when days are drawn again with replacement.

    >>> day = np.repeat(np.array(["2025-01-01", "2025-01-02", "2025-01-03"], "datetime64[D]"), 4)
    >>> difference_of_days(np.full(12, 0.7), np.full(12, 0.6), day, samples=50, seed=0)[0].round(3).item()
    0.1
    """
    days, place = np.unique(day, return_inverse=True)
    sums, counts = np.bincount(place, one - other), np.bincount(place)
    drawn = np.random.default_rng(seed).integers(0, len(days), (samples, len(days)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return (one - other).mean(), float(low), float(high)
