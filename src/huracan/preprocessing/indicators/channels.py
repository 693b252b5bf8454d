"""Channels: bands around the price, and the place of the price within them."""

from __future__ import annotations

import functools

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.from_talib import ORACLES, Oracle, ema_time, register_talib, wilder_time
from huracan.preprocessing.indicators.registry import indicator, number, window
from huracan.preprocessing.rolling import Array, ratio
from huracan.preprocessing.ta import ta

__all__ = ["bollinger"]

_FAMILY = "channels"
_channel = functools.partial(register_talib, family=_FAMILY, unit="price", outputs=("upper", "middle", "lower"))
_DEVIATIONS = ("std", "std_dev", "stddev", "num_std", "nbdev", "deviation")


@indicator(
    family=_FAMILY,
    parameters=(window("window", 20), number("deviations", 2.0, low=0.1, high=20.0, aliases=_DEVIATIONS)),
    lookback=lambda window, deviations: window - 1,
    outputs=("upper", "middle", "lower", "percent_b", "width"),
    unit=("price", "price", "price", "", ""),
    formula="middle = SMA_w, bands k population deviations from it; %b = (close - lower) / (upper - lower); "
    "width = (upper - lower) / middle",
    undefined="%b .5 and width 0 where the window does not move",
    source="Bollinger, Bollinger on Bollinger Bands, 2001",
    aliases=("bbands", "bollinger_bands", "bb"),
)
def bollinger(bars: Bars, window: int, deviations: float) -> tuple[Array, ...]:
    """Bollinger's bands in units of price, the place of the close between them (%b) and their width."""
    upper, middle, lower = ta("BBANDS", bars.close, timeperiod=window, nbdevup=deviations, nbdevdn=deviations, matype=0)
    span = upper - lower
    place, width = ratio(bars.close - lower, span, otherwise=0.5), span / middle
    return *(bars.unscaled(band, in_place=True) for band in (upper, middle, lower)), place, width


ORACLES["bollinger"] = Oracle(
    "BBANDS",
    ("close",),
    lambda window, deviations: {"timeperiod": window, "nbdevup": deviations, "nbdevdn": deviations, "matype": 0},
    (0, 1, 2, None, None),
)
_channel(
    "donchian",
    "DONCHIAN",
    "Donchian's channel: highest high, lowest low and the middle between them.",
    parameters=(window("window", 20),),
    columns=("high", "low"),
    formula="max_w(high), (max_w(high) + min_w(low)) / 2, min_w(low); the bar itself is in the window",
    source="Donchian, Financial Analysts Journal 16 (1960)",
    aliases=("donchian_channel", "donchian_channels"),
)
_channel(
    "keltner",
    "KC",
    "Keltner's channel: average true ranges around an exponential average.",
    parameters=(
        window("window", 20),
        window("range_window", 10, low=1),
        number("multiplier", 2.0, low=0.01, high=100.0, aliases=("scalar", "nbdev")),
    ),
    called={"range_window": "atrperiod", "multiplier": "nbdev"},
    columns=("high", "low", "close"),
    formula="EMA_w(close) -+ m ATR_range",
    source="Keltner, How to Make Money in Commodities, 1960; with an exponential average and true ranges after Raschke",
    settle=lambda window, range_window, multiplier: max(ema_time(window), wilder_time(range_window)),
    aliases=("keltner_channel", "keltner_channels", "kc"),
)
_channel(
    "acceleration_bands",
    "ACCBANDS",
    "Headley's acceleration bands: averages of highs and lows stretched by the bars' relative range.",
    parameters=(window("window", 20),),
    columns=("high", "low", "close"),
    formula="SMA_w(high (1 + 4 q)), SMA_w(close), SMA_w(low (1 - 4 q)), q = (high - low) / (high + low)",
    source="Headley, Big Trends in Trading, 2002",
    aliases=("accbands",),
)
