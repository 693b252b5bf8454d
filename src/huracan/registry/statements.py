"""Statements that are compiled once: SQLAlchemy writes the SQL of each database, the driver runs it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import sqlalchemy as sa

from huracan.errors import StorageError
from huracan.storage import from_json

__all__ = ["Row", "Statement", "insert_into", "moment_in", "moment_out", "parsed"]

Row: TypeAlias = sa.Row[*tuple[Any, ...]]
"""A row as the driver gave it."""

_TIME = "%Y-%m-%d %H:%M:%S.%f"


class Statement:
    """A statement of SQLAlchemy Core, run by the driver without being built and compiled again.

    Building and compiling takes several times what SQLite takes to run it. In exchange values go in as the driver takes them:
    JSON as text, times by :func:`moment_in`; and rows come out as the driver gives them.

    Parameters
    ----------
    statement : with a ``bindparam`` for each value. columns : of an insert, those that it gives.

    Examples
    --------
    >>> engine = sa.create_engine("sqlite://")
    >>> doubled = Statement(sa.select(sa.bindparam("x", type_=sa.Integer) * 2))
    >>> with engine.connect() as connection:
    ...     doubled(connection, x=21).scalar_one()
    42
    """

    def __init__(self, statement: sa.Executable, columns: Sequence[str] | None = None) -> None:
        self.statement = statement
        self.columns = columns
        self._compiled: dict[str, tuple[str, list[str] | None, dict[str, Any]]] = {}

    def __call__(self, connection: sa.Connection, **values: Any) -> sa.CursorResult[*tuple[Any, ...]]:
        dialect = connection.dialect
        if dialect.name not in self._compiled:
            made: Any = self.statement.compile(dialect=dialect, column_keys=self.columns)  # type: ignore[attr-defined]
            order = list(made.positiontup) if made.positional else None
            self._compiled[dialect.name] = (str(made), order, dict(made.params))
        text, order, defaults = self._compiled[dialect.name]
        values = {**defaults, **values}
        if order is not None:
            return connection.exec_driver_sql(text, tuple(values[name] for name in order))
        return connection.exec_driver_sql(text, values)


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
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parsed(value: Any) -> Any:
    """What a JSON column holds: SQLite's driver gives text, PostgreSQL's has read it already."""
    return from_json(value) if isinstance(value, str) else value
