"""Rows of evidence and of decisions: written once, whichever turn writes them, read by what decides and by who looks on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.retrain_decision import Decision, RetrainDecision
from huracan.registry.scopes import Scope
from huracan.registry.statements import Statement, parsed
from huracan.storage.feedback_tables import drift_evidence, policy_decisions

__all__ = ["evidence_at", "last_decision", "latest_evidence", "put_decision", "put_evidence"]

_E, _D = drift_evidence.c, policy_decisions.c
_OF = sa.bindparam("of", type_=sa.Text)
_AT = sa.bindparam("at", type_=sa.BigInteger)
_SEEN = Statement(sa.select(drift_evidence).where(_E.name == _OF, _E.tick == _AT).order_by(_E.id))
_IDS = Statement(sa.select(_E.id).where(_E.name == _OF, _E.tick == _AT))
_OF_VERSION = Statement(
    sa.select(drift_evidence)
    .where(
        _E.name == _OF,
        _E.symbol == sa.bindparam("symbol_", type_=sa.Text),
        _E.regime == sa.bindparam("regime_", type_=sa.Text),
        _E.version_id == sa.bindparam("version", type_=sa.BigInteger),
    )
    .order_by(_E.tick.desc(), _E.id)
)
_LAST = Statement(
    sa.select(_D.decision, _D.reason, _D.tick)
    .where(
        _D.name == _OF,
        _D.symbol == sa.bindparam("symbol_", type_=sa.Text),
        _D.regime == sa.bindparam("regime_", type_=sa.Text),
    )
    .order_by(_D.tick.desc())
    .limit(1)
)


def put_evidence(connection: sa.Connection, name: str, tick: int, seen: Iterable[Evidence]) -> None:
    """Keep what was seen at a turn; what is there already under its id stays."""
    there = {row.id for row in _IDS(connection, of=name, at=tick)}
    rows = [_row(one) for one in {one.id: one for one in seen}.values() if one.id not in there]
    for row in rows:
        connection.execute(sa.insert(drift_evidence).values(**row))


def evidence_at(connection: sa.Connection, name: str, tick: int) -> list[Evidence]:
    """What was seen at a turn, by id."""
    return [_evidence(row) for row in _SEEN(connection, of=name, at=tick)]


def latest_evidence(connection: sa.Connection, name: str, scope: Scope, version_id: int) -> list[tuple[Evidence, int]]:
    """The newest of each kind that was ever seen of a version in a scope, and how many looks saw that kind."""
    newest: dict[str, Evidence] = {}
    times: dict[str, int] = {}
    for row in _OF_VERSION(connection, of=name, symbol_=scope.symbol, regime_=scope.regime, version=version_id):
        newest.setdefault(row.kind, _evidence(row))
        times[row.kind] = times.get(row.kind, 0) + 1
    return [(one, times[kind]) for kind, one in sorted(newest.items())]


def put_decision(connection: sa.Connection, name: str, scope: Scope, tick: int, made: RetrainDecision) -> None:
    """Keep what the policy decided of a scope at a turn."""
    connection.execute(
        sa.insert(policy_decisions).values(
            name=name,
            symbol=scope.symbol,
            regime=scope.regime,
            tick=tick,
            decision=str(made.decision),
            reason=made.reason,
            evidence=list(made.evidence),
            blocked_by=list(made.blocked_by),
            train_from=made.train_from,
        )
    )


def last_decision(connection: sa.Connection, name: str, scope: Scope) -> tuple[Decision, str] | None:
    """The newest decision that was kept of a scope, and its reason."""
    row = _LAST.one(connection, of=name, symbol_=scope.symbol, regime_=scope.regime)
    return None if row is None else (Decision(row.decision), str(row.reason))


def _row(one: Evidence) -> dict[str, Any]:
    return {**vars(one), "kind": str(one.kind), "details": dict(one.details)}


def _evidence(row: Any) -> Evidence:
    values = row._asdict()
    return Evidence(
        **{
            **values,
            "kind": EvidenceKind(values["kind"]),
            "strong": bool(values["strong"]),
            "details": parsed(values["details"]) or {},
        }
    )
