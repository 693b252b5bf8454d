"""Trends that know only the past: exponential, one-sided Hodrick-Prescott, local level, causal Haar, fractional difference.

Each function takes a float64 series in time order and gives one value per row, computed from the rows up to its own only, bit
for bit; what is left over is ``x - trend``. They are operations: indicators written with them run in batch and bar by bar.
A value that is not finite ends a run: the row is NaN, and the filter starts anew behind it, as at a gap. Filters that smooth
with later values (STL, the two-sided Hodrick-Prescott) are for looking at data only:
:func:`~huracan.preprocessing.decomposition_viewing.decompose_for_viewing`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import talib

from huracan.errors import FeatureError
from huracan.preprocessing.decomposition_gains import hodrick_prescott_gains, local_level_gains
from huracan.preprocessing.rolling import Array, lag
from huracan.preprocessing.tracing import operation

__all__ = [
    "exponential_trend",
    "fractional_difference",
    "fractional_weights",
    "fractional_window",
    "haar_levels",
    "hodrick_prescott_smoothing",
    "hodrick_prescott_trend",
    "local_level_trend",
]


@operation
def exponential_trend(x: Array, window: int) -> Array:
    """Exponential average of weight ``2 / (window + 1)``, begun with the mean of the first ``window`` values, as TA-Lib's.

    Parameters
    ----------
    x : shape (n,). window : bars, at least 2.

    Returns
    -------
    Shape (n,), NaN on the first ``window - 1`` rows of a run.

    Examples
    --------
    >>> exponential_trend(np.array([1.0, 3.0, 5.0, 5.0]), 3)
    array([nan, nan, 3., 4.])
    """

    if window < 2:
        raise FeatureError(f"window is {window}; at least 2 bars were expected.")

    def average(run: Array) -> Array:
        return talib.EMA(run, window) if len(run) >= window else np.full(len(run), np.nan)

    return _by_run(x, average)


@operation
def hodrick_prescott_trend(x: Array, smoothing: float) -> Array:
    """One-sided Hodrick-Prescott trend: at every t the last point of the two-sided filter run on ``x[:t + 1]``, exactly.

    The filter is the Kalman filter of a trend whose slope is a random walk, with a variance of ``1 / smoothing`` of that of
    the noise around the trend, begun without knowledge of level and slope. Its gain changes with every row at first; that
    exact gain is used until it stands still in float64 (some ``25 * smoothing ** 0.25`` rows), the constant one from there.

    Parameters
    ----------
    x : shape (n,); log prices, say. smoothing : the filter's lambda, above 0; see :func:`hodrick_prescott_smoothing`.

    Returns
    -------
    Shape (n,), defined from the first row of a run; the first two rows are ``x`` itself.

    References
    ----------
    Hodrick & Prescott, "Postwar U.S. business cycles", Journal of Money, Credit and Banking 29 (1997). Stock & Watson,
    "Forecasting inflation", Journal of Monetary Economics 44 (1999), for the one-sided form. Harvey & Jaeger,
    "Detrending, stylized facts and the business cycle", Journal of Applied Econometrics 8 (1993), for the Kalman form.

    Examples
    --------
    >>> hodrick_prescott_trend(np.array([0.0, 1.0, 2.0, 3.0, 3.0]), 6.25).round(3)
    array([0.   , 1.   , 2.   , 3.   , 3.351])
    """
    gains = hodrick_prescott_gains(float(smoothing))
    return _by_run(x, lambda run: run - gains.remainder_of(second_difference(run)))


@operation
def local_level_trend(x: Array, signal_to_noise: float) -> Array:
    """Level of a random walk seen through noise: the Kalman filter of the local-level model, begun without knowledge.

    From its first rows on it is an average of all values seen so far; later it is an exponential average whose weight is
    the model's steady gain. The exact gain is used until it stands still in float64, the constant one from there.

    Parameters
    ----------
    x : shape (n,). signal_to_noise : variance of the level's step over that of the noise, above 0; ``.01`` weighs like an
        exponential average of 20 bars. :func:`~huracan.preprocessing.decomposition_fit.fit_local_level` estimates it.

    Returns
    -------
    Shape (n,), defined from the first row of a run, which is ``x`` itself.

    References
    ----------
    Durbin & Koopman, Time Series Analysis by State Space Methods, 2nd edition (2012), chapter 2.

    Examples
    --------
    >>> local_level_trend(np.array([0.0, 1.0, 1.0]), 1e-6).round(3)
    array([0.   , 0.5  , 0.667])
    """
    gains = local_level_gains(float(signal_to_noise))
    return _by_run(x, lambda run: run - gains.remainder_of(_first_difference(run)))


def haar_levels(x: Array, levels: int) -> tuple[Array, ...]:
    """Undecimated Haar transform from past values only: a smooth and ``levels`` details that add up to ``x``.

    Detail j is what averages of ``2 ** (j - 1)`` bars show beyond averages of ``2 ** j`` bars: movements about ``2 ** j``
    bars long. Added from the smooth inwards they give back ``x`` bit for bit wherever neighbouring averages lie within a
    factor of two, as prices and their logs do.

    Parameters
    ----------
    x : shape (n,). levels : J, at least 1.

    Returns
    -------
    ``(smooth_J, detail_J, ..., detail_1)``, each of shape (n,); the smooth is the mean of the last ``2 ** J`` values. Smooth
    and detail j are NaN until their ``2 ** j`` values are there.

    References
    ----------
    Shensa, "The discrete wavelet transform: wedding the a trous and Mallat algorithms", IEEE Transactions on Signal
    Processing 40 (1992), with its filter shifted to look back only.

    Examples
    --------
    >>> smooth, slow, fast = haar_levels(np.array([1.0, 3.0, 5.0, 3.0]), 2)
    >>> smooth, slow + smooth, fast + slow + smooth
    (array([nan, nan, nan,  3.]), array([nan, nan, nan,  4.]), array([nan, nan, nan,  3.]))
    """
    smooth, details = x, []
    for level in range(levels):
        smoother = 0.5 * (smooth + lag(smooth, 2**level))
        details.append(smooth - smoother)
        smooth = smoother
    return (smooth, *reversed(details))


@operation
def fractional_difference(x: Array, order: float, window: int) -> Array:
    """Difference of any order: ``(1 - L)^d x`` over a fixed window; order 1 is the first difference, 0 is ``x`` itself.

    Between 0 and 1 it removes the random walk while remembering the level; below 0 it sums. A direct convolution: an FFT
    would let later values into the last digits of earlier ones.

    Parameters
    ----------
    x : shape (n,). order : d. window : values the binomial series is cut off at; see :func:`fractional_window`.

    Returns
    -------
    Shape (n,), NaN while one of the last ``window`` values is not finite or not there.

    References
    ----------
    Hosking, "Fractional differencing", Biometrika 68 (1981). The fixed window: Lopez de Prado, Advances in Financial
    Machine Learning (2018), section 5.5.

    Examples
    --------
    >>> fractional_difference(np.array([1.0, 2.0, 4.0, 8.0]), 0.5, 3)
    array([  nan,   nan, 2.875, 5.75 ])
    """
    x, weights = np.asarray(x, dtype=np.float64), fractional_weights(order, window)
    result = np.full(len(x), np.nan)
    if window <= len(x):
        with np.errstate(invalid="ignore"):
            result[window - 1 :] = np.convolve(x, weights, "valid")
        result[np.isinf(result)] = np.nan
    return result


def fractional_weights(order: float, window: int) -> Array:
    """Binomial series of ``(1 - L)^order``: the weight of each lag from 0 to ``window - 1``.

    >>> fractional_weights(1.0, 3), fractional_weights(0.5, 3)
    (array([ 1., -1.,  0.]), array([ 1.   , -0.5  , -0.125]))
    """
    if window < 1 or not math.isfinite(order):
        raise FeatureError(f"order is {order} and window {window}; a number, and at least 1 bar, were expected.")
    lags = np.arange(1, window, dtype=np.float64)
    weights = np.cumprod(np.r_[1.0, (lags - 1.0 - order) / lags])
    return np.asarray(weights + 0.0, dtype=np.float64)  # no weight is -0.0


def fractional_window(order: float, cutoff: float, longest: int = 10_000) -> int:
    """How many weights of :func:`fractional_weights` come before all that follow are smaller than ``cutoff``.

    >>> fractional_window(0.4, 1e-3), fractional_window(1.0, 1e-3)
    (55, 2)

    Raises
    ------
    FeatureError : more than ``longest`` are needed.
    """
    large = np.flatnonzero(np.abs(fractional_weights(order, longest + 1)) >= cutoff)
    if len(large) == 0 or large[-1] >= longest:
        raise FeatureError(
            f"order {order:g} has weights of {cutoff:g} and more beyond {longest} bars; a larger cut-off was expected."
        )
    return int(large[-1]) + 1


def hodrick_prescott_smoothing(period: float) -> float:
    """The lambda with which cycles of ``period`` bars go half into the two-sided trend: ``(2 sin(pi / period))^-4``.

    The usual 1600 of quarterly data stands for 39.7 quarters.

    >>> round(hodrick_prescott_smoothing(39.7), -1)
    1600.0
    """
    if not period > 2.0:
        raise FeatureError(f"period is {period!r}; more than 2 bars were expected.")
    return float((2.0 * math.sin(math.pi / period)) ** -4)


def _runs(x: Array) -> list[tuple[int, int]]:
    """First row and end of every unbroken run of finite values.

    >>> _runs(np.array([np.nan, 1.0, 2.0, np.nan, 3.0]))
    [(1, 3), (4, 5)]
    """
    finite = np.isfinite(x)
    if finite.all():
        return [(0, len(x))] if len(x) else []
    edges = np.flatnonzero(np.diff(np.r_[False, finite, False]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def last_run(x: Array) -> Array:
    """The unbroken run of finite values that a series ends with; of no length where it ends with none.

    >>> last_run(np.array([1.0, np.nan, 3.0, 4.0]))
    array([3., 4.])
    """
    parts = _runs(x)
    return x[parts[-1][0] :] if parts and parts[-1][1] == len(x) else x[:0]


def _by_run(x: Array, trend: Callable[[Array], Array]) -> Array:
    x = np.asarray(x, dtype=np.float64)
    parts = _runs(x)
    if parts == [(0, len(x))]:
        return trend(x)
    result = np.full(len(x), np.nan)
    for start, stop in parts:
        result[start:stop] = trend(x[start:stop])
    return result


def _first_difference(x: Array) -> Array:
    return np.diff(x, prepend=x[:1])


def second_difference(x: Array) -> Array:
    """Second differences; 0 on the first two rows, which fix level and slope."""
    result = np.zeros(len(x))
    if len(x) > 2:
        step = np.diff(x)
        result[2:] = np.diff(step)
    return result
