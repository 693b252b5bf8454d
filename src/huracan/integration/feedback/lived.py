"""What was lived, read back from the database: positions, payoffs, challengers, decisions, evidence, alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import polars as pl
import sqlalchemy as sa

from huracan.integration.feedback.asking import ANSWERED
from huracan.registry.scopes import Scope
from huracan.storage import Database
from huracan.storage.feedback_tables import (
    alerts,
    challengers,
    champion_trials,
    drift_evidence,
    live_outcomes,
    live_predictions,
    policy_decisions,
)
from huracan.storage.tables import model_versions

__all__ = [
    "alerts_of",
    "challengers_of",
    "decisions_of",
    "evidence_of",
    "first_champion",
    "payoffs_of",
    "positions_of",
    "trials_of",
]

_TIME = pl.Datetime("ms", "UTC")
_STRETCH = 30 * 86_400_000
_P, _O = live_predictions.c, live_outcomes.c


def positions_of(database: Database, name: str) -> pl.DataFrame:
    """``[symbol, ts, target]``: the position that whoever answered said of each bar."""
    answered = sa.select(_P.symbol, _P.ts, _P.position).where(_P.role == ANSWERED, _P.version_id.in_(_versions(name)))
    schema: dict[str, Any] = {"symbol": pl.String, "ts": pl.Int64, "target": pl.Float64}
    found = _by_stretch(database, answered, _P.tick, live_predictions, schema)
    return found.with_columns(pl.col("ts").cast(_TIME)).sort("symbol", "ts")


def payoffs_of(database: Database, name: str) -> pl.DataFrame:
    """``[ts, payoff]``: of every moment the mean payoff over the symbols that were answered and are known."""
    joined = live_outcomes.join(
        live_predictions,
        sa.and_(_P.version_id == _O.version_id, _P.symbol == _O.symbol, _P.ts == _O.ts),
    )
    answered = (
        sa.select(_O.ts, sa.func.avg(_O.payoff))
        .select_from(joined)
        .where(_P.role == ANSWERED, _O.state == "known", _O.payoff.is_not(None), _O.version_id.in_(_versions(name)))
        .group_by(_O.ts)
    )
    found = _by_stretch(database, answered, _O.ts, live_outcomes, {"ts": pl.Int64, "payoff": pl.Float64})
    return found.with_columns(pl.col("ts").cast(_TIME)).sort("ts")


def challengers_of(database: Database, name: str) -> pl.DataFrame:
    """``[requested, scope, kind, asked, state, decided, version, reason]``, in the order in which they were asked for."""
    c, d = challengers.c, policy_decisions.c
    rows = _rows(
        database,
        sa.select(c.requested, c.symbol, c.regime, c.kind, d.reason.label("asked"), c.state, c.decided, c.version, c.reason)
        .outerjoin(
            policy_decisions,
            sa.and_(d.name == c.name, d.symbol == c.symbol, d.regime == c.regime, d.tick == c.requested),
        )
        .where(c.name == name)
        .order_by(c.requested, c.id),
    )
    told = [
        {
            "requested": _moment(row["requested"]),
            "scope": _scope(row),
            "kind": row["kind"],
            "asked": row["asked"] or "Nobody was champion.",
            "state": row["state"],
            "decided": _moment(row["decided"]),
            "version": row["version"],
            "reason": row["reason"],
        }
        for row in rows
    ]
    times: dict[str, Any] = {"requested": _TIME, "decided": _TIME}
    texts: dict[str, Any] = dict.fromkeys(("scope", "kind", "asked", "state", "reason"), pl.String)
    schema: dict[str, Any] = {**times, **texts, "version": pl.Int64}
    order = ("requested", "scope", "kind", "asked", "state", "decided", "version", "reason")
    return pl.DataFrame(told, schema={column: schema[column] for column in order})


def trials_of(database: Database, name: str) -> pl.DataFrame:
    """``[since, scope, version, before_version, state, reason]`` of champions that took over."""
    c = champion_trials.c
    rows = _rows(database, sa.select(champion_trials).where(c.name == name).order_by(c.since, c.version))
    told = [
        {
            "since": _moment(row["since"]),
            "scope": _scope(row),
            **{key: row[key] for key in ("version", "before_version", "state", "reason")},
        }
        for row in rows
    ]
    schema: dict[str, Any] = {
        "since": _TIME,
        "scope": pl.String,
        "version": pl.Int64,
        "before_version": pl.Int64,
        "state": pl.String,
    }
    return pl.DataFrame(told, schema={**schema, "reason": pl.String})


def decisions_of(database: Database, name: str) -> pl.DataFrame:
    """``[decision, times, last, reason]``: how often each was taken, and why when last."""
    c = policy_decisions.c
    counted = sa.select(c.decision, sa.func.count(), sa.func.max(c.tick)).where(c.name == name).group_by(c.decision)
    with database.reading(one_moment=True) as connection:
        told = []
        for decision, times, last in connection.execute(counted).all():
            why = sa.select(c.reason).where(c.name == name, c.decision == decision, c.tick == last).limit(1)
            reason = connection.execute(why.order_by(c.symbol, c.regime)).scalar_one()
            told.append({"decision": decision, "times": times, "last": _moment(last), "reason": reason})
    schema: dict[str, Any] = {"decision": pl.String, "times": pl.Int64, "last": _TIME, "reason": pl.String}
    return pl.DataFrame(told, schema=schema).sort("times", "decision", descending=[True, False])


def evidence_of(database: Database, name: str) -> pl.DataFrame:
    """``[tick, kind, scope, strong, sentence]``, oldest first."""
    c = drift_evidence.c
    wanted = sa.select(c.tick, c.kind, c.symbol, c.regime, c.strong, c.sentence).where(c.name == name)
    told = [
        {
            "tick": _moment(row["tick"]),
            "kind": row["kind"],
            "scope": _scope(row),
            "strong": bool(row["strong"]),
            "sentence": row["sentence"],
        }
        for row in _rows(database, wanted.order_by(c.tick, c.id))
    ]
    schema: dict[str, Any] = {"tick": _TIME, "kind": pl.String, "scope": pl.String, "strong": pl.Boolean, "sentence": pl.String}
    return pl.DataFrame(told, schema=schema)


def alerts_of(database: Database, name: str) -> pl.DataFrame:
    """``[level, sentence, first, last, count]``, newest first."""
    c = alerts.c
    told = [
        {
            "level": row["level"],
            "sentence": row["sentence"],
            "first": _moment(row["first_tick"]),
            "last": _moment(row["last_tick"]),
            "count": row["count"],
        }
        for row in _rows(database, sa.select(alerts).where(c.name == name).order_by(c.last_tick.desc(), c.id))
    ]
    schema: dict[str, Any] = {"level": pl.String, "sentence": pl.String, "first": _TIME, "last": _TIME, "count": pl.Int64}
    return pl.DataFrame(told, schema=schema)


def first_champion(database: Database, name: str) -> tuple[int, int] | None:
    """Version that answered first, and its row's number; None where nobody ever did."""
    v = model_versions.c
    first = (
        sa.select(v.version, v.id)
        .join(live_predictions, _P.version_id == v.id)
        .where(v.name == name, _P.role == ANSWERED)
        .order_by(_P.tick, v.version)
        .limit(1)
    )
    found = database.read(lambda connection: connection.execute(first).one_or_none())
    return None if found is None else (int(found[0]), int(found[1]))


