"""Rows of challengers and of new champions on trial: who was asked for, how far it has come, and what was decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from huracan.integration.feedback.loop_state import put_state, read_state
from huracan.registry.scopes import Scope
from huracan.registry.statements import Statement, parsed
from huracan.storage.feedback_tables import challengers, champion_trials

__all__ = [
    "AT_WORK",
    "TRIALS_TOLD",
    "Challenger",
    "ChallengerState",
    "Trial",
    "TrialState",
    "add_challenger",
    "challenger_id",
    "challengers_in",
    "change_challenger",
    "change_trial",
    "put_trial",
    "requests_of",
    "tell_trial",
    "trials_in",
]


class ChallengerState(StrEnum):
    """How far a challenger has come.

    ``requested`` : the policy asked for it. ``failed`` : it could not be trained. ``shadow`` : it is asked about the same bars
    as the champion. ``to_promote`` : it won, and waits for the promotion. ``promoted``, ``rejected`` (the champion won),
    ``expired`` (neither did in the time allowed), ``conflict`` (somebody else moved the alias first).
    """

    REQUESTED = "requested"
    FAILED = "failed"
    SHADOW = "shadow"
    TO_PROMOTE = "to_promote"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CONFLICT = "conflict"


TRIALS_TOLD = "trials_told"
"""Key under which is kept what became of trials at the newest turn at which one was decided."""
AT_WORK = (ChallengerState.REQUESTED, ChallengerState.SHADOW, ChallengerState.TO_PROMOTE)
"""States of a challenger that is under way: no other is asked for in its scope meanwhile."""


class TrialState(StrEnum):
    """Of a champion that took over: ``on_trial`` beside the one before, ``settled``, ``to_roll_back`` or ``rolled_back``."""

    ON_TRIAL = "on_trial"
    TO_ROLL_BACK = "to_roll_back"
    SETTLED = "settled"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True)
class Challenger:
    """One challenger; times are milliseconds UTC.

    Attributes
    ----------
    id : see :func:`challenger_id`; also the ``run_id`` of the version it became. kind : ``first`` where nobody could answer,
        ``full`` or ``warm``. parent_version : of the champion it was asked for against, and that it has to take over from.
    version, version_id : what it became. rows_from, rows_until : of what it learned. requested, shadow_from, decided : ticks.
    comparison : state of its comparison with the champion. expected : what it promises (``live_expectation``).
    reason : why it is in this state, in a sentence.
    """

    id: str
    name: str
    symbol: str
    regime: str
    kind: str
    state: ChallengerState
    requested: int
    reason: str
    parent_version: int | None = None
    version: int | None = None
    version_id: int | None = None
    rows_from: int | None = None
    rows_until: int | None = None
    shadow_from: int | None = None
    decided: int | None = None
    comparison: Mapping[str, Any] | None = None
    expected: Mapping[str, Any] | None = None

    @property
    def scope(self) -> Scope:
        """For whom it would answer."""
        return Scope(self.symbol, self.regime)


@dataclass(frozen=True)
class Trial:
    """A champion that took over at ``since``, beside ``before_version``; ``monitor`` is the state of their comparison.

    >>> Trial("btc", "", "", 3, 0, 1, TrialState.ON_TRIAL, "beside another from then on.", {"since": 7_200_000}).compared_since
    7200000
    """

    name: str
    symbol: str
    regime: str
    version: int
    since: int
    before_version: int | None
    state: TrialState
    reason: str
    monitor: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scope(self) -> Scope:
        """For whom it answers."""
        return Scope(self.symbol, self.regime)

    @property
    def compared_since(self) -> int:
        """From when on the two are compared: later than ``since`` where another took the place of the version before."""
        return int(self.monitor.get("since", self.since))


def challenger_id(name: str, scope: Scope, tick: int) -> str:
    """The id of the challenger asked for at a tick: the same each time it is asked for.

    >>> challenger_id("btc", Scope("", "trending"), 3_600_000)
    'btc:*:trending:3600000'
    """
    return f"{name}:{scope.symbol or '*'}:{scope.regime or '*'}:{tick}"


_C, _T = challengers.c, champion_trials.c
_CHALLENGERS = Statement(
    sa.select(challengers).where(_C.name == sa.bindparam("of", type_=sa.Text)).order_by(_C.requested, _C.id)
)
_IN_STATE = Statement(
    sa.select(challengers)
    .where(_C.name == sa.bindparam("of", type_=sa.Text), sa.or_(*(_C.state == state.value for state in AT_WORK)))
    .order_by(_C.requested, _C.id)
)
_REQUESTS = Statement(
    sa.select(_C.requested)
    .where(
        _C.name == sa.bindparam("of", type_=sa.Text),
        _C.symbol == sa.bindparam("symbol_", type_=sa.Text),
        _C.regime == sa.bindparam("regime_", type_=sa.Text),
    )
    .order_by(_C.requested)
)
_TRIALS = Statement(
    sa.select(champion_trials)
    .where(
        _T.name == sa.bindparam("of", type_=sa.Text),
        sa.or_(_T.state == TrialState.ON_TRIAL.value, _T.state == TrialState.TO_ROLL_BACK.value),
    )
    .order_by(_T.since, _T.symbol, _T.regime, _T.version)
)


def challengers_in(connection: sa.Connection, name: str, states: Iterable[ChallengerState] | None = None) -> list[Challenger]:
    """Challengers of ``name`` in some states, oldest first; all of them where ``states`` is None."""
    if states is None:
        return [_challenger(row) for row in _CHALLENGERS(connection, of=name)]
    wanted = set(states)
    rows = _IN_STATE(connection, of=name) if wanted <= set(AT_WORK) else _CHALLENGERS(connection, of=name)
    return [_challenger(row) for row in rows if row.state in wanted]


def requests_of(connection: sa.Connection, name: str, scope: Scope) -> tuple[int, ...]:
    """Ticks at which a challenger of a scope was asked for."""
    rows = _REQUESTS(connection, of=name, symbol_=scope.symbol, regime_=scope.regime)
    return tuple(int(row.requested) for row in rows)


def add_challenger(connection: sa.Connection, made: Challenger) -> None:
    """Ask for a challenger."""
    values = {name: value for name, value in vars(made).items() if value is not None}
    connection.execute(sa.insert(challengers).values(**values))


def change_challenger(connection: sa.Connection, id: str, **values: Any) -> None:
    """Set some of a challenger's columns."""
    connection.execute(sa.update(challengers).where(_C.id == id).values(**values))


