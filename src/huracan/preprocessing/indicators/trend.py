"""Trend: distance from moving averages, their crossing, strength and straightness of the way."""

from __future__ import annotations

import numpy as np

from huracan.preprocessing.indicators.bars import SMALLEST_MOVE, Bars
from huracan.preprocessing.indicators.registry import forgetting_time, indicator, window
from huracan.preprocessing.rolling import Array, first_value, lag, ratio, rolling_sum
from huracan.preprocessing.ta import ta

__all__ = [
    "adx_scaled",
    "aroon_scaled",
    "directional_efficiency",
    "efficiency_ratio",
    "ema_cross",
    "ema_distance",
    "linear_trend",
    "macd_scaled",
    "sma_distance",
]

_FAMILY = "trend"
_NO_MOVE = "null where nothing moved for a whole volatility window"


@indicator(
    family=_FAMILY,
    parameters=(window("window", 24), window("volatility_window", 48, in_name=False)),
    lookback=lambda window, volatility_window: max(window - 1, volatility_window),
    formula="log(close / SMA_n) / (volatility_w * sqrt(n))",
    undefined=_NO_MOVE,
)
def sma_distance(bars: Bars, window: int, volatility_window: int) -> Array:
    """Distance of the price from its simple moving average, in volatilities of the window."""
    return bars.per_volatility(np.log(bars.close / ta("SMA", bars.close, timeperiod=window)), window, volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 24), window("volatility_window", 48, in_name=False)),
    lookback=lambda window, volatility_window: max(window - 1, volatility_window),
    formula="log(close / EMA_n) / (volatility_w * sqrt(n))",
    undefined=_NO_MOVE,
    memory="recursive",
    settle=lambda window, volatility_window: max(window + _ema_time(window), volatility_window),
)
def ema_distance(bars: Bars, window: int, volatility_window: int) -> Array:
    """Distance of the price from its exponential moving average, in volatilities of the window."""
    return bars.per_volatility(np.log(bars.close / ta("EMA", bars.close, timeperiod=window)), window, volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(window("fast", 12), window("slow", 48), window("volatility_window", 48, in_name=False)),
    lookback=lambda fast, slow, volatility_window: max(slow - 1, volatility_window),
    refuse=lambda fast, slow, volatility_window: None if fast < slow else f"fast {fast} must be shorter than slow {slow}.",
    formula="log(EMA_fast / EMA_slow) / (volatility_w * sqrt(slow))",
    undefined=_NO_MOVE,
    memory="recursive",
    settle=lambda fast, slow, volatility_window: max(slow + _ema_time(slow), volatility_window),
)
def ema_cross(bars: Bars, fast: int, slow: int, volatility_window: int) -> Array:
    """Distance of a fast from a slow exponential average, in volatilities of the slow window."""
    apart = np.log(ta("EMA", bars.close, timeperiod=fast) / ta("EMA", bars.close, timeperiod=slow))
    return bars.per_volatility(apart, slow, volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(
        window("fast", 12),
        window("slow", 26),
        window("signal", 9, low=1),
        window("volatility_window", 48, in_name=False),
    ),
    lookback=lambda fast, slow, signal, volatility_window: max(slow + signal - 2, volatility_window),
    refuse=lambda fast, slow, signal, volatility_window: (
        None if fast < slow else f"fast {fast} must be shorter than slow {slow}."
    ),
    outputs=("line", "signal", "histogram"),
    formula="MACD line, signal and histogram by TA-Lib, each / (close * volatility_w)",
    undefined=_NO_MOVE,
    source="Appel, The Moving Average Convergence Divergence Trading Method, 1979",
    memory="recursive",
    settle=lambda fast, slow, signal, volatility_window: max(
        slow + signal + _ema_time(slow) + _ema_time(signal), volatility_window
    ),
)
def macd_scaled(bars: Bars, fast: int, slow: int, signal: int, volatility_window: int) -> tuple[Array, ...]:
    """Moving average convergence and divergence, in volatilities of one bar."""
    unit = bars.close * bars.volatility(volatility_window)
    line, smooth, gap = ta("MACD", bars.close, fastperiod=fast, slowperiod=slow, signalperiod=signal)
    return ratio(line, unit), ratio(smooth, unit), ratio(gap, unit)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 14),),
    columns=("high", "low", "close"),
    lookback=lambda window: 2 * window - 1,
    outputs=("strength", "direction"),
    formula="strength = ADX / 100; direction = (+DI - -DI) / 100; a high that rose as far as the low fell is no direction",
    undefined="0 where no range was seen for so long that its average is below 1e-12 of the price",
    source="Wilder, New Concepts in Technical Trading Systems, 1978",
    memory="recursive",
    settle=lambda window: 2 * window + 2 * forgetting_time(1.0 / window),
    version=2,
)
def adx_scaled(bars: Bars, window: int) -> tuple[Array, ...]:
    """Strength of the trend (0 to 1) and its direction (-1 to 1) by Wilder's directional movement.

    Wilder's rule compares two moves, and on prices in ticks they are often equal. TA-Lib (the indicator ``adx``) compares them
    as floats, where rounding decides; here moves within :data:`~.bars.SMALLEST_MOVE` are equal, whatever the prices are counted
    in. Averages begin with the mean of their first ``window`` values, as Wilder's do; TA-Lib's indicators begin a bar earlier.
    """
    rise, fall = bars.high - lag(bars.high, 1), lag(bars.low, 1) - bars.low
    least, before = SMALLEST_MOVE * bars.close, lag(bars.close, 1)
    up = np.where(rise - np.maximum(fall, 0.0) > least, rise, 0.0 * rise)
    down = np.where(fall - np.maximum(rise, 0.0) > least, fall, 0.0 * fall)
    true_range = np.maximum(bars.high, before) - np.minimum(bars.low, before)
    span = _above(1e-12 * bars.close, ta("RMA", true_range, timeperiod=window))
    plus, minus = (ratio(ta("RMA", move, timeperiod=window), span, otherwise=0.0) for move in (up, down))
    one_sided = ratio(np.abs(plus - minus), _above(1e-12, plus + minus), otherwise=0.0)
    return ta("RMA", one_sided, timeperiod=window), plus - minus


