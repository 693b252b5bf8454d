"""Power where observations over time depend on each other: what a trader means by "how long until I would see it?"."""

from __future__ import annotations

import numpy as np

from huracan.errors import DataError, NotEnoughData
from huracan.statistics.ewc import Alternative
from huracan.statistics.persistence import default_n_cosines
from huracan.statistics.power import noncentral_power
from huracan.statistics.sample_checks import check_alternative, check_open_unit
from huracan.statistics.series import MINIMUM_OBSERVATIONS

__all__ = ["mean_difference_power", "observations_needed"]

_TOLERATED_BIAS = 0.05
_HOPELESS_BIAS = 0.40
_FEWEST_COSINES = 4
_MOST = 10**12


def observations_needed(
    difference: float,
    sd: float,
    *,
    autocorrelation: float | None = None,
    long_run_ratio: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> int:
    """How many bars until this edge could be seen?

    Number of observations over time at which :func:`huracan.statistics.ewc_t_test` finds a true mean ``difference`` with
    probability ``power``.

    Parameters
    ----------
    difference : true mean, of a loss difference or of returns, in the units of ``sd``; not 0.
    sd : standard deviation of one observation.
    autocorrelation, long_run_ratio, alpha, alternative : as for :func:`mean_difference_power`.

    Raises
    ------
    DataError : a number is out of bounds, or more than 10^12 observations are needed.

    Examples
    --------
    An edge of one basis point a bar under a volatility of 40 (independent bars, then with autocorrelation .3):

    >>> observations_needed(1e-4, 40e-4), observations_needed(1e-4, 40e-4, autocorrelation=0.3)
    (12671, 23460)

    What a pilot says of its own persistence:

    >>> from huracan.statistics import effective_sample_size
    >>> pilot = np.random.default_rng(0).standard_normal(500)
    >>> 20 < observations_needed(0.5, 1.0, long_run_ratio=500 / effective_sample_size(pilot)) < 60
    True
    """
    check_open_unit(power, "power")

    def reached(n: int) -> bool:
        return (
            mean_difference_power(
                difference,
                sd,
                n,
                autocorrelation=autocorrelation,
                long_run_ratio=long_run_ratio,
                alpha=alpha,
                alternative=alternative,
            )
            >= power
        )

    if power <= alpha:
        raise DataError(f"power is {power} and alpha {alpha}; a power above alpha was expected.")
    wrong_side = {"less": 1.0, "greater": -1.0, "two-sided": 0.0}
    if difference == 0.0 or difference * wrong_side.get(alternative, 0.0) > 0.0:
        raise DataError(f"a difference of {difference} is never found by the alternative '{alternative}'.")
    high = MINIMUM_OBSERVATIONS
    while not reached(high):
        high *= 2
        if high > _MOST:
            raise DataError(f"a difference of {difference:g} under sd {sd:g} needs more than 10^12 observations.")
    low = max(high // 2, MINIMUM_OBSERVATIONS - 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def mean_difference_power(
    difference: float,
    sd: float,
    n: int,
    *,
    autocorrelation: float | None = None,
    long_run_ratio: float | None = None,
    alpha: float = 0.05,
    alternative: Alternative = "two-sided",
) -> float:
    """Probability that :func:`huracan.statistics.ewc_t_test` finds a true mean ``difference`` in ``n`` observations.

    The mean of autocorrelated observations varies ``long_run_ratio`` times as much as that of independent ones, and its
    variance is estimated from few cosines, the fewer the longer the series remembers: noncentral t with that many
    degrees of freedom. A first-order autoregression stands for the dependence. Against 4,000 simulated tests it is within
    .015 for autoregressions up to .5 on 250 observations and .9 on 1,000, within .06 for AR(.9) on 250 and for labels
    that overlap 10 bars on 1,000.

    Parameters
    ----------
    difference, sd : true mean, and standard deviation of one observation. n : observations over time, at least 20.
    autocorrelation : between neighbours, between -1 and 1; the ratio is then ``(1 + r) / (1 - r)``.
    long_run_ratio : long-run variance over variance, where that is known instead: ``n / effective_sample_size(x)`` of a
        pilot, or h for labels that overlap h bars. 1 where neither is given.
    alpha, alternative : of the test.

    Returns
    -------
    Power; 0 where so few observations of so persistent a series cannot be decided.

    References
    ----------
    Lazarus, Lewis, Stock and Watson (2018), JBES 36(4); Johnson and Kotz, noncentral t.

    Examples
    --------
    >>> round(mean_difference_power(0.15, 1.0, 1000, autocorrelation=0.3), 2)
    0.92
    """
    check_alternative(alternative)
    check_open_unit(alpha, "alpha")
    _check_scale(difference, sd)
    if n < MINIMUM_OBSERVATIONS:
        raise NotEnoughData(f"n is {n}; at least {MINIMUM_OBSERVATIONS} observations over time are needed.")
    rho = _first_order(autocorrelation, long_run_ratio)
    cosines = _cosines(int(n), rho)
    if cosines == 0:
        return 0.0
    noncentrality = difference / sd * np.sqrt(n * (1.0 - rho) / (1.0 + rho))
    return noncentral_power(noncentrality, cosines, alpha, alternative)


def _check_scale(difference: float, sd: float) -> None:
    if not (np.isfinite(difference) and np.isfinite(sd) and sd > 0.0):
        raise DataError(f"difference is {difference} and sd {sd}; a finite difference and a positive sd were expected.")


def _first_order(autocorrelation: float | None, long_run_ratio: float | None) -> float:
    """Coefficient of the first-order autoregression that has the dependence told."""
    if autocorrelation is not None and long_run_ratio is not None:
        raise DataError("autocorrelation and long_run_ratio are both given; one of them was expected.")
    if autocorrelation is not None:
        if not -1.0 < autocorrelation < 1.0:
            raise DataError(f"autocorrelation is {autocorrelation}; a number between -1 and 1 was expected.")
        return float(autocorrelation)
    if long_run_ratio is None:
        return 0.0
    if not 0.0 < long_run_ratio < np.inf:
        raise DataError(f"long_run_ratio is {long_run_ratio}; a positive number was expected.")
    return float((long_run_ratio - 1.0) / (long_run_ratio + 1.0))


def _cosines(n: int, rho: float) -> int:
    """Cosines :func:`huracan.statistics.choose_n_cosines` would take, knowing the autoregression; 0 where undecidable."""
    most = min(default_n_cosines(n), n - 1)
    if rho <= 0.0:
        return most
    frequency = np.pi * np.arange(1, min(most, 10_000) + 1) / n
    share = (1.0 - rho) ** 2 / ((1.0 - rho) ** 2 + 4.0 * rho * np.sin(frequency / 2.0) ** 2)
    average = np.cumsum(share) / np.arange(1, len(share) + 1)
    if average[_FEWEST_COSINES - 1] < 1.0 - _HOPELESS_BIAS:
        return 0
    kept = int(np.searchsorted(-average, -(1.0 - _TOLERATED_BIAS), side="right"))
    return most if kept == len(share) else max(_FEWEST_COSINES, kept)
