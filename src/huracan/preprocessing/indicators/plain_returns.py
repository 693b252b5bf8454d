"""Returns in their own units, over any horizon."""

from __future__ import annotations

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.from_talib import also, register_talib
from huracan.preprocessing.indicators.registry import indicator, window
from huracan.preprocessing.rolling import Array

__all__ = ["log_return"]

_FAMILY = "returns"
_HORIZON = (also(window("window", 1, low=1), "horizon", "periods", "bars"),)


@indicator(
    family=_FAMILY,
    parameters=_HORIZON,
    lookback=lambda window: window,
    formula="log(close[t] / close[t-w])",
    aliases=("log_returns",),
)
def log_return(bars: Bars, window: int) -> Array:
    """Log return of the close over a horizon of bars, as it is; ``log_return_scaled`` is the one in units of volatility."""
    return bars.log_return_over(window) if window > 1 else bars.log_return


register_talib(
    "simple_return",
    "ROCP",
    "Simple return of the close over a horizon of bars, a fraction.",
    family=_FAMILY,
    parameters=_HORIZON,
    formula="(close[t] - close[t-w]) / close[t-w]",
    aliases=("pct_change", "returns", "return"),
)
register_talib(
    "percent_rank",
    "PERCENTRANK",
    "Share of the last closes that lie below this one, 0 to 100.",
    family=_FAMILY,
    parameters=(window("window", 100),),
    formula="100 * (number of the w closes before this one that are lower) / w",
)
