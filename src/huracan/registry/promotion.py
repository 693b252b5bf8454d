"""Moving an alias: promotion and rollback, each one transaction with its audit row and the Engine's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from huracan.errors import PromotionConflict, RegistryError
from huracan.registry.audit_chain import Entry, Head, Request, append
from huracan.registry.records import NOT_CHECKED, Expected
from huracan.registry.scopes import Scope
from huracan.registry.statements import Statement, insert_into, moment_in, parsed
from huracan.registry.versions import lock_name, no_alias, no_version
from huracan.storage import to_json
from huracan.storage.tables import aliases, audit, model_metrics, model_versions, models, promotions, utc_now

__all__ = ["CHAMPION", "Move", "give_back", "move_alias"]

CHAMPION = "champion"

_ALIAS, _VERSION = aliases.c, model_versions.c
_HERE = (
    _ALIAS.name == sa.bindparam("of"),
    _ALIAS.alias == sa.bindparam("called"),
    _ALIAS.symbol == sa.bindparam("symbol_"),
    _ALIAS.regime == sa.bindparam("regime_"),
)
_HELD = Statement(
    sa.select(_ALIAS.version, _VERSION.metrics)
    .join_from(aliases, model_versions, sa.and_(_VERSION.name == _ALIAS.name, _VERSION.version == _ALIAS.version))
    .where(*_HERE)
)
_CANDIDATE = Statement(
    sa.select(_VERSION.stage, _VERSION.verified, _VERSION.metrics).where(
        _VERSION.name == sa.bindparam("of"), _VERSION.version == sa.bindparam("number")
    )
)
_ADD_ALIAS = insert_into(aliases, ("name", "alias", "symbol", "regime", "version", "updated_at", "moved_by"))
_MOVE_ALIAS = Statement(
    sa.update(aliases)
    .where(*_HERE, _ALIAS.version == sa.bindparam("held"))
    .values(version=sa.bindparam("number"), updated_at=sa.bindparam("now"), moved_by=sa.bindparam("row"))
)
_TELL = insert_into(promotions, ("from_model_id", "to_model_id", "reason", "at", "snapshot"))
_CROWN = Statement(sa.update(models).where(models.c.model_id == sa.bindparam("model")).values(kind=CHAMPION))
_HOLDS_ONE = sa.exists().where(
    _ALIAS.name == sa.bindparam("of"), _ALIAS.version == sa.bindparam("number"), _ALIAS.alias == CHAMPION
)
_DETHRONE = Statement(
    sa.update(models)
    .where(models.c.model_id == sa.bindparam("model"), ~_HOLDS_ONE)
    .values(kind=sa.select(_VERSION.kind).where(_VERSION.model_id == sa.bindparam("model_")).scalar_subquery())
)
_MARK_PROMOTED = Statement(
    sa.update(model_metrics)
    .where(model_metrics.c.model_id == sa.bindparam("model"), ~model_metrics.c.promoted)
    .values(promoted=sa.true())
)
_MOVES = Statement(
    sa.select(audit.c.id, audit.c.action, audit.c.from_version)
    .where(
        audit.c.name == sa.bindparam("of"),
        audit.c.alias == sa.bindparam("called"),
        audit.c.symbol == sa.bindparam("symbol_"),
        audit.c.regime == sa.bindparam("regime_"),
        audit.c.id < sa.bindparam("before"),
    )
    .order_by(audit.c.id.desc())
    .limit(100)
)
_LAST = 2**62  # beyond every row's number


@dataclass(frozen=True)
class Move:
    """Where an alias is to point, whose it is, and why; ``details`` are the figures the decision rests on."""

    name: str
    alias: str
    scope: Scope
    reason: str
    details: Mapping[str, Any]
    evidence: Sequence[str] = ()
    actor: str | None = None


def move_alias(connection: sa.Connection, move: Move, version: int, expected: Expected, request: Request) -> None:
    """Point the alias at ``version``, if ``expected`` holds it; nothing is written where ``version`` holds it already.

    Raises
    ------
    PromotionConflict : somebody else moved the alias first.
    RegistryError : there is no such model or version, or it is archived, removed or unverified.
    """
    _, head = lock_name(connection, move.name)
    if request.done_before(connection) is not None:
        return
    before, after = _held(connection, move), _promotable(connection, move.name, version)
    _compare(move, before.version, expected)
    if before.version != version:
        _move(connection, head, move, "promote", before, _Side(version, after), request)


def give_back(connection: sa.Connection, move: Move, expected: Expected, request: Request) -> int:
    """Point the alias at the version that held it before the present one, earlier roll-backs taken off.

    Raises
    ------
    PromotionConflict : somebody else moved the alias first.
    RegistryError : nobody held it before, or who did is archived, removed or unverified.
    """
    _, head = lock_name(connection, move.name)
    if (done := request.done_before(connection)) is not None:
        return int(done[0])
    held = _held(connection, move)
    if held.version is None:
        raise no_alias(connection, move.name, move.alias, move.scope)
    _compare(move, held.version, expected)
    version = _previous_holder(connection, move)
    if version is None:
        raise RegistryError(
            f"alias '{move.scope.written(move.alias)}' of model '{move.name}' cannot be rolled back: nobody held it before "
            f"{held.version}."
        )
    after = _promotable(connection, move.name, version)
    _move(connection, head, move, "rollback", held, _Side(version, after), request)
    return version


@dataclass(frozen=True)
class _Side:
    """A holder of an alias, before or after a move, and its metrics."""

    version: int | None
    metrics: Mapping[str, Any] | None


def _held(connection: sa.Connection, move: Move) -> _Side:
    row = _HELD.one(connection, **_place(move))
    return _Side(None, None) if row is None else _Side(int(row[0]), parsed(row[1]))


def _place(move: Move) -> dict[str, str]:
    return {"of": move.name, "called": move.alias, "symbol_": move.scope.symbol, "regime_": move.scope.regime}


def _promotable(connection: sa.Connection, name: str, version: int) -> Mapping[str, Any]:
    row = _CANDIDATE.one(connection, of=name, number=version)
    if row is None:
        raise no_version(connection, name, version)
    stage, verified, metrics = row
    if stage == "archived":
        raise RegistryError(f"version {version} of '{name}' is archived; restore it before it is promoted.")
    if stage == "removed":
        raise RegistryError(f"version {version} of '{name}' gave up its artifact to retention; it cannot be promoted.")
    if not verified:
        raise RegistryError(
            f"version {version} of '{name}' is not verified: nobody has rebuilt it from its artifact yet, or that failed; "
            f"call verify('{name}', {version}) first."
        )
    return dict(parsed(metrics))


def _compare(move: Move, held: int | None, expected: Expected) -> None:
    if expected is not NOT_CHECKED and held != expected:
        raise PromotionConflict(
            f"alias '{move.scope.written(move.alias)}' of model '{move.name}' points to {_in_words(held)}, "
            f"{_in_words(expected)} was expected; somebody promoted first: look at the history, then decide again."
        )


def _move(
    connection: sa.Connection, head: Head, move: Move, action: str, before: _Side, after: _Side, request: Request
) -> None:
    entry = Entry(
        action,
        alias=move.alias,
        symbol=move.scope.symbol,
        regime=move.scope.regime,
        from_version=before.version,
        to_version=after.version,
        reason=move.reason,
        actor=move.actor,
        details=dict(move.details),
        evidence=list(move.evidence) or None,
        metrics_before=before.metrics,
        metrics_after=after.metrics,
    )
    row = append(connection, head, entry, request)
    now = moment_in(connection, utc_now())
    if before.version is None:
        place = {"name": move.name, "alias": move.alias, "symbol": move.scope.symbol, "regime": move.scope.regime}
        _ADD_ALIAS.write(connection, **place, version=after.version, updated_at=now, moved_by=row)
    else:
        moved = _MOVE_ALIAS.write(connection, **_place(move), held=before.version, number=after.version, now=now, row=row)
        if moved != 1:
            raise PromotionConflict(f"alias '{move.alias}' of model '{move.name}' was moved while it was held; try again.")
    if move.alias == CHAMPION:
        _tell_engine(connection, move, action, before.version, after.version, now)


def _tell_engine(connection: sa.Connection, move: Move, action: str, old: int | None, new: int | None, now: Any) -> None:
    snapshot = {"alias": move.alias, "action": action, **move.details}
    snapshot |= {key: value for key, value in (("symbol", move.scope.symbol), ("regime", move.scope.regime)) if value}
    old_id, new_id = (None if version is None else f"{move.name}/{version}" for version in (old, new))
    _TELL.write(connection, from_model_id=old_id, to_model_id=new_id, reason=move.reason, at=now, snapshot=to_json(snapshot))
    if old is not None:
        _DETHRONE.write(connection, model=old_id, model_=old_id, of=move.name, number=old)
    _CROWN.write(connection, model=new_id)
    _MARK_PROMOTED.write(connection, model=new_id)


def _previous_holder(connection: sa.Connection, move: Move) -> int | None:
    """Whom the last promotion that was not taken back took the alias from; reads the audit backwards, as far as needed."""
    taken_back, before = 0, _LAST
    while True:
        rows = _MOVES(connection, **_place(move), before=before)
        for row in rows:
            if row.action == "rollback":
                taken_back += 1
            elif row.action == "promote":
                if not taken_back:
                    return None if row.from_version is None else int(row.from_version)
                taken_back -= 1
        if len(rows) < 100:
            return None
        before = rows[-1].id


def _in_words(version: Any) -> str:
    return "nobody" if version is None else f"version {version}"
