"""Volume in its own units: flow of money, prices weighted by volume, and what moving the price costs."""

from __future__ import annotations

import functools

import numpy as np

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.from_talib import ORACLES, Oracle, ema_time, register_talib
from huracan.preprocessing.indicators.registry import indicator, window
from huracan.preprocessing.indicators.volume import over_money_flows
from huracan.preprocessing.rolling import Array, ratio, rolling_sum
from huracan.preprocessing.window_merging import Pieces, last_row, merge_sums, merged, over_windows, without_last

__all__ = [
    "ad_change",
    "amihud_illiquidity",
    "chaikin_money_flow",
    "mfi",
    "obv_change",
    "vwap",
    "vwma",
]

_FAMILY = "volume"
_volume = functools.partial(register_talib, family=_FAMILY)
_CV = ("close", "volume")
_HLCV = ("high", "low", "close", "volume")
_SINCE_START = (
    "TA-Lib's is summed from the first bar on, so that its rounding grows with the series; this is the sum over the window"
)
_RESIDUE = (
    "TA-Lib adds to and takes from a running sum, in which one bar of 1e16 in volume leaves its rounding to the end of the "
    "series; here each window is summed by itself"
)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 14),),
    columns=_HLCV,
    lookback=lambda window: window,
    formula="100 U / (U + D), sums over w of p * volume where p = (high + low + close) / 3 rose and where it fell",
    undefined="0 where no money flowed",
    source="Quong & Soudack, Technical Analysis of Stocks & Commodities, March 1989",
    aliases=("money_flow_index",),
    version=2,
)
def mfi(bars: Bars, window: int) -> Array:
    """Money flow index: the share of money traded on rising typical prices, 0 to 100."""
    return over_money_flows(bars, window, lambda up, down: 100.0 * ratio(up, up + down, otherwise=0.0))


ORACLES["mfi"] = Oracle("MFI", _HLCV, lambda window: {"timeperiod": window}, difference=_RESIDUE)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 10, low=1),),
    columns=_CV,
    lookback=lambda window: window,
    unit="volume",
    formula="OBV[t] - OBV[t-w] = sum_w(sign(close[t] - close[t-1]) * volume), in units of volume",
    source="Granville, New Key to Stock Market Profits, 1963",
    aliases=("obv", "on_balance_volume"),
)
def obv_change(bars: Bars, window: int) -> Array:
    """Change of on-balance volume over a window; the line itself depends on where it began."""

    def signed(close: Array, volume: Array) -> Pieces:
        return merged((np.sign(last_row(close, 2) - without_last(close, 1)) * last_row(volume, 2),), window, merge_sums)

    (change,) = over_windows(signed, window + 1, bars.close, bars.volume)
    return change


ORACLES["obv_change"] = Oracle("OBV", _CV, lambda window: {}, difference=_SINCE_START)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 10, low=1),),
    columns=_HLCV,
    lookback=lambda window: window,
    unit="volume",
    formula="AD[t] - AD[t-w] = sum_w(((close - low) - (high - close)) / (high - low) * volume), in units of volume",
    undefined="a bar without range counts as 0",
    source="Chaikin; Achelis, Technical Analysis from A to Z, 2000",
    aliases=("ad", "accumulation_distribution"),
)
def ad_change(bars: Bars, window: int) -> Array:
    """Change of Chaikin's accumulation and distribution over a window; the line itself depends on where it began."""
    return rolling_sum(_placed(bars), window)


ORACLES["ad_change"] = Oracle("AD", _HLCV, lambda window: {}, difference=_SINCE_START)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 20),),
    columns=_HLCV,
    lookback=lambda window: window - 1,
    formula="sum_w(((close - low) - (high - close)) / (high - low) * volume) / sum_w(volume)",
    undefined="a bar without range counts as 0; 0 where nothing was traded for a whole window",
    source="Chaikin; Achelis, Technical Analysis from A to Z, 2000",
    aliases=("cmf",),
)
def chaikin_money_flow(bars: Bars, window: int) -> Array:
    """Where bars close within their range, weighted by volume, -1 to 1."""
    return ratio(rolling_sum(_placed(bars), window), _traded(bars, window), otherwise=0.0)


