"""Whose a version's rows are and how long its buckets: written with the first of them, held against every other."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from huracan.errors import DataError
from huracan.registry.statements import Statement
from huracan.storage.feedback_tables import live_versions
from huracan.storage.tables import model_versions

__all__ = ["OF_NAME", "check_buckets", "claim", "versions_of"]

OF_NAME = sa.bindparam("name", type_=sa.Text)
_COLUMNS = ("version_id", "name", "bucket")
_WHOSE = Statement(sa.select(live_versions).where(live_versions.c.version_id == sa.bindparam("version_id")))
_OTHER_BUCKETS = Statement(
    sa.select(live_versions.c.bucket)
    .where(live_versions.c.name == OF_NAME, live_versions.c.bucket != sa.bindparam("length", type_=sa.BigInteger))
    .limit(1)
)
_CLAIMING = {
    "sqlite": Statement(sqlite.insert(live_versions).on_conflict_do_nothing(), _COLUMNS),
    "postgresql": Statement(postgresql.insert(live_versions).on_conflict_do_nothing(), _COLUMNS),
}


def claim(connection: sa.Connection, version_ids: Iterable[int], name: str, bucket: int) -> None:
    """Keep that these versions are of ``name`` and summed up in buckets of this length, unless that is known.

    Raises
    ------
    DataError : one is known to be of another name, or to have buckets of another length.
    """
    for version_id in sorted(set(version_ids)):
        kept = _WHOSE.one(connection, version_id=version_id)
        if kept is None:
            _CLAIMING[connection.dialect.name].write_rows(connection, [(version_id, name, bucket)], _COLUMNS)
            kept = _WHOSE.one(connection, version_id=version_id)  # somebody else may have been first
        if kept.name != name:
            raise DataError(f"version {version_id} lives under '{kept.name}'; rows of it were given to the store of '{name}'.")
        _same_length(int(kept.bucket), bucket, name)


def check_buckets(connection: sa.Connection, name: str, bucket: int) -> None:
    """Make sure that what is kept of ``name`` is summed up in buckets of this length.

    Raises
    ------
    DataError : it is in others.
    """
    other = _OTHER_BUCKETS.one(connection, name=name, length=bucket)
    if other is not None:
        _same_length(int(other.bucket), bucket, name)


def versions_of(version_id: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Whether a version is of the name :data:`OF_NAME`: as the registry says; where that knows it no longer, as its rows do."""
    lived, kept = live_versions.c, model_versions.c
    said = sa.select(lived.name).where(lived.version_id == version_id).scalar_subquery()
    registered = sa.select(kept.name).where(kept.id == version_id).scalar_subquery()
    return sa.func.coalesce(registered, said, OF_NAME) == OF_NAME


def _same_length(kept: int, given: int, name: str) -> None:
    if kept != given:
        raise DataError(
            f"outcomes of '{name}' are summed up in buckets of {kept} ms; the store was opened with buckets of {given} ms."
        )
