"""What columns of our tables are made of: the metadata they share, times in UTC, numbers that the database gives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from huracan.errors import StorageError

__all__ = ["UTCDateTime", "metadata", "moment", "row_id", "utc_now"]


def utc_now() -> datetime:
    """The time now, in UTC, aware."""
    return datetime.now(UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """A moment in UTC: aware in Python, ``timestamptz`` in PostgreSQL, text without offset in SQLite.

    A naive datetime is refused on the way in; text that another program wrote is read with or without an offset.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise StorageError(f"the time {value} has no time zone; times are stored in UTC, give an aware one.")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def row_id() -> sa.Column[int]:
    """A number given by the database, growing and never given twice: order never depends on a clock."""
    return sa.Column("id", _RowId, primary_key=True, autoincrement=True)


def moment(name: str, *, given: bool = True) -> sa.Column[Any]:
    """A time in UTC; where ``given``, mandatory and by default the time of the insert."""
    return sa.Column(name, UTCDateTime, nullable=not given, server_default=sa.func.current_timestamp() if given else None)
