"""The hash of what a feedback loop did: every value that tells of it counts, and no clock, machine or row number does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from huracan.errors import StorageError
from huracan.integration.feedback.content_hash import CONTENT, WITHOUT_CONTENT, content_digests, content_hash
from huracan.storage import Database
from huracan.storage.tables import UTCDateTime, metadata

_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_VERSION = {"name": "m", "version": 3, "model_id": "m/3", "kind": "challenger", "digest": "d", "info": {}, "metrics": {}}
_VERSION |= {"provenance": {}, "stage": "active", "learner": "ridge", "created_at": _NOON}


def test_every_table_and_column_is_decided_upon() -> None:
    assert set(CONTENT) | set(WITHOUT_CONTENT) == set(metadata.tables)
    assert not set(CONTENT) & set(WITHOUT_CONTENT)
    for name, content in CONTENT.items():
        columns = set(metadata.tables[name].columns.keys())
        assert content.without <= columns, name
        assert content.by_name == ("version_id" in columns - content.without), name
        assert "id" not in columns - content.without or isinstance(metadata.tables[name].c.id.type, sa.Text), name


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """One row in every table, without the triggers and keys that forbid to change them."""
    made = Database("sqlite://")
    made.engine.raw_connection().driver_connection.execute("PRAGMA foreign_keys = OFF")  # type: ignore[union-attr]
    with made.transaction() as connection:
        metadata.create_all(connection)
        for table in metadata.sorted_tables:
            connection.execute(table.insert().values({c.name: _value(c, 0) for c in table.columns}))
    yield made
    made.close()


def _value(column: sa.Column[Any], variant: int) -> Any:
    kind = column.type
    if isinstance(kind, UTCDateTime):
        return _NOON + timedelta(seconds=variant)
    if isinstance(kind, sa.Date):
        return date(2026, 1, 1 + variant)
    if isinstance(kind, sa.JSON):
        return {"said": variant}
    if isinstance(kind, sa.LargeBinary):
        return b"0" * variant
    if isinstance(kind, sa.Boolean):
        return bool(variant)
    if isinstance(kind, sa.Integer):
        return 1 + variant
    return 0.1 + variant if isinstance(kind, sa.Double) else f"text {variant}"


@pytest.mark.parametrize("name", sorted(metadata.tables))
def test_a_changed_value_changes_the_hash_of_its_table_or_is_none_of_its_content(database: Database, name: str) -> None:
    table, before = metadata.tables[name], content_digests(database)
    by_name = {other for other, content in CONTENT.items() if content.by_name}
    for column in table.columns:
        if column.name == "version_id" or (name, column.name) == ("model_versions", "id"):
            continue  # by which rows refer to each other
        _set(database, column, 1)
        after = content_digests(database)
        names = name == "model_versions" and column.name in ("name", "version")
        counts = name in CONTENT and column.name not in CONTENT[name].without
        changed = {part for part in before if before[part] != after[part]}
        assert changed == ({name} if counts else set()) | (by_name if names else set()), column
        _set(database, column, 0)
    assert content_digests(database) == before


def _set(database: Database, column: sa.Column[Any], variant: int) -> None:
    with database.transaction() as connection:
        connection.execute(sa.update(metadata.tables[column.table.name]).values({column.name: _value(column, variant)}))


def test_numbers_and_clocks_of_the_database_do_not_count() -> None:
    """The second database gave other numbers, at another time, in another order."""
    predictions = metadata.tables["live_predictions"]
    hashes = []
    for id_, clock in ((1, _NOON), (17, _NOON + timedelta(days=1))):
        database = Database("sqlite://")
        database.upgrade()
        version = {**_VERSION, "id": id_, "created_at": clock, "extras": {}, "digest": "d"}
        said = {"version_id": id_, "symbol": "A", "role": "champion", "tick": 5, "regime": "", "vetoes": 0, "score": 0.1}
        rows = [{**said, "ts": ts} for ts in (1, 2)]
        with database.transaction() as connection:
            connection.execute(metadata.tables["registered_models"].insert().values(name="m", last_version=3))
            connection.execute(metadata.tables["model_versions"].insert().values(version))
            connection.execute(predictions.insert(), rows if id_ == 1 else rows[::-1])
        hashes.append(content_hash(database))
    assert hashes[0] == hashes[1]


def test_rows_of_an_unknown_version_are_named() -> None:
    database = Database("sqlite://")
    database.upgrade()
    said = {"version_id": 9, "symbol": "A", "ts": 1, "role": "champion", "tick": 5, "regime": "", "vetoes": 0}
    with database.transaction() as connection:
        connection.execute(metadata.tables["live_predictions"].insert().values(said))
    with pytest.raises(StorageError, match="live_predictions is of the version with id 9"):
        content_hash(database)


def test_published_files_count_with_their_place(tmp_path: Path) -> None:
    database = Database("sqlite://")
    database.upgrade()
    empty = content_hash(database)
    assert content_hash(database, tmp_path / "none") == empty
    (tmp_path / "champion").mkdir()
    (tmp_path / "champion" / "latest.json").write_text("{}")
    one = content_hash(database, tmp_path)
    (tmp_path / "champion" / "latest.json").rename(tmp_path / "latest.json")
    assert len({empty, one, content_hash(database, tmp_path)}) == 3
