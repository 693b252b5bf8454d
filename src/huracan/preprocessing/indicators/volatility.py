"""Volatility: its level, its estimators from whole candles, and short against long."""

from __future__ import annotations

import math

import numpy as np

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.registry import choice, forgetting_time, indicator, window
from huracan.preprocessing.rolling import (
    Array,
    from_row,
    log_of_size,
    log_ratio,
    ratio,
    rolling_mean,
    rolling_zscore,
)
from huracan.preprocessing.ta import ta

__all__ = [
    "atr_ratio",
    "garman_klass_variance",
    "parkinson_variance",
    "relative_range",
    "rogers_satchell_variance",
    "volatility_level",
    "volatility_ratio",
    "volatility_zscore",
]

_FAMILY = "volatility"
_OHLC = ("open", "high", "low", "close")
_ESTIMATORS = ("realised", "parkinson", "garman_klass", "rogers_satchell")


def parkinson_variance(high: Array, low: Array) -> Array:
    """Variance of one bar's log return from its range: ``log(high / low)^2 / (4 log 2)``.

    Parkinson, "The extreme value method for estimating the variance of the rate of return", Journal of Business 53 (1980).

    >>> float(parkinson_variance(np.array([np.e]), np.array([1.0])).round(4)[0])
    0.3607
    """
    return np.log(high / low) ** 2 / (4.0 * math.log(2.0))


def garman_klass_variance(open: Array, high: Array, low: Array, close: Array) -> Array:
    """Variance of one bar from all four prices: ``log(h/l)^2 / 2 - (2 log 2 - 1) log(c/o)^2``.

    Garman & Klass, "On the estimation of security price volatilities from historical data", Journal of Business 53 (1980).
    Never negative on a valid candle, because ``|log(c/o)| <= log(h/l)``.

    >>> one = np.array([1.0])
    >>> float(garman_klass_variance(one, np.e * one, one, np.e * one).round(4)[0])
    0.1137
    """
    return 0.5 * np.log(high / low) ** 2 - (2.0 * math.log(2.0) - 1.0) * np.log(close / open) ** 2


def rogers_satchell_variance(open: Array, high: Array, low: Array, close: Array) -> Array:
    """Variance of one bar that a drift does not bias: ``log(h/c) log(h/o) + log(l/c) log(l/o)``.

    Rogers & Satchell, "Estimating variance from high, low and closing prices", Annals of Applied Probability 1 (1991).

    >>> one = np.array([1.0])
    >>> float(rogers_satchell_variance(one, np.e * one, one, np.e * one)[0])
    0.0
    """
    return np.log(high / close) * np.log(high / open) + np.log(low / close) * np.log(low / open)


def _variance(bars: Bars, estimator: str) -> Array:
    def make() -> Array:
        if estimator == "realised":
            return bars.log_return * bars.log_return
        if estimator == "parkinson":
            values = parkinson_variance(bars.high, bars.low)
        elif estimator == "garman_klass":
            values = garman_klass_variance(bars.open, bars.high, bars.low, bars.close)
        else:
            values = rogers_satchell_variance(bars.open, bars.high, bars.low, bars.close)
        return np.maximum(from_row(values, 1), 0.0)  # every estimator warms up alike: one bar for the first return

    return bars.once(("variance", estimator), make)


def _mean_variance(bars: Bars, estimator: str, window: int) -> Array:
    return bars.once(("mean_variance", estimator, window), lambda: rolling_mean(_variance(bars, estimator), window))


@indicator(
    family=_FAMILY,
    parameters=(choice("estimator", *_ESTIMATORS), window("window", 24)),
    columns=_OHLC,
    lookback=lambda estimator, window: window,
    formula="log(sqrt(mean_w(variance of one bar)))",
    undefined="null where nothing moved for a whole window",
    source="Parkinson 1980; Garman & Klass 1980; Rogers & Satchell 1991",
)
def volatility_level(bars: Bars, estimator: str, window: int) -> Array:
    """Log of the volatility of one bar. Differs between symbols; the ratio and the z-score do not."""
    return 0.5 * log_of_size(_mean_variance(bars, estimator, window))


@indicator(
    family=_FAMILY,
    parameters=(choice("estimator", *_ESTIMATORS), window("window", 24), window("long_window", 168)),
    columns=_OHLC,
    lookback=lambda estimator, window, long_window: long_window,
    refuse=lambda estimator, window, long_window: (
        None if window < long_window else f"window {window} must be shorter than long_window {long_window}."
    ),
    formula="log(.01 + volatility_short / volatility_long)",
    undefined="null where nothing moved for the whole long window; log(.01) where nothing moved for the short one",
    source="Parkinson 1980; Garman & Klass 1980; Rogers & Satchell 1991",
)
def volatility_ratio(bars: Bars, estimator: str, window: int, long_window: int) -> Array:
    """Recent volatility against its longer past, in logs."""
    quotient = ratio(_mean_variance(bars, estimator, window), _mean_variance(bars, estimator, long_window))
    return np.log(0.01 + np.sqrt(quotient))


@indicator(
    family=_FAMILY,
    parameters=(choice("estimator", *_ESTIMATORS), window("window", 12), window("long_window", 168)),
    columns=_OHLC,
    lookback=lambda estimator, window, long_window: window + long_window - 1,
    formula="z-score over the long window of sqrt(volatility_w)",
    undefined="0 where volatility was the same all through the long window",
    source="Parkinson 1980; Garman & Klass 1980; Rogers & Satchell 1991; Hawkins & Wixley, American Statistician 40 (1986)",
    version=2,
)
def volatility_zscore(bars: Bars, estimator: str, window: int, long_window: int) -> Array:
    """Level of volatility against its own past: comparable between symbols and over years.

    The fourth root of a mean of squares is nearly normal, as its logarithm is, and knows what to make of stillness.
    """
    return rolling_zscore(np.sqrt(np.sqrt(_mean_variance(bars, estimator, window))), long_window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 14), window("long_window", 96)),
    columns=("high", "low", "close"),
    lookback=lambda window, long_window: max(window, long_window),
    refuse=lambda window, long_window: (
        None if window < long_window else f"window {window} must be shorter than long_window {long_window}."
    ),
    formula="log(.01 + ATR_w / ATR_long), Wilder's average true range by TA-Lib",
    undefined="null where no range was ever seen",
    source="Wilder, New Concepts in Technical Trading Systems, 1978",
    memory="recursive",
    settle=lambda window, long_window: long_window + forgetting_time(1.0 / long_window),
)
def atr_ratio(bars: Bars, window: int, long_window: int) -> Array:
    """Average true range against its longer past, in logs."""
    candle = (bars.high, bars.low, bars.close)
    short, long = ta("ATR", *candle, timeperiod=window), ta("ATR", *candle, timeperiod=long_window)
    return log_ratio(short, long, softness=0.01)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 48),),
    columns=("high", "low"),
    lookback=lambda window: window - 1,
    formula="log(.01 + x / mean_w(x)), x = log(high / low)",
    undefined="null where no bar of the window had a range",
)
def relative_range(bars: Bars, window: int) -> Array:
    """Range of this bar against the usual one, in logs."""
    span = np.log(bars.high / bars.low)
    return log_ratio(span, rolling_mean(span, window), softness=0.01)