def trials_in(connection: sa.Connection, name: str) -> list[Trial]:
    """Trials of ``name`` that are not over, oldest first."""
    return [_trial(row) for row in _TRIALS(connection, of=name)]


def put_trial(connection: sa.Connection, trial: Trial) -> None:
    """Begin a trial; an earlier one of the same champion in the same scope is replaced."""
    key = (_T.name == trial.name, _T.symbol == trial.symbol, _T.regime == trial.regime, _T.version == trial.version)
    connection.execute(sa.delete(champion_trials).where(*key))
    connection.execute(sa.insert(champion_trials).values(**{**vars(trial), "monitor": dict(trial.monitor)}))


def tell_trial(connection: sa.Connection, trial: Trial, tick: int, state: TrialState, reason: str) -> None:
    """Decide a trial, and keep that it was at this turn, for the report."""
    change_trial(connection, trial, state=state.value, reason=reason)
    before = read_state(connection, trial.name).get(TRIALS_TOLD, {"tick": tick, "told": {}})
    told = before["told"] if before["tick"] == tick else {}
    said = f"version {trial.version} {state.value.replace('_', ' ')}: {reason}"
    told = {**told, trial.scope.written("champion"): said}
    put_state(connection, trial.name, {TRIALS_TOLD: {"tick": tick, "told": told}}, tick)


def change_trial(connection: sa.Connection, trial: Trial, **values: Any) -> None:
    """Set some of a trial's columns."""
    key = (_T.name == trial.name, _T.symbol == trial.symbol, _T.regime == trial.regime, _T.version == trial.version)
    connection.execute(sa.update(champion_trials).where(*key).values(**values))


def _challenger(row: Any) -> Challenger:
    values = row._asdict()
    for name in ("comparison", "expected"):
        values[name] = parsed(values[name])
    return Challenger(**{**values, "state": ChallengerState(values["state"])})


def _trial(row: Any) -> Trial:
    values = row._asdict()
    return Trial(**{**values, "monitor": parsed(values["monitor"]) or {}, "state": TrialState(values["state"])})
