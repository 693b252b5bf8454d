"""Shape: the form of the candle, and where the price stands against its recent extremes."""

from __future__ import annotations

import numpy as np

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.registry import indicator, window
from huracan.preprocessing.rolling import Array, ratio, rolling_max, rolling_mean, rolling_min

__all__ = ["candle_shape", "close_location", "high_distance", "low_distance", "range_position"]

_FAMILY = "shape"
_NO_MOVE = "null where nothing moved for a whole volatility window"


@indicator(
    family=_FAMILY,
    columns=("open", "high", "low", "close"),
    lookback=lambda: 0,
    outputs=("body", "upper_wick", "lower_wick"),
    formula="(close - open) / range, (high - max(open, close)) / range, (min(open, close) - low) / range, range = high - low",
    undefined="0, 0, 0 for a bar without range",
)
def candle_shape(bars: Bars) -> tuple[Array, ...]:
    """Body and wicks as shares of the bar's range."""
    span = bars.high - bars.low
    body = ratio(bars.close - bars.open, span, otherwise=0.0)
    upper = ratio(bars.high - np.maximum(bars.open, bars.close), span, otherwise=0.0)
    lower = ratio(np.minimum(bars.open, bars.close) - bars.low, span, otherwise=0.0)
    return body, upper, lower


@indicator(
    family=_FAMILY,
    parameters=(window("window", 6, low=1),),
    columns=("high", "low", "close"),
    lookback=lambda window: window - 1,
    formula="mean_w((2 close - high - low) / (high - low))",
    undefined="a bar without range counts as 0",
)
def close_location(bars: Bars, window: int) -> Array:
    """Where bars lately closed within their range, from -1 (at the low) to 1 (at the high)."""
    place = ratio((bars.close - bars.low) - (bars.high - bars.close), bars.high - bars.low, otherwise=0.0)
    return rolling_mean(place, window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 48),),
    columns=("high", "low", "close"),
    lookback=lambda window: window - 1,
    formula="2 * (close - lowest low) / (highest high - lowest low) - 1",
    undefined="0 where the window has no range",
    source="Donchian channel",
)
def range_position(bars: Bars, window: int) -> Array:
    """Place of the close between the lowest low (-1) and the highest high (1)."""
    low, high = rolling_min(bars.low, window), rolling_max(bars.high, window)
    return ratio((bars.close - low) - (high - bars.close), high - low, otherwise=0.0)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 48), window("volatility_window", 48, in_name=False)),
    columns=("high", "close"),
    lookback=lambda window, volatility_window: max(window - 1, volatility_window),
    formula="log(close / highest high) / (volatility_w * sqrt(n))",
    undefined=_NO_MOVE,
)
def high_distance(bars: Bars, window: int, volatility_window: int) -> Array:
    """How far below its recent high the price stands (at most 0), in volatilities of the window."""
    return bars.per_volatility(np.log(bars.close / rolling_max(bars.high, window)), window, volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 48), window("volatility_window", 48, in_name=False)),
    columns=("low", "close"),
    lookback=lambda window, volatility_window: max(window - 1, volatility_window),
    formula="log(close / lowest low) / (volatility_w * sqrt(n))",
    undefined=_NO_MOVE,
)
def low_distance(bars: Bars, window: int, volatility_window: int) -> Array:
    """How far above its recent low the price stands (at least 0), in volatilities of the window."""
    return bars.per_volatility(np.log(bars.close / rolling_min(bars.low, window)), window, volatility_window)
