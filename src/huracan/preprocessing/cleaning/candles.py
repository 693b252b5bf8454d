"""``clean_candles``: raw rows in, candles and the account of every change out."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl

from huracan.errors import CandleError, NotEnoughData
from huracan.market.columns import shown
from huracan.market.interpretation import canonical_table
from huracan.market.reading import CandleSource
from huracan.market.schema import CANDLE_SCHEMA, OPTIONAL_COLUMNS, PRICES
from huracan.market.sources import open_tables
from huracan.market.timestamps import NoteKind, ReadNote
from huracan.market.validity import require_times
from huracan.preprocessing.cleaning.candle_outliers import JudgedBars, judge, repaired_prices
from huracan.preprocessing.cleaning.gaps import filled_forward, with_segment_column, without_orphans, without_short_segments
from huracan.preprocessing.cleaning.ledger import Ledger
from huracan.preprocessing.cleaning.outcome import OUTLIERS, CleanedCandles, summary
from huracan.preprocessing.cleaning.policy import CleaningPolicy
from huracan.preprocessing.cleaning.rows import Grid, grid_of, in_order, possible, unique_bars

__all__ = ["clean_as_they_come", "clean_candles", "rows_as_they_come"]

_MARKS = ("filled", "repaired")
_MOST_PASSES = 100


def clean_candles(source: CandleSource, policy: CleaningPolicy | None = None) -> CleanedCandles:
    """Bring candles in order by a stated policy, and account for every change.

    Cleaning what was cleaned by the same policy changes nothing. Under a policy whose ``looks_ahead`` is empty, cleaning
    the first rows alone gives the first rows of cleaning all, bit for bit: bar length and grid are those of each symbol's
    first 50 bars that can be true (fewer rows may be gaps only, and tell another length), and what comes later on another
    grid is impossible, however much it is.

    Parameters
    ----------
    source : a polars frame with the columns of ``CANDLE_SCHEMA``, sorted or not, with whatever faults; or anything else
        ``read_candles`` takes (a file, a folder, a pandas frame). Columns ``filled`` and ``repaired`` of an earlier cleaning
        are understood.
    policy : what may be done; None is ``CleaningPolicy()``, which alters no price and refuses what cannot be.

    Raises
    ------
    CandleError : what the policy refuses, with symbol, column, time, row and the setting that would treat it; rows that
        are no candles at all; mixed bar lengths, or first bars on several grids. NotEnoughData : no rows, or none left.

    Examples
    --------
    >>> start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    >>> bars = pl.DataFrame({"symbol": "A", "ts": [start + dt.timedelta(hours=h) for h in (0, 1, 1, 2, 5)], "open": 1.0,
    ...                      "high": 2.0, "low": 1.0, "close": [1.0, 2.0, 2.0, -1.0, 2.0], "volume": 5.0})
    >>> cleaned = clean_candles(bars, CleaningPolicy(duplicates="exact", invalid="drop", gaps="forward_fill", fill_limit=2))
    >>> cleaned.sentence
    '5 rows of 1 symbol became 5 bars: 1 set aside as copies, 1 set aside as impossible, 2 bars filled. A: ...
    >>> cleaned.candles.select("close", "filled", "segment").rows()
    [(1.0, False, 0), (2.0, False, 0), (2.0, True, 0), (2.0, True, 0), (2.0, False, 1)]
    """
    policy = policy or CleaningPolicy()
    if not isinstance(policy, CleaningPolicy):
        raise CandleError(f"policy is a {type(policy).__name__}; a CleaningPolicy was expected.")
    frame, read_notes = _rows_of(source)
    n_rows, given = frame.height, frame
    columns = [name for name in frame.columns if name not in ("symbol", "ts", "row", *_MARKS)]
    ledger = Ledger(policy, columns)
    frame = unique_bars(in_order(frame, ledger, policy.unsorted), ledger, policy.duplicates)
    grid = grid_of(frame)
    bar = None if grid is None else grid.bar
    frame, settled = _until_nothing_changes(frame, grid, ledger)
    if frame.is_empty():
        aside = ", ".join(f"{count} {kind}" for kind, count in ledger.counts.items())
        raise NotEnoughData(f"no bar is left of {n_rows} rows ({aside}); at least one was expected.")
    if bar is not None:
        require_times(frame)
    _list_repairs(given, frame, ledger)
    if policy.gaps == "forward_fill" and bar is not None:
        frame = filled_forward(frame, ledger, bar, policy.fill_limit)
    frame = with_segment_column(frame, bar)
    outliers, notes = pl.DataFrame(schema=OUTLIERS), [*policy.looks_ahead, *settled]
    if policy.outliers != "keep":
        seen = judge(frame.filter(~pl.col("filled")), policy, bar)
        outliers = seen.listed(frame.filter(~pl.col("filled")))
        frame = _flagged(frame, seen)
        ledger.counts["flagged"] = int(frame["outlier"].sum())
        notes.extend(_not_judged(frame, seen, policy))
    candles = frame.select(name for name in _wanted_columns(frame, given, policy))
    kept = {kind: count for kind, count in ledger.counts.items() if count}
    sentence = summary(n_rows, candles, kept, notes)
    return CleanedCandles(candles, ledger.changes(), ledger.aside(), outliers, kept, tuple(notes), read_notes, policy, sentence)


def clean_as_they_come(candles: pl.DataFrame, policy: CleaningPolicy, bar: int, *, until: int) -> pl.DataFrame:
    """What a policy makes of outliers and gaps where bars are met one after the other.

    Each bar is a function of the candles up to its own, whatever follows: a missing bar is filled at once, and not only where
    a later one shows that the gap ends. Rows are taken as they are: sorted, one for each symbol and time, and possible.

    Parameters
    ----------
    candles : canonical, sorted by ``(symbol, ts)``. bar : length of a bar in milliseconds. until : open of the last bar that
        may be filled, milliseconds UTC.

    Returns
    -------
    The candles with their columns, and a column ``filled`` where the policy fills gaps.

    Raises
    ------
    CandleError : the policy looks ahead.

    Examples
    --------
    >>> start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    >>> bars = pl.DataFrame({"symbol": "A", "ts": [start, start + dt.timedelta(hours=3)], "open": 1.0, "high": 2.0, "low": 1.0,
    ...                      "close": 2.0, "volume": 5.0}).cast(CANDLE_SCHEMA)
    >>> hour, policy = 3_600_000, CleaningPolicy(gaps="forward_fill", fill_limit=1)
    >>> filled = clean_as_they_come(bars, policy, hour, until=int(start.timestamp() * 1_000) + 9 * hour)
    >>> filled.select(pl.col("ts").dt.hour(), "filled").rows()
    [(0, False), (1, True), (3, False), (4, True)]
    """
    if policy.looks_ahead:
        raise CandleError(f"a policy that does not look ahead was expected. {policy.looks_ahead[0]}")
    columns = candles.columns
    frame = candles.with_row_index("row").with_columns(filled=pl.lit(False), repaired=pl.lit(False))
    ledger = Ledger(policy, [name for name in columns if name not in ("symbol", "ts")])
    if policy.outliers in ("clip", "winsorise", "drop"):
        frame, _ = _until_nothing_changes(frame, Grid(bar, {}), ledger)
    if policy.gaps != "forward_fill":
        return frame.select(columns)
    return filled_forward(frame, ledger, bar, policy.fill_limit, until=until).select(*columns, "filled")


def rows_as_they_come(candles: pl.DataFrame, policy: CleaningPolicy, grid: Grid | None) -> pl.DataFrame:
    """What a policy makes of rows that are there twice, or that no market makes, where they come in parts, in any order.

    Parameters
    ----------
    candles : canonical. policy : of two rows that agree one is kept, whatever it says. grid : of the candles that came before;
        None reads it from these.

    Raises
    ------
    CandleError : what the policy refuses.

    Examples
    --------
    >>> start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    >>> bars = pl.DataFrame({"symbol": "A", "ts": [start + dt.timedelta(hours=h) for h in (1, 0, 2, 2)], "open": 1.0,
    ...                      "high": 2.0, "low": 1.0, "close": [1.0, -1.0, 1.5, 2.0], "volume": 5.0}).cast(CANDLE_SCHEMA)
    >>> rows_as_they_come(bars, CleaningPolicy(duplicates="last", invalid="drop"), None)["close"].to_list()
    [1.0, 2.0]
    """
    columns = candles.columns
    frame = candles.with_row_index("row").with_columns(filled=pl.lit(False), repaired=pl.lit(False))
    ledger = Ledger(policy, [name for name in columns if name not in ("symbol", "ts")])
    kept = "exact" if policy.duplicates == "refuse" else policy.duplicates
    frame = unique_bars(in_order(frame, ledger, "sort"), ledger, kept)
    return possible(frame, grid or grid_of(frame), ledger, policy.invalid).select(columns)


def _until_nothing_changes(frame: pl.DataFrame, grid: Grid | None, ledger: Ledger) -> tuple[pl.DataFrame, list[str]]:
    """Impossible bars, outliers and short segments, again and again: a bar taken out alters what others are compared with.

    Every pass decides about a bar by bars up to it, so that further passes leave a settled beginning as it is.
    """
    policy = ledger.policy
    for _ in range(_MOST_PASSES if policy.outliers in ("clip", "winsorise") else frame.height + 1):
        before = frame
        frame = possible(frame, grid, ledger, policy.invalid)
        if grid is None:
            return frame, []
        frame = without_orphans(frame, ledger, grid.bar)
        if policy.outliers == "drop":
            frame = _without_outliers(frame, ledger, grid.bar)
        elif policy.outliers in ("clip", "winsorise"):
            frame = _repaired(frame, policy, grid.bar)
        if policy.gaps == "drop":
            frame = without_short_segments(frame, ledger, grid.bar, policy.min_segment)
        if frame.height == before.height and (frame is before or frame.equals(before)):
            return frame, []
    return frame, [f"Repairs were stopped after {_MOST_PASSES} passes, before nothing more changed."]


def _without_outliers(frame: pl.DataFrame, ledger: Ledger, bar: int) -> pl.DataFrame:
    real = frame.filter(~pl.col("filled"))
    out = real.filter(pl.Series(judge(real, ledger.policy, bar).is_out))
    if out.is_empty():
        return frame
    ledger.set_aside(out, "outlier", "return or shadow out of the usual range", column="close", old=pl.col("close"))
    return frame.join(out.select("symbol", "ts"), on=["symbol", "ts"], how="anti", maintain_order="left")


def _repaired(frame: pl.DataFrame, policy: CleaningPolicy, bar: int) -> pl.DataFrame:
    is_real = ~frame["filled"].to_numpy()
    real = frame.filter(pl.Series(is_real))
    prices = repaired_prices(real, judge(real, policy, bar), offline=policy.offline)
    touched = np.zeros(frame.height, bool)
    touched[is_real] = real.select(pl.any_horizontal(pl.col(name) != prices[name] for name in PRICES)).to_series().to_numpy()
    if not touched.any():
        return frame
    made = []
    for name in PRICES:
        values = frame[name].to_numpy().copy()
        values[is_real] = prices[name].to_numpy()
        made.append(pl.Series(name, values))
    return frame.with_columns(*made, (pl.col("repaired") | pl.Series(touched)).alias("repaired"))


def _list_repairs(given: pl.DataFrame, frame: pl.DataFrame, ledger: Ledger) -> None:
    """One change a repaired value, from what the source said to what it is now."""
    if ledger.policy.outliers not in ("clip", "winsorise"):
        return
    kind = "clipped" if ledger.policy.outliers == "clip" else "winsorised"
    touched = frame.filter("repaired").join(given.select("row", *PRICES), on="row", how="left", suffix="_given")
    for name in PRICES:
        changed = touched.filter(pl.col(name) != pl.col(f"{name}_given"))
        reason = "beyond the usual range about the body"
        if name in ("open", "close"):
            reason = "left the level for one bar; the next bar is back"
        ledger.record(changed, kind, reason, column=name, old=pl.col(f"{name}_given"), new=pl.col(name))


def _flagged(frame: pl.DataFrame, seen: JudgedBars) -> pl.DataFrame:
    outlier = np.zeros(frame.height, bool)
    outlier[~frame["filled"].to_numpy()] = seen.is_out | seen.volume_is_out
    return frame.with_columns(outlier=pl.Series(outlier))


def _not_judged(frame: pl.DataFrame, seen: JudgedBars, policy: CleaningPolicy) -> list[str]:
    real = frame.filter(~pl.col("filled"))
    if seen.judged.any() and real["symbol"].n_unique() == real.filter(pl.Series(seen.judged))["symbol"].n_unique():
        return []
    blind = sorted(set(real["symbol"].unique()) - set(real.filter(pl.Series(seen.judged))["symbol"]))
    more = f" and {len(blind) - 3} more" if len(blind) > 3 else ""
    return [f"{', '.join(blind[:3])}{more}: not judged for outliers, for want of {policy.outlier_window} returns."]


def _wanted_columns(frame: pl.DataFrame, given: pl.DataFrame, policy: CleaningPolicy) -> list[str]:
    columns = [name for name in (*CANDLE_SCHEMA, *OPTIONAL_COLUMNS, "segment") if name in frame.columns]
    if policy.outliers != "keep":
        columns.append("outlier")
    if policy.outliers in ("clip", "winsorise") or given["repaired"].any():
        columns.append("repaired")
    if policy.gaps == "forward_fill" or given["filled"].any():
        columns.append("filled")
    return columns


def _rows_of(source: Any) -> tuple[pl.DataFrame, tuple[ReadNote, ...]]:
    """Rows as they came, columns in canonical types, with their number and the marks of an earlier cleaning."""
    if isinstance(source, pl.LazyFrame):
        source = source.collect()
    notes: list[ReadNote] = []
    if isinstance(source, pl.DataFrame) and _is_canonical(source):
        frame = source.select(name for name in (*CANDLE_SCHEMA, *OPTIONAL_COLUMNS, *_MARKS) if name in source.columns)
        unused = [shown(name) for name in source.columns if name not in {*frame.columns, "segment", "outlier"}]
        if unused:
            notes.append(ReadNote(NoteKind.COLUMN, f"columns {', '.join(unused)} are not used."))
    else:
        now, parts = dt.datetime.now(dt.UTC), []
        for table in open_tables(source):
            part, said = canonical_table(table, symbol=None, now=now)
            parts.append(part)
            notes.extend(said)
        frame = pl.concat(parts, how="diagonal")
    if frame.is_empty():
        raise NotEnoughData("the candles are empty: 0 rows; at least one bar was expected.")
    absent = [pl.lit(False).alias(name) for name in _MARKS if name not in frame.columns]
    marks_known = [pl.col(name).cast(pl.Boolean).fill_null(False) for name in _MARKS if name in frame.columns]
    return frame.with_columns(*absent, *marks_known).with_row_index("row"), tuple(notes)


def _is_canonical(frame: pl.DataFrame) -> bool:
    known = {**CANDLE_SCHEMA, **OPTIONAL_COLUMNS}
    here = set(frame.columns)
    return set(CANDLE_SCHEMA) <= here and all(frame.schema[name] == known[name] for name in here & set(known))
