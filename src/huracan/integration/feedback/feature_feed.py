"""``FeatureFeed``: what the models read at a moment, the same whether one lives through it, starts again or replays it.

Features fade: an EMA remembers where its history began. So that the row of a moment is a function of the moment alone, time is
cut into chunks, and a row is computed from its chunk's beginning less a fixed history, in one batch. Which rows are asked for
together, what came before in the process, and what comes later do not change a bit of it. A replay computes each chunk once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.config import LabelConfig
from huracan.integration.feedback.candle_window import CandleWindow
from huracan.integration.feedback.chunks import Arrays, Chunks, Gathered, Kind
from huracan.integration.feedback.cleaned_window import FILLED
from huracan.integration.preparation import labels_of
from huracan.labels.grid import DEFAULT_VOLATILITY_SPAN, ewma_volatility
from huracan.market import with_segments
from huracan.preprocessing import FeatureRecipe
from huracan.regimes import RegimeClassifier
from huracan.serving.row_keys import regime_codes

__all__ = ["FeatureFeed", "FeatureSlice", "LabelSlice"]

Floats = NDArray[np.float64]
_SPANS = 5
"""Spans of volatility after which what it began with weighs less than a hundredth of a percent."""
_NEVER = np.iinfo(np.int64).max // 2


@dataclass(frozen=True, eq=False)
class FeatureSlice:
    """Rows of features, sorted by ``(symbol, ts)``: one for each candle, complete or not, that cleaning did not put in.

    Attributes
    ----------
    columns : d names. symbols : that ``code`` (n,) counts. ts : int64 (n,), open of the bar, milliseconds UTC.
    X : float32 (n, d), NaN where there is no value. segment : int32 (n,), counted from 0 within each symbol; another one begins
        where a bar is missing, and the first is 1 where one is missing before it. age : (n,) bars before it in its segment, as
        far as the history of its chunk goes. regime : (n,) codes of ``REGIME_ORDER``, -1 while unknown.
    volatility : float64 (n,) of one bar's log return, NaN while warming up.
    """

    columns: tuple[str, ...]
    symbols: tuple[str, ...]
    code: NDArray[np.int32]
    ts: NDArray[np.int64]
    X: NDArray[np.float32]
    segment: NDArray[np.int32]
    age: NDArray[np.int64]
    regime: NDArray[np.int64]
    volatility: Floats

    def __len__(self) -> int:
        return len(self.ts)


@dataclass(frozen=True, eq=False)
class LabelSlice:
    """What became of the decision at every bar of :class:`FeatureSlice`, as far as it was known, sorted by ``(symbol, ts)``.

    Attributes
    ----------
    symbols, code, ts : as of :class:`FeatureSlice`. label, execution_return : float64 (n,), NaN while not known.
    label_end : int64 (n,), milliseconds UTC, -1 while not known.
    bar_return : float64 (n,), from the open after the bar to the one after that: what one bar of a position earns; or NaN.
    bars : float64 (n,), how many bars lie between these two opens: more than one over a gap.
    """

    symbols: tuple[str, ...]
    code: NDArray[np.int32]
    ts: NDArray[np.int64]
    label: Floats
    label_end: NDArray[np.int64]
    execution_return: Floats
    bar_return: Floats
    bars: Floats

    def __len__(self) -> int:
        return len(self.ts)


class FeatureFeed:
    """Features, regimes and labels of the candles there are.

    Parameters
    ----------
    candles : where they come from. symbols : all that are looked at; features that compare symbols compare these.
    chunk : milliseconds; a whole number of bars. kept : chunks that are remembered of each quantity.

    Notes
    -----
    Everything is asked *as of* a moment ``until``: rows of bars that were closed by then, labels whose last candle was closed
    by then (that of bar t needs the open of bar ``t + horizon + 1``, which is there once that bar is closed). So a window that
    knows the future gives what one gives that does not.

    Raises
    ------
    DataError : the chunk is no whole number of bars.

    Examples
    --------
    >>> from huracan.integration.feedback.candle_window import FrameWindow
    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=400, n_symbols=2, seed=0).candles
    >>> hour, symbols = 3_600_000, tuple(candles["symbol"].unique().sort())
    >>> feed = FeatureFeed(FrameWindow(candles, hour), symbols, chunk=240 * hour)
    >>> last = int(candles["ts"].dt.epoch("ms")[-1])
    >>> rows = feed.at(FeatureRecipe.minimal(), symbols, last - 2 * hour, last + hour)
    >>> len(rows), rows.symbols == symbols, bool(np.isfinite(rows.X).all())
    (6, True, True)
    >>> told = feed.labels(LabelConfig(horizon=1), symbols, last - 4 * hour, last + hour)
    >>> np.isfinite(told.label[told.code == 0]).tolist()
    [True, True, True, False, False]
    """

    def __init__(self, candles: CandleWindow, symbols: Sequence[str], *, chunk: int, kept: int = 2) -> None:
        self.candles, self.symbols = candles, tuple(sorted(set(symbols)))
        self._chunks = Chunks(candles, self.symbols, chunk=chunk, kept=kept)

    @property
    def refused(self) -> dict[str, str]:
        """Symbol -> why its candles gave nothing when something was last asked for; the others went on without it."""
        return dict(self._chunks.refused)

    def at(
        self,
        recipe: FeatureRecipe,
        symbols: Sequence[str],
        first: int,
        until: int,
        *,
        rules: RegimeClassifier | None = None,
        volatility_span: int = DEFAULT_VOLATILITY_SPAN,
    ) -> FeatureSlice:
        """Rows of bars that open from ``first`` on and are closed by ``until``, milliseconds UTC.

        Parameters
        ----------
        symbols : of which rows are wanted, some of the feed's. rules : that name the regime; unknown everywhere without.
        volatility_span : in bars.
        """
        self._chunks.begin()
        wanted = self._wanted(symbols)
        rows = self._chunks.gathered(_features(recipe, self.candles.bar), wanted, first, until)
        spread = self._chunks.gathered(_volatility(volatility_span), wanted, first, until)
        regime = np.full(len(rows), -1, np.int64)
        if rules is not None:
            regime = _placed(rows, self._chunks.gathered(_regimes(rules, self.candles.bar), wanted, first, until), "regime", -1)
        return FeatureSlice(
            columns=recipe.columns,
            symbols=wanted,
            code=rows.code,
            ts=rows.ts,
            X=rows.values["X"],
            segment=_segments(rows, self.candles.bar),
            age=rows.values["age"],
            regime=regime,
            volatility=_placed(rows, spread, "volatility", np.nan),
        )

    def regimes(self, rules: RegimeClassifier, symbols: Sequence[str], first: int, until: int) -> Gathered:
        """The regime of the bars of :meth:`at` alone, as ``values["regime"]``: codes of ``REGIME_ORDER``."""
        self._chunks.begin()
        return self._chunks.gathered(_regimes(rules, self.candles.bar), self._wanted(symbols), first, until)

    def regime_of(self, rules: RegimeClassifier, rows: FeatureSlice) -> NDArray[np.int64]:
        """The regime of rows that :meth:`at` gave, by other rules: codes of ``REGIME_ORDER``, -1 while unknown."""
        if not len(rows):
            return np.empty(0, np.int64)
        given = self.regimes(rules, rows.symbols, int(rows.ts.min()), int(rows.ts.max()) + self.candles.bar)
        return _placed(rows, given, "regime", -1)

    def labels(self, labels: LabelConfig, symbols: Sequence[str], first: int, until: int) -> LabelSlice:
        """What became of the decisions at the bars of :meth:`at`, as far as it was known by ``until``."""
        self._chunks.begin()
        wanted, bar = self._wanted(symbols), self.candles.bar
        rows = self._chunks.gathered(_labels(labels, bar), wanted, first, until)
        told = rows.ts + (labels.horizon + 2) * bar <= until
        marked = rows.values["marked"] + bar <= until
        return LabelSlice(
            symbols=wanted,
            code=rows.code,
            ts=rows.ts,
            label=np.where(told, rows.values["label"], np.nan),
            label_end=np.where(told, rows.values["label_end"], -1),
            execution_return=np.where(told, rows.values["execution_return"], np.nan),
            bar_return=np.where(marked, rows.values["bar_return"], np.nan),
            bars=np.where(marked, rows.values["bars"], np.nan),
        )

    def _wanted(self, symbols: Sequence[str]) -> tuple[str, ...]:
        asked = set(symbols)
        return tuple(symbol for symbol in self.symbols if symbol in asked)


def _features(recipe: FeatureRecipe, bar: int) -> Kind:
    def compute(candles: pl.DataFrame) -> Arrays:
        numbered = with_segments(candles)
        frame = recipe.compute(numbered)
        X = frame.select(pl.col(name).cast(pl.Float32).fill_null(float("nan")) for name in recipe.columns).to_numpy()
        start = _starts(candles, bar)
        return {
            "X": np.ascontiguousarray(X),
            "gap": numbered["segment"].to_numpy() > 0,
            "bridged": _bridged(candles, bar),
            "age": np.arange(len(start)) - start,
        }

    def blank(n: int) -> Arrays:
        X = np.full((n, len(recipe.columns)), np.nan, np.float32)
        return {"X": X, "gap": np.zeros(n, np.bool_), "bridged": np.zeros(n, np.bool_), "age": np.zeros(n, np.int64)}

    return Kind(("features", recipe.hash), compute, blank, history=recipe.warmup)


def _volatility(span: int) -> Kind:
    def compute(candles: pl.DataFrame) -> Arrays:
        segment = with_segments(candles)["segment"].to_numpy()
        symbol = candles["symbol"].rle_id().to_numpy()
        new = np.append(True, (np.diff(segment) != 0) | (symbol[1:] != symbol[:-1]))
        start = np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))
        return {"volatility": ewma_volatility(candles["close"].cast(pl.Float64).to_numpy(), start, span)}

    return Kind(("volatility", str(span)), compute, lambda n: {"volatility": np.full(n, np.nan)}, history=_SPANS * span)


def _regimes(rules: RegimeClassifier, bar: int) -> Kind:
    windows = rules.windows(timedelta(milliseconds=bar))

    def compute(candles: pl.DataFrame) -> Arrays:
        return {"regime": regime_codes(rules.classify(candles)["regime"])}

    return Kind(
        ("regimes", rules.hash),
        compute,
        lambda n: {"regime": np.full(n, -1, np.int64)},
        history=windows.warmup + windows.lookback,
    )


def _labels(labels: LabelConfig, bar: int) -> Kind:
    """Beside the labels, what one bar of a position earns: from the open of the next candle to that of the one after it.

    At the price of a bar that cleaning put in nobody trades: no label begins or ends there, and positions are held over it.
    """

    def compute(candles: pl.DataFrame) -> Arrays:
        frame = labels_of(labels, candles)
        ts = candles["ts"].dt.epoch("ms").to_numpy()
        price = candles["open"].cast(pl.Float64).to_numpy()
        symbol = candles["symbol"].rle_id().to_numpy()
        filled = _filled(candles)
        values = blank(len(ts))
        label_end = frame["label_end"].dt.epoch("ms").fill_null(-1).to_numpy()
        real = ~_invented(symbol, ts, label_end, filled)
        values["label"][real] = frame["label"].fill_null(np.nan).to_numpy()[real]
        values["execution_return"][real] = frame["execution_return"].fill_null(np.nan).to_numpy()[real]
        values["label_end"][real] = label_end[real]
        there = np.flatnonzero(~filled)
        traded = np.flatnonzero(symbol[there][2:] == symbol[there][:-2])
        at, entry, leave = there[traded], there[traded + 1], there[traded + 2]
        values["bar_return"][at] = price[leave] / price[entry] - 1.0
        values["bars"][at] = (ts[leave] - ts[entry]) / bar
        values["marked"][at] = ts[leave]
        return values

    def blank(n: int) -> Arrays:
        empty = {name: np.full(n, np.nan) for name in ("label", "execution_return", "bar_return", "bars")}
        return {**empty, "label_end": np.full(n, -1, np.int64), "marked": np.full(n, _NEVER)}

    return Kind(
        ("labels", labels.model_dump_json()),
        compute,
        blank,
        history=_SPANS * labels.volatility_span,
        ahead=max(labels.horizon + 1, 2),
    )


def _starts(candles: pl.DataFrame, bar: int) -> NDArray[np.int64]:
    """Place of the first bar of each bar's segment."""
    ts, symbol = candles["ts"].dt.epoch("ms").to_numpy(), candles["symbol"].rle_id().to_numpy()
    new = np.append(True, (np.diff(ts) != bar) | (symbol[1:] != symbol[:-1]))
    return np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))


