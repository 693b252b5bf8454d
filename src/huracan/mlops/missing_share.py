"""Values that are missing: the share of moments without one, tested as an indicator of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from huracan.mlops.honest_tails import cosines_for, honest_p_value
from huracan.mlops.unseen_values import UnseenValues
from huracan.statistics.moments import Moments
from huracan.statistics.quantile_indicators import bin_projections
from huracan.statistics.sample_checks import never_zero

__all__ = ["MissingShare"]

_FEWEST_EVENTS = 1.5
_STEADIEST = 0.25


@dataclass(frozen=True, eq=False)
class MissingShare:
    """Of a column of the reference.

    Attributes
    ----------
    share : of the moments without a value. n_moments : with or without.
    projections : (J,) of whether a value is missing, on the lowest J cosines of time; none where nothing is missing, or rows
        were taken as independent.

    Examples
    --------
    >>> gone = np.random.default_rng(0).random(1_000) < 0.1
    >>> before = MissingShare.of(gone, Moments.each_row(1_000), 28)
    >>> (p_value, certain, said), few = before.test(np.arange(100) < 60, Moments.each_row(100), 2.5), gone[:100]
    >>> bool(p_value < 1e-3), certain, said, bool(before.test(few, Moments.each_row(100), 2.5)[0] > 0.05)
    (True, False, 'missing: 60.0% of the window, 8.9% of the reference', True)
    """

    share: float
    n_moments: int
    projections: NDArray[np.float64]

    @classmethod
    def none(cls, n_moments: int) -> MissingShare:
        """Where every value is there."""
        return cls(0.0, n_moments, np.zeros(0))

    @classmethod
    def of(cls, gone: NDArray[np.bool_], moments: Moments, n_cosines: int) -> MissingShare:
        """From whether the value of each row is missing."""
        if gone.all():
            return cls(1.0, moments.n, np.zeros(0))
        share, projection = bin_projections(gone.astype(np.intp), 2, moments, n_cosines)
        return cls(float(share[1]), moments.n, projection[:, 1].astype(np.float32).astype(np.float64))

    def variance(self, n_cosines: int) -> float:
        """Long-run, by the lowest ``n_cosines``; not below a quarter of that of independent moments."""
        independent = self.share * (1.0 - self.share)
        lowest = self.projections[:n_cosines]
        return max(float((lowest**2).mean()), _STEADIEST * independent) if len(lowest) else independent

    def test(self, gone: NDArray[np.bool_], moments: Moments, tail_events: float) -> tuple[float | None, bool, str]:
        """p-value of the share of a window, whether it is a change by itself, and what to say."""
        n, m = moments.n, self.n_moments
        weights = moments.weights()
        every = bool(gone.all())
        share = 1.0 if every else float(gone.mean()) if weights is None else float(weights @ gone) / n
        said = f"missing: {share:.1%} of the window, {self.share:.1%} of the reference"
        if self.share == 1.0:
            return None, not every, said
        if self.share == 0.0:
            unseen = UnseenValues.of(gone, moments, n_reference=m)
            return unseen.p_value, unseen.plain, said
        nu = min(len(self.projections), cosines_for(m, n))
        variance = self.variance(nu)
        t = (share - self.share) / np.sqrt(variance * (1.0 / n + 1.0 / m))
        events = n * min(self.share, 1.0 - self.share) * self.share * (1.0 - self.share) / variance
        degrees = max(_FEWEST_EVENTS, min(nu or np.inf, tail_events * events))
        p_value = float(never_zero(2.0 * stdtr(degrees, -abs(t))))
        return honest_p_value(p_value, nu) if nu else p_value, every, said
