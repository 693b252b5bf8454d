"""A move of an alias as it is written: its audit row, the alias's own row, and what the Engine's tables are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from huracan.errors import RegistryError
from huracan.model_info import MarketRegime
from huracan.registry.alias_holders import last_move
from huracan.registry.audit_chain import Entry, Head, Request, append
from huracan.registry.scopes import Scope, check_alias, check_text, scope_of
from huracan.registry.statements import Statement, insert_into, moment_in, parsed
from huracan.storage import to_json
from huracan.storage.tables import aliases, model_metrics, model_versions, models, promotions, utc_now

__all__ = ["CHAMPION", "MOVES", "Move", "Side", "holder_of", "place_of", "put_right", "take_off", "write_move"]

CHAMPION = "champion"
MOVES = ("promote", "rollback", "withdraw")
"""Actions of the audit that move an alias."""

_ALIAS, _VERSION = aliases.c, model_versions.c
_HERE = (
    _ALIAS.name == sa.bindparam("of"),
    _ALIAS.alias == sa.bindparam("called"),
    _ALIAS.symbol == sa.bindparam("symbol_"),
    _ALIAS.regime == sa.bindparam("regime_"),
)
_METRICS = Statement(
    sa.select(_VERSION.metrics).where(_VERSION.name == sa.bindparam("of"), _VERSION.version == sa.bindparam("number"))
)
_KEY, _MOVED = ("name", "alias", "symbol", "regime"), ("version", "updated_at", "moved_by")
_POINT = {
    dialect: Statement(
        (said := made.insert(aliases)).on_conflict_do_update(
            index_elements=list(_KEY), set_={name: said.excluded[name] for name in _MOVED}
        ),
        [*_KEY, *_MOVED],
    )
    for dialect, made in (("sqlite", sqlite), ("postgresql", postgresql))
}
_UNPOINT = Statement(sa.delete(aliases).where(*_HERE))
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
_OURS = _VERSION.name == sa.bindparam("of", type_=sa.Text)
_KIND = sa.case(
    (
        sa.exists().where(_ALIAS.name == _VERSION.name, _ALIAS.version == _VERSION.version, _ALIAS.alias == CHAMPION),
        sa.literal(CHAMPION, sa.Text),
    ),
    else_=_VERSION.kind,
)
_SET_KINDS_RIGHT = Statement(
    sa.update(models)
    .where(models.c.model_id.in_(sa.select(_VERSION.model_id).where(_OURS)))
    .values(kind=sa.select(_KIND).where(_VERSION.model_id == models.c.model_id).scalar_subquery())
)


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
        if isinstance(evidence, str) or not isinstance(evidence, Sequence):
            raise RegistryError(f"evidence is {evidence!r:.60}; a sequence of names was expected.")
        for one in map(str, evidence):
            check_text(one, "evidence")
        return cls(name, alias, scope_of(symbol, regime), reason, details or {}, tuple(map(str, evidence)), actor)


@dataclass(frozen=True)
class Side:
    """A holder of an alias, before or after a move, its metrics, and the audit row that pointed the alias there."""

    version: int | None
    metrics: Mapping[str, Any] | None
    row: int | None = None


def holder_of(connection: sa.Connection, move: Move) -> Side:
    """Who holds the alias now, as the audit tells it."""
    row, version = last_move(connection, move.name, move.alias, move.scope)
    found = None if version is None else _METRICS.one(connection, of=move.name, number=version)
    return Side(version, None if found is None else parsed(found[0]), row)


def place_of(move: Move) -> dict[str, str]:
    """Where a move takes place, as statements name it."""
    return {"of": move.name, "called": move.alias, "symbol_": move.scope.symbol, "regime_": move.scope.regime}


def write_move(
    connection: sa.Connection, head: Head, move: Move, action: str, before: Side, after: Side, request: Request
) -> None:
    """Write a move behind ``head``, and let the alias's row and the Engine's tables follow."""
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
    _point(connection, move, after.version, row, now)
    if move.alias == CHAMPION:
        _tell_engine(connection, move, action, before.version, after.version, now)


def _point(connection: sa.Connection, move: Move, version: int | None, row: int | None, now: Any) -> None:
    if version is None:
        _UNPOINT.write(connection, **place_of(move))
        return
    place = {"name": move.name, "alias": move.alias, "symbol": move.scope.symbol, "regime": move.scope.regime}
    _POINT[connection.dialect.name].write(connection, **place, version=version, updated_at=now, moved_by=row)


def put_right(connection: sa.Connection, move: Move, version: int, row: int | None) -> None:
    """Let the alias's row and the Engine's kinds say what the audit says, where another program has changed them."""
    _point(connection, move, version, row, moment_in(connection, utc_now()))
    _set_kinds_right(connection, move)


def take_off(connection: sa.Connection, move: Move) -> bool:
    """Take away a row of the alias that the audit knows nothing of; whether there was one."""
    if not _UNPOINT.write(connection, **place_of(move)):
        return False
    _set_kinds_right(connection, move)
    return True


def _set_kinds_right(connection: sa.Connection, move: Move) -> None:
    if move.alias == CHAMPION:
        _SET_KINDS_RIGHT.write(connection, of=move.name)


def _tell_engine(connection: sa.Connection, move: Move, action: str, old: int | None, new: int | None, now: Any) -> None:
    snapshot = {"alias": move.alias, "action": action, **move.details}
    snapshot |= {key: value for key, value in (("symbol", move.scope.symbol), ("regime", move.scope.regime)) if value}
    old_id, new_id = (None if version is None else f"{move.name}/{version}" for version in (old, new))
    _TELL.write(connection, from_model_id=old_id, to_model_id=new_id, reason=move.reason, at=now, snapshot=to_json(snapshot))
    if old is not None:
        _DETHRONE.write(connection, model=old_id, model_=old_id, of=move.name, number=old)
    if new is not None:
        _CROWN.write(connection, model=new_id)
        _MARK_PROMOTED.write(connection, model=new_id)
