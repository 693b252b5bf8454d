"""The two tables that the trading bot writes, read as they are: what is rubbish in them is counted and left out."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from huracan.errors import DataError
from huracan.registry.statements import Statement
from huracan.storage.tables import daily_equity, live_trades

__all__ = ["EngineRows", "read_equity", "read_trades"]

_TRADES: dict[str, Any] = {
    "trade_id": pl.String,
    "time": pl.Datetime("ms", "UTC"),
    "symbol": pl.String,
    "side": pl.String,
    "size": pl.Float64,
    "entry": pl.Float64,
    "exit": pl.Float64,
    "fees": pl.Float64,
    "net_pnl": pl.Float64,
    "model_id": pl.String,
}
_IN_2001, _IN_2100 = 1e9, 4_102_444_800.0
_YEARS = range(1970, 2100)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SLASHED = re.compile(r"\d{1,2}[/.]\d{1,2}[/.]\d{2,4}\b")
_UTC_NAMED = re.compile(r"\s*(UTC|GMT)$", re.IGNORECASE)
_BEFORE_ZONE = re.compile(r"(?<=\d)\s+(?=[+-]\d{2}:?\d{2}$)")
_EQUITY: dict[str, Any] = {"date": pl.Date, **dict.fromkeys(("nav", "max_dd", "turnover", "fees_bps"), pl.Float64)}


@dataclass(frozen=True)
class EngineRows:
    """Rows of a table that another program writes.

    Attributes
    ----------
    table : its name. frame : rows that can be used, by time. refused : why rows cannot be used, and how many each.

    Examples
    --------
    >>> EngineRows("daily_equity", pl.DataFrame({"nav": [1.0]}), {"nav is no number": 2, "date is no date": 1}).sentence
    '3 of 4 rows of daily_equity cannot be used: nav is no number (2), date is no date (1).'
    """

    table: str
    frame: pl.DataFrame
    refused: Mapping[str, int]

    @property
    def sentence(self) -> str:
        """What was left out."""
        bad = sum(self.refused.values())
        if not bad:
            return f"All {len(self.frame)} rows of {self.table} can be used."
        why = ", ".join(f"{reason} ({count})" for reason, count in self.refused.items())
        return f"{bad} of {bad + len(self.frame)} rows of {self.table} cannot be used: {why}."


class _Rubbish(Exception):
    """A value that is none; the message says what it is instead."""


def read_trades(connection: sa.Connection, since: datetime | None = None) -> EngineRows:
    """The bot's trades, newest last; those before ``since`` (UTC where it has no zone) are left out. Nothing is written."""
    needs: dict[str, Callable[[Any], Any]] = {
        "trade_id": _needed(_text),
        "time": _needed(_moment),
        "symbol": _needed(_text),
        "side": _side,
        "size": _number,
        "entry": _price,
        "exit": _price,
        "fees": _number,
        "net_pnl": _number,
        "model_id": _text,
    }
    found = _read(connection, live_trades, needs, _TRADES)
    if since is None:
        frame = found.frame
    elif isinstance(since, datetime):
        frame = found.frame.filter(pl.col("time") >= (since if since.tzinfo else since.replace(tzinfo=UTC)))
    else:
        raise DataError(f"trades since {since!r} were asked for; a datetime was expected, UTC where it has no zone.")
    return EngineRows(found.table, frame.sort("time", "trade_id"), found.refused)


def read_equity(connection: sa.Connection) -> EngineRows:
    """The account's worth by day. Nothing is written."""
    rest = dict.fromkeys(("max_dd", "turnover", "fees_bps"), _number)
    found = _read(connection, daily_equity, {"date": _needed(_date), "nav": _needed(_price), **rest}, _EQUITY)
    return EngineRows(found.table, found.frame.sort("date"), found.refused)


