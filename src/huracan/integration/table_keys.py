"""Whose a row of a table is and when it was, under the names that the world gives these columns."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from datetime import UTC, datetime

import polars as pl

from huracan.errors import CandleError
from huracan.market.columns import TIME_NAMES, plain_name
from huracan.market.timestamps import read_times

__all__ = ["with_keys"]

_SYMBOL_NAMES = ("symbol", "ticker", "pair")
_ISO = r"^\s*\d{4}-\d{2}-\d{2}"
_IN_2001, _IN_2100 = 1_000_000_000, 4_102_444_800_000_000_000


def with_keys(frame: pl.DataFrame, file: str | None = None) -> pl.DataFrame:
    """A table with its times as ``ts`` and its symbols as ``symbol``, where it has such columns, in order of time.

    A column is taken for the time where its name is one of a time (``timestamp``, ``Date``, ``open_time``, ...) and all it
    holds are dates, ISO 8601 texts, or numbers of the size of epochs: a feature that is called so and holds something else
    stays one. Times are read as those of candles are.

    Parameters
    ----------
    file : named where a time cannot be read.

    Raises
    ------
    CandleError : a column ``ts`` holds text that is no time.

    Examples
    --------
    >>> table = pl.DataFrame({"Time": ["2026-01-01 01:00", "2026-01-01 00:00"], "date": ["new", "old"], "Ticker": ["A", "A"]})
    >>> keyed = with_keys(table)
    >>> keyed.columns, str(keyed["ts"][0]), keyed["date"].to_list()
    (['ts', 'date', 'symbol'], '2026-01-01 00:00:00+00:00', ['old', 'new'])
    """
    for key, names in (("ts", TIME_NAMES), ("symbol", _SYMBOL_NAMES)):
        if key not in frame.columns and (found := _called(frame, names, times=key == "ts")) is not None:
            frame = frame.rename({found: key})
    if "ts" not in frame.columns:
        return frame
    text = frame["ts"].dtype == pl.String
    if text or _are_times(frame["ts"]):
        with nullcontext() if text else suppress(CandleError):  # what is no time of candles is in order all the same
            frame = frame.with_columns(ts=read_times(frame["ts"], now=datetime.now(UTC), file=file).times)
    return frame.sort("ts") if frame["ts"].null_count() == 0 else frame


def _called(frame: pl.DataFrame, names: tuple[str, ...], *, times: bool) -> str | None:
    """The column of the most trusted of these names; of times one that holds them."""
    found = [name for name in frame.columns if plain_name(name) in names]
    if times:
        found = [name for name in found if _are_times(frame[name])]
    else:
        found = [name for name in found if frame[name].dtype in (pl.String, pl.Categorical, pl.Enum)]
    return min(found, key=lambda name: names.index(plain_name(name)), default=None)


def _are_times(column: pl.Series) -> bool:
    if column.dtype in (pl.Datetime, pl.Date):
        return True
    if column.dtype == pl.String:
        return column.null_count() < len(column) and bool(column.drop_nulls().str.contains(_ISO).all())
    return _are_epochs(column)


def _are_epochs(column: pl.Series) -> bool:
    """Whether all are of the size of seconds to nanoseconds since 1970, in this century, and of one of these units."""
    if not column.dtype.is_numeric() or not len(column) or column.null_count() == len(column):
        return False
    least, most = float(column.min()), float(column.max())  # type: ignore[arg-type]
    return least >= _IN_2001 and most < _IN_2100 and most < 2.0 * least
