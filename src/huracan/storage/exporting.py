"""A whole database as text: every row of every table, one JSON object a line."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from huracan.storage.database import Database
from huracan.storage.json_values import to_json
from huracan.storage.schema import VERSION_TABLE
from huracan.storage.tables import metadata
from huracan.storage.whole_files import put_chunks

__all__ = ["export_database", "exported_lines"]


def export_database(database: Database, file: Path) -> dict[str, int]:
    """Write every table to ``file``, all as they were at one moment, whole or not at all.

    Returns
    -------
    dict : table -> rows written.

    Raises
    ------
    StorageError : the database or the disk refuses.
    """
    counts: dict[str, int] = {}
    put_chunks(file, (f"{line}\n".encode() for line in exported_lines(database, counts)))
    return counts


def exported_lines(database: Database, counts: dict[str, int]) -> Iterator[str]:
    """Lines of JSON: first ``{"schema": revision}``, then ``{"table": name, "row": {column: value}}``, parents before children.

    Times are ISO text in UTC, what is stored as bytes is ``{"$base64": text}``, not-a-number ``{"$float": "nan"}``.

    Parameters
    ----------
    counts : filled with table -> rows, in the order in which they are read.

    Examples
    --------
    >>> database = Database("sqlite://")
    >>> database.upgrade()
    >>> list(exported_lines(database, {}))[0][:11]
    '{"schema": '
    """
    with database.reading(one_moment=True) as connection:
        revision = connection.execute(sa.text(f"select version_num from {VERSION_TABLE}")).scalar_one()
        yield to_json({"schema": revision})
        for table in metadata.sorted_tables:
            counts[table.name] = 0
            rows = connection.execution_options(yield_per=1_000).execute(sa.select(table).order_by(*table.primary_key.columns))
            for row in rows.mappings():
                counts[table.name] += 1
                yield to_json({"table": table.name, "row": {name: _plain(value) for name, value in row.items()}}, where="row")


def _plain(value: Any) -> Any:
    return {"$base64": base64.b64encode(value).decode()} if isinstance(value, bytes | memoryview) else value
