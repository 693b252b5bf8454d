"""Candles and targets as arrays the step formula can walk through: time x symbols, aligned at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import AccountingError, NotEnoughData

__all__ = ["Lanes", "PriceKind", "bar_length_of", "make_lanes"]

PriceKind = Literal["open", "close"]
Floats = NDArray[np.float64]

_DAY = np.timedelta64(86_400_000, "ms")


@dataclass(frozen=True, eq=False)
class Lanes:
    """Everything a run over time reads; arrays are (steps, symbols), right-aligned: all symbols end on the last row.

    Rows before a symbol's first step hold price 1 and target 0, which leaves its account as it is. Step i of a symbol
    decides on its bar k, fills in bar k+1. ``target`` is (steps, strategies, symbols). ``mark_ts[s]`` is the time of
    each valuation of symbol s, ``n_steps[s]`` how many there are.
    """

    symbols: tuple[str, ...]
    strategies: tuple[str, ...]
    fill: Floats
    mark: Floats
    target: Floats
    volume: Floats
    funding_rate: Floats | None
    bars: Floats
    n_steps: NDArray[np.int64]
    mark_ts: tuple[NDArray[np.datetime64], ...]
    bar_length: np.timedelta64

    @cached_property
    def grid(self) -> NDArray[np.datetime64]:
        """Every time at which some symbol is valued; the first symbol's own array where all share it."""
        first = self.mark_ts[0]
        if all(np.array_equal(first, other) for other in self.mark_ts[1:]):
            return first
        return np.unique(np.concatenate(self.mark_ts))

    def of(self, symbol: int) -> slice:
        """The rows in which ``symbol`` has bars."""
        return slice(len(self.fill) - int(self.n_steps[symbol]), None)

    def only(self, symbol: int) -> Lanes:
        """The lanes of one symbol."""
        arrays = ("fill", "mark", "volume", "bars")
        cut = {name: getattr(self, name)[:, [symbol]] for name in arrays}
        return replace(
            self,
            symbols=(self.symbols[symbol],),
            target=self.target[:, :, [symbol]],
            funding_rate=None if self.funding_rate is None else self.funding_rate[:, [symbol]],
            n_steps=self.n_steps[[symbol]],
            mark_ts=(self.mark_ts[symbol],),
            **cut,
        )


def make_lanes(
    candles: pl.DataFrame, targets: Mapping[str, Any], *, fill: PriceKind = "open", mark: PriceKind = "open"
) -> Lanes:
    """Align candles and targets; see :func:`huracan.accounting.backtest` for what they must be."""
    if (fill, mark) == ("close", "open"):
        raise AccountingError("fill='close' with mark='open' would value a position before it exists; use mark='close'.")
    frame = _checked_candles(candles)
    ts = frame["ts"].to_numpy()
    bar = bar_length_of(frame)
    if not targets:
        raise AccountingError("no targets were given; at least one strategy was expected.")
    rows = _Rows(frame)
    found = {name: rows.find(name, given) for name, given in targets.items()}
    spans = _spans(frame, [row for row, _ in found.values()], ahead=2 if fill == "close" else 1)

    shape = (max(span.n for span in spans), len(spans))
    out = {"fill": np.ones(shape), "mark": np.ones(shape), "volume": np.zeros(shape), "bars": np.ones(shape)}
    funding = np.zeros(shape) if "funding_rate" in frame.columns else None
    price = {name: frame[name].to_numpy() for name in ("open", "close")}
    volume = frame["volume"].to_numpy()
    rate = frame["funding_rate"].to_numpy() if funding is not None else None
    mark_ts = []
    for s, span in enumerate(spans):
        at = slice(shape[0] - span.n, None)
        entry = np.arange(span.low + 1, span.high + 1)
        following = np.minimum(entry + 1, span.stop - 1)
        has_next = entry + 1 < span.stop
        out["fill"][at, s] = price[fill][entry]
        out["volume"][at, s] = volume[entry]
        out["bars"][at, s] = np.where(has_next, (ts[following] - ts[entry]) / bar, 1.0)
        if funding is not None and rate is not None:
            funding[at, s] = rate[entry]
        valued = following if fill == "close" else entry
        if mark == "open":
            out["mark"][at, s] = np.where(has_next, price["open"][following], price["close"][entry])
            mark_ts.append(np.where(has_next, ts[following], ts[entry] + bar))
        else:
            out["mark"][at, s] = price["close"][valued]
            mark_ts.append(ts[valued] + bar)
    return Lanes(
        symbols=tuple(span.symbol for span in spans),
        strategies=tuple(found),
        target=_target_lanes(frame.height, list(found.values()), spans),
        funding_rate=funding,
        n_steps=np.array([span.n for span in spans]),
        mark_ts=tuple(mark_ts),
        bar_length=bar,
        **out,
    )


