"""The classifier itself: measures, thresholds with hysteresis, order of precedence, minimum duration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.dataset import REGIME_ORDER
from huracan.errors import CandleError, DataError, nearest_name
from huracan.market import bar_length, with_segments
from huracan.model_info import MarketRegime
from huracan.regimes.duration import confirmed, latch
from huracan.regimes.measures import (
    drift_t_statistic,
    illiquidity,
    log_returns,
    past_rank,
    realised_volatility,
    rolling_sum,
)

__all__ = ["BarStates", "RegimeClassifier", "RegimeWindows", "classify_regimes", "current_regime", "require_candles"]

_ALGORITHM = 1
"""Part of the hash: raised whenever the same settings would give other regimes."""

_CODE = {regime: code for code, regime in enumerate(REGIME_ORDER)}
_COLUMNS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class RegimeWindows:
    """The lengths a classification works with, all in bars."""

    trend_window: int
    volatility_window: int
    lookback: int
    minimum_duration: int

    @property
    def warmup(self) -> int:
        """Bars of a symbol before its first regime can be named."""
        ranked = self.volatility_window + self.lookback // 4
        return max(self.trend_window, ranked) + self.minimum_duration - 1


_DEFAULTS: tuple[tuple[timedelta, RegimeWindows], ...] = (
    (timedelta(minutes=15), RegimeWindows(240, 60, 10_080, 30)),
    (timedelta(hours=12), RegimeWindows(48, 24, 720, 6)),
    (timedelta.max, RegimeWindows(30, 20, 365, 5)),
)
"""Bars shorter than the first column use the windows of the second."""


@dataclass(frozen=True)
class RegimeClassifier:
    """Name the state of the market at every closed bar, from that bar and the ones before it.

    Four rules, the first that holds wins:

    1. **illiquid**: liquidity is low for this symbol, or half of the last bars traded nothing;
    2. **volatile**: volatility is high for this symbol;
    3. **trending**: the moves of the last bars add up, up or down;
    4. **ranging**: none of these.

    Low and high are percentile ranks in the symbol's own last ``lookback`` bars, so that coins whose volumes differ by
    orders of magnitude are judged alike. Each rule is a latch (it turns on at one threshold and off at a milder one),
    and a new regime is taken over only after it has been proposed ``minimum_duration`` bars in a row. What was said
    is never rewritten: computed on the candles up to t, the regime at t is the same.

    Parameters
    ----------
    trend_window : bars over which moves must add up; the strength is ``sum(r) / sqrt(sum(r**2))``, about standard
        normal on a random walk.
    volatility_window : bars over which volatility (Parkinson), dollar volume and Amihud illiquidity are averaged.
    lookback : bars of the symbol's past that the ranks refer to; ranks begin once a quarter of it has passed.
    minimum_duration : bars in a row that a new regime must be proposed before it is taken over.
    trend_enter, trend_exit : absolute trend strength that begins and ends a trend; above 1, so that no single jump is one.
    volatile_enter, volatile_exit : volatility rank that begins and ends a volatile state, in 0..1.
    illiquid_enter, illiquid_exit : liquidity rank that begins and ends an illiquid state, in 0..1.
    zero_volume_share : share of bars without volume in the last ``volatility_window`` that is illiquid in itself.

    Windows left at ``None`` follow from the bar length: below 15 minutes 240, 60, 10,080 and 30 bars (on 1-minute
    bars 4 hours, 1 hour, 7 days, half an hour); below 12 hours 48, 24, 720 and 6 (on hourly bars 2 days, 1 day,
    30 days, 6 hours); else 30, 20, 365 and 5.

    After a gap the windows and the regime start anew (a segment of its own); only the past that ranks refer to is kept.
    A latch remembers, so the first bars after a late start of the candles may differ from a longer history: give
    ``lookback`` bars more than ``warmup`` where that matters.

    Regimes describe the last bars, they do not promise the next ones: on a random walk of constant volatility the trend
    strength is beyond 1.1 for 27 % of the bars, and a rank is above 0.85 for 15 %.

    Raises
    ------
    DataError : a window or threshold is out of bounds, named with its value.

    References
    ----------
    Parkinson, *The Extreme Value Method for Estimating the Variance of the Rate of Return* (1980). Amihud,
    *Illiquidity and stock returns* (2002).

    Examples
    --------
    >>> classifier = RegimeClassifier(trend_window=24)
    >>> RegimeClassifier.from_dict(classifier.to_dict()) == classifier
    True
    >>> classifier.windows(timedelta(hours=1))
    RegimeWindows(trend_window=24, volatility_window=24, lookback=720, minimum_duration=6)
    """

    trend_window: int | None = None
    volatility_window: int | None = None
    lookback: int | None = None
    minimum_duration: int | None = None
    trend_enter: float = 1.1
    trend_exit: float = 0.7
    volatile_enter: float = 0.85
    volatile_exit: float = 0.75
    illiquid_enter: float = 0.12
    illiquid_exit: float = 0.22
    zero_volume_share: float = 0.5

    def __post_init__(self) -> None:
        for name, least in (("trend_window", 2), ("volatility_window", 2), ("lookback", 8), ("minimum_duration", 1)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least):
                raise DataError(f"{name} is {value!r}; a whole number of bars, at least {least}, was expected.")
            object.__setattr__(self, name, None if value is None else int(value))
        self._require_between("trend_enter", 0.0, 100.0)
        self._require_between("trend_exit", 0.0, self.trend_enter)
        self._require_between("volatile_enter", 0.0, 1.0)
        self._require_between("volatile_exit", 0.0, self.volatile_enter)
        self._require_between("illiquid_exit", 0.0, 1.0)
        self._require_between("illiquid_enter", 0.0, self.illiquid_exit)
        self._require_between("zero_volume_share", 0.0, 1.0)

    def _require_between(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not low <= value <= high:
            raise DataError(f"{name} is {value!r}; a number from {low} to {high} was expected.")
        object.__setattr__(self, name, float(value))

    def windows(self, length: timedelta | np.timedelta64) -> RegimeWindows:
        """The windows that a classification of bars of this length works with."""
        bar = timedelta(milliseconds=int(np.timedelta64(length, "ms").astype(np.int64)))
        default = next(windows for limit, windows in _DEFAULTS if bar < limit)
        given = {f.name: getattr(self, f.name) for f in fields(RegimeWindows) if getattr(self, f.name) is not None}
        return RegimeWindows(**{**asdict(default), **given})

    def classify(self, candles: pl.DataFrame) -> pl.DataFrame:
        """Name the regime of every candle.

        Parameters
        ----------
        candles : canonical candles, sorted by ``(symbol, ts)``.

        Returns
        -------
        ``[symbol, ts, regime, trend_strength, volatility_rank, liquidity_rank]``, one row for every candle, known at the
        candle's ``decision_time``. ``regime`` is a value of ``MarketRegime`` or null while warming up: all null where
        the candles are fewer than the warm-up. ``trend_strength`` is signed, positive upwards. ``liquidity_rank`` is the
        mean of two ranks, that of dollar volume and the reversed one of Amihud illiquidity: little traded *and* easily moved.

        Raises
        ------
        CandleError : a column is missing, a price is not positive, a volume is negative, or rows are not sorted.
        """
        require_candles(candles)
        n = candles.height
        code = np.full(n, -1, np.int8)
        trend, volatility, liquidity = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
        starts = np.flatnonzero(np.diff(candles["symbol"].rle_id().to_numpy().astype(np.int64), prepend=-1))
        edges = np.append(starts, n)
        if n and np.diff(edges).max() > 1:
            windows = self.windows(bar_length(candles))
            segment = with_segments(candles)["segment"].to_numpy()
            column = {name: candles[name].cast(pl.Float64).to_numpy() for name in _COLUMNS}
            for first, last in pairwise(edges):
                rows = slice(int(first), int(last))
                bars = {name: values[rows] for name, values in column.items()}
                code[rows], trend[rows], volatility[rows], liquidity[rows] = self._classify(bars, segment[rows], windows)
        names = pl.Series([str(regime) for regime in REGIME_ORDER])
        index = pl.Series(code).cast(pl.Int32)
        return candles.select("symbol", "ts").with_columns(
            regime=names.gather(index.set(index < 0, None)),
            trend_strength=pl.Series(trend).fill_nan(None),
            volatility_rank=pl.Series(volatility).fill_nan(None),
            liquidity_rank=pl.Series(liquidity).fill_nan(None),
        )

    def current_regime(self, candles: pl.DataFrame) -> dict[str, MarketRegime | None]:
        """Regime of every symbol at its last candle; ``None`` where it is not known yet."""
        last = self.classify(candles).group_by("symbol", maintain_order=True).last()
        return {
            str(symbol): None if regime is None else MarketRegime(regime)
            for symbol, regime in last.select("symbol", "regime").iter_rows()
        }

    def to_dict(self) -> dict[str, Any]:
        """Settings as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> RegimeClassifier:
        """Build from what :meth:`to_dict` gave; an unknown key is refused with the nearest right one."""
        known = [f.name for f in fields(cls)]
        for name in settings:
            if name not in known:
                raise nearest_name(name, known, kind="setting of the regime classifier")
        return cls(**settings)

    @property
    def hash(self) -> str:
        """First 16 hex digits of SHA-256 over the settings and the version of the algorithm."""
        content = json.dumps({"algorithm": _ALGORITHM, **self.to_dict()}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def _classify(
        self, bars: Mapping[str, NDArray[np.float64]], segment: NDArray[np.int32], windows: RegimeWindows
    ) -> tuple[NDArray[np.int8], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        position = np.arange(len(segment))
        age = position - np.maximum.accumulate(np.where(np.diff(segment, prepend=segment[0] - 1) != 0, position, 0))
        states = BarStates.of(self, bars, age, windows)
        code = confirmed(states.proposed, windows.minimum_duration)
        return code, states.trend, states.volatility, states.liquidity


@dataclass(frozen=True, eq=False)
class BarStates:
    """What every bar of one symbol, oldest first, is measured as, and which rules hold at it.

    Attributes
    ----------
    returns, money : of each bar. ranked : the volatility, money traded and Amihud illiquidity of the last bars.
    trend, volatility, liquidity : trend strength and ranks. illiquid, volatile, trending : which latches are on.
    proposed : int8, the regime of the bar before the minimum duration, -1 while unknown.
    """

    returns: NDArray[np.float64]
    money: NDArray[np.float64]
    ranked: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    trend: NDArray[np.float64]
    volatility: NDArray[np.float64]
    liquidity: NDArray[np.float64]
    illiquid: NDArray[np.bool_]
    volatile: NDArray[np.bool_]
    trending: NDArray[np.bool_]
    proposed: NDArray[np.int8]

    @classmethod
    def of(
        cls,
        rules: RegimeClassifier,
        bars: Mapping[str, NDArray[np.float64]],
        age: NDArray[np.int64],
        windows: RegimeWindows,
    ) -> BarStates:
        """Measure ``bars``, of which ``age`` counts those of the segment before each."""
        window, history = windows.volatility_window, windows.lookback // 4
        returns = log_returns(bars["close"], age)
        money = bars["close"] * bars["volume"]
        trend = drift_t_statistic(returns, windows.trend_window, age)
        ranked = (
            realised_volatility(bars["high"], bars["low"], window, age),
            rolling_sum(money, window, age),
            illiquidity(returns, money, window, age),
        )
        volatility, traded, impact = (past_rank(values, windows.lookback, history) for values in ranked)
        liquidity = (traded + 1.0 - impact) / 2.0
        idle = rolling_sum((bars["volume"] == 0).astype(np.float64), window, age) >= rules.zero_volume_share * window
        unknown = np.isnan(trend) | np.isnan(volatility) | np.isnan(liquidity)
        strength = np.abs(trend)
        illiquid = latch((liquidity <= rules.illiquid_enter) | idle, (liquidity > rules.illiquid_exit) | unknown)
        volatile = latch(volatility >= rules.volatile_enter, (volatility < rules.volatile_exit) | unknown)
        trending = latch(strength >= rules.trend_enter, (strength < rules.trend_exit) | unknown)
        proposed = np.select(
            [unknown, illiquid, volatile, trending],
            [-1, _CODE[MarketRegime.ILLIQUID], _CODE[MarketRegime.VOLATILE], _CODE[MarketRegime.TRENDING]],
            default=_CODE[MarketRegime.RANGING],
        ).astype(np.int8)
        return cls(returns, money, ranked, trend, volatility, liquidity, illiquid, volatile, trending, proposed)


def classify_regimes(candles: pl.DataFrame, **settings: Any) -> pl.DataFrame:
    """Name the regime of every candle: ``RegimeClassifier(**settings).classify(candles)``."""
    return RegimeClassifier.from_dict(settings).classify(candles)


def current_regime(candles: pl.DataFrame, **settings: Any) -> dict[str, MarketRegime | None]:
    """Regime of every symbol at its last candle; ``None`` where it is not known yet."""
    return RegimeClassifier.from_dict(settings).current_regime(candles)


def require_candles(candles: pl.DataFrame) -> None:
    """Refuse what is no canonical candles, with the reason and the first row that has it."""
    if not isinstance(candles, pl.DataFrame):
        raise CandleError(f"candles are a {type(candles).__name__}; a polars DataFrame of canonical candles was expected.")
    missing = [name for name in ("symbol", "ts", *_COLUMNS) if name not in candles.columns]
    if missing:
        raise CandleError(f"candles lack the column(s) {', '.join(missing)}; regimes need symbol, ts, {', '.join(_COLUMNS)}.")
    for name in ("symbol", "ts"):
        empty = candles[name].is_null()
        if empty.any():
            raise CandleError(f"column '{name}' is empty in row {empty.arg_max()}; every candle needs it.")
    above = pl.col("symbol") > pl.col("symbol").shift()
    later = (pl.col("symbol") == pl.col("symbol").shift()) & (pl.col("ts") > pl.col("ts").shift())
    checks = {
        **{f"{name} is not a finite price above 0": ~(pl.col(name).is_finite() & (pl.col(name) > 0)) for name in _COLUMNS[:4]},
        "volume is not a finite number, 0 or more": ~(pl.col("volume").is_finite() & (pl.col("volume") >= 0)),
        "it is not after the row above it, candles sorted by (symbol, ts) were expected": ~(above | later).fill_null(True),
    }
    for reason, wrong in checks.items():
        found = candles.select(wrong.fill_null(True)).to_series()
        if found.any():
            row = candles.row(int(found.arg_max() or 0), named=True)
            raise CandleError(f"the candle of {row['symbol']} at {row['ts']:%Y-%m-%d %H:%M} UTC cannot be used: {reason}.")
