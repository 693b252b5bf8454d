"""Kalman filters of one series reduced to the two or three numbers a row that they need.

The gain of such a filter depends on its model only, not on the data: it is found once, row by row until it stands still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from huracan.errors import FeatureError
from huracan.preprocessing.rolling import Array

__all__ = ["Gains", "hodrick_prescott_gains", "local_level_gains"]

_UNCHANGED = 1e-15
"""Relative step of the gain below which it has arrived: a digit more than float64 can carry to any result."""

_LONGEST_START = 200_000
"""Rows within which the gain must arrive: a filter slower than that has no place on the data there is."""


@dataclass(frozen=True)
class Gains:
    """A Kalman filter reduced to its surprises: ``e[t] = d[t] + a[t-1] e[t-1] + b[t-2] e[t-2]``, remainder ``r[t] e[t]``.

    ``d`` is the series differenced until its model is noise; the three lists hold the coefficients row by row until they
    stand still, the last entry being the one that stays.
    """

    a: tuple[float, ...]
    b: tuple[float, ...]
    r: tuple[float, ...]

    def surprises_of(self, d: Array) -> Array:
        """One-step prediction errors, shape (n,): row by row while coefficients change, in C from there."""
        early = min(len(d), len(self.a) - 1)
        errors = np.empty(len(d))
        errors[:early], state = self._early(d[:early])
        if early < len(d):
            from scipy.signal import lfilter  # takes a second to import, and most recipes need none of it

            errors[early:], _ = lfilter([1.0], [1.0, -self.a[-1], -self.b[-1]], d[early:], zi=np.array(state))
        return errors

    def remainder_of(self, d: Array) -> Array:
        """What the filter leaves over, ``x - trend``, shape (n,)."""
        errors = self.surprises_of(d)
        early = min(len(d), len(self.r))
        shares = np.full(len(d), self.r[-1])
        shares[:early] = self.r[:early]
        return shares * errors

    def state_after(self, errors: Array) -> tuple[float, float]:
        """What these surprises add to the next one and to the one after it: where to go on bar by bar."""
        if len(errors) == 0:
            return 0.0, 0.0
        row, last = len(errors) - 1, len(self.a) - 1
        before = self.b[min(row - 1, last)] * errors[-2] if row else 0.0
        return float(self.a[min(row, last)] * errors[-1] + before), float(self.b[min(row, last)] * errors[-1])

    def _early(self, d: Array) -> tuple[list[float], tuple[float, float]]:
        errors, next_one, one_after = [], 0.0, 0.0
        for value, a, b in zip(d.tolist(), self.a, self.b):
            error = value + next_one
            next_one, one_after = one_after + a * error, b * error
            errors.append(error)
        return errors, (next_one, one_after)


@lru_cache(maxsize=64)
def hodrick_prescott_gains(smoothing: float) -> Gains:
    """Coefficients of the one-sided Hodrick-Prescott filter on second differences.

    >>> round(hodrick_prescott_gains(1600.0).r[-1], 4)
    0.7994
    """
    if not (smoothing > 0.0 and math.isfinite(smoothing)):
        raise FeatureError(f"smoothing is {smoothing!r}; a positive number was expected.")
    q = 1.0 / smoothing
    # rows 0 and 1 fix level and slope; their surprises are none, so their coefficients are never used
    a, b, r = [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]
    level, both, slope = 1.0, 1.0, 2.0  # variances of level and slope and what they share, in units of the noise
    for _ in range(_LONGEST_START):
        ahead, shared, drift = level + 2.0 * both + slope + q, both + slope + q, slope + q
        spread = ahead + 1.0
        now = (ahead / spread, shared / spread, drift - shared * shared / spread)
        # all three: the gains can stand still for a row while the slope's variance moves on
        still = all(abs(new - old) <= _UNCHANGED * new for new, old in zip(now, (level, both, slope)))
        level, both, slope = now  # the variances of level and of what they share are the gains themselves
        a.append(2.0 - level - both)
        b.append(level - 1.0)
        r.append(1.0 / spread)
        if still:
            return Gains(tuple(a), tuple(b), tuple(r))
    raise FeatureError(f"smoothing is {smoothing:g}; one that settles within {_LONGEST_START} rows was expected, 1e15 at most.")


@lru_cache(maxsize=64)
def local_level_gains(signal_to_noise: float) -> Gains:
    """Coefficients of the local-level filter on first differences; ``1 / r`` is the variance of a surprise per noise.

    >>> round(1.0 - local_level_gains(0.01).r[-1], 4)
    0.0951
    """
    if not (signal_to_noise > 0.0 and math.isfinite(signal_to_noise)):
        raise FeatureError(f"signal_to_noise is {signal_to_noise!r}; a positive number was expected.")
    r, gain = [0.0], 1.0
    for _ in range(_LONGEST_START):
        ahead = gain + signal_to_noise
        still = abs(ahead / (ahead + 1.0) - gain) <= _UNCHANGED * gain
        gain = ahead / (ahead + 1.0)
        r.append(1.0 / (ahead + 1.0))
        if still:
            return Gains(tuple(r), (0.0,) * len(r), tuple(r))
    raise FeatureError(
        f"signal_to_noise is {signal_to_noise:g}; one that settles within {_LONGEST_START} rows was expected, 1e-8 at least."
    )