class _Span(NamedTuple):
    """Candle rows ``[low, high)`` of a symbol are decided on; its rows end before ``stop``."""

    symbol: str
    low: int
    high: int
    stop: int

    @property
    def n(self) -> int:
        return self.high - self.low


def _spans(frame: pl.DataFrame, named_rows: list[NDArray[np.int64]], *, ahead: int) -> list[_Span]:
    """The rows of every symbol between the first and the last target that have ``ahead`` bars after them."""
    ts = frame["ts"].to_numpy()
    named = np.zeros(frame.height, dtype=bool)
    for rows in named_rows:
        named[rows] = True
    if not named.any():
        raise NotEnoughData("the targets hold no rows; at least one target weight was expected.")
    first, last = ts[named].min(), ts[named].max()
    spans = []
    for name, start, stop in _blocks(frame["symbol"]):
        if named[start:stop].any():
            low = start + int(np.searchsorted(ts[start:stop], first))
            high = min(start + int(np.searchsorted(ts[start:stop], last, side="right")), stop - ahead)
            if high > low:
                spans.append(_Span(name, low, high, stop))
    if not spans:
        raise NotEnoughData(
            f"targets run from {first} to {last}, and no symbol has {ahead + 1} bars from there on; "
            "a decision needs the next bar to fill in."
        )
    return spans


def _target_lanes(n_rows: int, found: list[tuple[NDArray[np.int64], Floats]], spans: list[_Span]) -> Floats:
    n = max(span.n for span in spans)
    target = np.zeros((n, len(found), len(spans)))
    weight = np.zeros(n_rows)
    for k, (rows, values) in enumerate(found):
        weight[:] = 0.0
        weight[rows] = values
        for s, span in enumerate(spans):
            target[n - span.n :, k, s] = weight[span.low : span.high]
    return target


def bar_length_of(candles: pl.DataFrame) -> np.timedelta64:
    """The most frequent distance between two bars of one symbol, one day where there is a single bar."""
    steps = np.diff(candles["ts"].to_numpy().astype("datetime64[ms]"))
    steps = steps[(candles["symbol"][1:] == candles["symbol"][:-1]).to_numpy()] if len(steps) else steps
    if not len(steps):
        return _DAY
    lengths, counts = np.unique(steps, return_counts=True)
    return np.timedelta64(lengths[np.argmax(counts)])


def _checked_candles(candles: pl.DataFrame) -> pl.DataFrame:
    if candles.is_empty():
        raise NotEnoughData("there are no candles.")
    _require_columns(candles, ("symbol", "ts", "open", "close"), "candles")
    volume = pl.col("volume") if "volume" in candles.columns else pl.lit(np.inf)
    funding = (
        [pl.col("funding_rate").cast(pl.Float64).fill_null(0.0).fill_nan(0.0)] if "funding_rate" in candles.columns else []
    )
    frame = candles.select(
        pl.col("symbol").cast(pl.String),
        _naive_ts(),
        pl.col("open", "close").cast(pl.Float64),
        volume.cast(pl.Float64).fill_null(0.0).fill_nan(0.0).alias("volume"),
        *funding,
    )
    if (
        not frame.select((pl.col("symbol") <= pl.col("symbol").shift(-1)).all()).item()
        or frame.filter((pl.col("symbol") == pl.col("symbol").shift(1)) & (pl.col("ts") <= pl.col("ts").shift(1))).height
    ):
        raise AccountingError("candles are not sorted by (symbol, ts) with one row per bar; sort them and drop duplicates.")
    for name in ("open", "close"):
        bad = frame.with_row_index("row").filter(~(pl.col(name).is_finite() & (pl.col(name) > 0)).fill_null(False))
        if bad.height:
            row = bad.row(0, named=True)
            raise AccountingError(
                f"{name} of {row['symbol']} at {row['ts']} (row {row['row']}) is {row[name]}; a price above zero was expected."
            )
    return frame


