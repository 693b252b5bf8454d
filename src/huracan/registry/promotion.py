"""Moving an alias: promotion and rollback, each one transaction with its audit row and the Engine's tables."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from huracan.errors import ArtifactError, PromotionConflict, RegistryError
from huracan.model_info import MarketRegime
from huracan.registry.audit_chain import Entry, Head, Request, append
from huracan.registry.records import NOT_CHECKED, Expected
from huracan.registry.scopes import Scope, check_alias, scope_of
from huracan.registry.statements import Statement, insert_into, moment_in, parsed
from huracan.registry.versions import find_version, lock_name, no_alias
from huracan.storage import ArtifactStore, to_json
from huracan.storage.tables import aliases, audit, model_metrics, model_versions, models, promotions, utc_now

__all__ = ["CHAMPION", "Move", "give_back", "move_alias", "version_number"]

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
    sa.select(audit.c.position, audit.c.action, audit.c.from_version)
    .where(
        audit.c.name == sa.bindparam("of"),
        audit.c.alias == sa.bindparam("called"),
        audit.c.symbol == sa.bindparam("symbol_"),
        audit.c.regime == sa.bindparam("regime_"),
        audit.c.position < sa.bindparam("before"),
    )
    .order_by(audit.c.position.desc())
    .limit(100)
)
_LAST = 2**31 - 1  # beyond every row's position


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

    @classmethod
    def of(
        cls,
        name: str,
        alias: str,
        symbol: str | None,
        regime: MarketRegime | str | None,
        reason: str,
        details: Mapping[str, Any] | None = None,
        evidence: Sequence[str] = (),
        actor: str | None = None,
    ) -> Move:
        """What a caller gave, checked; a :class:`RegistryError` says what cannot be."""
        check_alias(alias)
        if isinstance(evidence, str):
            raise RegistryError(f"evidence is the text {evidence!r}; a sequence of names was expected.")
        return cls(name, alias, scope_of(symbol, regime), reason, details or {}, tuple(map(str, evidence)), actor)


def version_number(given: Any, what: str) -> int:
    """A version's number as Python's own; what is stored is what is hashed."""
    try:
        if isinstance(given, bool):
            raise TypeError
        number = operator.index(given)
    except TypeError:
        raise RegistryError(f"{what} is {given!r}; the number of a version was expected.") from None
    if not 0 < number < 2**31:
        raise RegistryError(f"{what} is {number}; the number of a version, from 1, was expected.")
    return number


def move_alias(
    connection: sa.Connection, artifacts: ArtifactStore, move: Move, version: int, expected: Expected, request: Request
) -> None:
    """Point the alias at ``version``, if ``expected`` holds it; nothing is written where ``version`` holds it already.

    Raises
    ------
    PromotionConflict : somebody else moved the alias first.
    RegistryError : there is no such model or version, it is archived, removed, unverified or was changed, or its artifact is
        not there.
    """
    _, head = lock_name(connection, move.name)
    if request.done_before(connection) is not None:
        return
    before, after = _held(connection, move), _promotable(connection, artifacts, move.name, version)
    _compare(move, before.version, expected)
    if before.version != version:
        _move(connection, head, move, "promote", before, _Side(version, after), request)


def give_back(connection: sa.Connection, artifacts: ArtifactStore, move: Move, expected: Expected, request: Request) -> int:
    """Point the alias at the version that held it before the present one, earlier roll-backs taken off.

    Raises
    ------
    PromotionConflict : somebody else moved the alias first.
    RegistryError : nobody held it before, or who did is archived, removed, unverified or changed, or its artifact is not there.
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
    after = _promotable(connection, artifacts, move.name, version)
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


def _promotable(connection: sa.Connection, artifacts: ArtifactStore, name: str, version: int) -> Mapping[str, Any]:
    """Metrics of a version that may be promoted: as it was registered, and its artifacts are there.

    Of an artifact the manifest is hashed, and each file must have its size. Hashing all of it takes as long as it is large:
    that is done when it is loaded, and by ``verify``.
    """
    found = find_version(connection, name, version)
    if found.stage == "archived":
        raise RegistryError(f"version {version} of '{name}' is archived; restore it before it is promoted.")
    if found.stage == "removed":
        raise RegistryError(f"version {version} of '{name}' gave up its artifact to retention; it cannot be promoted.")
    if not found.verified:
        raise RegistryError(
            f"version {version} of '{name}' is not verified: nobody has rebuilt it from its artifact yet, or that failed; "
            f"call verify('{name}', {version}) first."
        )
    found.require_unchanged()
    try:
        for digest in filter(None, (found.digest, found.serving_digest)):
            artifacts.glance(digest)
    except ArtifactError as error:
        raise RegistryError(f"version {version} of '{name}' cannot be promoted: {error}") from error
    return found.metrics


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
        before = rows[-1].position


def _in_words(version: Any) -> str:
    return "nobody" if version is None else f"version {version}"
