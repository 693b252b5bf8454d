"""What is kept and for how long: versions that give up their artifact, and artifacts that nothing refers to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from huracan.errors import RegistryError
from huracan.registry.audit_chain import Entry, append
from huracan.registry.records import CollectReport, RetentionPolicy, RetentionReport
from huracan.registry.regime_rows import let_newest_speak
from huracan.registry.statements import Statement, moment_out
from huracan.registry.versions import find_version, lock_name
from huracan.storage import ArtifactStore, Database
from huracan.storage.tables import aliases, audit, model_versions, utc_now

__all__ = ["collect", "retain"]

_ROW = model_versions.c
_AT_ONCE = 500
_DECIDES = ("model_id", "parent_id", "created_at", "extras")


def retain(database: Database, policy: RetentionPolicy, *, dry_run: bool) -> RetentionReport:
    """Let old versions give up their artifact; cards, metrics and audit stay.

    A version is kept while it is among the newest of its name, or young; while an alias points to it or pointed to it (so that
    a rollback reaches it); and while a version that is kept for one of these was derived from it, or has it beside it as
    ``anomaly_model``. All is decided and done in one transaction, for which registering and promoting wait.

    Raises
    ------
    AuditError : what decides was changed in the row of a version; nothing is let go.
    """

    def work(connection: sa.Connection) -> RetentionReport:
        if not dry_run:
            _hold_off(connection, "registered_models IN EXCLUSIVE")  # who registers or promotes begins with its name's row
        protected = _protected(connection)
        removed: list[str] = []
        kept = 0
        for name in connection.execute(sa.select(_ROW.name).distinct().order_by(_ROW.name)).scalars().all():
            old, rest = _retain_one(connection, name, policy, protected, dry_run)
            removed += old
            kept += rest
        return RetentionReport(tuple(removed), kept, len(protected), dry_run)

    return database.read(work, one_moment=True) if dry_run else database.run(work)


def _retain_one(
    connection: sa.Connection, name: str, policy: RetentionPolicy, protected: set[str], dry_run: bool
) -> tuple[list[str], int]:
    query = sa.select(_ROW.model_id, _ROW.version, _ROW.created_at, _ROW.stage, _ROW.learner).where(_ROW.name == name)
    rows = [row for row in _with_age(connection.execute(query.order_by(_ROW.version)).all()) if row[0].stage != "removed"]
    oldest = utc_now() - timedelta(days=policy.keep_days)
    beyond = rows[: -policy.keep_last]
    old = [row for row, moment in beyond if moment < oldest and row.model_id not in protected]
    for row in old:
        find_version(connection, name, row.version).require_unchanged(*_DECIDES)
    if old and not dry_run:
        _, head = lock_name(connection, name)
        numbers = sorted(row.version for row in old)
        connection.execute(
            sa.update(model_versions).where(_ROW.name == name, _ROW.version.in_(numbers)).values(stage="removed")
        )
        let_newest_speak(connection, name, {row.learner for row in old})
        reason = f"older than {policy.keep_days:g} days and not among the last {policy.keep_last}"
        append(connection, head, Entry("retain", reason=reason, details={"removed": numbers}))
    return [row.model_id for row in reversed(old)], len(rows) - len(old)


def _with_age(rows: Iterable[Any]) -> list[tuple[Any, datetime]]:
    """Each version with the latest time that it or any before it was registered at: a clock that goes back makes none old."""
    found: list[tuple[Any, datetime]] = []
    for row in rows:
        moment = moment_out(row.created_at)
        found.append((row, max(moment, found[-1][1]) if found else moment))
    return found


def _protected(connection: sa.Connection) -> set[str]:
    """``model_id`` of all that aliases point to or ever pointed to, and of what those were derived from or serve with.

    Raises
    ------
    AuditError : what decides here was changed in one of them: nothing is let go then.
    """
    moves = (audit.c.action.in_(("promote", "rollback")), audit.c.to_version.is_not(None))
    moved = sa.select(audit.c.name, audit.c.to_version).where(*moves).distinct()
    waiting = {f"{row.name}/{row.to_version}" for row in connection.execute(moved)}
    waiting |= {f"{row.name}/{row.version}" for row in connection.execute(sa.select(aliases.c.name, aliases.c.version))}
    found: set[str] = set()
    needs = sa.select(_ROW.name, _ROW.version, _ROW.model_id, _ROW.parent_id, _ROW.extras["anomaly_model"].as_string())
    while waiting:
        some = sorted(waiting)[:_AT_ONCE]
        waiting.difference_update(some)
        for name, number, model_id, *needed in connection.execute(needs.where(_ROW.model_id.in_(some))).all():
            find_version(connection, name, number).require_unchanged(*_DECIDES)
            found.add(model_id)
            waiting |= {other for other in needed if other is not None} - found
    return found


def collect(database: Database, artifacts: ArtifactStore, *, grace: timedelta) -> CollectReport:
    """Remove artifacts that no version refers to and that nobody stored within ``grace``.

    What is removed is removed while registering waits; so a version that is registered at this moment either keeps its
    artifact or stores it again. What killed processes left half-written goes too.
    """
    if grace < timedelta(0):
        raise RegistryError(f"a grace of {grace} is negative; artifacts cannot be older than that.")
    removed: list[str] = []
    size = 0
    for digest in artifacts.older_than(grace):
        if not _referred(database, digest):
            found = _size_of(artifacts.path(digest))
            if _throw_away(database, artifacts, digest):
                removed.append(digest)
                size += found
    swept = artifacts.sweep()
    waiting = sum(not _referred(database, digest) for digest in artifacts.digests())
    return CollectReport(tuple(removed), size, waiting, swept, len(artifacts.set_aside()))


def _size_of(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except FileNotFoundError:  # somebody else has collected it
        return 0


_REFERS = Statement(
    sa.select(_ROW.id)
    .where(
        sa.or_(
            sa.and_(_ROW.digest == sa.bindparam("wanted"), _ROW.stage != "removed"),
            sa.and_(_ROW.serving_digest == sa.bindparam("wanted"), _ROW.stage != "removed"),
        )
    )
    .limit(1)
)


def _referred(database: Database, digest: str) -> bool:
    with database.reading() as connection:
        return _REFERS.one(connection, wanted=digest) is not None


def _throw_away(database: Database, artifacts: ArtifactStore, digest: str) -> bool:
    with database.transaction() as connection:
        _hold_off(connection, "model_versions IN SHARE ROW EXCLUSIVE")  # who registers inserts a version
        return _REFERS.one(connection, wanted=digest) is None and artifacts.remove(digest)


def _hold_off(connection: sa.Connection, what: str) -> None:
    """Make others wait for this transaction at a table; on SQLite a writing transaction does so by itself."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"LOCK TABLE {what} MODE")
