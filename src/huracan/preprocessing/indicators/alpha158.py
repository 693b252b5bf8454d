"""Alpha158: the price-volume features of Microsoft's Qlib, by their published definitions and names.

Nine shapes of the candle, four prices against the close, and 29 operators over moving windows; with windows of 5, 10, 20, 30
and 60 bars they are the 158 columns of ``FeatureRecipe.alpha158()``. Any other window works as well:
``feature("alpha158_beta", window=120)`` gives ``BETA120``. Six things are told apart from Qlib's own engine:

* A window that is not full yet has no value; Qlib computes with the rows there are.
* The small number Qlib adds to a denominator is read as what it is for: 0 where the denominator is 0, and nothing where it
  is not, so that a coin's price may be counted in any unit.
* What did not move has a ``STD`` and a ``WVMA`` of exactly 0. Qlib's sliding sums keep a residue of what moved before, which
  ``WVMA`` then divides by that small number.
* What is measured in volumes of the bar (``VMA``, ``VSTD``) is null for a bar without trades; Qlib gives 1e12 times a mean.
* ``RSQR``, ``CORR`` and ``CORD`` are null where a side does not move at all; Qlib, whose prices begin at 1, gives up where a
  standard deviation is below 2e-5.
* Candles carry no average price paid; the typical price, (high + low + close) / 3, stands for it in ``VWAP0``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from huracan.preprocessing.indicators.bars import Bars
from huracan.preprocessing.indicators.registry import indicator, window
from huracan.preprocessing.rolling import Array, lag, ratio, rolling_max, rolling_min, rolling_moments, rolling_sum
from huracan.preprocessing.window_order import window_argmax, window_argmin, window_quantiles, window_rank
from huracan.preprocessing.window_regression import window_correlation, window_regression

__all__ = ["CANDLE_COLUMNS", "PRICE_COLUMNS", "WINDOW_OPERATORS"]

CANDLE_COLUMNS = ("KMID", "KLEN", "KMID2", "KUP", "KUP2", "KLOW", "KLOW2", "KSFT", "KSFT2")
"""Columns of ``alpha158_candle``."""

PRICE_COLUMNS = ("OPEN0", "HIGH0", "LOW0", "VWAP0")
"""Columns of ``alpha158_prices``."""

_operators: list[str] = []
_FAMILY = "alpha158"
_SOURCE = "Yang et al., Qlib: An AI-oriented Quantitative Investment Platform, arXiv:2009.11189 (2020), Alpha158"
_OHLC = ("open", "high", "low", "close")
_HLC = ("high", "low", "close")
_CV = ("close", "volume")
_NO_RANGE = "0 where there is no range"
_NO_MOVE = "0 where nothing moved for a whole window"
_NO_TRADE = "null for a bar without volume"
_STILL = "null where one side is the same in the whole window"


def _over_window(
    formula: str, *, columns: tuple[str, ...] = ("close",), previous: bool = False, undefined: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register an operator over a window; ``previous`` says that it also reads the bar before the window."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        published = function.__name__.removeprefix("alpha158_").upper()
        _operators.append(function.__name__)
        return indicator(
            family=_FAMILY,
            parameters=(window("window", 20, low=3),),
            columns=columns,
            lookback=lambda window: window if previous else window - 1,
            names=lambda window: (f"{published}{window}",),
            formula=formula,
            undefined=undefined,
            source=_SOURCE,
        )(function)

    return register


@indicator(
    family=_FAMILY,
    columns=_OHLC,
    outputs=CANDLE_COLUMNS,
    names=lambda: CANDLE_COLUMNS,
    lookback=lambda: 0,
    formula="body, range, wicks and 2 close - high - low, as shares of the open and (ending in 2) of the range",
    undefined=_NO_RANGE,
    source=_SOURCE,
)
def alpha158_candle(bars: Bars) -> tuple[Array, ...]:
    """Form of the candle."""
    body, span = bars.close - bars.open, bars.high - bars.low
    upper = bars.high - np.maximum(bars.open, bars.close)
    lower = np.minimum(bars.open, bars.close) - bars.low
    shift = 2.0 * bars.close - bars.high - bars.low
    of_open = tuple(part / bars.open for part in (body, span, upper, lower, shift))
    of_range = tuple(ratio(part, span, otherwise=0.0) for part in (body, upper, lower, shift))
    return of_open[0], of_open[1], of_range[0], of_open[2], of_range[1], of_open[3], of_range[2], of_open[4], of_range[3]


@indicator(
    family=_FAMILY,
    columns=_OHLC,
    outputs=PRICE_COLUMNS,
    names=lambda: PRICE_COLUMNS,
    lookback=lambda: 0,
    formula="open, high, low and (high + low + close) / 3, each / close",
    source=_SOURCE,
)
def alpha158_prices(bars: Bars) -> tuple[Array, ...]:
    """Prices of the bar against its close; the typical price stands for the average price paid."""
    typical = (bars.high + bars.low + bars.close) / 3.0
    return bars.open / bars.close, bars.high / bars.close, bars.low / bars.close, typical / bars.close


@_over_window("close n bars ago / close", previous=True)
def alpha158_roc(bars: Bars, window: int) -> Array:
    """What the price was, in units of what it is."""
    return lag(bars.close, window) / bars.close


@_over_window("mean_n(close) / close")
def alpha158_ma(bars: Bars, window: int) -> Array:
    """Moving average in units of the price."""
    return _line(bars, window)[0] / bars.close


@_over_window("std_n(close) / close")
def alpha158_std(bars: Bars, window: int) -> Array:
    """Standard deviation (n - 1) of the price in units of the price."""
    return _line(bars, window)[1] / bars.close


@_over_window("slope of the line through the last n closes / close")
def alpha158_beta(bars: Bars, window: int) -> Array:
    """How much the price rises a bar, in units of the price."""
    return _line(bars, window)[2] / bars.close


@_over_window("R squared of the line through the last n closes", undefined=_STILL)
def alpha158_rsqr(bars: Bars, window: int) -> Array:
    """How straight the price's way was."""
    return _line(bars, window)[3]


