"""Direction: strength and side of a trend by the movement of highs and lows, with TA-Lib's values."""

from __future__ import annotations

import functools

from huracan.preprocessing.indicators.from_talib import register_talib, wilder_time
from huracan.preprocessing.indicators.registry import number, window

__all__: list[str] = []

_direction = functools.partial(register_talib, family="direction")
_HL = ("high", "low")
_HLC = ("high", "low", "close")
_WINDOW = (window("window", 14),)
_WILDER = "Wilder, New Concepts in Technical Trading Systems, 1978"
_NO_RANGE = (
    "0 while no range has been seen since the segment began. Where the high rises as far as the low falls, rounding of the "
    "prices says which went farther, as in TA-Lib; adx_scaled does not depend on it"
)

_direction(
    "adx",
    "ADX",
    "Average directional movement index: strength of the trend whatever its side, 0 to 100.",
    parameters=_WINDOW,
    columns=_HLC,
    formula="Wilder's average of DX_w; begins with the mean of the first w values",
    undefined=_NO_RANGE,
    source=_WILDER,
    settle=lambda window: wilder_time(window, 2),
    aliases=("average_directional_index",),
)
_direction(
    "adxr",
    "ADXR",
    "Mean of the directional movement index now and a window ago, 0 to 100.",
    parameters=_WINDOW,
    columns=_HLC,
    formula="(ADX[t] + ADX[t-w+1]) / 2",
    undefined=_NO_RANGE,
    source=_WILDER,
    settle=lambda window: wilder_time(window, 2),
)
_direction(
    "dx",
    "DX",
    "Directional movement index: how one-sided the movement is, 0 to 100.",
    parameters=_WINDOW,
    columns=_HLC,
    formula="100 |+DI - -DI| / (+DI + -DI)",
    undefined=_NO_RANGE,
    source=_WILDER,
    settle=lambda window: window + wilder_time(window),
)
_direction(
    "plus_di",
    "PLUS_DI",
    "Share of the true range by which highs rose, 0 to 100.",
    parameters=_WINDOW,
    columns=_HLC,
    formula="100 W(high[t] - high[t-1] where that is positive and more than the low fell) / W(true range), W Wilder's sum",
    undefined=_NO_RANGE,
    source=_WILDER,
    settle=lambda window: window + wilder_time(window),
)
_direction(
    "minus_di",
    "MINUS_DI",
    "Share of the true range by which lows fell, 0 to 100.",
    parameters=_WINDOW,
    columns=_HLC,
    formula="100 W(low[t-1] - low[t] where that is positive and more than the high rose) / W(true range), W Wilder's sum",
    undefined=_NO_RANGE,
    source=_WILDER,
    settle=lambda window: window + wilder_time(window),
)
_direction(
    "aroon",
    "AROON",
    "How recently the lowest low and the highest high came, 0 (long ago) to 100 (now).",
    parameters=_WINDOW,
    columns=_HL,
    outputs=("down", "up"),
    formula="100 (w - bars since the extreme of the last w + 1 bars) / w",
    source="Chande, Technical Analysis of Stocks & Commodities, September 1995",
)
_direction(
    "aroon_oscillator",
    "AROONOSC",
    "Which came later, the highest high (to 100) or the lowest low (to -100).",
    parameters=_WINDOW,
    columns=_HL,
    formula="up - down of the Aroon lines",
    source="Chande, Technical Analysis of Stocks & Commodities, September 1995",
    aliases=("aroonosc",),
)
_direction(
    "vortex",
    "VORTEX",
    "Vortex indicator: movement up and down over the true range.",
    parameters=_WINDOW,
    columns=_HLC,
    outputs=("plus", "minus"),
    formula="sum_w(|high[t] - low[t-1]|) / sum_w(true range), sum_w(|low[t] - high[t-1]|) / sum_w(true range)",
    undefined="0 where the window has no range",
    source="Botes & Siepman, Technical Analysis of Stocks & Commodities, January 2010",
)
_direction(
    "vertical_horizontal",
    "VHF",
    "Vertical horizontal filter: range of the closes over the way they went; high in a trend, low in a range.",
    parameters=(window("window", 28),),
    formula="(max - min of the last w closes) / sum_w(|close[t] - close[t-1]|)",
    undefined="0 where nothing moved",
    source="White, Futures, August 1991",
    aliases=("vhf",),
)
_direction(
    "parabolic_sar",
    "SAR",
    "Parabolic stop and reverse, in units of price.",
    parameters=(
        number("acceleration", 0.02, low=0.0, high=1.0, aliases=("af", "step")),
        number("maximum", 0.2, low=0.0, high=1.0, aliases=("max_af", "max_step")),
    ),
    called={"acceleration": "acceleration", "maximum": "maximum"},
    columns=_HL,
    unit="price",
    formula="S[t+1] = S[t] + a (extreme - S[t]), a grows by the step with each new extreme; at a touch the side changes",
    source=_WILDER,
    cumulative=True,
    aliases=("sar", "psar"),
)
_direction(
    "supertrend",
    "SUPERTREND",
    "A stop that trails by average true ranges, in units of price, and the side it is on: 1 below the price, -1 above.",
    parameters=(window("window", 10), number("multiplier", 3.0, low=0.01, high=100.0, aliases=("factor",))),
    called={"multiplier": "multiplier"},
    columns=_HLC,
    outputs=("stop", "side"),
    unit=("price", ""),
    formula="middle of the bar -+ m ATR_w, moved only towards the price until the close crosses it",
    source="Seban",
    cumulative=True,
)
