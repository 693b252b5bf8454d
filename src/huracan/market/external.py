"""External features joined as of the moment they were known: never ahead of a bar's decision time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import FeatureError
from huracan.logs import logger
from huracan.market.bar_lengths import length_in_ms
from huracan.market.external_rows import ExternalRows, external_rows
from huracan.market.segments import steps_of, written_length
from huracan.market.sources import CandleSource

__all__ = ["ExternalJoin", "join_external", "join_external_report"]

Length = str | dt.timedelta


@dataclass(frozen=True, eq=False)
class ExternalJoin:
    """Rows with their external values, and what was found on the way.

    Attributes
    ----------
    frame : the rows that came in, in their order, with the external columns added.
    columns : names of the columns added.
    rows : how many rows there are. missing : those without any external row: the three below together.
    not_yet_known : nothing was known at their decision time. too_old : the last value was older than the tolerance.
    other_symbol : the external data never speak of their symbol.
    notes : what was recognised, sorted, or left out of the external data, each a sentence.
    """

    frame: pl.DataFrame
    columns: tuple[str, ...]
    rows: int
    not_yet_known: int
    too_old: int
    other_symbol: int
    notes: tuple[str, ...]

    @property
    def missing(self) -> int:
        """Rows that no external row belongs to."""
        return self.not_yet_known + self.too_old + self.other_symbol

    @property
    def sentence(self) -> str:
        """The join as one sentence."""
        reasons = (
            (self.not_yet_known, "before anything was known"),
            (self.too_old, "with values too old"),
            (self.other_symbol, "of symbols the external data lack"),
        )
        said = ", ".join(f"{count:,} {why}" for count, why in reasons if count)
        counts = f"{self.rows - self.missing:,} of {self.rows:,} rows have an external value"
        return f"{counts}; {said}." if said else f"{counts}."


def join_external(
    frame: pl.DataFrame,
    external: CandleSource,
    *,
    on: str = "known_at",
    delay: Length | None = None,
    observed: str | None = None,
    tolerance: Length | None = None,
    columns: Sequence[str] | None = None,
    prefix: str = "",
    bar: Length | None = None,
) -> pl.DataFrame:
    """Join external values to candles or features as of time: the last one known at each row's decision time.

    The row at ``ts`` gets the last external row with ``known_at <= ts + bar``; nulls where there is none. The same as
    :func:`join_external_report`, without the counts.

    Parameters
    ----------
    frame : ``[symbol, ts, ...]``, sorted by ``(symbol, ts)``; ``ts`` is the bar's open.
    external : polars or pandas frame, or path of a parquet, CSV or Feather file. A ``symbol`` column, if there is one,
        says whose the value is; without one it is everybody's. Rows may be in any order.
    on : the column that says when a value became known: published, not observed. Any zone and unit;
        what is finer than a microsecond counts as the next one. Dates without time of day are refused without ``delay``.
    delay : how long after that time the value is known: ``"1d"`` for a daily figure dated by its day. Where ``on`` is not
        there, an observation time (``ts``, ``date``, ...) plus ``delay`` takes its place; without either the data are refused.
    observed : column of the time that a value speaks of, where values are revised. The last observation known then wins,
        in its last revision: a late revision of an old observation does not replace a newer one.
    tolerance : the most that ``decision_time - known_at`` may be; older values become null.
    columns : external columns to join; all by default.
    prefix : put before the name of every external column.
    bar : length of the bars whose rows these are, such as ``"1h"``: a row is decided at ``ts + bar``. It must be said. Rows
        that were thinned out look like longer bars (every 24th row of hours has steps of a day), in candles and features
        alike, and a decision time read from them would be 23 hours late: the join would look ahead. A length that is
        longer than a step between two rows of a symbol is refused.

    Returns
    -------
    ``frame`` with the external columns, in the same order of rows. A value that is null or NaN where it was published
    stays so.

    Raises
    ------
    FeatureError : it is not said when values became known, a time is missing or unreadable, two rows known at the same
        moment contradict each other, a column is there already, ``bar`` is not given or longer than a step of the rows.

    Examples
    --------
    >>> first, last = dt.datetime(2025, 1, 1, 0, tzinfo=dt.UTC), dt.datetime(2025, 1, 1, 3, tzinfo=dt.UTC)
    >>> hours = pl.datetime_range(first, last, "1h", time_unit="ms", eager=True)
    >>> bars = pl.DataFrame({"symbol": "A", "ts": hours})
    >>> news = pl.DataFrame({"known_at": ["2025-01-01T02:00Z", "2025-01-01T03:30Z"], "mood": [0.1, 0.7]})
    >>> join_external(bars, news, bar="1h")["mood"].to_list()
    [None, 0.1, 0.1, 0.7]
    >>> join_external(bars, news.rename({"known_at": "date"}), bar="1h")
    Traceback (most recent call last):
    ...
    huracan.errors.FeatureError: the external data have no column 'known_at', and column 'date' may be when values were
    observed; pass on='date' if they were known then, or delay= for how long after it they were.
    """
    return join_external_report(
        frame,
        external,
        on=on,
        delay=delay,
        observed=observed,
        tolerance=tolerance,
        columns=columns,
        prefix=prefix,
        bar=bar,
    ).frame


def join_external_report(
    frame: pl.DataFrame,
    external: CandleSource,
    *,
    on: str = "known_at",
    delay: Length | None = None,
    observed: str | None = None,
    tolerance: Length | None = None,
    columns: Sequence[str] | None = None,
    prefix: str = "",
    bar: Length | None = None,
) -> ExternalJoin:
    """Join as :func:`join_external` does, and count what is missing and why.

    Examples
    --------
    >>> first, last = dt.datetime(2025, 1, 1, 0, tzinfo=dt.UTC), dt.datetime(2025, 1, 1, 3, tzinfo=dt.UTC)
    >>> hours = pl.datetime_range(first, last, "1h", time_unit="ms", eager=True)
    >>> bars = pl.DataFrame({"symbol": "A", "ts": hours})
    >>> news = pl.DataFrame({"known_at": ["2025-01-01T03:30Z", "2025-01-01T02:00Z"], "mood": [0.7, 0.1]})
    >>> joined = join_external_report(bars, news, tolerance="30m", bar="1h")
    >>> joined.sentence
    '2 of 4 rows have an external value; 1 before anything was known, 1 with values too old.'
    >>> joined.notes
    ("the external data were not in order of 'known_at' and were sorted.",)
    """
    decided = _decision_times(frame, bar)
    oldest = None if tolerance is None else length_in_ms(tolerance, what="tolerance", zero=True) * 1_000
    rows = external_rows(external, on=on, delay=delay, observed=observed, columns=columns)
    names = [f"{prefix}{name}" for name in rows.values.columns]
    taken = next((name for name in names if name in frame.columns), None)
    if taken is not None:
        raise FeatureError(f"the frame has a column '{taken}' already; prefix= gives the external ones other names.")
    at, other = _last_known(frame["symbol"], decided, rows)
    not_yet = (at < 0) & ~other
    too_old = np.zeros(len(at), dtype=bool)
    if oldest is not None and rows.known.size:
        too_old = (at >= 0) & (decided - rows.known[np.maximum(at, 0)] > oldest)
    chosen = pl.Series(np.where((at < 0) | too_old, -1, at))
    index = chosen.set(chosen < 0, None)
    joined = frame.with_columns(rows.values[name].gather(index).alias(new) for name, new in zip(rows.values.columns, names))
    notes = (*rows.notes, *_of_symbols(frame, rows))
    report = ExternalJoin(
        frame=joined,
        columns=tuple(names),
        rows=frame.height,
        not_yet_known=int(not_yet.sum()),
        too_old=int(too_old.sum()),
        other_symbol=int(other.sum()),
        notes=notes,
    )
    logger().info("external values joined", columns=names, said=report.sentence, notes=report.notes)
    return report


def _decision_times(frame: pl.DataFrame, bar: Length | None) -> NDArray[np.int64]:
    """Microseconds since 1970, so that what was known a moment later stays later."""
    for name, kind in (("symbol", pl.String()), ("ts", pl.Datetime("ms", "UTC"))):
        if name not in frame.columns:
            raise FeatureError(f"the frame has no column '{name}'; columns are {', '.join(frame.columns)}.")
        if frame.schema[name] != kind or frame[name].null_count():
            raise FeatureError(
                f"column '{name}' of the frame is {frame.schema[name]} with {frame[name].null_count()} nulls; "
                f"{kind} without nulls was expected."
            )
    length = _stated_bar(frame, bar)
    return (frame["ts"].dt.epoch("ms").to_numpy() + length) * 1_000


def _stated_bar(frame: pl.DataFrame, bar: Length | None) -> int:
    """The bar length in milliseconds, refused where a row would be decided after the next one of its symbol opened."""
    keys = frame.select("symbol", "ts")
    steps = steps_of(keys)
    if (steps["step"] < 0).any() or steps.height != frame.height - keys["symbol"].n_unique():
        steps = steps_of(keys.sort("symbol", "ts"))
    shortest = steps.filter(pl.col("step") > 0).group_by("symbol").agg(pl.col("step").min()).sort("step", "symbol")
    if bar is None:
        ends = [] if shortest.is_empty() else [shortest.row(0), shortest.row(-1)]
        said = " and ".join(dict.fromkeys(f"{symbol} {written_length(step)}" for symbol, step in ends))
        lie = f"the rows of {said} lie so far apart, but " if said else ""
        raise FeatureError(
            f"bar= is not given, and a row is decided at ts + bar: {lie}rows that were thinned out look like longer bars; "
            "the length of the bars behind the rows was expected, such as bar='1h'."
        )
    length = length_in_ms(bar)
    if shortest.height and shortest["step"][0] < length:
        symbol, step = shortest.row(0)
        at = steps.filter((pl.col("symbol") == symbol) & (pl.col("step") == step)).row(0, named=True)["ts"]
        raise FeatureError(
            f"bar is {written_length(length)}, and {symbol} has rows {written_length(step)} apart at {at:%Y-%m-%d %H:%M} UTC: "
            "they would be decided after later bars had opened, with what was not known; steps of a bar or more were expected."
        )
    return length


def _last_known(
    symbols: pl.Series, decided: NDArray[np.int64], rows: ExternalRows
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Position of the last external row known at each decision time (-1: none), and whose symbol is never spoken of."""
    if rows.spans is None:
        return np.searchsorted(rows.known, decided, side="right") - 1, np.zeros(len(decided), dtype=bool)
    at = np.full(len(decided), -1, dtype=np.int64)
    other = np.zeros(len(decided), dtype=bool)
    runs = symbols.rle().struct.unnest()
    start = 0
    for length, symbol in runs.select("len", "value").iter_rows():
        stop = start + length
        span = rows.spans.get(symbol)
        if span is None:
            other[start:stop] = True
        else:
            found = np.searchsorted(rows.known[span[0] : span[1]], decided[start:stop], side="right") - 1
            at[start:stop] = np.where(found < 0, -1, found + span[0])
        start = stop
    return at, other


def _of_symbols(frame: pl.DataFrame, rows: ExternalRows) -> tuple[str, ...]:
    if rows.spans is None:
        return ()
    unused = sorted(set(rows.spans) - set(frame["symbol"].unique()))
    if not unused:
        return ()
    return (f"the external data speak of {len(unused)} symbols that the frame lacks, such as {unused[0]}.",)
