"""Volatility in its own units: ranges of the price, and the volatility of one bar's return by every estimator."""

from __future__ import annotations

import functools

import numpy as np

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.from_talib import ema_time, register_talib, wilder_time
from huracan.preprocessing.indicators.registry import indicator, window
from huracan.preprocessing.indicators.volatility import (
    garman_klass_variance,
    parkinson_variance,
    rogers_satchell_variance,
)
from huracan.preprocessing.rolling import Array, lag, rolling_mean
from huracan.preprocessing.ta import ta

__all__ = [
    "garman_klass_volatility",
    "historical_volatility",
    "parkinson_volatility",
    "realised_volatility",
    "rogers_satchell_volatility",
    "yang_zhang_volatility",
]

_FAMILY = "volatility"
_range = functools.partial(register_talib, family=_FAMILY)
_HLC = ("high", "low", "close")
_OHLC = ("open", "high", "low", "close")
_WINDOW = (window("window", 24),)
_STILL = "0 where nothing moved"
_WILDER = "Wilder, New Concepts in Technical Trading Systems, 1978"


@indicator(
    family=_FAMILY,
    parameters=_WINDOW,
    lookback=lambda window: window,
    formula="sqrt(mean_w(r^2)), r = log return of one bar; of one bar, not annualised",
    undefined=_STILL,
    source="Andersen & Bollerslev, International Economic Review 39 (1998)",
    aliases=("realized_volatility",),
)
def realised_volatility(bars: Bars, window: int) -> Array:
    """Root mean square of log returns: the volatility of one bar."""
    return bars.volatility(window)


@indicator(
    family=_FAMILY,
    parameters=_WINDOW,
    lookback=lambda window: window,
    formula="standard deviation (n - 1) of the last w log returns; of one bar, not annualised",
    undefined=_STILL,
    aliases=("close_to_close_volatility",),
)
def historical_volatility(bars: Bars, window: int) -> Array:
    """Standard deviation of log returns around their own mean: the volatility of one bar."""
    return np.sqrt(_sample_variance(bars.log_return, window))


@indicator(
    family=_FAMILY,
    parameters=_WINDOW,
    columns=("high", "low"),
    lookback=lambda window: window - 1,
    formula="sqrt(mean_w(log(high / low)^2 / (4 log 2))); of one bar, not annualised",
    undefined=_STILL,
    source="Parkinson, Journal of Business 53 (1980)",
    aliases=("parkinson",),
)
def parkinson_volatility(bars: Bars, window: int) -> Array:
    """Volatility of one bar from its range."""
    one = bars.once("parkinson", lambda: parkinson_variance(bars.high, bars.low))
    return np.sqrt(rolling_mean(one, window))


@indicator(
    family=_FAMILY,
    parameters=_WINDOW,
    columns=_OHLC,
    lookback=lambda window: window - 1,
    formula="sqrt(mean_w(log(high / low)^2 / 2 - (2 log 2 - 1) log(close / open)^2)); of one bar, not annualised",
    undefined=_STILL,
    source="Garman & Klass, Journal of Business 53 (1980)",
    aliases=("garman_klass",),
)
def garman_klass_volatility(bars: Bars, window: int) -> Array:
    """Volatility of one bar from its four prices."""
    one = bars.once("garman_klass", lambda: garman_klass_variance(bars.open, bars.high, bars.low, bars.close))
    return np.sqrt(rolling_mean(one, window))


@indicator(
    family=_FAMILY,
    parameters=_WINDOW,
    columns=_OHLC,
    lookback=lambda window: window - 1,
    formula="sqrt(mean_w(log(h / c) log(h / o) + log(l / c) log(l / o))); of one bar, not annualised",
    undefined=_STILL,
    source="Rogers & Satchell, Annals of Applied Probability 1 (1991)",
    aliases=("rogers_satchell",),
)
def rogers_satchell_volatility(bars: Bars, window: int) -> Array:
    """Volatility of one bar from its four prices, which a drift does not bias."""
    return np.sqrt(_rogers_satchell(bars, window))


