"""What a turn did, for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from huracan.config.section import milliseconds
from huracan.errors import LeaseLost
from huracan.integration.feedback.asking import ANSWERED, BESIDE, LATE, SHADOWED
from huracan.integration.feedback.challenger_log import ChallengerState, challengers_in
from huracan.integration.feedback.evidence_log import evidence_at
from huracan.integration.feedback.lineup import Lineup
from huracan.integration.feedback.looping import Stopped
from huracan.integration.feedback.mechanic_report import AT, MINE, OF, MechanicReport
from huracan.integration.feedback.predicting import vetoes_in
from huracan.integration.feedback.scoring import longest_wait
from huracan.integration.feedback.turn import Turn
from huracan.mlops.alerts import AlertLevel
from huracan.mlops.metrics import Metric, Metrics
from huracan.model_info import MarketRegime
from huracan.registry.statements import Statement
from huracan.storage.feedback_tables import live_buckets, live_outcomes, live_predictions, policy_decisions

__all__ = ["counting_failures", "measure"]

_P, _O, _B, _D = live_predictions.c, live_outcomes.c, live_buckets.c, policy_decisions.c
_SAID = Statement(
    sa.select(_P.symbol, _P.role, _P.vetoes, sa.func.count().label("n"), sa.func.count(_P.ts.distinct()).label("bars"))
    .where(_P.tick == AT, _P.version_id.in_(MINE))
    .group_by(_P.symbol, _P.role, _P.vetoes)
)
_CAME = Statement(
    sa.select(_O.state, sa.func.count().label("n")).where(_O.tick == AT, _O.version_id.in_(MINE)).group_by(_O.state)
)
_KNOWN = sa.exists().where(_O.version_id == _P.version_id, _O.symbol == _P.symbol, _O.ts == _P.ts)
_OF_VERSION: sa.ColumnElement[int] = sa.literal_column(
    "+live_predictions.version_id"
)  # the + keeps SQLite from reading all that was ever said
_PENDING = Statement(
    sa.select(_P.role, sa.func.count().label("n"))
    .where(_P.tick >= sa.bindparam("since", type_=sa.BigInteger), _OF_VERSION.in_(MINE), ~_KNOWN)
    .group_by(_P.role)
)
_LIVE = Statement(
    sa.select(
        _B.symbol,
        _B.regime,
        *(sa.func.sum(column).label(column.name) for column in (_B.n, _B.answered, _B.payoff, _B.net)),
    )
    .where(
        _B.version_id == sa.bindparam("version_id", type_=sa.BigInteger),
        _B.bucket >= sa.bindparam("since", type_=sa.BigInteger),
    )
    .group_by(_B.symbol, _B.regime)
)
_DECIDED = Statement(sa.select(_D.decision).where(_D.name == OF, _D.tick == AT))


def measure(turn: Turn, report: MechanicReport) -> None:
    """Count what a finished turn has left; nothing is read where nobody measures."""
    works = turn.works
    metrics = works.metrics
    if not metrics.kept:
        return
    name, tick, lineup = works.name, turn.tick, turn.lineup
    window = milliseconds(works.config.drift.window)
    with works.database.reading(one_moment=True) as connection:
        said, decided = _SAID(connection, of=name, at=tick), _DECIDED(connection, of=name, at=tick)
        came = _CAME(connection, of=name, at=tick)
        pending = _PENDING(connection, of=name, since=tick - longest_wait(works.config, turn.bar))
        ids = {version: works.bench.id_of(version) for version in lineup.served}
        live = [
            row
            for version, one in sorted(ids.items())
            for row in _LIVE(connection, version_id=one, since=tick - window)
            if _answers(lineup, row.symbol, row.regime) == version
        ]
        seen = evidence_at(connection, name, tick)
        states = Counter(str(one.state) for one in challengers_in(connection, name))
        alarms = Counter(str(one.level) for one in works.alerts.holding(connection))
    metrics.add(Metric.TICKS, result="finished")
    metrics.set(Metric.LAST_TICK, tick / 1_000.0)
    _count_bars(metrics, said, report)
    for row in said:
        metrics.add(Metric.PREDICTIONS, row.n, symbol=row.symbol, role=row.role)
        for kind in vetoes_in(row.vetoes):
            metrics.add(Metric.VETOES, row.n, kind=str(kind))
    for row in came:
        metrics.add(Metric.OUTCOMES, row.n, state=row.state)
    waiting = Counter({row.role: row.n for row in pending})
    for role in (ANSWERED, BESIDE, SHADOWED, LATE):
        metrics.set(Metric.PENDING, waiting[role], role=role)
    for metric, shown in ((Metric.SKILL, [row for row in live if row.answered]), (Metric.NET, [row for row in live if row.n])):
        metrics.keep_only(metric, [{"symbol": row.symbol, "regime": row.regime} for row in shown])
    there = {"", *(symbol for symbol, newest in turn.intake.newest.items() if newest >= tick - window)}
    metrics.keep_only(Metric.DRIFT_SHARE, [{"symbol": scope.symbol} for scope in lineup.able if scope.symbol in there])
    for row in live:
        if row.answered:
            metrics.set(Metric.SKILL, row.payoff / int(row.answered), symbol=row.symbol, regime=row.regime)
        if row.n:
            metrics.set(Metric.NET, row.net / int(row.n), symbol=row.symbol, regime=row.regime)
    for one in seen:
        metrics.add(Metric.EVIDENCE, kind=str(one.kind))
    for row in decided:
        metrics.add(Metric.DECISIONS, decision=row.decision)
    for state in ChallengerState:
        metrics.set(Metric.CHALLENGERS, states[str(state)], state=str(state))
    for level in AlertLevel:
        metrics.set(Metric.ALERTS, alarms[str(level)], level=str(level))
    metrics.set(Metric.FROZEN, float(bool(report.frozen)))
    metrics.set(Metric.UNANSWERED, float(report.unanswered_bars + 1 if report.unanswered else 0))


def _answers(lineup: Lineup, symbol: str, regime: str) -> int | None:
    """The version that answers for a symbol in a regime, ``""`` where that is not known yet."""
    route = lineup.routes.get(symbol)
    answer = None if route is None else route.answers.get(MarketRegime(regime) if regime else None)
    return None if answer is None else answer[0]


@contextmanager
def counting_failures(metrics: Metrics) -> Iterator[None]:
    """Count a turn that is not finished for another reason than that it was told to stop, or that somebody else works."""
    metrics.add(Metric.TICKS, 0, result="failed")  # shown from the first turn on: nothing grows out of what is not there
    try:
        yield
    except (LeaseLost, Stopped):
        raise
    except Exception:
        metrics.add(Metric.TICKS, result="failed")
        raise


def _count_bars(metrics: Metrics, said: Sequence[Any], report: MechanicReport) -> None:
    """Bars that champions were asked about, and what came late, was revised or refused."""
    taken: Counter[str] = Counter()
    for row in said:
        taken[row.symbol] += row.bars if row.role in (ANSWERED, LATE) else 0
    refused = dict.fromkeys(report.refused, 1)
    for state, counts in (("taken", taken), ("late", report.late), ("revised", report.revised), ("refused", refused)):
        for symbol, n in counts.items():
            metrics.add(Metric.BARS, n, symbol=symbol, state=state)
