"""``MechanicReport``: what a turn did, out of the rows that it left; and ``MechanicStatus``: how a Mechanic stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import sqlalchemy as sa

from huracan.integration.feedback.challenger_log import TRIALS_TOLD, Challenger, Trial
from huracan.integration.feedback.evidence_log import evidence_at
from huracan.integration.feedback.lease import LeaseHolder
from huracan.integration.feedback.loop_state import read_state
from huracan.integration.feedback.switch import Frozen
from huracan.market.schema import written_time
from huracan.mlops.performance.engine_account import EngineAccount
from huracan.registry.scopes import Scope
from huracan.registry.statements import Statement
from huracan.storage import to_json
from huracan.storage.feedback_tables import challengers, champion_trials, live_outcomes, live_predictions, policy_decisions
from huracan.storage.tables import model_versions

__all__ = ["AT", "MINE", "OF", "MechanicReport", "MechanicStatus", "told_of"]


@dataclass(frozen=True)
class MechanicReport:
    """What one turn did.

    Attributes
    ----------
    name : of the Mechanic. tick : what the turn was about, milliseconds UTC. done : whether it was worked off now; False where
        nothing was to be done, and ``note`` says why.
    bars : symbol -> its newest bar, milliseconds UTC. predictions, outcomes : rows written, of all versions that were asked.
    late, revised : symbol -> bars that came late, or were changed. belated : symbol -> bars that were answered
        when nobody could act on it any more. refused : source or symbol -> why it was not taken.
    champions : scope, written as an alias -> version that answers, where the scope's symbol has candles. trouble : version ->
        why it is not served.
    evidence : sentences of what was seen. decisions : scope -> decision and its reason. challengers : id -> state and reason,
        of those that were asked for, trained or decided. trials : scope -> what became of a new champion's trial.
    frozen : the reason for which promotions are stopped; empty where they are not. unanswered : why nobody answers for any
        symbol; empty where somebody does. unanswered_bars : bars since a turn first found that so.
    simulated : a simulated market stands in, since no candles are configured: nobody is pointed at.

    Examples
    --------
    >>> MechanicReport("btc", 3_600_000, predictions=2).sentence
    "Mechanic 'btc' at 1970-01-01 01:00 UTC: 2 predictions, 0 outcomes."
    """

    name: str
    tick: int
    done: bool = True
    note: str = ""
    bars: Mapping[str, int] = field(default_factory=dict)
    predictions: int = 0
    outcomes: int = 0
    late: Mapping[str, int] = field(default_factory=dict)
    revised: Mapping[str, int] = field(default_factory=dict)
    belated: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    champions: Mapping[str, int] = field(default_factory=dict)
    trouble: Mapping[str, str] = field(default_factory=dict)
    evidence: Sequence[str] = ()
    decisions: Mapping[str, str] = field(default_factory=dict)
    challengers: Mapping[str, str] = field(default_factory=dict)
    trials: Mapping[str, str] = field(default_factory=dict)
    frozen: str = ""
    unanswered: str = ""
    unanswered_bars: int = 0
    simulated: bool = False

    @property
    def sentence(self) -> str:
        """The turn in a line or a few."""
        head = f"Mechanic '{self.name}' at {written_time(self.tick)}"
        if not self.done:
            return f"{head}: {self.note}"
        parts = [f"{self.predictions:,} predictions, {self.outcomes:,} outcomes"]
        parts += [f"late: {_counted(self.late)}"] if self.late else []
        parts += [f"revised: {_counted(self.revised)}"] if self.revised else []
        parts += [f"answered too late to act on: {_counted(self.belated)}"] if self.belated else []
        parts += [f"{what} refused: {why.rstrip('.')}" for what, why in self.refused.items()]
        parts += [why.rstrip(".") for why in self.trouble.values()]
        parts += [said.rstrip(".") for said in self.evidence]
        parts += [f"{scope}: {said.rstrip('.')}" for scope, said in self.decisions.items()]
        parts += [f"challenger {id} {said.rstrip('.')}" for id, said in self.challengers.items()]
        parts += [f"{scope}: {said.rstrip('.')}" for scope, said in self.trials.items()]
        told = any(self.unanswered in said for said in self.decisions.values())
        parts += [f"nobody answers: {self.unanswered}"] if self.unanswered and not told else []
        parts += [f"promotions are frozen: {self.frozen.rstrip('.')}"] if self.frozen else []
        parts += ["no candles are configured, the market is simulated: no champion is pointed at"] if self.simulated else []
        return f"{head}: {'; '.join(parts)}."

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {one.name: _plain(getattr(self, one.name)) for one in fields(self)}

    def to_json(self) -> str:
        """The same as text."""
        return to_json(self.to_dict())

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> MechanicReport:
        """The inverse of :meth:`to_dict`."""
        known = {one.name for one in fields(cls)}
        values = {key: value for key, value in told.items() if key in known}
        return cls(**{**values, "evidence": tuple(values.get("evidence", ()))})


@dataclass(frozen=True)
class MechanicStatus:
    """How a Mechanic stands now.

    Attributes
    ----------
    working : who holds the lease, None where nobody works. last : report of the newest finished turn. unfinished : a turn that
        was begun and not finished, milliseconds UTC. frozen : the kill switch. champions : alias with scope -> version.
    challengers : those under way. trials : new champions on trial. alerts : ``(level, sentence)`` of those that hold.
    bot : what the trading bot wrote of its trades and equity, beside what its model's positions made.
    """

    name: str
    working: LeaseHolder | None
    last: MechanicReport | None
    unfinished: int | None
    frozen: Frozen
    champions: Mapping[str, int]
    challengers: Sequence[Challenger]
    trials: Sequence[Trial]
    alerts: Sequence[tuple[str, str]] = ()
    bot: EngineAccount = field(default_factory=EngineAccount)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "name": self.name,
            "working": None if self.working is None else vars(self.working),
            "last": None if self.last is None else self.last.to_dict(),
            "unfinished": self.unfinished,
            "frozen": vars(self.frozen),
            "champions": dict(self.champions),
            "challengers": [{**vars(one), "state": str(one.state)} for one in self.challengers],
            "trials": [{**vars(one), "state": str(one.state)} for one in self.trials],
            "alerts": [list(one) for one in self.alerts],
            "bot": self.bot.to_dict(),
        }


_P, _O, _D, _C, _T = live_predictions.c, live_outcomes.c, policy_decisions.c, challengers.c, champion_trials.c
AT = sa.bindparam("at", type_=sa.BigInteger)
OF = sa.bindparam("of", type_=sa.Text)
MINE = sa.select(model_versions.c.id).where(model_versions.c.name == OF)
"""Versions of the name ``OF``; beside ``AT``, the tick that rows are of, what statements about a turn ask for."""
_SAID = Statement(sa.select(sa.func.count()).select_from(live_predictions).where(_P.tick == AT, _P.version_id.in_(MINE)))
_BELATED = Statement(
    sa.select(_P.symbol, sa.func.count(_P.ts.distinct()).label("n"))
    .where(_P.tick == AT, _P.role == "late", _P.version_id.in_(MINE))
    .group_by(_P.symbol)
    .order_by(_P.symbol)
)
_CAME = Statement(sa.select(sa.func.count()).select_from(live_outcomes).where(_O.tick == AT, _O.version_id.in_(MINE)))
_DECIDED = Statement(
    sa.select(_D.symbol, _D.regime, _D.reason).where(_D.name == OF, _D.tick == AT).order_by(_D.symbol, _D.regime)
)
_WORKED = Statement(
    sa.select(_C.id, _C.state, _C.reason)
    .where(_C.name == OF, sa.or_(_C.requested == AT, _C.shadow_from == AT, _C.decided == AT))
    .order_by(_C.requested, _C.id)
)
_TRIED = Statement(
    sa.select(_T.symbol, _T.regime, _T.version, _T.reason)
    .where(_T.name == OF, _T.since == AT)
    .order_by(_T.symbol, _T.regime, _T.version)
)


def told_of(connection: sa.Connection, name: str, tick: int) -> dict[str, Any]:
    """The parts of a report that rows tell: the same whether the turn was killed in between or not."""
    decided = {Scope(row.symbol, row.regime).written("champion"): row.reason for row in _DECIDED(connection, of=name, at=tick)}
    worked = {row.id: f"{row.state}: {row.reason}" for row in _WORKED(connection, of=name, at=tick)}
    tried = {
        Scope(row.symbol, row.regime).written("champion"): f"version {row.version}: {row.reason}"
        for row in _TRIED(connection, of=name, at=tick)
    }
    decided_trials = read_state(connection, name).get(TRIALS_TOLD, {})
    tried |= decided_trials["told"] if decided_trials.get("tick") == tick else {}
    return {
        "predictions": int(_SAID.one(connection, of=name, at=tick)[0]),
        "outcomes": int(_CAME.one(connection, of=name, at=tick)[0]),
        "belated": {row.symbol: int(row.n) for row in _BELATED(connection, of=name, at=tick)},
        "evidence": [one.sentence for one in evidence_at(connection, name, tick)],
        "decisions": decided,
        "challengers": worked,
        "trials": tried,
    }


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} of {symbol}" for symbol, n in counts.items())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple | list) else value
