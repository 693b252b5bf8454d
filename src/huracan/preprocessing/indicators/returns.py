"""Returns: how far the price moved, against how far it usually moves, and how returns hang together."""

from __future__ import annotations

import numpy as np

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.registry import indicator, window
from huracan.preprocessing.rolling import (
    Array,
    lag,
    ratio,
    rolling_rank,
    rolling_skew,
    rolling_sum,
    rolling_zscore,
)

__all__ = ["log_return_scaled", "open_gap", "return_autocorrelation", "return_rank", "return_skew", "return_zscore"]

_FAMILY = "returns"


@indicator(
    family=_FAMILY,
    parameters=(window("horizon", 1, low=1), window("volatility_window", 48, in_name=False)),
    lookback=lambda horizon, volatility_window: max(horizon, volatility_window),
    formula="log(close[t] / close[t-h]) / (volatility_w * sqrt(h)), volatility_w = root mean square of the last w log returns",
    undefined="null where nothing moved for a whole volatility window",
)
def log_return_scaled(bars: Bars, horizon: int, volatility_window: int) -> Array:
    """Log return over a horizon, in standard deviations of a random walk over that horizon."""
    return bars.per_volatility(bars.log_return_over(horizon), horizon, volatility_window)


@indicator(
    family=_FAMILY,
    parameters=(window("horizon", 1, low=1), window("window", 96)),
    lookback=lambda horizon, window: horizon + window - 1,
    formula="(r - mean_w(r)) / std_w(r), r = log return over h bars",
    undefined="0 where all returns of the window are equal",
)
def return_zscore(bars: Bars, horizon: int, window: int) -> Array:
    """Log return standardised by the mean and deviation of its own recent past."""
    return rolling_zscore(bars.log_return_over(horizon), window)


@indicator(
    family=_FAMILY,
    parameters=(window("horizon", 1, low=1), window("window", 96)),
    lookback=lambda horizon, window: horizon + window - 1,
    formula="rank of the log return over h bars among the last w, from -1 to 1, ties in the middle",
)
def return_rank(bars: Bars, horizon: int, window: int) -> Array:
    """Rank of the log return within its own recent past: the robust z-score."""
    return rolling_rank(bars.log_return_over(horizon), window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 72, low=3),),
    lookback=lambda window: window,
    formula="mean_w((r - m)^3) / mean_w((r - m)^2)^1.5, m = mean_w(r)",
    undefined="0 where all returns of the window are equal",
)
def return_skew(bars: Bars, window: int) -> Array:
    """Skewness of one-bar returns: whether the large moves went up or down."""
    return rolling_skew(bars.log_return, window)


@indicator(
    family=_FAMILY,
    parameters=(window("window", 48, low=3),),
    lookback=lambda window: window + 1,
    formula="sum_w(r[t] * r[t-1]) / sum_w(max(r[t]^2, r[t-1]^2))",
    undefined="0 where nothing moved",
)
def return_autocorrelation(bars: Bars, window: int) -> Array:
    """Whether moves have lately been followed by moves the same way (to 1) or back (to -1)."""
    r = bars.log_return
    before = lag(r, 1)
    product = r * before
    sizes = np.maximum(r * r, before * before)
    together = rolling_sum(product, window)
    return np.clip(ratio(together, rolling_sum(sizes, window), otherwise=0.0), -1.0, 1.0)


@indicator(
    family=_FAMILY,
    parameters=(window("volatility_window", 48, in_name=False),),
    columns=("open", "close"),
    lookback=lambda volatility_window: volatility_window,
    formula="log(open[t] / close[t-1]) / volatility_w",
    undefined="null where nothing moved for a whole volatility window",
)
def open_gap(bars: Bars, volatility_window: int) -> Array:
    """Jump from the last close to this open, in standard deviations of one bar."""
    return bars.per_volatility(np.log(bars.open / lag(bars.close, 1)), 1.0, volatility_window)
