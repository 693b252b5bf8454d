"""Rows that should not be there: out of order, there twice, or impossible."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from huracan.errors import CandleError
from huracan.market.schema import written_time
from huracan.market.segments import steps_of, written_length
from huracan.market.validity import impossible_values, lasting_step
from huracan.preprocessing.cleaning.ledger import Ledger

__all__ = ["Grid", "grid_of", "in_order", "possible", "unique_bars"]

_SAME_BAR = (pl.col("symbol") == pl.col("symbol").shift(1)) & (pl.col("ts") == pl.col("ts").shift(1))

FIRST_BARS = 50
"""Steps of each symbol that tell its bar length: the first ones, so that what comes later alters nothing before it."""
_ANOTHER_LENGTH = 20
"""Equal steps in a row that are bars of another length, not rows gone astray."""


@dataclass(frozen=True)
class Grid:
    """Where bars open: every ``bar`` milliseconds from the first open of their symbol, in milliseconds since 1970.

    A symbol that is not in ``first`` has no grid to be off.
    """

    bar: int
    first: dict[str, int]

    @property
    def is_off(self) -> pl.Expr:
        """Rows that lie off it."""
        since = pl.col("symbol").replace_strict(self.first, default=None, return_dtype=pl.Int64)
        return ((pl.col("ts").dt.epoch("ms") - since) % self.bar != 0).fill_null(False)


def in_order(frame: pl.DataFrame, ledger: Ledger, unsorted: str) -> pl.DataFrame:
    """Sort by ``(symbol, ts)``; a row is out of order where its symbol has a later time above it."""
    lost = frame.filter(pl.col("symbol").is_null() | pl.col("ts").is_null())
    if lost.height:
        row, name = lost["row"][0], "symbol" if lost["symbol"][0] is None else "ts"
        if ledger.policy.invalid == "refuse":
            raise CandleError(f"column '{name}' is empty in row {row} ({lost.height} rows); every bar needs it.")
        ledger.set_aside(lost, "invalid", f"no {name}: every bar needs a symbol and a time")
        frame = frame.filter(pl.col("symbol").is_not_null() & pl.col("ts").is_not_null())
    grouped = frame if frame["symbol"].is_sorted() else frame.sort("symbol", maintain_order=True)
    back = (pl.col("symbol") == pl.col("symbol").shift(1)) & (pl.col("ts") < pl.col("ts").shift(1))
    if not grouped.select(back.any()).item():
        return grouped
    moved = grouped.filter(pl.col("ts") < pl.col("ts").cum_max().over("symbol"))
    first = moved.row(0, named=True)
    if unsorted == "refuse":
        raise CandleError(
            f"{first['symbol']}: {_when(first)} in row {first['row']} comes after a later bar ({moved.height} such rows); "
            "unsorted='sort' sorts them."
        )
    ledger.record(moved, "moved", "stood after a later bar of its symbol")
    return grouped.sort("symbol", "ts", maintain_order=True)


def unique_bars(frame: pl.DataFrame, ledger: Ledger, duplicates: str) -> pl.DataFrame:
    """Keep one row a symbol and time; ``frame`` is sorted, equal times in the order of the source."""
    if not frame.select(_SAME_BAR.any()).item():
        return frame
    twice = _SAME_BAR.fill_null(False) | _SAME_BAR.shift(-1).fill_null(False)
    columns = ledger.columns
    stopgap = twice & pl.col("filled") & ~pl.col("filled").all().over("symbol", "ts")
    ledger.set_aside(frame.filter(stopgap), "orphan", "a filled bar whose real bar is there")
    frame = frame.filter(~stopgap)
    if not frame.select(_SAME_BAR.any()).item():
        return frame
    several = frame.filter(twice).with_columns(
        pl.struct(columns).n_unique().over("symbol", "ts").alias("different"),
        pl.col("row").sort_by("row").get(-1 if duplicates == "last" else 0).over("symbol", "ts").alias("kept"),
    )
    conflicts = several.filter(pl.col("different") > 1)
    if conflicts.height and duplicates in ("refuse", "exact"):
        raise CandleError(_contradiction(conflicts, columns))
    if duplicates == "refuse":
        first = several.row(0, named=True)
        raise CandleError(
            f"{first['symbol']}: {_when(first)} is there more than once with the same values "
            f"({several.filter(pl.col('row') != pl.col('kept')).height} rows too many); one bar a time was expected, "
            "duplicates='exact' keeps one of each."
        )
    dropped = several.filter(pl.col("row") != pl.col("kept"))
    kept = frame.rename({name: f"{name}_kept" for name in columns}).rename({"row": "kept"}).drop("symbol", "ts")
    pairs = dropped.join(kept, on="kept", how="left", maintain_order="left")
    differs = [pl.col(name).ne_missing(pl.col(f"{name}_kept")) for name in columns]
    pairs = pairs.with_columns(pl.any_horizontal(differs).alias("conflicting"))
    same, other = pairs.filter(~pl.col("conflicting")), pairs.filter("conflicting")
    ledger.set_aside(same, "duplicate", pl.format("the same as row {}", "kept"))
    reason = pl.format(f"contradicts row {{}}, the {'last' if duplicates == 'last' else 'first'} of its time, kept", "kept")
    ledger.set_aside(other, "conflicting duplicate", reason, listed=False)
    for name in columns:
        unequal = other.filter(pl.col(name).ne_missing(pl.col(f"{name}_kept")))
        ledger.record(unequal, "conflicting duplicate", reason, column=name, old=pl.col(name), new=pl.col(f"{name}_kept"))
    return frame.join(dropped.select("row"), on="row", how="anti", maintain_order="left")


def possible(frame: pl.DataFrame, grid: Grid | None, ledger: Ledger, invalid: str) -> pl.DataFrame:
    """Take out bars that no market makes; ``frame`` is sorted, one row a symbol and time."""
    rules = impossible_values(frame.columns)
    if grid is not None:
        rules.append(("ts", grid.is_off, "a time on the grid of the bar length was expected"))
    broken = pl.coalesce([pl.when(bad).then(pl.lit(i)) for i, (_, bad, _) in enumerate(rules)])
    judged = frame.select("row", broken.alias("rule")).filter(pl.col("rule").is_not_null())
    if judged.is_empty():
        return frame
    for number, (name, _, expected) in enumerate(rules):
        rows = judged.filter(pl.col("rule") == number)
        if rows.is_empty():
            continue
        bad = frame.join(rows, on="row", how="semi", maintain_order="left")
        if invalid == "refuse":
            first = bad.row(0, named=True)
            value = "" if name == "ts" else f" {name} is {first[name]}"
            bars = f"{judged.height} impossible bar{'' if judged.height == 1 else 's'}"
            raise CandleError(
                f"{first['symbol']}:{value} at {_when(first)} in row {first['row']} ({bars}); {expected}, "
                "invalid='drop' sets them aside."
            )
        old = pl.lit(None, pl.Float64) if name == "ts" else pl.col(name)
        ledger.set_aside(bad, "invalid", f"{name}: {expected}", column=name, old=old)
    return frame.join(judged, on="row", how="anti", maintain_order="left")


def grid_of(frame: pl.DataFrame) -> Grid | None:
    """Bar length and grid, from the first bars of each symbol that can be true; None where no symbol has two.

    The grid is that of the very first bar. ``frame`` is sorted, one row a symbol and time.

    Raises
    ------
    CandleError : symbols have bars of different lengths, a symbol's bars become bars of another length, or most of its
        first bars lie off the grid of the first one, so that nobody can tell which are right.
    """
    bad = pl.any_horizontal(bad for _, bad, _ in impossible_values(frame.columns))
    bars = frame.select("symbol", "ts", bad=bad).filter(~pl.col("bad")).drop("bad")
    begin = bars.group_by("symbol", maintain_order=True).head(FIRST_BARS + 1)
    steps = steps_of(begin)
    if steps.is_empty():
        return None
    counted = steps.group_by("symbol", "step").len().sort(["len", "step"], descending=[True, False])
    usual = counted.unique("symbol", keep="first", maintain_order=True).sort("step", "symbol")
    bar = int(usual["step"][0])
    if usual["step"][-1] != bar:
        said = " and ".join(f"{symbol} of {written_length(step)}" for symbol, step, _ in (usual.row(0), usual.row(-1)))
        raise CandleError(
            f"bar lengths are mixed: the first bars are {said}; one bar length for all symbols was expected, clean them apart."
        )
    first = begin.group_by("symbol", maintain_order=True).agg(pl.col("ts").first().dt.epoch("ms"))
    grid = Grid(bar, dict(first.iter_rows()))
    astray = bars.filter(grid.is_off)
    if astray.height:
        _require_one_grid(bars, begin, astray, grid)
    return grid


def _require_one_grid(bars: pl.DataFrame, begin: pl.DataFrame, astray: pl.DataFrame, grid: Grid) -> None:
    for symbol in astray["symbol"].unique(maintain_order=True):
        early = begin.filter(pl.col("symbol") == symbol)
        off = int(early.select(grid.is_off.sum()).item())
        if 2 * off > early.height:
            raise CandleError(
                f"{symbol}: {written_time(grid.first[symbol])}, its first bar, is off the grid of {off} of its first "
                f"{early.height} bars of {written_length(grid.bar)}; which are right cannot be told, and one grid was expected."
            )
        mine = steps_of(bars.filter(pl.col("symbol") == symbol))
        other = lasting_step(mine["step"], grid.bar)
        if other is not None and other[1] >= _ANOTHER_LENGTH:
            step, count, row = other
            begins = written_time(round(mine["ts"][row].timestamp() * 1000) - step)
            raise CandleError(
                f"{symbol}: bars of {written_length(grid.bar)} become bars of {written_length(step)} at {begins} "
                f"({count} bars); one bar length was expected, clean them apart."
            )


def _contradiction(conflicts: pl.DataFrame, columns: list[str]) -> str:
    first = conflicts.row(0, named=True)
    rows = conflicts.filter((pl.col("symbol") == first["symbol"]) & (pl.col("ts") == first["ts"]))
    name = next(name for name in columns if rows[name].n_unique() > 1)
    other = rows.filter(pl.col(name).ne_missing(pl.lit(first[name]))).row(0, named=True)
    bars = conflicts.select("symbol", "ts").n_unique()
    return (
        f"{first['symbol']}: {_when(first)} is there more than once with different values, {name} {first[name]} in row "
        f"{first['row']} and {other[name]} in row {other['row']} ({bars} such bars); one bar a time was expected, "
        "duplicates='first' or 'last' says which to keep."
    )


def _when(row: dict[str, object]) -> str:
    return written_time(round(row["ts"].timestamp() * 1000))  # type: ignore[attr-defined]
