"""A version's stage and whether it is verified, changed in one transaction with an audit row."""

from __future__ import annotations

import sqlalchemy as sa

from huracan.errors import RegistryError
from huracan.registry.alias_holders import alias_rows
from huracan.registry.audit_chain import Entry, Request, append
from huracan.registry.records import Stage
from huracan.registry.regime_rows import let_newest_speak
from huracan.registry.round_trip import Verification
from huracan.registry.scopes import Scope
from huracan.registry.versions import find_version, lock_name
from huracan.storage.tables import model_versions

__all__ = ["set_stage", "set_verified"]


def set_stage(connection: sa.Connection, name: str, version: int, stage: Stage, reason: str, request: Request) -> None:
    """Archive a version, or bring it back; nothing is written where it is so already.

    Raises
    ------
    RegistryError : there is no such version, its artifact is gone, or an alias points to it.
    """
    _, head = lock_name(connection, name)
    if request.done_before(connection) is not None:
        return
    found = find_version(connection, name, version)
    if found.stage == "removed":
        raise RegistryError(f"version {version} of '{name}' gave up its artifact to retention; that cannot be undone.")
    if found.stage == stage:
        return
    held = [Scope(row.symbol, row.regime).written(row.alias) for row in alias_rows(connection, name) if row.version == version]
    if stage != "active" and held:
        raise RegistryError(
            f"version {version} of '{name}' cannot be archived: the alias '{held[0]}' points to it; move that first."
        )
    _set(connection, name, version, stage=stage)
    let_newest_speak(connection, name, {found.learner})
    action = "archive" if stage == "archived" else "restore"
    append(connection, head, Entry(action, to_version=version, reason=reason), request)


def set_verified(connection: sa.Connection, name: str, version: int, outcome: Verification, request: Request) -> None:
    """Write down what came of verifying a version."""
    _, head = lock_name(connection, name)
    if request.done_before(connection) is not None:
        return
    _set(connection, name, version, verified=outcome.ok)
    let_newest_speak(connection, name, {find_version(connection, name, version).learner})
    details = {"verified": outcome.ok, "rows": outcome.n_rows, "answers": outcome.n_answers}
    append(connection, head, Entry("verify", to_version=version, reason=outcome.reason, details=details), request)


def _set(connection: sa.Connection, name: str, version: int, **values: object) -> None:
    mine = (model_versions.c.name == name, model_versions.c.version == version)
    connection.execute(sa.update(model_versions).where(*mine).values(**values))
