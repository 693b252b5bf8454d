"""Momentum: oscillators and rates of change, with TA-Lib's values."""

from __future__ import annotations

import functools

from huracan.preprocessing.indicators.from_talib import also, ema_time, register_talib, wilder_time
from huracan.preprocessing.indicators.registry import window

__all__: list[str] = []

_momentum = functools.partial(register_talib, family="momentum")
_HLC = ("high", "low", "close")
_WILDER = "Wilder, New Concepts in Technical Trading Systems, 1978"


def _fast_is_faster(fast: int, slow: int, **_: object) -> str | None:
    return None if fast < slow else f"fast {fast} must be shorter than slow {slow}."


_momentum(
    "rsi",
    "RSI",
    "Relative strength index: the share of recent movement that went up, 0 to 100.",
    parameters=(window("window", 14),),
    formula="100 * U / (U + D), Wilder's averages of rises and falls of the close; begin with the mean of the first w changes",
    undefined="0 while the price has not moved since the segment began",
    source=_WILDER,
    settle=wilder_time,
    aliases=("relative_strength_index",),
)
_momentum(
    "macd",
    "MACD",
    "Moving average convergence and divergence, in units of price.",
    parameters=(window("fast", 12), window("slow", 26), window("signal", 9, low=1)),
    outputs=("line", "signal", "histogram"),
    unit="price",
    formula="line = EMA_fast - EMA_slow, both beginning on one bar; signal = EMA_signal(line); histogram = line - signal",
    source="Appel, The Moving Average Convergence Divergence Trading Method, 1979",
    settle=lambda fast, slow, signal: ema_time(slow) + ema_time(signal),
    refuse=_fast_is_faster,
)
_momentum(
    "ppo",
    "PPO",
    "Percentage price oscillator: MACD's line in percent of the slow average.",
    parameters=(window("fast", 12), window("slow", 26)),
    constants={"matype": 1},
    formula="100 * (EMA_fast - EMA_slow) / EMA_slow",
    settle=lambda fast, slow: ema_time(slow),
    refuse=_fast_is_faster,
)
_momentum(
    "apo",
    "APO",
    "Absolute price oscillator: a fast less a slow exponential average, in units of price.",
    parameters=(window("fast", 12), window("slow", 26)),
    constants={"matype": 1},
    unit="price",
    formula="EMA_fast - EMA_slow, each beginning as early as it can (MACD: both on one bar)",
    settle=lambda fast, slow: ema_time(slow),
    refuse=_fast_is_faster,
)
_momentum(
    "stochastic",
    "STOCH",
    "Stochastic oscillator: the place of the close within the range of the last bars, 0 to 100, smoothed.",
    parameters=(
        also(window("window", 14), "k", "k_period"),
        also(window("smooth", 3, low=1), "smooth_k"),
        also(window("signal", 3, low=1), "d", "d_period"),
    ),
    called={"window": "fastk_period", "smooth": "slowk_period", "signal": "slowd_period"},
    constants={"slowk_matype": 0, "slowd_matype": 0},
    columns=_HLC,
    outputs=("k", "d"),
    formula="k = SMA_smooth(100 (close - min_w(low)) / (max_w(high) - min_w(low))), d = SMA_signal(k); smooth=1: the fast one",
    undefined="a window without range counts as 0",
    source="Lane, Lane's stochastics, 1984",
    aliases=("stoch", "stochastic_oscillator"),
)
_momentum(
    "stochastic_rsi",
    "STOCHRSI",
    "Stochastic of the relative strength index: its place within its own recent range, 0 to 100.",
    parameters=(
        also(window("window", 14), "rsi_length", "rsi_period"),
        also(window("range_window", 14), "k", "k_period"),
        also(window("signal", 3, low=1), "d", "d_period"),
    ),
    called={"range_window": "fastk_period", "signal": "fastd_period"},
    constants={"fastd_matype": 0},
    outputs=("k", "d"),
    formula="k = 100 (R - min(R)) / (max(R) - min(R)) over the range window, R = RSI_w; d = SMA_signal(k)",
    undefined="a window in which the index does not move counts as 0",
    source="Chande & Kroll, The New Technical Trader, 1994",
    settle=lambda window, range_window, signal: wilder_time(window) + range_window + signal,
    aliases=("stochrsi", "stoch_rsi"),
)
_momentum(
    "kdj",
    "KDJ",
    "Stochastic oscillator with Wilder's averages, and J, which runs ahead of both.",
    parameters=(window("window", 9), window("smooth", 3, low=1), window("signal", 3, low=1)),
    called={"window": "fastk_period", "smooth": "slowk_period", "signal": "slowd_period"},
    constants={"slowk_matype": 13, "slowd_matype": 13},
    columns=_HLC,
    outputs=("k", "d", "j"),
    formula="k = RMA_smooth(100 (close - min_w(low)) / (max_w(high) - min_w(low))), d = RMA_signal(k), j = 3 k - 2 d",
    undefined="a window without range counts as 0",
    settle=lambda window, smooth, signal: wilder_time(smooth) + wilder_time(signal),
)
_momentum(
    "cci",
    "CCI",
    "Commodity channel index: distance of the typical price from its mean, in mean deviations.",
    parameters=(window("window", 20),),
    columns=_HLC,
    formula="(p - mean_w(p)) / (.015 mean_w(|p - mean_w(p)|)), p = (high + low + close) / 3",
    undefined="0 where the typical price did not move within the window",
    source="Lambert, Commodity Channel Index, 1980",
    aliases=("commodity_channel_index",),
)
_momentum(
    "williams_r",
    "WILLR",
    "Williams' %R: how far the close is below the highest high, -100 (at the low) to 0 (at the high).",
    parameters=(window("window", 14),),
    columns=_HLC,
    formula="-100 (max_w(high) - close) / (max_w(high) - min_w(low))",
    undefined="0 where the window has no range",
    source="Williams, How I Made One Million Dollars Last Year Trading Commodities, 1973",
    aliases=("willr", "williams_percent_r"),
)
_momentum(
    "roc",
    "ROC",
    "Rate of change of the close, in percent.",
    parameters=(window("window", 10, low=1),),
    formula="100 (close[t] / close[t-w] - 1)",
    aliases=("rate_of_change",),
)
_momentum(
    "momentum",
    "MOM",
    "Change of the close, in units of price.",
    parameters=(window("window", 10, low=1),),
    unit="price",
    formula="close[t] - close[t-w]",
    aliases=("mom",),
)
_momentum(
    "cmo",
    "CMO",
    "Chande's momentum oscillator with Wilder's averages, -100 to 100.",
    parameters=(window("window", 14),),
    formula="100 (U - D) / (U + D), U and D as in the relative strength index",
    undefined="0 while the price has not moved since the segment began",
    source="Chande & Kroll, The New Technical Trader, 1994",
    settle=wilder_time,
    aliases=("chande_momentum",),
)
_momentum(
    "trix",
    "TRIX",
    "Rate of change of a threefold exponential average, in percent.",
    parameters=(window("window", 15),),
    formula="100 (T[t] / T[t-1] - 1), T = EMA_w(EMA_w(EMA_w(close)))",
    source="Hutson, Technical Analysis of Stocks & Commodities, 1983",
    settle=lambda window: ema_time(window, 3),
)
_momentum(
    "ultimate_oscillator",
    "ULTOSC",
    "Ultimate oscillator: buying pressure over three spans, 0 to 100.",
    parameters=(window("short", 7), window("medium", 14), window("long", 28)),
    called={"short": "timeperiod1", "medium": "timeperiod2", "long": "timeperiod3"},
    columns=_HLC,
    formula="100 (4 A_short + 2 A_medium + A_long) / 7, A_n = sum_n(close - true low) / sum_n(true range)",
    undefined="a span without any range counts as 0",
    source="Williams, Technical Analysis of Stocks & Commodities, 1985",
    refuse=lambda short, medium, long: (
        None if short < medium < long else f"short {short}, medium {medium}, long {long} must be in rising order."
    ),
    aliases=("ultosc", "uo"),
)
_momentum(
    "true_strength_index",
    "TSI",
    "True strength index: change of the close over the size of change, both smoothed twice, -100 to 100.",
    parameters=(window("slow", 25), window("fast", 13)),
    called={"slow": "firstperiod", "fast": "secondperiod"},
    formula="100 EMA_fast(EMA_slow(m)) / EMA_fast(EMA_slow(|m|)), m = close[t] - close[t-1]",
    undefined="0 while the price has not moved since the segment began",
    source="Blau, Technical Analysis of Stocks & Commodities, November 1991",
    settle=lambda slow, fast: ema_time(slow) + ema_time(fast),
    aliases=("tsi",),
)
_momentum(
    "stochastic_momentum_index",
    "SMI",
    "Stochastic momentum index: distance of the close from the middle of the range, smoothed twice, -100 to 100.",
    parameters=(window("window", 13), window("fast", 2), window("slow", 25), window("signal", 9)),
    columns=_HLC,
    outputs=("line", "signal"),
    formula="100 EMA_fast(EMA_slow(close - middle)) / EMA_fast(EMA_slow(half range)) over w bars; signal = EMA_signal(line)",
    undefined="0 while no range has been seen since the segment began",
    source="Blau, Technical Analysis of Stocks & Commodities, January 1993",
    settle=lambda window, fast, slow, signal: ema_time(slow) + ema_time(fast) + ema_time(signal),
    refuse=_fast_is_faster,
    aliases=("smi",),
)
_momentum(
    "awesome_oscillator",
    "AO",
    "Awesome oscillator: a fast less a slow average of the bars' middles, in units of price.",
    parameters=(window("fast", 5), window("slow", 34)),
    columns=("high", "low"),
    unit="price",
    formula="SMA_fast(m) - SMA_slow(m), m = (high + low) / 2",
    source="Williams, New Trading Dimensions, 1998",
    refuse=_fast_is_faster,
    aliases=("ao",),
)
_momentum(
    "coppock",
    "COPPOCK",
    "Coppock's curve: the sum of two rates of change, averaged.",
    parameters=(window("window", 10), window("short", 11, low=1), window("long", 14, low=1)),
    called={"window": "wmaperiod", "short": "roc1period", "long": "roc2period"},
    formula="WMA_w(ROC_short + ROC_long)",
    source="Coppock, Barron's, October 1962",
)
_momentum(
    "detrended_price",
    "DPO",
    "Detrended price oscillator: the close less an earlier average, in units of price.",
    parameters=(window("window", 20),),
    unit="price",
    formula="close[t - w/2 - 1] - SMA_w(close)[t], w / 2 rounded down",
    aliases=("dpo",),
)
_momentum(
    "balance_of_power",
    "BOP",
    "Balance of power: the bar's body over its range, -1 to 1.",
    columns=("open", "high", "low", "close"),
    formula="(close - open) / (high - low)",
    undefined="0 for a bar without range",
    aliases=("bop",),
)
_momentum(
    "intraday_momentum",
    "IMI",
    "Intraday momentum index: the share of the bars' bodies that went up, 0 to 100.",
    parameters=(window("window", 14),),
    columns=("open", "close"),
    formula="100 U / (U + D), U = sum_w(close - open) of rising bars, D = sum_w(open - close) of falling ones",
    undefined="50 where no bar of the window has a body",
    source="Chande & Kroll, The New Technical Trader, 1994",
    aliases=("imi",),
)
_momentum(
    "elder_ray",
    "ERI",
    "Elder's bull and bear power: how far highs and lows reach from the exponential average, in units of price.",
    parameters=(window("window", 13),),
    columns=_HLC,
    outputs=("bull", "bear"),
    unit="price",
    formula="high - EMA_w(close), low - EMA_w(close)",
    source="Elder, Trading for a Living, 1993",
    settle=ema_time,
)
