"""How far two samples in order are apart: the largest distance of their distribution functions, and the mass moved."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, lcm

import numpy as np

from huracan.statistics.compiled import KERNELS, compiled_loops
from huracan.statistics.kolmogorov_smirnov import largest_gap
from huracan.statistics.weighted_sample import WeightedSample

__all__ = ["SampleDistance"]


@dataclass(frozen=True)
class SampleDistance:
    """Of one sample from another.

    Attributes
    ----------
    largest : of the distances of the two distribution functions, the statistic of Kolmogorov and Smirnov.
    steps : the same as a whole number of steps of ``1 / lcm(m, n)``, where all values weigh the same.
    moved : Wasserstein's distance; None where a value, or the distance, is not finite.

    Examples
    --------
    >>> a, b = (WeightedSample.of(np.array(values)) for values in ([1.0, 2.0], [2.0, 3.0, 4.0, 5.0]))
    >>> SampleDistance.of(a, b)
    SampleDistance(largest=0.75, steps=3, moved=2.0)
    """

    largest: float
    steps: int | None
    moved: float | None

    @classmethod
    def of(cls, first: WeightedSample, second: WeightedSample) -> SampleDistance:
        """Neither empty."""
        a, b = first.values, second.values
        moved = None
        if all(map(isfinite, (float(a[0]), float(a[-1]), float(b[0]), float(b[-1])))):
            with np.errstate(over="ignore"):
                moved = first.wasserstein(second)
        if first.cumulative is not None or second.cumulative is not None:
            return cls(first.gap(second)[0], None, moved if moved is not None and isfinite(moved) else None)
        steps, _ = largest_gap(a, b, kernels=compiled_loops(KERNELS))
        return cls(steps / lcm(len(a), len(b)), steps, moved if moved is not None and isfinite(moved) else None)