def _above(least: Array | float, size: Array) -> Array:
    """The size, but 0 where it has decayed to nothing."""
    return np.where(size > least, size, 0.0 * size)


def _ema_time(window: int) -> int:
    return forgetting_time(2.0 / (window + 1.0))


def _efficiency(bars: Bars, window: int) -> Array:
    path = rolling_sum(np.abs(bars.log_return), window)
    return np.clip(ratio(bars.log_return_over(window), path, otherwise=0.0), -1.0, 1.0)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 24),),
    lookback=lambda window: window,
    formula="|log(close[t] / close[t-w])| / sum_w(|r|)",
    undefined="0 where nothing moved",
    source="Kaufman, Smarter Trading, 1995",
)
def efficiency_ratio(bars: Bars, window: int) -> Array:
    """How straight the price went, from 0 (to and fro) to 1 (one way)."""
    return np.abs(_efficiency(bars, window))


@indicator(
    family=_FAMILY,
    parameters=(window("window", 48),),
    lookback=lambda window: window,
    formula="log(close[t] / close[t-w]) / sum_w(|r|)",
    undefined="0 where nothing moved",
    source="Kaufman, Smarter Trading, 1995",
)
def directional_efficiency(bars: Bars, window: int) -> Array:
    """How straight the price went and which way, from -1 to 1."""
    return _efficiency(bars, window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 48, low=3), window("volatility_window", 48, in_name=False)),
    lookback=lambda window, volatility_window: max(window - 1, volatility_window),
    formula="least-squares slope per bar of log(close / first close) over n bars * sqrt(n) / volatility_w; TA-Lib",
    undefined=_NO_MOVE,
)
def linear_trend(bars: Bars, window: int, volatility_window: int) -> Array:
    """Slope of the straight line through the last log prices, in volatilities of the window."""
    slope = ta("LINEARREG_SLOPE", np.log(bars.close / first_value(bars.close)), timeperiod=window) * window
    return bars.per_volatility(slope, window, volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 25),),
    columns=("high", "low"),
    lookback=lambda window: window,
    formula="(bars since the low - bars since the high) / w; TA-Lib",
    source="Chande 1995",
)
def aroon_scaled(bars: Bars, window: int) -> Array:
    """Which came later, the highest high (to 1) or the lowest low (to -1)."""
    return ta("AROONOSC", bars.high, bars.low, timeperiod=window) / 100.0
