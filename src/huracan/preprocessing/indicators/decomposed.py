"""Trend and cycle of the log price by filters that know only the past, in units that suit every symbol.

``slope`` is how the trend moved, ``cycle`` how far the price stands from it, both in volatilities of the time they span.
"""

from __future__ import annotations

import math

import numpy as np

from huracan.preprocessing.decomposition import (
    exponential_trend,
    fractional_weights,
    haar_levels,
    hodrick_prescott_smoothing,
    hodrick_prescott_trend,
    local_level_trend,
)
from huracan.preprocessing.decomposition import fractional_difference as difference_of_order
from huracan.preprocessing.decomposition_gains import hodrick_prescott_gains, local_level_gains
from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.registry import Parameter, forgetting_time, indicator, number, window
from huracan.preprocessing.rolling import Array, lag

__all__ = ["ema_trend", "fractional_difference", "haar", "haar_detail", "hodrick_prescott", "local_level"]

_FAMILY = "decomposition"
_NO_MOVE = "null where nothing moved for a whole volatility window"
_VOLATILITY = window("volatility_window", 48, in_name=False)
_SLOPE_AND_CYCLE = ("slope", "cycle")


def _slope_and_cycle(bars: Bars, trend: Array, span: int, volatility_window: int) -> tuple[Array, Array]:
    """Move of the trend over ``span`` bars and distance from it, in what a random walk does in ``span`` bars."""
    slope = bars.per_volatility(trend - lag(trend, span), span, volatility_window)
    return slope, bars.per_volatility(np.log(bars.close) - trend, span, volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 48), _VOLATILITY),
    lookback=lambda window, volatility_window: max(2 * window - 1, volatility_window),
    outputs=_SLOPE_AND_CYCLE,
    formula="T = EMA_n(log close); slope (T[t] - T[t-n]), cycle (log close - T), each / (volatility_w * sqrt(n))",
    undefined=_NO_MOVE,
    memory="recursive",
    settle=lambda window, volatility_window: max(2 * window + forgetting_time(2.0 / (window + 1)), volatility_window),
)
def ema_trend(bars: Bars, window: int, volatility_window: int) -> tuple[Array, Array]:
    """Move of the exponential average over its own window, and distance of the price from it."""
    return _slope_and_cycle(bars, exponential_trend(np.log(bars.close), window), window, volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(window("period", 96, low=3, high=5_000), _VOLATILITY),
    lookback=lambda period, volatility_window: max(period - 1, volatility_window),
    outputs=_SLOPE_AND_CYCLE,
    formula=(
        "T = one-sided Hodrick-Prescott trend of log close, lambda (2 sin(pi/n))^-4; slope (T[t] - T[t-1]) * sqrt(n) / "
        "volatility_w, cycle (log close - T) / (volatility_w * sqrt(n))"
    ),
    undefined=_NO_MOVE,
    source="Hodrick & Prescott 1997; Stock & Watson 1999; Harvey & Jaeger 1993",
    memory="recursive",
    settle=lambda period, volatility_window: max(
        period + forgetting_time(1.0 - math.sqrt(hodrick_prescott_gains(hodrick_prescott_smoothing(period)).r[-1])),
        volatility_window,
    ),
)
def hodrick_prescott(bars: Bars, period: int, volatility_window: int) -> tuple[Array, Array]:
    """Slope of the one-sided Hodrick-Prescott trend, and the cycles shorter than ``period`` bars around it."""
    price = np.log(bars.close)
    trend = hodrick_prescott_trend(price, hodrick_prescott_smoothing(period))
    slope = bars.per_volatility(trend - lag(trend, 1), 1.0 / period, volatility_window)
    return slope, bars.per_volatility(price - trend, period, volatility_window)


def _local_level_span(signal_to_noise: float) -> int:
    """Bars of the exponential average that weighs like the filter once its gain stands still."""
    return max(1, round(2.0 / (1.0 - local_level_gains(signal_to_noise).r[-1]) - 1.0))


