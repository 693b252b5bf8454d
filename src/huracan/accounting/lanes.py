"""Candles and targets as arrays the step formula can walk through: time x symbols, aligned at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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

    def of(self, symbol: int) -> slice:
        """The rows in which ``symbol`` has bars."""
        return slice(len(self.fill) - int(self.n_steps[symbol]), None)


def make_lanes(
    candles: pl.DataFrame, targets: Mapping[str, Any], *, fill: PriceKind = "open", mark: PriceKind = "open"
) -> Lanes:
    """Align candles and targets; see :func:`huracan.accounting.backtest` for what they must be."""
    if (fill, mark) == ("close", "open"):
        raise AccountingError("fill='close' with mark='open' would value a position before it exists; use mark='close'.")
    frame = _checked_candles(candles)
    ts = frame["ts"].to_numpy()
    bar = bar_length_of(frame)
    aligned = {name: _align(frame, name, given) for name, given in targets.items()}
    if not aligned:
        raise AccountingError("no targets were given; at least one strategy was expected.")
    named = np.any([has_row for _, has_row in aligned.values()], axis=0)
    if not named.any():
        raise NotEnoughData("the targets hold no rows; at least one target weight was expected.")
    first, last = ts[named].min(), ts[named].max()

    ahead = 1 if mark == "open" or fill == "open" else 2
    spans: list[tuple[str, int, int, int]] = []
    for name, start, stop in _blocks(frame["symbol"]):
        if named[start:stop].any():
            low = start + int(np.searchsorted(ts[start:stop], first))
            high = min(start + int(np.searchsorted(ts[start:stop], last, side="right")), stop - ahead)
            if high > low:
                spans.append((name, low, high, stop))
    if not spans:
        raise NotEnoughData(
            f"targets run from {first} to {last}, and no symbol has {ahead + 1} bars from there on; "
            "a decision needs the next bar to fill in."
        )

    n = max(high - low for _, low, high, _ in spans)
    shape = (n, len(spans))
    column = {c: frame[c].to_numpy() for c in ("open", "close", "volume")}
    rate = frame["funding_rate"].fill_null(0.0).fill_nan(0.0).to_numpy() if "funding_rate" in frame.columns else None
    out = {"fill": np.ones(shape), "mark": np.ones(shape), "volume": np.zeros(shape), "bars": np.ones(shape)}
    funding = None if rate is None else np.zeros(shape)
    target = np.zeros((n, len(aligned), len(spans)))
    mark_ts = []
    for s, (_, low, high, stop) in enumerate(spans):
        at = slice(n - (high - low), None)
        entry = slice(low + 1, high + 1)
        out["fill"][at, s] = column[fill][entry]
        out["volume"][at, s] = column["volume"][entry]
        following = np.minimum(np.arange(low + 2, high + 2), stop - 1)
        has_next = np.arange(low + 2, high + 2) < stop
        if fill == mark == "open":
            out["mark"][at, s] = np.where(has_next, column["open"][following], column["close"][entry])
            when = np.where(has_next, ts[following], ts[entry] + bar)
        elif fill == "open":
            out["mark"][at, s] = column["close"][entry]
            when = ts[entry] + bar
        else:
            out["mark"][at, s] = column["close"][following]
            when = ts[following] + bar
        out["bars"][at, s] = np.where(has_next, (ts[following] - ts[entry]) / bar, 1.0)
        if funding is not None and rate is not None:
            funding[at, s] = rate[entry]
        for k, (values, _) in enumerate(aligned.values()):
            target[at, k, s] = values[low:high]
        mark_ts.append(when)
    return Lanes(
        symbols=tuple(name for name, *_ in spans),
        strategies=tuple(aligned),
        target=target,
        funding_rate=funding,
        n_steps=np.array([high - low for _, low, high, _ in spans]),
        mark_ts=tuple(mark_ts),
        bar_length=bar,
        **out,
    )


def bar_length_of(candles: pl.DataFrame) -> np.timedelta64:
    """The most frequent distance between two bars of one symbol, one day where there is a single bar."""
    steps = np.diff(candles["ts"].to_numpy().astype("datetime64[ms]"))
    steps = steps[(candles["symbol"][1:] == candles["symbol"][:-1]).to_numpy()] if len(steps) else steps
    if not len(steps):
        return _DAY
    lengths, counts = np.unique(steps, return_counts=True)
    return np.timedelta64(lengths[np.argmax(counts)])


def _checked_candles(candles: pl.DataFrame) -> pl.DataFrame:
    missing = [c for c in ("symbol", "ts", "open", "close") if c not in candles.columns]
    if missing:
        raise AccountingError(f"candles lack column '{missing[0]}'; they have {', '.join(candles.columns)}.")
    volume = pl.col("volume") if "volume" in candles.columns else pl.lit(np.inf)
    frame = candles.select(
        pl.col("symbol").cast(pl.String),
        _naive_ts(),
        pl.col("open", "close").cast(pl.Float64),
        volume.cast(pl.Float64).fill_null(0.0).fill_nan(0.0).alias("volume"),
        *([pl.col("funding_rate").cast(pl.Float64)] if "funding_rate" in candles.columns else []),
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


def _naive_ts() -> pl.Expr:
    return pl.col("ts").dt.replace_time_zone(None).cast(pl.Datetime("ms"))


def _blocks(symbol: pl.Series) -> list[tuple[str, int, int]]:
    runs = symbol.rle().struct.unnest()
    stops = runs["len"].cast(pl.Int64).cum_sum().to_list()
    return [(name, stop - size, stop) for name, size, stop in zip(runs["value"], runs["len"], stops, strict=True)]


def _align(frame: pl.DataFrame, name: str, targets: Any) -> tuple[Floats, NDArray[np.bool_]]:
    """Target weight of every candle (0 where there is none), and which candles the targets name."""
    if not isinstance(targets, pl.DataFrame):
        values = np.asarray(targets, dtype=np.float64)
        if values.shape != (frame.height,):
            raise AccountingError(
                f"targets of '{name}' have shape {values.shape}; one weight per candle, ({frame.height},), was expected."
            )
        return _finite(frame, name, values), np.ones(frame.height, dtype=bool)
    missing = [c for c in ("symbol", "ts", "target") if c not in targets.columns]
    if missing:
        raise AccountingError(f"targets of '{name}' lack column '{missing[0]}'; [symbol, ts, target] was expected.")
    mine = targets.select(pl.col("symbol").cast(pl.String), _naive_ts(), pl.col("target").cast(pl.Float64))
    keys = frame.select("symbol", "ts")
    if mine.height == keys.height and mine.select("symbol", "ts").equals(keys):
        return _finite(frame, name, mine["target"].to_numpy()), np.ones(frame.height, dtype=bool)
    row = mine.join(keys.with_row_index("row"), on=["symbol", "ts"], how="left", maintain_order="left")["row"]
    if row.null_count():
        lost = mine.filter(row.is_null()).row(0, named=True)
        raise AccountingError(
            f"{row.null_count()} target(s) of '{name}' have no candle, the first {lost['symbol']} at {lost['ts']}; "
            "a target belongs to the bar it was decided on."
        )
    at = row.to_numpy()
    count = np.bincount(at, minlength=frame.height)
    if count.max(initial=0) > 1:
        twice = keys.row(int(np.argmax(count > 1)), named=True)
        raise AccountingError(
            f"targets of '{name}' give {twice['symbol']} at {twice['ts']} more than once; one weight per bar was expected."
        )
    values = np.zeros(frame.height)
    values[at] = mine["target"].fill_null(np.nan).to_numpy()
    return _finite(frame, name, values), count > 0


def _finite(frame: pl.DataFrame, name: str, values: Floats) -> Floats:
    if np.isinf(values).any():
        row = int(np.argmax(np.isinf(values)))
        raise AccountingError(
            f"target of '{name}' for {frame['symbol'][row]} at {frame['ts'][row]} is {values[row]}; "
            "a finite weight or null was expected."
        )
    return np.nan_to_num(values)