def _filled(candles: pl.DataFrame) -> NDArray[np.bool_]:
    """Which bars cleaning put in."""
    return candles[FILLED].to_numpy() if FILLED in candles.columns else np.zeros(candles.height, np.bool_)


def _invented(
    symbol: NDArray[Any], ts: NDArray[np.int64], label_end: NDArray[np.int64], filled: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Labels that begin or end at the price of a bar that was put in."""
    if not filled.any():
        return filled
    shift = np.int64(ts.max()) + 1
    own = symbol.astype(np.int64) * shift
    entry = np.append(filled[1:] & (symbol[1:] == symbol[:-1]), False)
    return entry | np.isin(own + label_end, (own + ts)[filled])


def _bridged(candles: pl.DataFrame, bar: int) -> NDArray[np.bool_]:
    """Bars before which some are missing, all of which cleaning put in."""
    bridged = np.zeros(candles.height, np.bool_)
    there = np.flatnonzero(~_filled(candles))
    ts, symbol = candles["ts"].dt.epoch("ms").to_numpy()[there], candles["symbol"].rle_id().to_numpy()[there]
    apart = np.diff(ts) // bar
    bridged[there[1:]] = (symbol[1:] == symbol[:-1]) & (apart > 1) & (np.diff(there) == apart)
    return bridged


def _segments(rows: Gathered, bar: int) -> NDArray[np.int32]:
    """Counted within each symbol; the first is 1 where a bar is missing before it."""
    if not len(rows):
        return np.empty(0, np.int32)
    first = np.append(True, rows.code[1:] != rows.code[:-1])
    gap = np.append(False, np.diff(rows.ts) != bar) & ~first & ~rows.values["bridged"]
    count = np.cumsum(gap)
    at = np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))
    return (count - count[at] + rows.values["gap"][at]).astype(np.int32)


def _placed(rows: Gathered | FeatureSlice, given: Gathered, name: str, missing: float) -> NDArray:
    """A quantity at the rows of another, where it has them: each may have been refused for other symbols."""
    values = given.values[name]
    if np.array_equal(given.code, rows.code) and np.array_equal(given.ts, rows.ts):
        return values
    shift = np.int64(1) + max(rows.ts.max(initial=0), given.ts.max(initial=0))
    asked, there = rows.code * shift + rows.ts, given.code * shift + given.ts  # both ascend
    at = np.searchsorted(there, asked)
    hit = np.append(there, -1)[at] == asked
    placed = np.full(len(rows), missing, values.dtype)
    placed[hit] = values[at[hit]]
    return placed
