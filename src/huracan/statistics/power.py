"""Power and sample size of the textbook tests: for independent observations only.

For observations over time see :mod:`huracan.statistics.power_over_time`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import nctdtr, ndtr, ndtri, stdtrit

from huracan.errors import DataError, NotEnoughData
from huracan.statistics.ewc import Alternative
from huracan.statistics.sample_checks import check_alternative, check_open_unit

__all__ = [
    "SampleSize",
    "mann_whitney_power",
    "mann_whitney_sample_size",
    "t_test_power",
    "t_test_sample_size",
]

_MOST = 10**12


@dataclass(frozen=True)
class SampleSize:
    """Sample size for a wanted power: ``n_a`` and ``n_b`` rounded up, ``exact`` the size of a before rounding.

    ``n_b`` equals ``n_a`` for pairs, which are counted once. ``power`` is that of the rounded sizes.
    """

    n_a: int
    n_b: int
    exact: float
    power: float


def t_test_power(
    effect_size: float,
    n: float,
    m: float | None = None,
    *,
    paired: bool = False,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> float:
    """Probability that a t test of independent observations finds a difference of ``effect_size`` standard deviations.

    Exact for normal data of equal variance (noncentral t). Not for autocorrelated data, where it promises far too much:
    use :func:`huracan.statistics.power_over_time.mean_difference_power`.

    Parameters
    ----------
    effect_size : Cohen's d; of the differences where ``paired``.
    n, m : sizes of the samples; ``m`` is ``n`` where not given, and not used for pairs. alpha, alternative : of the test.

    References
    ----------
    Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, chapter 2.

    Examples
    --------
    Cohen's example: d = .5 with 64 a group has power .80.

    >>> round(t_test_power(0.5, 64), 4)
    0.8015
    """
    check_alternative(alternative)
    check_open_unit(alpha, "alpha")
    if not np.isfinite(effect_size):
        raise DataError(f"effect_size is {effect_size}; a finite number was expected.")
    second = n if m is None or paired else m
    if not (2 <= n < np.inf and 2 <= second < np.inf):
        raise NotEnoughData(f"the samples have {n} and {second} observations; at least 2 each are needed for a t test.")
    worth, degrees = (n, n - 1) if paired else (n * second / (n + second), n + second - 2)
    return noncentral_power(effect_size * np.sqrt(worth), degrees, alpha, alternative)


def t_test_sample_size(
    effect_size: float,
    *,
    power: float = 0.8,
    ratio: float = 1.0,
    paired: bool = False,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> SampleSize:
    """Independent observations a t test needs.

    For observations over time use :func:`huracan.statistics.power_over_time.observations_needed`.

    Parameters
    ----------
    effect_size : Cohen's d to be found; of the differences where ``paired``. power : wanted. ratio : ``n_b / n_a``.
    alpha, alternative : of the test.

    Examples
    --------
    >>> t_test_sample_size(0.5).n_a, t_test_sample_size(0.5, paired=True).n_a
    (64, 34)
    """
    check_open_unit(power, "power")
    check_open_unit(alpha, "alpha")
    if not 0.0 < ratio < np.inf:
        raise DataError(f"ratio is {ratio}; a positive number was expected.")

    def reach(n: float) -> float:
        return t_test_power(effect_size, n, ratio * n, paired=paired, alpha=alpha, alternative=alternative)

    exact = _smallest(reach, power, 2.0 if paired else max(2.0, 2.0 / ratio), effect_size, alternative)
    n_a = int(np.ceil(exact - 1e-9))
    n_b = n_a if paired else int(np.ceil(ratio * n_a - 1e-9))
    reached = t_test_power(effect_size, n_a, n_b, paired=paired, alpha=alpha, alternative=alternative)
    return SampleSize(n_a, n_b, exact, reached)


def mann_whitney_power(
    probability_a_larger: float,
    n: float,
    m: float | None = None,
    *,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> float:
    """Power of the Mann-Whitney test of independent observations, by Noether's approximation.

    Parameters
    ----------
    probability_a_larger : true probability that a value of a is larger than one of b; ``Phi(d / sqrt 2)`` for normal data
        that differ by Cohen's d. Good near 1/2; far from it the true power is higher for shifted samples.
    n, m : sizes of the samples; ``m`` is ``n`` where not given. alpha, alternative : of the test.

    References
    ----------
    Noether (1987), "Sample size determination for some common nonparametric tests", JASA 82.

    Examples
    --------
    >>> round(mann_whitney_power(0.7, 33), 2)
    0.8
    """
    check_alternative(alternative)
    check_open_unit(alpha, "alpha")
    check_open_unit(probability_a_larger, "probability_a_larger")
    second = n if m is None else m
    if not (2 <= n < np.inf and 2 <= second < np.inf):
        raise NotEnoughData(f"the samples have {n} and {second} observations; at least 2 each are needed.")
    shift = (probability_a_larger - 0.5) * np.sqrt(12.0 * n * second / (n + second))
    if alternative == "two-sided":
        edge = ndtri(1.0 - alpha / 2.0)
        return float(ndtr(shift - edge) + ndtr(-shift - edge))
    return float(ndtr((shift if alternative == "greater" else -shift) - ndtri(1.0 - alpha)))


def mann_whitney_sample_size(
    probability_a_larger: float,
    *,
    power: float = 0.8,
    ratio: float = 1.0,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> SampleSize:
    """Independent observations the Mann-Whitney test needs, by Noether's approximation.

    Parameters
    ----------
    probability_a_larger, alpha, alternative : as for :func:`mann_whitney_power`. power : wanted. ratio : ``n_b / n_a``.

    Examples
    --------
    >>> mann_whitney_sample_size(0.7).n_a
    33
    """
    check_open_unit(power, "power")
    check_open_unit(alpha, "alpha")
    if not 0.0 < ratio < np.inf:
        raise DataError(f"ratio is {ratio}; a positive number was expected.")

    def reach(n: float) -> float:
        return mann_whitney_power(probability_a_larger, n, ratio * n, alpha=alpha, alternative=alternative)

    exact = _smallest(reach, power, max(2.0, 2.0 / ratio), probability_a_larger - 0.5, alternative)
    n_a = int(np.ceil(exact - 1e-9))
    n_b = int(np.ceil(ratio * n_a - 1e-9))
    return SampleSize(n_a, n_b, exact, mann_whitney_power(probability_a_larger, n_a, n_b, alpha=alpha, alternative=alternative))


def noncentral_power(noncentrality: float, degrees: float, alpha: float, alternative: Alternative) -> float:
    """Probability that a t statistic of this noncentrality is beyond the critical value.

    Examples
    --------
    >>> round(noncentral_power(0.0, 10, 0.05, "two-sided"), 6)
    0.05
    """
    shift = -noncentrality if alternative == "less" else noncentrality
    if alternative == "two-sided":
        shift = abs(shift)
        edge = float(stdtrit(degrees, 1.0 - alpha / 2.0))
        return min(1.0, _below(degrees, -shift, -edge) + _below(degrees, shift, -edge))
    return _below(degrees, -shift, -float(stdtrit(degrees, 1.0 - alpha)))


def _below(degrees: float, noncentrality: float, t: float) -> float:
    """``P(T <= t)`` of the noncentral t; scipy gives up where all or nothing is below."""
    value = float(nctdtr(degrees, noncentrality, t))
    return value if np.isfinite(value) else float(noncentrality < t)


def _smallest(reach: Callable[[float], float], power: float, fewest: float, effect: float, alternative: Alternative) -> float:
    """The smallest size, not rounded, of at least ``power``."""
    wrong = (alternative == "less" and effect > 0) or (alternative == "greater" and effect < 0)
    if effect == 0.0 or wrong or not np.isfinite(effect):
        raise DataError(f"an effect of {effect:g} is never found by the alternative '{alternative}'.")
    if reach(fewest) >= power:
        return fewest
    high = 2.0 * fewest
    while reach(high) < power:
        high *= 2.0
        if high > _MOST:
            raise DataError(f"an effect of {effect:g} needs more than 10^12 observations.")
    return float(brentq(lambda n: reach(n) - power, high / 2.0, high, xtol=1e-10, rtol=1e-12))