@_over_window("(close - line through the last n closes) / close")
def alpha158_resi(bars: Bars, window: int) -> Array:
    """How far the price left its line at the end."""
    return _line(bars, window)[4] / bars.close


@_over_window("max_n(high) / close", columns=("high", "close"))
def alpha158_max(bars: Bars, window: int) -> Array:
    """Highest price in units of the price."""
    return _highest(bars, window) / bars.close


@_over_window("min_n(low) / close", columns=("low", "close"))
def alpha158_min(bars: Bars, window: int) -> Array:
    """Lowest price in units of the price."""
    return _lowest(bars, window) / bars.close


@_over_window("80 % quantile of the last n closes / close")
def alpha158_qtlu(bars: Bars, window: int) -> Array:
    """Upper quantile of the price in units of the price."""
    return _quantiles(bars, window)[1] / bars.close


@_over_window("20 % quantile of the last n closes / close")
def alpha158_qtld(bars: Bars, window: int) -> Array:
    """Lower quantile of the price in units of the price."""
    return _quantiles(bars, window)[0] / bars.close


@_over_window("rank of the close among the last n / n, equal ones sharing their ranks' mean")
def alpha158_rank(bars: Bars, window: int) -> Array:
    """Rank of the price within its past."""
    return window_rank(bars.close, window)


@_over_window("(close - min_n(low)) / (max_n(high) - min_n(low))", columns=_HLC, undefined=_NO_RANGE)
def alpha158_rsv(bars: Bars, window: int) -> Array:
    """Place of the close between the lowest low (0) and the highest high (1)."""
    low, high = _lowest(bars, window), _highest(bars, window)
    return ratio(bars.close - low, high - low, otherwise=0.0)