def _read(
    connection: sa.Connection, table: sa.Table, needs: Mapping[str, Callable[[Any], Any]], schema: dict[str, Any]
) -> EngineRows:
    looked = sa.inspect(connection)
    if not looked.has_table(table.name):
        return EngineRows(table.name, pl.DataFrame(schema=schema), {})
    there = {column["name"] for column in looked.get_columns(table.name)}
    if lacking := [name for name in needs if name not in there]:
        rows = connection.execute(sa.select(sa.func.count()).select_from(sa.table(table.name))).scalar_one()
        why = {f"the table has no column {', '.join(lacking)}": int(rows)} if rows else {}
        return EngineRows(table.name, pl.DataFrame(schema=schema), why)
    query = Statement(sa.select(*(_as_it_is(table.c[name], connection).label(name) for name in needs)))
    refused: Counter[str] = Counter()
    kept = []
    for row in query(connection):
        values = []
        for (name, read), value in zip(needs.items(), row):
            try:
                values.append(read(_decoded(value)))
            except _Rubbish as reason:
                refused[f"{name} {reason}"] += 1
                break
        else:
            kept.append(tuple(values))
    frame = pl.DataFrame(kept, schema=schema, orient="row")
    return EngineRows(table.name, frame, dict(refused.most_common()))


def _as_it_is(column: sa.Column[Any], connection: sa.Connection) -> sa.ColumnElement[Any]:
    """The value as the driver can always give it: SQLite keeps anything in any column, PostgreSQL times without end."""
    if connection.dialect.name != "sqlite":
        return sa.cast(column, sa.Text) if isinstance(column.type, sa.Date) or column.name == "time" else column
    plain = sa.type_coerce(column, sa.LargeBinary)
    return sa.case((sa.func.typeof(plain) == "text", sa.cast(plain, sa.LargeBinary)), else_=plain)


def _decoded(value: Any) -> Any:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def _needed(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def needed(value: Any) -> Any:
        known = read(value)
        if known is None:
            raise _Rubbish("is missing")
        return known

    return needed


def _text(value: Any) -> str | None:
    return None if value is None else str(value).strip() or None


def _number(value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise _Rubbish("is no number") from None
    if not math.isfinite(number):
        raise _Rubbish("is not finite")
    return number


def _price(value: Any) -> float | None:
    number = _number(value)
    if number is not None and number <= 0.0:
        raise _Rubbish("is not above 0")
    return number


def _side(value: Any) -> str | None:
    side = {"buy": "long", "long": "long", "sell": "short", "short": "short"}.get(str(value).strip().lower())
    if side is None and value is not None:
        raise _Rubbish("is neither long, short, buy nor sell")
    return side


def _moment(value: Any) -> datetime | None:
    """ISO 8601, also with a zone's name for UTC or a blank before its offset; or seconds, milliseconds and so on since 1970."""
    if value is None:
        return None
    text = str(value).strip()
    if _NUMBER.fullmatch(text):
        return _since_1970(text)
    if _SLASHED.match(text):
        raise _Rubbish("has a day and a month whose order is not known")
    text = _BEFORE_ZONE.sub("", _UTC_NAMED.sub("+00:00", text))
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise _Rubbish("is no time") from None
    _require_our_time(moment)
    return moment


def _since_1970(text: str) -> datetime:
    try:
        number = float(text)
    except ValueError:
        raise _Rubbish("is no time") from None
    for scale in (1.0, 1e3, 1e6, 1e9):  # as far as 2001 to 2100 a number of seconds is none of milli-, micro- or nanoseconds
        if _IN_2001 <= number / scale < _IN_2100:
            return datetime.fromtimestamp(number / scale, UTC)
    if re.fullmatch(r"(19|20)\d{6}(\d{4}|\d{6})?", text):
        raise _Rubbish("may be a day without dashes or a number since 1970")
    raise _Rubbish("is no time")


def _date(value: Any) -> date | None:
    if value is None:
        return None
    try:
        day = date.fromisoformat(str(value).strip()[:10])
    except ValueError:
        raise _Rubbish("is no date") from None
    _require_our_time(day)
    return day


def _require_our_time(when: date) -> None:
    """What stands for no time at all, as the year 9999 or the year 1 does in many programs, is none."""
    if when.year not in _YEARS:
        raise _Rubbish(f"is of the year {when.year}; {_YEARS[0]} to {_YEARS[-1]} were expected")
