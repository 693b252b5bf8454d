"""When a growing series is looked at, what share of alpha each look may spend, and what it sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from huracan.statistics.ewc import Alternative, ewc_t_test
from huracan.statistics.sequential_batches import batch_length_at

__all__ = ["FIRST_LOOK", "Look", "look_share", "look_size", "looks_before", "take_look"]

FIRST_LOOK = 60
"""Observations before the first look: fewer do not show how long a series remembers."""

_LOOKS_A_DOUBLING = 4
_FEWEST_COSINES = 6
_ROUNDING = 64 * float(np.finfo(np.float64).eps)
_SMALLEST_P = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Look:
    """What was seen at one look.

    Attributes
    ----------
    index, n : the look, from 0, and the observations it rests on.
    mean : of the series.
    standard_error : of the mean, dependence-robust; None where it cannot be told, and ``note`` says why.
    t : the mean less the null mean, in standard errors; 0 where there is none.
    n_cosines : degrees of freedom of the test; 0 where there is no standard error.
    p_value : of this look alone, to be compared with its share of alpha.
    note : why the look could not decide, where it could not.
    """

    index: int
    n: int
    mean: float
    standard_error: float | None
    t: float
    n_cosines: int
    p_value: float
    note: str = ""

    @property
    def spent_p_value(self) -> float:
        """Smallest alpha at which this look would have decided."""
        return self.p_value / look_share(self.index)

    def interval(self, alpha: float, alternative: Alternative) -> tuple[float, float]:
        """The interval of the mean that together with those of all other looks has level ``1 - alpha``."""
        if self.standard_error is None:
            return -math.inf, math.inf
        level = alpha * look_share(self.index) / (2.0 if alternative == "two-sided" else 1.0)
        half = -float(stdtrit(self.n_cosines, level)) * self.standard_error
        low = -math.inf if alternative == "less" else self.mean - half
        high = math.inf if alternative == "greater" else self.mean + half
        return low, high

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Look:
        """The look whose fields these are; ``ValueError`` where one is not what it should be."""
        look = cls(**state)
        numbers = (look.mean, look.t, look.p_value, 0.0 if look.standard_error is None else look.standard_error)
        if not all(type(number) is float and math.isfinite(number) for number in numbers):
            raise ValueError(f"mean, t, p-value and standard error of a look are {numbers}")
        if not all(type(count) is int for count in (look.index, look.n, look.n_cosines)) or not isinstance(look.note, str):
            raise ValueError("a look is incomplete")
        if not 0.0 < look.p_value <= 1.0 or (look.standard_error is None) != (look.n_cosines == 0):
            raise ValueError(f"a look has p-value {look.p_value} and {look.n_cosines} cosines")
        return look


def look_size(index: int, first_look: int = FIRST_LOOK) -> int:
    """Observations at look ``index`` (from 0): four looks while the sample doubles, always at the end of a batch.

    Examples
    --------
    >>> [look_size(index) for index in range(0, 21, 4)]
    [60, 120, 240, 480, 960, 1920]
    """
    n = math.ceil(first_look * 2.0 ** (index / _LOOKS_A_DOUBLING) - 1e-9)
    length = batch_length_at(n)
    return -(-n // length) * length


def looks_before(n: int, first_look: int = FIRST_LOOK) -> int:
    """Number of looks that ``n`` observations have had.

    Examples
    --------
    >>> looks_before(59), looks_before(60), looks_before(1000)
    (0, 1, 17)
    """
    index = 0
    while look_size(index, first_look) <= n:
        index += 1
    return index


def look_share(index: int) -> float:
    """Share of alpha that look ``index`` may spend; the shares of all looks, without end, add up to 1.

    When the first sample has doubled ``d`` times, ``(d / (1 + d))^3`` has been spent: little at first, where a
    long-run variance is least certain, and something always left.

    Examples
    --------
    >>> round(sum(look_share(index) for index in range(16)), 6), round(sum(look_share(index) for index in range(100_000)), 3)
    (0.512, 1.0)
    """
    return _spent(index + 1) - _spent(index)


def take_look(
    index: int, n: int, means: NDArray[np.float64], size: float, null_mean: float, alternative: Alternative, name: str
) -> Look:
    """Test the mean of a series.

    Parameters
    ----------
    index, n : of the look. means : (batches,) of equal length, of the series less ``null_mean``.
    size : largest number the series was computed from; variation below its rounding is none.
    null_mean, alternative : of the test. name : what messages call the series.
    """
    top = float(np.abs(means).max())
    # a power of two is an exact unit; in it squares neither overflow nor vanish
    exponent = math.frexp(top)[1]
    scaled = np.ldexp(means, -exponent)
    mean = null_mean + math.ldexp(float(scaled.mean()), exponent)
    if top <= _ROUNDING * size or float(np.ptp(scaled)) <= _ROUNDING * math.ldexp(size, -exponent):
        return Look(index, n, mean, None, 0.0, 0, 1.0, f"it did not vary in {n} observations")
    result = ewc_t_test(scaled, name=name, alternative=alternative)
    if not result.decidable or result.n_cosines < _FEWEST_COSINES:
        return Look(index, n, mean, None, 0.0, 0, 1.0, f"it remembers too long to be judged on {n} observations")
    error, p_value = math.ldexp(result.standard_error, exponent), max(float(result.p_value), _SMALLEST_P)
    return Look(index, n, mean, error, float(result.t), int(result.n_cosines), p_value)


def _spent(looks: int) -> float:
    doublings = looks / _LOOKS_A_DOUBLING
    return (doublings / (1.0 + doublings)) ** 3
