"""Volume: how much was traded, which way the price went with it, and what moving the price cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from huracan.preprocessing.indicators.bars import SMALLEST_MOVE, Bars
from huracan.preprocessing.indicators.registry import indicator, window
from huracan.preprocessing.rolling import (
    Array,
    log_of_size,
    log_ratio,
    ratio,
    rolling_mean,
    rolling_sum,
    rolling_zscore,
)
from huracan.preprocessing.window_merging import Pieces, last_row, merge_sums, merged, over_windows, without_last

__all__ = [
    "amihud",
    "money_flow",
    "over_money_flows",
    "quiet_share",
    "relative_volume",
    "signed_volume",
    "volume_ratio",
    "volume_weighted_return",
    "volume_zscore",
    "vwap_distance",
]

_FAMILY = "volume"
_CV = ("close", "volume")
_NO_VOLUME = "null where nothing was traded for a whole window"


def _mean_volume(bars: Bars, window: int) -> Array:
    return bars.once(("mean_volume", window), lambda: rolling_mean(bars.volume, window))


@indicator(
    family=_FAMILY,
    parameters=(window("window", 48),),
    columns=("volume",),
    lookback=lambda window: window - 1,
    formula="log(.01 + volume / mean_w(volume))",
    undefined=_NO_VOLUME + "; log(.01) for a bar without trades",
)
def relative_volume(bars: Bars, window: int) -> Array:
    """Volume of this bar against the usual one, in logs."""
    return log_ratio(bars.volume, _mean_volume(bars, window), softness=0.01)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 48),),
    columns=("volume",),
    lookback=lambda window: 2 * window - 2,
    formula="z-score over w bars of log(volume + .01 mean_w(volume))",
    undefined="null where nothing was traded for a whole window within the last two",
)
def volume_zscore(bars: Bars, window: int) -> Array:
    """Log volume against its own recent mean and deviation."""
    padded = bars.volume + 0.01 * _mean_volume(bars, window)
    return rolling_zscore(log_of_size(padded), window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 6, low=1), window("long_window", 48)),
    columns=("volume",),
    lookback=lambda window, long_window: long_window - 1,
    refuse=lambda window, long_window: (
        None if window < long_window else f"window {window} must be shorter than long_window {long_window}."
    ),
    formula="log(.01 + mean_short(volume) / mean_long(volume))",
    undefined=_NO_VOLUME,
)
def volume_ratio(bars: Bars, window: int, long_window: int) -> Array:
    """Recent volume against its longer past, in logs."""
    return log_ratio(_mean_volume(bars, window), _mean_volume(bars, long_window), softness=0.01)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 12),),
    columns=_CV,
    lookback=lambda window: window,
    formula="sum_w(sign(r) * volume) / sum_w(volume): the change of on-balance volume as a share of volume",
    undefined="0 where nothing was traded",
    source="Granville, New Key to Stock Market Profits, 1963 (on-balance volume)",
)
def signed_volume(bars: Bars, window: int) -> Array:
    """Volume of rising bars less that of falling ones, as a share of all volume, from -1 to 1."""
    r = bars.log_return
    traded = np.where(np.isnan(r), np.nan, bars.volume)
    total = rolling_sum(traded, window)
    up = rolling_sum(np.where(r > 0.0, traded, 0.0 * traded), window)
    down = rolling_sum(np.where(r < 0.0, traded, 0.0 * traded), window)
    return np.clip(ratio(up - down, total, otherwise=0.0), -1.0, 1.0)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 24), window("volatility_window", 48, in_name=False)),
    columns=_CV,
    lookback=lambda window, volatility_window: max(window, volatility_window),
    formula="sum_n(r * volume) / sum_n(volume) * sqrt(n) / volatility_w",
    undefined="0 where nothing was traded; null where nothing moved for a whole volatility window",
)
def volume_weighted_return(bars: Bars, window: int, volatility_window: int) -> Array:
    """Mean return weighted by volume: a move that volume confirms, in volatilities of the window."""
    r = bars.log_return
    traded = np.where(np.isnan(r), np.nan, bars.volume)
    flow = rolling_sum(r * bars.volume, window)
    mean = ratio(flow, rolling_sum(traded, window), otherwise=0.0)
    return bars.per_volatility(mean * window, window, volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 24), window("long_window", 168)),
    columns=_CV,
    lookback=lambda window, long_window: long_window,
    refuse=lambda window, long_window: (
        None if window < long_window else f"window {window} must be shorter than long_window {long_window}."
    ),
    formula="log(.01 + A_short / A_long), A_w = sum_w(|r|) / sum_w(close * volume)",
    undefined="null where nothing was traded or moved for a whole window",
    source="Amihud, Illiquidity and stock returns, Journal of Financial Markets 5 (2002)",
)
def amihud(bars: Bars, window: int, long_window: int) -> Array:
    """Price movement per money traded against its longer past: illiquidity, in logs."""
    return log_ratio(_illiquidity(bars, window), _illiquidity(bars, long_window), softness=0.01)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 24), window("volatility_window", 48, in_name=False)),
    columns=("high", "low", "close", "volume"),
    lookback=lambda window, volatility_window: max(window - 1, volatility_window),
    formula="log(close / VWAP_n) / (volatility_w * sqrt(n)), VWAP of typical prices",
    undefined="null where nothing was traded for a whole window or nothing moved for a volatility window",
)
def vwap_distance(bars: Bars, window: int, volatility_window: int) -> Array:
    """Distance of the price from what was paid on average, in volatilities of the window."""
    typical = (bars.high + bars.low + bars.close) / 3.0
    paid = ratio(rolling_sum(typical * bars.volume, window), rolling_sum(bars.volume, window))
    return bars.per_volatility(log_ratio(bars.close, paid), window, volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 14),),
    columns=("high", "low", "close", "volume"),
    lookback=lambda window: window,
    formula="(up - down) / (up + down), up = sum_w of price * volume where the typical price rose: (MFI - 50) / 50",
    undefined="0 where no money flowed; a typical price that moved by less than a billionth did not move",
    version=2,
)
def money_flow(bars: Bars, window: int) -> Array:
    """Money traded on rising less on falling typical prices, as a share, from -1 to 1."""
    return over_money_flows(bars, window, lambda up, down: ratio(up - down, up + down, otherwise=0.0))


@indicator(
    family=_FAMILY,
    parameters=(window("window", 48),),
    columns=_CV,
    lookback=lambda window: window,
    formula="share of the last w bars without volume or without a change of price",
    source="Lesmond, Ogden & Trzcinka, Review of Financial Studies 12 (1999)",
)
def quiet_share(bars: Bars, window: int) -> Array:
    """How often nothing was traded or nothing moved: illiquidity in its plainest form."""
    r = bars.log_return
    quiet = np.where((bars.volume == 0.0) | (r == 0.0), 1.0, 0.0)
    return rolling_mean(np.where(np.isnan(r), np.nan, quiet), window)


def over_money_flows(bars: Bars, window: int, index: Callable[[Array, Array], Array]) -> Array:
    """``index`` of the money traded over the window where the typical price rose, and where it fell, from row ``window`` on."""

    def flows(high: Array, low: Array, close: Array, volume: Array) -> Pieces:
        typical = (high + low + close) / 3.0
        now = last_row(typical, 2)
        change, least, money = now - without_last(typical, 1), SMALLEST_MOVE * now, now * last_row(volume, 2)
        up, down = merged(((change > least) * money, (change < -least) * money), window, merge_sums)
        return (index(up, down),)

    (found,) = over_windows(flows, window + 1, bars.high, bars.low, bars.close, bars.volume)
    return found


def _illiquidity(bars: Bars, window: int) -> Array:
    def make() -> Array:
        r = bars.log_return
        money = np.where(np.isnan(r), np.nan, bars.close * bars.volume)
        return ratio(rolling_sum(np.abs(r), window), rolling_sum(money, window))

    return bars.once(("illiquidity", window), make)
