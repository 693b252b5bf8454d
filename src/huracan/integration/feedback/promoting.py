"""Stages 8 and 9: what verdicts intend is done in the registry, unless promotions are frozen, and written down as done."""

from __future__ import annotations

import sqlalchemy as sa

from huracan.integration.feedback.aliases import CHAMPION, Moved, give_back, let_challenger_go, take_over
from huracan.integration.feedback.challenger_log import (
    Challenger,
    ChallengerState,
    Trial,
    TrialState,
    challengers_in,
    change_challenger,
    put_trial,
    tell_trial,
    trials_in,
)
from huracan.integration.feedback.tick_log import Write
from huracan.integration.feedback.turn import Turn
from huracan.mlops.alerts import AlertLevel
from huracan.mlops.metrics import Metric

__all__ = ["promote", "roll_back"]


def promote(turn: Turn) -> Write | None:
    """Let challengers that won take over, each from the champion it was compared with.

    The registry is asked first who holds the alias: a turn that was killed after the promotion finds it done. Where somebody
    else moved it meanwhile the challenger is set aside: it was never compared with the new champion. While promotions are
    frozen, intentions wait.
    """
    works = turn.works
    waiting = works.database.read(lambda connection: challengers_in(connection, works.name, [ChallengerState.TO_PROMOTE]))
    if not waiting or _held_back(turn, len(waiting)):
        return None
    turn.row.settle()
    done = [(one, moved) for one in waiting if not (moved := _take_over(turn, one)).waits]
    for _, moved in done:
        works.metrics.add(Metric.PROMOTIONS, kind="promoted" if moved.done else "conflict")
    turn.moved()

    def write(connection: sa.Connection) -> None:
        for one, moved in done:
            _write_down(connection, turn, one, moved)

    return write


def roll_back(turn: Turn) -> Write | None:
    """Give scopes back to the champion before, where the new one was shown to be worse; frozen as promotions are."""
    works = turn.works
    trials = works.database.read(lambda connection: trials_in(connection, works.name))
    waiting = [trial for trial in trials if trial.state is TrialState.TO_ROLL_BACK]
    if not waiting or _held_back(turn, len(waiting)):
        return None
    turn.row.settle()
    done = []
    for trial in waiting:
        assert trial.before_version is not None  # one that had nobody before it has no trial
        if (moved := _give_back(turn, trial, trial.before_version)).waits:
            continue
        done.append((trial, moved))
        works.metrics.add(Metric.PROMOTIONS, kind="rolled_back" if moved.done else "conflict")
    turn.moved()

    def write(connection: sa.Connection) -> None:
        for trial, moved in done:
            reason = trial.reason if moved.done else f"{trial.reason} It was left as it is: {moved.why}"
            state = TrialState.ROLLED_BACK if moved.done else TrialState.SETTLED
            tell_trial(connection, trial, turn.tick, state, reason)
            alias, became = trial.scope.written(CHAMPION), "was rolled back" if moved.done else "could not be rolled back"
            level = AlertLevel.WARNING if moved.done else AlertLevel.ERROR
            said = f"version {trial.version} as {alias} {became}: {reason}"
            works.alerts.tell(connection, f"rolled_back:{alias}:{trial.version}", level, said, tick=turn.tick)

    return write


def _held_back(turn: Turn, n: int) -> bool:
    """Whether so many moves wait because promotions are frozen."""
    works = turn.works
    if not works.switch.state().frozen:
        return False
    works.metrics.add(Metric.PROMOTIONS, n, kind="held_back")
    return True


def _take_over(turn: Turn, one: Challenger) -> Moved:
    works = turn.works
    assert one.version is not None  # what is to be promoted was trained
    moved = take_over(
        works.registry,
        works.switch,
        works.name,
        one.version,
        one.scope,
        expected=one.parent_version,
        reason=one.reason,
        evidence=(one.id,),
    )
    if moved.waits:  # frozen between the look at the switch and the move
        return moved
    let_challenger_go(works.registry, works.name, one.version, one.scope)
    return moved


def _give_back(turn: Turn, trial: Trial, before: int) -> Moved:
    works = turn.works
    return give_back(works.registry, works.switch, works.name, trial.version, before, trial.scope, reason=trial.reason)


def _write_down(connection: sa.Connection, turn: Turn, one: Challenger, moved: Moved) -> None:
    """What became of a promotion; a champion that followed another one is on trial beside it."""
    alerts, alias = turn.works.alerts, one.scope.written(CHAMPION)
    if not moved.done:
        reason = f"{one.reason} It did not take over: {moved.why}"
        change_challenger(connection, one.id, state=ChallengerState.CONFLICT.value, decided=turn.tick, reason=reason)
        said = f"challenger {one.id} did not take over {alias}: {moved.why}"
        alerts.tell(connection, f"conflict:{one.id}", AlertLevel.WARNING, said, tick=turn.tick)
        return
    said = f"version {one.version} is {alias} from now on: {one.reason}"
    alerts.tell(connection, f"promoted:{alias}:{one.version}", AlertLevel.INFO, said, tick=turn.tick)
    change_challenger(connection, one.id, state=ChallengerState.PROMOTED.value, decided=turn.tick)
    assert one.version is not None
    alone = one.parent_version is None or one.kind == "first"  # whoever held the alias could not answer
    put_trial(
        connection,
        Trial(
            name=one.name,
            symbol=one.symbol,
            regime=one.regime,
            version=one.version,
            since=turn.tick,
            before_version=one.parent_version,
            state=TrialState.SETTLED if alone else TrialState.ON_TRIAL,
            reason="nobody answered before it." if alone else "it is on trial.",
        ),
    )