def _require_columns(frame: pl.DataFrame, columns: tuple[str, ...], what: str) -> None:
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise AccountingError(f"{what} lack column '{missing[0]}'; they have {', '.join(frame.columns)}.")
    if not isinstance(frame.schema["ts"], pl.Datetime):
        raise AccountingError(f"column 'ts' of {what} is {frame.schema['ts']}; UTC datetimes were expected.")
    for name in ("symbol", "ts"):
        if frame[name].null_count():
            row = int(frame[name].is_null().arg_max() or 0)
            raise AccountingError(f"column '{name}' of {what} is null in row {row}; a value was expected.")


def _naive_ts() -> pl.Expr:
    return pl.col("ts").dt.replace_time_zone(None).cast(pl.Datetime("ms"))


def _blocks(symbol: pl.Series) -> list[tuple[str, int, int]]:
    runs = symbol.rle().struct.unnest()
    stops = runs["len"].cast(pl.Int64).cum_sum().to_list()
    return [(name, stop - size, stop) for name, size, stop in zip(runs["value"], runs["len"], stops, strict=True)]


class _Rows:
    """Finds the candle row of every target; targets on the same bars as the ones before are not looked up again."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self.symbols = pl.Enum(frame["symbol"].unique(maintain_order=True))
        self.low, self.width = _bounds(frame["ts"])
        self.keys = self._key(frame)
        self.latest: tuple[pl.DataFrame, NDArray[np.int64]] | None = None

    def find(self, name: str, targets: Any) -> tuple[NDArray[np.int64], Floats]:
        """Candle rows that the targets name, and the weight for each (0 for a null)."""
        if not isinstance(targets, pl.DataFrame):
            values = np.asarray(targets, dtype=np.float64)
            if values.shape != (self.frame.height,):
                raise AccountingError(
                    f"targets of '{name}' have shape {values.shape}; "
                    f"one weight per candle, ({self.frame.height},), was expected."
                )
            at = np.arange(self.frame.height)
        else:
            _require_columns(targets, ("symbol", "ts", "target"), f"targets of '{name}'")
            named = targets.select(pl.col("symbol").cast(pl.String), _naive_ts())
            if self.latest is None or not self.latest[0].equals(named):
                self.latest = (named, self._look_up(name, named))
            at = self.latest[1]
            values = targets["target"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        return at, _finite(self.frame, name, at, values)

    def _look_up(self, name: str, named: pl.DataFrame) -> NDArray[np.int64]:
        key = self._key(named)
        at = np.searchsorted(self.keys, key).clip(max=len(self.keys) - 1)
        lost = self.keys[at] != key
        if lost.any():
            symbol, ts = named.row(int(np.argmax(lost)))
            raise AccountingError(
                f"{int(lost.sum())} target(s) of '{name}' have no candle, the first {symbol} at {ts}; "
                "a target belongs to the bar it was decided on."
            )
        count = np.bincount(at, minlength=len(self.keys))
        if count.max(initial=0) > 1:
            symbol, ts = self.frame.select("symbol", "ts").row(int(np.argmax(count > 1)))
            raise AccountingError(f"targets of '{name}' give {symbol} at {ts} more than once; one weight per bar was expected.")
        return at

    def _key(self, frame: pl.DataFrame) -> NDArray[np.int64]:
        """One increasing integer per (symbol, ts) of the candles; -1 for what lies outside."""
        code = frame["symbol"].cast(self.symbols, strict=False).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
        offset = frame["ts"].to_numpy().astype(np.int64) - self.low
        inside = (code >= 0) & (offset >= 0) & (offset < self.width)
        return np.where(inside, code * self.width + offset, -1)


def _bounds(ts: pl.Series) -> tuple[int, int]:
    stamps = ts.to_numpy().astype(np.int64)
    return int(stamps.min()), int(stamps.max() - stamps.min()) + 1


def _finite(frame: pl.DataFrame, name: str, at: NDArray[np.int64], values: Floats) -> Floats:
    if np.isinf(values).any():
        first = int(np.argmax(np.isinf(values)))
        symbol, ts = frame.select("symbol", "ts").row(int(at[first]))
        raise AccountingError(
            f"target of '{name}' for {symbol} at {ts} is {values[first]}; a finite weight or null was expected."
        )
    return np.nan_to_num(values)