@_over_window("place of the highest high among the last n bars, 1 = oldest, / n; of equal ones the oldest", columns=("high",))
def alpha158_imax(bars: Bars, window: int) -> Array:
    """How lately the highest price was."""
    return _place_of_highest(bars, window) / window


@_over_window("place of the lowest low among the last n bars, 1 = oldest, / n; of equal ones the oldest", columns=("low",))
def alpha158_imin(bars: Bars, window: int) -> Array:
    """How lately the lowest price was."""
    return _place_of_lowest(bars, window) / window


@_over_window("(place of the highest high - place of the lowest low) / n", columns=("high", "low"))
def alpha158_imxd(bars: Bars, window: int) -> Array:
    """Whether the high came after the low, and how long after."""
    return (_place_of_highest(bars, window) - _place_of_lowest(bars, window)) / window


@_over_window("correlation over n of close and log(1 + volume)", columns=_CV, undefined=_STILL)
def alpha158_corr(bars: Bars, window: int) -> Array:
    """Whether high prices come with high volume; the only column that depends on the unit of volume."""
    return window_correlation(bars.close, bars.once("alpha158 log volume", lambda: np.log(bars.volume + 1.0)), window)


@_over_window(
    "correlation over n of close / close before and log(1 + volume / volume before)",
    columns=_CV,
    previous=True,
    undefined=_STILL + "; a bar after one without volume is left out",
)
def alpha158_cord(bars: Bars, window: int) -> Array:
    """Whether rising prices come with rising volume."""
    price, volume = bars.once("alpha158 relative changes", lambda: _relative_changes(bars))
    return window_correlation(price, volume, window, skip_missing=True)


@_over_window("share of the last n bars that closed higher than the bar before", previous=True)
def alpha158_cntp(bars: Bars, window: int) -> Array:
    """How often the price rose."""
    return rolling_sum(np.maximum(_direction(bars), 0.0), window) / window


@_over_window("share of the last n bars that closed lower than the bar before", previous=True)
def alpha158_cntn(bars: Bars, window: int) -> Array:
    """How often the price fell."""
    return rolling_sum(np.maximum(-_direction(bars), 0.0), window) / window


@_over_window("share of rising less share of falling bars among the last n", previous=True)
def alpha158_cntd(bars: Bars, window: int) -> Array:
    """How much more often the price rose than it fell."""
    return rolling_sum(_direction(bars), window) / window


@_over_window("sum_n of rises / sum_n of |changes| of the close", previous=True, undefined=_NO_MOVE)
def alpha158_sump(bars: Bars, window: int) -> Array:
    """Share of rises in all movement."""
    up, down = _movement(bars, "close", window)
    return ratio(up, up + down, otherwise=0.0)


@_over_window("sum_n of falls / sum_n of |changes| of the close", previous=True, undefined=_NO_MOVE)
def alpha158_sumn(bars: Bars, window: int) -> Array:
    """Share of falls in all movement."""
    up, down = _movement(bars, "close", window)
    return ratio(down, up + down, otherwise=0.0)


@_over_window("(sum_n of rises - sum_n of falls) / sum_n of |changes| of the close", previous=True, undefined=_NO_MOVE)
def alpha158_sumd(bars: Bars, window: int) -> Array:
    """Rises less falls as a share of all movement."""
    up, down = _movement(bars, "close", window)
    return ratio(up - down, up + down, otherwise=0.0)


@_over_window("mean_n(volume) / volume", columns=("volume",), undefined=_NO_TRADE)
def alpha158_vma(bars: Bars, window: int) -> Array:
    """Usual volume in units of this bar's."""
    return ratio(_volume(bars, window)[0], bars.volume)


@_over_window("std_n(volume) / volume", columns=("volume",), undefined=_NO_TRADE)
def alpha158_vstd(bars: Bars, window: int) -> Array:
    """Standard deviation (n - 1) of volume in units of this bar's."""
    return ratio(_volume(bars, window)[1], bars.volume)