def _versions(name: str) -> sa.Select[Any]:
    return sa.select(model_versions.c.id).where(model_versions.c.name == name)


def _by_stretch(
    database: Database, query: sa.Select[Any], time: sa.ColumnElement[Any], table: sa.Table, schema: dict[str, Any]
) -> pl.DataFrame:
    """Rows of a long table, a stretch of time after the other, so that they are never all there as Python objects."""
    ends = sa.select(sa.func.min(time), sa.func.max(time)).select_from(table)
    first, last = database.read(lambda connection: connection.execute(ends).one())
    parts = [pl.DataFrame(schema=schema)]
    for begin in _stretches(first, last):
        within = query.where(time >= begin, time < begin + _STRETCH)
        rows = database.read(lambda connection, within=within: connection.execute(within).all())  # type: ignore[misc]
        parts.append(pl.DataFrame([tuple(row) for row in rows], schema=schema, orient="row"))
    return pl.concat(parts)


def _stretches(first: int | None, last: int | None) -> Iterator[int]:
    if first is not None and last is not None:
        yield from range(first, last + 1, _STRETCH)


def _rows(database: Database, query: sa.Select[Any]) -> list[dict[str, Any]]:
    found = database.read(lambda connection: connection.execute(query).mappings().all())
    return [dict(row) for row in found]


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1_000, UTC)


def _scope(row: dict[str, Any]) -> str:
    return Scope(row["symbol"], row["regime"]).written("champion")