@indicator(
    family=_FAMILY,
    parameters=(number("signal_to_noise", 0.01, low=1e-6, high=100.0, aliases=("q",)), _VOLATILITY),
    lookback=lambda signal_to_noise, volatility_window: max(2 * _local_level_span(signal_to_noise), volatility_window),
    outputs=_SLOPE_AND_CYCLE,
    formula=(
        "T = level of log close by the local-level Kalman filter, gain K; n = 2 / K - 1; slope (T[t] - T[t-n]), cycle "
        "(log close - T), each / (volatility_w * sqrt(n))"
    ),
    undefined=_NO_MOVE,
    source="Durbin & Koopman, Time Series Analysis by State Space Methods, 2012, chapter 2",
    memory="recursive",
    settle=lambda signal_to_noise, volatility_window: max(
        2 * _local_level_span(signal_to_noise) + forgetting_time(1.0 - local_level_gains(signal_to_noise).r[-1]),
        volatility_window,
    ),
)
def local_level(bars: Bars, signal_to_noise: float, volatility_window: int) -> tuple[Array, Array]:
    """Move of the level that a Kalman filter sees under the noise, and distance of the price from it."""
    trend = local_level_trend(np.log(bars.close), signal_to_noise)
    return _slope_and_cycle(bars, trend, _local_level_span(signal_to_noise), volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(Parameter("levels", 5, 1, 14, in_name=True), _VOLATILITY),
    lookback=lambda levels, volatility_window: max(2 ** (levels + 1) - 1, volatility_window),
    outputs=_SLOPE_AND_CYCLE,
    formula=(
        "T = smooth of J Haar levels of log close, n = 2^J; slope (T[t] - T[t-n]), cycle (log close - T), each / "
        "(volatility_w * sqrt(n))"
    ),
    undefined=_NO_MOVE,
    source="Shensa 1992, looking back only",
)
def haar(bars: Bars, levels: int, volatility_window: int) -> tuple[Array, Array]:
    """Move of the Haar smooth over its own length, and what all details together add to it."""
    smooth = haar_levels(np.log(bars.close), levels)[0]
    return _slope_and_cycle(bars, smooth, 2**levels, volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(Parameter("level", 3, 1, 14, in_name=True), _VOLATILITY),
    lookback=lambda level, volatility_window: max(2**level - 1, volatility_window),
    formula="(mean_{n/2}(log close) - mean_n(log close)) / (volatility_w * sqrt(n)), n = 2^j",
    undefined=_NO_MOVE,
    source="Shensa 1992, looking back only",
)
def haar_detail(bars: Bars, level: int, volatility_window: int) -> Array:
    """Movements of the price about ``2 ** level`` bars long: one band of the causal Haar transform."""
    detail = haar_levels(np.log(bars.close), level)[1]
    return bars.per_volatility(detail, 2**level, volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 100), number("order", 0.4, low=0.0, high=1.0, aliases=("d",)), _VOLATILITY),
    lookback=lambda window, order, volatility_window: max(window, volatility_window),
    formula="(1 - L)^(d-1) over n one-bar log returns / (volatility_w * sqrt(sum of squared weights))",
    undefined=_NO_MOVE,
    source="Hosking 1981; Lopez de Prado, Advances in Financial Machine Learning, 2018, 5.5",
)
def fractional_difference(bars: Bars, window: int, order: float, volatility_window: int) -> Array:
    """Log price differenced ``order`` times over a fixed window: stationary, yet it remembers the level.

    Written on returns, so that the price before the window counts as standing still: cut off on prices, the weights do not
    add up to zero, and the unit of the price would show.
    """
    weights = fractional_weights(order - 1.0, window)
    unit = float(np.sum(weights * weights))
    return bars.per_volatility(difference_of_order(bars.log_return, order - 1.0, window), unit, volatility_window)
