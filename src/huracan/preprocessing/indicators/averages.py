"""Moving averages in units of price, with TA-Lib's values."""

from __future__ import annotations

import functools

from huracan.preprocessing.indicators.from_talib import cascade_time, ema_time, register_talib, wilder_time
from huracan.preprocessing.indicators.registry import number, window

__all__: list[str] = []

_average = functools.partial(register_talib, family="averages", unit="price")
_WINDOW = (window("window", 20),)

_average(
    "sma",
    "SMA",
    "Simple moving average of the close.",
    parameters=_WINDOW,
    formula="mean_w(close)",
    aliases=("ma", "simple_moving_average"),
)
_average(
    "ema",
    "EMA",
    "Exponential moving average of the close.",
    parameters=_WINDOW,
    formula="E[t] = E[t-1] + 2 / (w + 1) * (close[t] - E[t-1]); begins with the mean of the first w closes",
    settle=ema_time,
    aliases=("exponential_moving_average",),
)
_average(
    "wma",
    "WMA",
    "Linearly weighted moving average of the close: the newest bar weighs most.",
    parameters=_WINDOW,
    formula="sum of k * close over the last w bars, k = 1 (oldest) to w (newest), / (w (w + 1) / 2)",
    aliases=("weighted_moving_average",),
)
_average(
    "dema",
    "DEMA",
    "Double exponential moving average: an exponential average with less delay.",
    parameters=_WINDOW,
    formula="2 E - EMA_w(E), E = EMA_w(close)",
    source="Mulloy, Technical Analysis of Stocks & Commodities, January 1994",
    settle=lambda window: ema_time(window, 2),
)
_average(
    "tema",
    "TEMA",
    "Triple exponential moving average: an exponential average with still less delay.",
    parameters=_WINDOW,
    formula="3 E - 3 EMA_w(E) + EMA_w(EMA_w(E)), E = EMA_w(close)",
    source="Mulloy, Technical Analysis of Stocks & Commodities, February 1994",
    settle=lambda window: ema_time(window, 3),
)
_average(
    "trima",
    "TRIMA",
    "Triangular moving average: the middle of the window weighs most.",
    parameters=_WINDOW,
    formula="SMA of an SMA: of (w + 1) / 2 twice for odd w, of w / 2 and w / 2 + 1 for even w",
)
_average(
    "kama",
    "KAMA",
    "Kaufman's adaptive moving average: fast in a straight market, slow in a noisy one.",
    parameters=(window("window", 10),),
    formula="K[t] = K[t-1] + c^2 (close[t] - K[t-1]), c = ER_w (2/3 - 2/31) + 2/31; begins with a close",
    undefined="where nothing moved within the window the efficiency ratio ER counts as 1",
    source="Kaufman, Smarter Trading, 1995",
    settle=lambda window: cascade_time((2.0 / 31.0) ** 2, 1),
)
_average(
    "hma",
    "HMA",
    "Hull's moving average: smooth, with little delay.",
    parameters=_WINDOW,
    formula="WMA_sqrt(w)(2 WMA_(w/2)(close) - WMA_w(close)), w / 2 and sqrt(w) rounded down",
    source="Hull, How to reduce lag in a moving average, 2005",
)
_average(
    "rma",
    "RMA",
    "Wilder's moving average of the close.",
    parameters=(window("window", 14),),
    formula="R[t] = R[t-1] + (close[t] - R[t-1]) / w; begins with the mean of the first w closes",
    source="Wilder, New Concepts in Technical Trading Systems, 1978",
    settle=wilder_time,
    aliases=("smma", "wilders_moving_average"),
)
_average(
    "t3",
    "T3",
    "Tillson's moving average: six exponential averages, smoothed and brought forward.",
    parameters=(window("window", 5), number("volume_factor", 0.7, low=0.0, high=1.0, aliases=("vfactor", "v_factor", "a"))),
    called={"volume_factor": "vfactor"},
    formula="GD(GD(GD(close))), GD(x) = (1 + v) EMA_w(x) - v EMA_w(EMA_w(x))",
    source="Tillson, Technical Analysis of Stocks & Commodities, January 1998",
    settle=lambda window, volume_factor: ema_time(window, 7),
)
_average(
    "zlema",
    "ZLEMA",
    "Zero-lag exponential moving average: of the close carried on by its change over half a window.",
    parameters=_WINDOW,
    formula="EMA_w(2 close[t] - close[t - (w-1)/2]), (w-1)/2 rounded down",
    source="Ehlers & Way, Technical Analysis of Stocks & Commodities, November 2010",
    settle=ema_time,
)
_average(
    "midpoint",
    "MIDPOINT",
    "Middle between the highest and the lowest close.",
    parameters=(window("window", 14),),
    formula="(max_w(close) + min_w(close)) / 2",
)
_average(
    "midprice",
    "MIDPRICE",
    "Middle between the highest high and the lowest low.",
    parameters=(window("window", 14),),
    columns=("high", "low"),
    formula="(max_w(high) + min_w(low)) / 2",
)
_average(
    "linear_regression",
    "LINEARREG",
    "End of the straight line through the last closes.",
    parameters=(window("window", 14),),
    formula="a + b (w - 1) of the least-squares line a + b k through the last w closes, k = 0 (oldest) to w - 1",
    aliases=("linreg", "lsma"),
)
_average(
    "linear_regression_slope",
    "LINEARREG_SLOPE",
    "Slope per bar of the straight line through the last closes.",
    parameters=(window("window", 14),),
    formula="b of the least-squares line a + b k through the last w closes",
    aliases=("linreg_slope", "slope"),
)
_average(
    "time_series_forecast",
    "TSF",
    "The straight line through the last closes, carried on to the next bar.",
    parameters=(window("window", 14),),
    formula="a + b w of the least-squares line a + b k through the last w closes",
    aliases=("tsf",),
)