@indicator(
    family=_FAMILY,
    parameters=_WINDOW,
    columns=_OHLC,
    lookback=lambda window: window,
    formula="sqrt(V_o + k V_c + (1 - k) V_rs), V_o of log(open[t] / close[t-1]), V_c of log(close / open) (n - 1), V_rs of "
    "Rogers & Satchell, k = .34 / (1.34 + (w + 1) / (w - 1)); of one bar, not annualised",
    undefined=_STILL,
    source="Yang & Zhang, Journal of Business 73 (2000)",
    aliases=("yang_zhang",),
)
def yang_zhang_volatility(bars: Bars, window: int) -> Array:
    """Volatility of one bar from its four prices and the gap before it, which neither drift nor gaps bias."""
    share = 0.34 / (1.34 + (window + 1.0) / (window - 1.0))
    gap = bars.once("gap", lambda: np.log(bars.open / lag(bars.close, 1)))
    body = bars.once("body", lambda: np.log(bars.close / bars.open))
    variance = _sample_variance(gap, window) + share * _sample_variance(body, window)
    return np.sqrt(variance + (1.0 - share) * _rogers_satchell(bars, window))


def _sample_variance(x: Array, window: int) -> Array:
    return ta("VAR", x, timeperiod=window, nbdev=1.0) * (window / (window - 1.0))


def _rogers_satchell(bars: Bars, window: int) -> Array:
    def make() -> Array:
        return np.maximum(rogers_satchell_variance(bars.open, bars.high, bars.low, bars.close), 0.0)

    return rolling_mean(bars.once("rogers_satchell", make), window)


_range(
    "true_range",
    "TRANGE",
    "True range: the bar's range with the gap before it, in units of price.",
    columns=_HLC,
    unit="price",
    formula="max(high, close[t-1]) - min(low, close[t-1])",
    source=_WILDER,
    aliases=("trange",),
)
_range(
    "atr",
    "ATR",
    "Average true range, in units of price.",
    parameters=(window("window", 14, low=1),),
    columns=_HLC,
    unit="price",
    formula="Wilder's average of the true range; begins with the mean of the first w",
    source=_WILDER,
    settle=wilder_time,
    aliases=("average_true_range",),
)
_range(
    "natr",
    "NATR",
    "Average true range in percent of the close.",
    parameters=(window("window", 14),),
    columns=_HLC,
    formula="100 ATR_w / close; w from 2, because TA-Lib's of one bar is not divided by the close",
    settle=wilder_time,
)
_range(
    "average_range",
    "ADR",
    "Mean range of the bars, in units of price.",
    parameters=(window("window", 14),),
    columns=("high", "low"),
    unit="price",
    formula="mean_w(high - low)",
    aliases=("adr",),
)
_range(
    "standard_deviation",
    "STDDEV",
    "Standard deviation of the close, in units of price.",
    parameters=(window("window", 20),),
    constants={"nbdev": 1.0},
    unit="price",
    formula="sqrt(mean_w((close - mean_w(close))^2)), divisor w",
    undefined=_STILL,
    aliases=("stddev",),
)
_range(
    "variance",
    "VAR",
    "Variance of the close, in units of price squared.",
    parameters=(window("window", 20),),
    constants={"nbdev": 1.0},
    unit="price^2",
    formula="mean_w((close - mean_w(close))^2), divisor w",
    undefined=_STILL,
)
_range(
    "average_deviation",
    "AVGDEV",
    "Mean absolute deviation of the close, in units of price.",
    parameters=(window("window", 14),),
    unit="price",
    formula="mean_w(|close - mean_w(close)|)",
    undefined=_STILL,
    aliases=("avgdev",),
)
_range(
    "chaikin_volatility",
    "CVI",
    "Chaikin's volatility: by how many percent the average range has grown.",
    parameters=(window("window", 10), window("change_window", 10, low=1)),
    called={"change_window": "rocperiod"},
    columns=("high", "low"),
    formula="ROC_change(EMA_w(high - low)), in percent",
    undefined="0 where no bar had a range",
    settle=lambda window, change_window: ema_time(window),
)
_range(
    "mass_index",
    "MASSI",
    "Mass index: ranges that widen and narrow again.",
    parameters=(window("fast", 9), window("slow", 25)),
    columns=("high", "low"),
    formula="sum_slow(E / EMA_fast(E)), E = EMA_fast(high - low)",
    undefined="a bar counts as 1 where none had a range",
    source="Dorsey, Technical Analysis of Stocks & Commodities, June 1992",
    settle=lambda fast, slow: ema_time(fast, 2),
)
_range(
    "relative_volatility_index",
    "RVI",
    "Relative volatility index: the share of deviation that came on rising closes, 0 to 100.",
    parameters=(window("window", 14), window("deviation_window", 10)),
    called={"deviation_window": "stddevperiod"},
    formula="100 U / (U + D), Wilder's averages over w of the standard deviation on rising and on falling bars",
    undefined="50 while nothing has moved since the segment began",
    source="Dorsey, Technical Analysis of Stocks & Commodities, June 1993",
    settle=lambda window, deviation_window: wilder_time(window),
)