ORACLES["chaikin_money_flow"] = Oracle("CMF", _HLCV, lambda window: {"timeperiod": window}, difference=_RESIDUE)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 20),),
    columns=_HLCV,
    lookback=lambda window: window - 1,
    unit="price",
    formula="sum_w(p * volume) / sum_w(volume), p = (high + low + close) / 3",
    undefined="null where nothing was traded for a whole window",
    aliases=("rolling_vwap",),
)
def vwap(bars: Bars, window: int) -> Array:
    """Volume-weighted average price of the last bars, in units of price."""
    typical = (bars.high + bars.low + bars.close) / 3.0
    return bars.unscaled(ratio(rolling_sum(typical * bars.volume, window), _traded(bars, window)))


ORACLES["vwap"] = Oracle("VWMA", ("typical", "volume"), lambda window: {"timeperiod": window}, difference=_RESIDUE)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 20),),
    columns=_CV,
    lookback=lambda window: window - 1,
    unit="price",
    formula="sum_w(close * volume) / sum_w(volume)",
    undefined="null where nothing was traded for a whole window",
    aliases=("volume_weighted_moving_average",),
)
def vwma(bars: Bars, window: int) -> Array:
    """Volume-weighted average of the closes, in units of price."""
    return bars.unscaled(ratio(rolling_sum(bars.close * bars.volume, window), _traded(bars, window)))


ORACLES["vwma"] = Oracle("VWMA", _CV, lambda window: {"timeperiod": window}, difference=_RESIDUE)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 24),),
    columns=_CV,
    lookback=lambda window: window,
    unit="1 / money",
    formula="mean of |r| / (close * volume) over those of the last w bars in which something was traded",
    undefined="null where nothing was traded for a whole window",
    source="Amihud, Journal of Financial Markets 5 (2002)",
)
def amihud_illiquidity(bars: Bars, window: int) -> Array:
    """Price movement per money traded: the return that one unit of money moves."""
    impact = ratio(np.abs(bars.log_return), bars.unscaled(bars.close) * bars.volume, otherwise=0.0)
    traded = np.where(bars.volume > 0.0, 1.0, 0.0)
    return ratio(rolling_sum(impact, window), rolling_sum(traded, window))


def _traded(bars: Bars, window: int) -> Array:
    return bars.once(("traded", window), lambda: rolling_sum(bars.volume, window))


def _placed(bars: Bars) -> Array:
    """Volume times the place of the close in its bar, from -1 (at the low) to 1 (at the high)."""

    def make() -> Array:
        place = ratio((bars.close - bars.low) - (bars.high - bars.close), bars.high - bars.low, otherwise=0.0)
        return place * bars.volume

    return bars.once("placed volume", make)


_volume(
    "chaikin_oscillator",
    "ADOSC",
    "Chaikin's oscillator: a fast less a slow average of the accumulation and distribution line, in units of volume.",
    parameters=(window("fast", 3), window("slow", 10)),
    columns=_HLCV,
    unit="volume",
    formula="EMA_fast(AD) - EMA_slow(AD); both begin with the first value",
    undefined="a bar without range adds nothing to the line; the line is summed from the first bar, so that one of 1e16 in "
    "volume costs all later ones the digits below 1",
    source="Chaikin; Achelis, Technical Analysis from A to Z, 2000",
    settle=lambda fast, slow: ema_time(slow),
    refuse=lambda fast, slow: None if fast < slow else f"fast {fast} must be shorter than slow {slow}.",
    aliases=("adosc",),
)
_volume(
    "force_index",
    "EFI",
    "Elder's force index: change of the close times volume, averaged, in units of money.",
    parameters=(window("window", 13),),
    columns=_CV,
    unit="money",
    formula="EMA_w((close[t] - close[t-1]) * volume)",
    source="Elder, Trading for a Living, 1993",
    settle=lambda window: window + ema_time(window),
    aliases=("efi",),
)
_volume(
    "volume_oscillator",
    "PVO",
    "Percentage volume oscillator: a fast less a slow average of volume, in percent of the slow one.",
    parameters=(window("fast", 12), window("slow", 26)),
    constants={"matype": 1},
    columns=("volume",),
    formula="100 (EMA_fast(volume) - EMA_slow(volume)) / EMA_slow(volume)",
    undefined="0 while nothing has been traded since the segment began",
    settle=lambda fast, slow: slow + ema_time(slow),
    refuse=lambda fast, slow: None if fast < slow else f"fast {fast} must be shorter than slow {slow}.",
    aliases=("pvo",),
)
_volume(
    "price_volume_correlation",
    "CORREL",
    "Correlation of the close with volume, -1 to 1.",
    parameters=(window("window", 30),),
    columns=_CV,
    formula="Pearson's correlation of the last w closes and volumes",
    undefined="0 where the close or the volume does not move within the window",
)
