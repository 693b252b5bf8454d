"""Candlestick patterns, all of TA-Lib's."""

from __future__ import annotations

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.registry import choice, indicator
from huracan.preprocessing.rolling import Array
from huracan.preprocessing.ta import ta, ta_lookback

__all__ = ["PATTERNS", "candle_pattern"]

_NAMES = """
engulfing 2crows 3blackcrows 3inside 3linestrike 3outside 3starsinsouth 3whitesoldiers abandonedbaby advanceblock
belthold breakaway closingmarubozu concealbabyswall counterattack darkcloudcover doji dojistar dragonflydoji
eveningdojistar eveningstar gapsidesidewhite gravestonedoji hammer hangingman harami haramicross highwave hikkake
hikkakemod homingpigeon identical3crows inneck invertedhammer kicking kickingbylength ladderbottom longleggeddoji
longline marubozu matchinglow mathold morningdojistar morningstar onneck piercing rickshawman risefall3methods
separatinglines shootingstar shortline spinningtop stalledpattern sticksandwich takuri tasukigap thrusting tristar
unique3river upsidegap2crows xsidegap3methods
"""
PATTERNS = tuple(_NAMES.split())
"""Patterns by the names they have in TA-Lib, less its ``CDL``."""


@indicator(
    family="patterns",
    parameters=(choice("pattern", *PATTERNS),),
    columns=("open", "high", "low", "close"),
    lookback=lambda pattern: ta_lookback(_function(pattern)),
    formula="100 where the pattern ends with this bar and is bullish, -100 where bearish, 200 or -200 where confirmed, else 0",
    source="Nison, Japanese Candlestick Charting Techniques, 1991; what is long, short, near or far is as TA-Lib sets it",
    aliases=("cdl", "cdl_pattern"),
)
def candle_pattern(bars: Bars, pattern: str) -> Array:
    """Whether the last candles form a pattern."""
    return ta(_function(pattern), bars.open, bars.high, bars.low, bars.close)


def _function(pattern: str) -> str:
    return f"CDL{pattern.upper()}"
