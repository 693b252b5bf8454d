"""Statements that are compiled once: SQLAlchemy writes the SQL of each database, the driver runs it."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from huracan.errors import StorageError
from huracan.storage import from_json

__all__ = ["Statement", "insert_into", "moment_in", "moment_out", "parsed"]

_TIME = "%Y-%m-%d %H:%M:%S.%f"
_LENGTH = len("2000-01-01 00:00:00.000000")


class Statement:
    """A statement of SQLAlchemy Core that the driver runs, without being built, compiled and wrapped again each time.

    All that takes several times as long as the statement itself does in SQLite. In exchange values go in as the driver takes
    them, JSON as text and times by :func:`moment_in`, and rows come out as the driver gives them, as named tuples.

    Parameters
    ----------
    statement : with a ``bindparam`` for each value. columns : of an insert, those that it gives.

    Examples
    --------
    >>> engine = sa.create_engine("sqlite://")
    >>> doubled = Statement(sa.select((sa.bindparam("x", type_=sa.Integer) * 2).label("twice")))
    >>> with engine.connect() as connection:
    ...     doubled.one(connection, x=21).twice
    42
    """

    def __init__(self, statement: sa.Executable, columns: Sequence[str] | None = None) -> None:
        self.statement = statement
        self.columns = columns
        self._compiled: dict[str, tuple[str, list[str] | None, dict[str, Any]]] = {}
        self._row: Any = None

    def __call__(self, connection: sa.Connection, **values: Any) -> list[Any]:
        """Every row, inside the transaction that ``connection`` is in, or that begins now."""
        cursor = self._run(connection, values)
        if self._row is None:
            row: Any = namedtuple("Row", [column[0] for column in cursor.description], rename=True)  # type: ignore[misc]
            self._row = partial(tuple.__new__, row)  # as its _make does, without a call of Python's for each
        return list(map(self._row, cursor.fetchall()))

    def one(self, connection: sa.Connection, **values: Any) -> Any:
        """The only row there can be, or ``None``."""
        found = self(connection, **values)
        return found[0] if found else None

    def write(self, connection: sa.Connection, **values: Any) -> int:
        """Run a statement that gives no rows; how many it touched."""
        return int(self._run(connection, values).rowcount)

    def write_rows(self, connection: sa.Connection, rows: Sequence[Sequence[Any]], names: Sequence[str]) -> int:
        """Run a statement that gives no rows once for each row of values, in the order of ``names``; how many it touched."""
        if not rows:
            return 0
        _, order, defaults = self._text_for(connection)
        if order == list(names):
            given: list[Any] = list(rows)
        else:
            every = [{**defaults, **dict(zip(names, row))} for row in rows]
            given = every if order is None else [tuple([values[name] for name in order]) for values in every]
        return int(self._sent(connection, given, many=True).rowcount)

    def _run(self, connection: sa.Connection, values: dict[str, Any]) -> Any:
        _, order, defaults = self._text_for(connection)
        values = {**defaults, **values}
        return self._sent(connection, values if order is None else tuple([values[name] for name in order]))

    def _text_for(self, connection: sa.Connection) -> tuple[str, list[str] | None, dict[str, Any]]:
        """The SQL of this database, the order of its values where they have no names, and the values it has itself."""
        dialect = connection.dialect
        if dialect.name not in self._compiled:
            made: Any = self.statement.compile(dialect=dialect, column_keys=self.columns)  # type: ignore[attr-defined]
            order = list(made.positiontup) if made.positional else None
            self._compiled[dialect.name] = (str(made), order, dict(made.params))
        return self._compiled[dialect.name]

    def _sent(self, connection: sa.Connection, given: Any, *, many: bool = False) -> Any:
        """The cursor after the driver ran the statement, inside a transaction."""
        if not connection.in_transaction():
            connection.begin()
        dialect: Any = connection.dialect
        text = self._compiled[dialect.name][0]
        raw: Any = connection.connection.driver_connection
        try:
            cursor = raw.cursor()
            cursor.executemany(text, given) if many else cursor.execute(text, given)
        except dialect.dbapi.Error as error:
            raise _wrapped(connection, error, text, given) from error
        return cursor


def _wrapped(connection: sa.Connection, error: Any, text: str, given: Any) -> BaseException:
    """What SQLAlchemy would have raised; a connection that was lost is not used again."""
    dialect: Any = connection.dialect
    lost = bool(dialect.is_disconnect(error, connection.connection.driver_connection, None))
    if lost:
        connection.invalidate(error)
    return sa.exc.DBAPIError.instance(text, given, error, dialect.dbapi.Error, connection_invalidated=lost, dialect=dialect)


def insert_into(table: sa.Table, names: Sequence[str], *, returning: str | None = None) -> Statement:
    """An insert of one row that gives ``names``."""
    made = sa.insert(table)
    return Statement(made if returning is None else made.returning(table.c[returning]), list(names))


def moment_in(connection: sa.Connection, moment: datetime) -> Any:
    """A moment as the driver takes it: text in UTC for SQLite, aware for PostgreSQL.

    Raises
    ------
    StorageError : it has no time zone.
    """
    if moment.tzinfo is None:
        raise StorageError(f"the time {moment} has no time zone; times are stored in UTC, give an aware one.")
    moment = moment.astimezone(UTC)
    return moment.strftime(_TIME) if connection.dialect.name == "sqlite" else moment


def moment_out(value: Any) -> datetime:
    """A moment as the driver gave it, aware and in UTC."""
    if isinstance(value, str) and len(value) == _LENGTH:
        return datetime.fromisoformat(value + "+00:00")
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parsed(value: Any) -> Any:
    """What a JSON column holds: SQLite's driver gives text, PostgreSQL's has read it already."""
    return from_json(value) if isinstance(value, str) else value
