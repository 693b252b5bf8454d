"""One hash of all that a feedback loop did: equal where two lived the same, however often one of them was killed.

What a row says counts; when it was written by the clock of the machine, by whom, and which number the database gave it, do not.
What a Mechanic trains bears no clock either, so the digest of its artifact counts: every bit of a model does. A replay that was
killed and started again therefore has the hash of one that was not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from huracan.errors import StorageError
from huracan.storage import Database, to_json
from huracan.storage.tables import metadata

__all__ = ["CONTENT", "WITHOUT_CONTENT", "TableContent", "content_digests", "content_hash"]

_Row = dict[str, Any]
_SPACE = 1 << 256


@dataclass(frozen=True)
class TableContent:
    """Which columns of a table count.

    Attributes
    ----------
    without : columns that tell of a clock, of a machine, or of numbers that the database gave.
    by_name : whether ``version_id`` stands for a version, whose name and number are taken in its place.
    told : changes what is left of a row, where a part of a column is such a thing.
    """

    without: frozenset[str] = frozenset()
    by_name: bool = False
    told: Callable[[_Row], _Row] = field(default=lambda row: row)


def _all_but(*columns: str, by_name: bool = False, told: Callable[[_Row], _Row] | None = None) -> TableContent:
    return TableContent(frozenset(columns), by_name, told or (lambda row: row))


def _without_registered_facts(row: _Row) -> _Row:
    """What a registration tells of a version is the version's row again, with its time."""
    return row | {"details": {key: value for key, value in (row["details"] or {}).items() if key != "facts"}}


CONTENT: Mapping[str, TableContent] = {
    "models": _all_but("created_at", "s3_path"),  # the path repeats the version's digest
    "model_metrics": _all_but(),
    "promotions": _all_but("id", "at"),
    "live_trades": _all_but(),
    "daily_equity": _all_but(),
    "registered_models": _all_but("created_at", "audit_hash"),
    "model_versions": _all_but("id", "created_at"),
    "aliases": _all_but("updated_at", "moved_by"),
    "audit": _all_but("id", "at", "actor", "request_id", "previous_hash", "hash", told=_without_registered_facts),
    "model_tags": _all_but(),
    "model_regimes": _all_but("version_id"),
    "live_predictions": _all_but(by_name=True),
    "live_outcomes": _all_but(by_name=True),
    "live_buckets": _all_but(by_name=True),
    "live_forgotten": _all_but(by_name=True),
    "live_versions": _all_but(by_name=True),
    "drift_evidence": _all_but(by_name=True),
    "policy_decisions": _all_but(),
    "challengers": _all_but(by_name=True),
    "champion_trials": _all_but(),
    "mechanic_ticks": _all_but("started", "finished", "fence"),
    "mechanic_state": _all_but(),
    "mechanic_switches": _all_but("actor", "at"),
    "alerts": _all_but("sent_tick", "heard"),
}
"""The tables that tell what a feedback loop did, and what of their rows does not count."""

WITHOUT_CONTENT: Mapping[str, str] = {
    "mechanic_leases": "who worked, on which machine, until when",
    "runs": "runs of the main job, with their hosts and times; what they registered counts",
    "hold_out_uses": "looks at hold-outs by runs",
    "studies": "searches, which time may end",
    "study_owners": "the processes of searches",
    "study_trials": "trials of searches, with their durations",
}
"""The other tables, and why they do not count."""


def content_hash(database: Database, published: Path | None = None) -> str:
    """SHA-256 of what a database's feedback loop did, and of the files it published.

    A network that was registered by a run says how long its fit took (``extras.beside``), which its digest covers: two such
    versions are different ones.

    Parameters
    ----------
    database : with the schema of this version.
    published : folder of published files, such as ``home/outbox``; none, or one that is not there, counts as empty.

    Raises
    ------
    StorageError : the database or a file cannot be read, or a row refers to a version that is not there.

    Examples
    --------
    >>> first, second = Database("sqlite://"), Database("sqlite://")
    >>> first.upgrade(), second.upgrade()
    (None, None)
    >>> content_hash(first) == content_hash(second)
    True
    """
    return hashlib.sha256(to_json(content_digests(database, published)).encode()).hexdigest()


def content_digests(database: Database, published: Path | None = None) -> dict[str, str]:
    """The parts of :func:`content_hash`: table or published file -> hash. Where two hashes differ, these tell where.

    A table's hash is the sum of its rows' SHA-256 modulo 2^256: it does not depend on the order in which a database gives
    them, and no table is held in memory.
    """
    digests: dict[str, str] = {}
    with database.reading(one_moment=True) as connection:
        versions = _names_of_versions(connection)
        for name, content in CONTENT.items():
            total = sum(_number_of(name, row) for row in _rows(connection, metadata.tables[name], content, versions))
            digests[name] = f"{total % _SPACE:064x}"
    for file in sorted(published.rglob("*")) if published is not None else ():
        if file.is_file():
            digests[f"file {file.relative_to(published or file).as_posix()}"] = _of_file(file)
    return digests


def _names_of_versions(connection: sa.Connection) -> dict[int, str]:
    versions = metadata.tables["model_versions"].c
    return {
        row.id: f"{row.name}/{row.version}"
        for row in connection.execute(sa.select(versions.id, versions.name, versions.version))
    }


def _rows(connection: sa.Connection, table: sa.Table, content: TableContent, versions: Mapping[int, str]) -> Iterator[_Row]:
    columns = [column for column in table.columns if column.name not in content.without]
    for found in connection.execution_options(yield_per=2_000).execute(sa.select(*columns)).mappings():
        row = content.told(dict(found))
        if content.by_name and row["version_id"] is not None:
            if row["version_id"] not in versions:
                raise StorageError(f"a row of {table.name} is of the version with id {row['version_id']}, which is not there.")
            row["version_id"] = versions[row["version_id"]]
        yield row


def _number_of(table: str, row: _Row) -> int:
    return int.from_bytes(hashlib.sha256(to_json(row, where=table).encode()).digest(), "big")


def _of_file(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}.") from error