@_over_window(
    "std_n(m) / mean_n(m), m = |close / close before - 1| * volume",
    columns=_CV,
    previous=True,
    undefined="0 where nothing moved or was traded for a whole window",
)
def alpha158_wvma(bars: Bars, window: int) -> Array:
    """How uneven the movement is, weighted by volume."""
    moved = bars.once("alpha158 weighted moves", lambda: np.abs(bars.close / lag(bars.close, 1) - 1.0) * bars.volume)
    mean, deviation = rolling_moments(moved, window)
    return ratio(deviation, mean, otherwise=0.0)


@_over_window("sum_n of rises / sum_n of |changes| of volume", columns=("volume",), previous=True, undefined=_NO_MOVE)
def alpha158_vsump(bars: Bars, window: int) -> Array:
    """Share of rises in all movement of volume."""
    up, down = _movement(bars, "volume", window)
    return ratio(up, up + down, otherwise=0.0)


@_over_window("sum_n of falls / sum_n of |changes| of volume", columns=("volume",), previous=True, undefined=_NO_MOVE)
def alpha158_vsumn(bars: Bars, window: int) -> Array:
    """Share of falls in all movement of volume."""
    up, down = _movement(bars, "volume", window)
    return ratio(down, up + down, otherwise=0.0)


@_over_window(
    "(sum_n of rises - sum_n of falls) / sum_n of |changes| of volume",
    columns=("volume",),
    previous=True,
    undefined=_NO_MOVE,
)
def alpha158_vsumd(bars: Bars, window: int) -> Array:
    """Rises less falls of volume as a share of all its movement."""
    up, down = _movement(bars, "volume", window)
    return ratio(up - down, up + down, otherwise=0.0)


WINDOW_OPERATORS = tuple(_operators)
"""Indicators that take a window, in the published order; each gives one column, ``alpha158_beta`` the column ``BETA20``."""


def _line(bars: Bars, window: int) -> tuple[Array, ...]:
    return bars.once(("alpha158 line", window), lambda: window_regression(bars.close, window))


def _highest(bars: Bars, window: int) -> Array:
    return bars.once(("alpha158 highest", window), lambda: rolling_max(bars.high, window))


def _lowest(bars: Bars, window: int) -> Array:
    return bars.once(("alpha158 lowest", window), lambda: rolling_min(bars.low, window))


def _place_of_highest(bars: Bars, window: int) -> Array:
    return bars.once(("alpha158 place of highest", window), lambda: window_argmax(bars.high, window))


def _place_of_lowest(bars: Bars, window: int) -> Array:
    return bars.once(("alpha158 place of lowest", window), lambda: window_argmin(bars.low, window))


def _quantiles(bars: Bars, window: int) -> tuple[Array, ...]:
    return bars.once(("alpha158 quantiles", window), lambda: window_quantiles(bars.close, window, 0.2, 0.8))


def _volume(bars: Bars, window: int) -> tuple[Array, ...]:
    return bars.once(("alpha158 volume", window), lambda: rolling_moments(bars.volume, window))


def _direction(bars: Bars) -> Array:
    return bars.once("alpha158 direction", lambda: np.sign(bars.close - lag(bars.close, 1)))


def _movement(bars: Bars, column: str, window: int) -> tuple[Array, Array]:
    """Sums of rises and of falls over the window."""
    values = bars.column(column)
    change = bars.once(("alpha158 change", column), lambda: values - lag(values, 1))

    def sums() -> tuple[Array, Array]:
        return rolling_sum(np.maximum(change, 0.0), window), rolling_sum(np.maximum(-change, 0.0), window)

    return bars.once(("alpha158 movement", column, window), sums)


def _relative_changes(bars: Bars) -> tuple[Array, Array]:
    """The first bar has none; it is in no window that counts, and as a number it keeps missing pairs the exception."""
    before = lag(bars.close, 1)
    first = np.isnan(before)
    volume = np.log(ratio(bars.volume, lag(bars.volume, 1)) + 1.0)
    return np.where(first, 1.0, bars.close / before), np.where(first, 0.0, volume)
