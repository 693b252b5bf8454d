"""Oscillators: where the price stands between its extremes, centred on 0."""

from __future__ import annotations

import numpy as np

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.registry import forgetting_time, indicator, number, window
from huracan.preprocessing.rolling import Array, first_value, ratio, rolling_max, rolling_min, running_max
from huracan.preprocessing.ta import ta

__all__ = ["bollinger_scaled", "cci_scaled", "rsi_scaled", "stochastic_scaled"]

_FAMILY = "oscillators"


@indicator(
    family=_FAMILY,
    parameters=(window("window", 14),),
    lookback=lambda window: window,
    formula="(RSI_w - 50) / 50, Wilder's relative strength index by TA-Lib",
    undefined="0 while the price has not moved since the segment began (TA-Lib would say -1)",
    source="Wilder, New Concepts in Technical Trading Systems, 1978",
    memory="recursive",
    settle=lambda window: window + forgetting_time(1.0 / window),
)
def rsi_scaled(bars: Bars, window: int) -> Array:
    """Share of recent movement that went up, from -1 to 1."""
    centred = (ta("RSI", bars.close, timeperiod=window) - 50.0) / 50.0
    moves = bars.once("moves", lambda: running_max(np.where(bars.close != first_value(bars.close), 1.0, 0.0)))
    return np.where((moves > 0.0) | np.isnan(centred), centred, 0.0)


@indicator(
    family=_FAMILY,
    parameters=(
        window("window", 20),
        number("deviations", 2.0, low=0.1, high=20.0, aliases=("std", "std_dev", "stddev", "num_std", "nbdev", "deviation")),
        window("volatility_window", 48, in_name=False),
    ),
    lookback=lambda window, deviations, volatility_window: max(window - 1, volatility_window),
    outputs=("position", "width"),
    formula="position = 2 * (%b - .5); width = (upper - lower) / (2 k * middle * volatility_w * sqrt(n)); bands of n bars",
    undefined="position 0 and width 0 where the bands have no width; width null where nothing moved for a volatility window",
    source="Bollinger, Bollinger on Bollinger Bands, 2001",
)
def bollinger_scaled(bars: Bars, window: int, deviations: float, volatility_window: int) -> tuple[Array, ...]:
    """Place of the close between the Bollinger bands (-1 lower, 1 upper) and their width against volatility."""
    upper, middle, lower = ta("BBANDS", bars.close, timeperiod=window, nbdevup=deviations, nbdevdn=deviations)
    still = rolling_max(bars.close, window) == rolling_min(bars.close, window)
    span = np.where(still, 0.0, upper - lower)
    position = ratio((bars.close - lower) - (upper - bars.close), span, otherwise=0.0)
    return position, bars.per_volatility(span / (2.0 * deviations * middle), window, volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 14), window("smooth", 3, low=1), window("signal", 3, low=1)),
    columns=("high", "low", "close"),
    lookback=lambda window, smooth, signal: window + smooth + signal - 3,
    outputs=("k", "d"),
    formula="(%K - 50) / 50 and (%D - 50) / 50 of the slow stochastic: %K smoothed by SMA_smooth, %D by SMA_signal",
    undefined="a window without range counts as 50 (TA-Lib: 0)",
    source="Lane, Lane's stochastics, 1984",
)
def stochastic_scaled(bars: Bars, window: int, smooth: int, signal: int) -> tuple[Array, ...]:
    """Place of the close within the range of the last bars, smoothed, from -1 to 1."""
    low = rolling_min(bars.low, window)
    place = 100.0 * ratio(bars.close - low, rolling_max(bars.high, window) - low, otherwise=0.5)
    k = _sma(place, smooth)
    d = _sma(k, signal)
    return (k - 50.0) / 50.0, (d - 50.0) / 50.0


@indicator(
    family=_FAMILY,
    parameters=(window("window", 20),),
    columns=("high", "low", "close"),
    lookback=lambda window: window - 1,
    formula="CCI_w / 100 by TA-Lib: (p - mean_w(p)) / (1.5 mean deviation), p = (high + low + close) / 3",
    undefined="0 where the typical price did not move within the window",
    source="Lambert, Commodity Channel Index, 1980",
)
def cci_scaled(bars: Bars, window: int) -> Array:
    """Distance of the typical price from its mean, in mean deviations."""
    typical = (bars.high + bars.low + bars.close) / 3.0
    still = rolling_max(typical, window) == rolling_min(typical, window)
    return np.where(still, 0.0, ta("CCI", bars.high, bars.low, bars.close, timeperiod=window) / 100.0)


def _sma(x: Array, window: int) -> Array:
    return ta("SMA", x, timeperiod=window) if window > 1 else x
