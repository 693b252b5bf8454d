"""Stage 7: what comparisons came to; what follows for an alias is written down as an intention before it is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from huracan.errors import DataError
from huracan.integration.feedback.aliases import CHAMPION, let_challenger_go
from huracan.integration.feedback.challenger_log import (
    Challenger,
    ChallengerState,
    Trial,
    TrialState,
    challengers_in,
    change_challenger,
    change_trial,
    tell_trial,
    trials_in,
)
from huracan.integration.feedback.comparing import DECIDED, match_of
from huracan.integration.feedback.evidence_log import evidence_at
from huracan.integration.feedback.shadowing import Outcome, Verdict
from huracan.integration.feedback.tick_log import Write
from huracan.integration.feedback.turn import Turn
from huracan.mlops.alerts import AlertLevel
from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.live_expectation import EXPECTATION, LiveExpectation
from huracan.serving.placing import DOES_NOT_FIT

__all__ = ["judge"]

_BECOMES = {
    Outcome.PROMOTE: ChallengerState.TO_PROMOTE,
    Outcome.REJECT: ChallengerState.REJECTED,
    Outcome.EXPIRE: ChallengerState.EXPIRED,
}


_ENDS = (Outcome.REJECT, Outcome.EXPIRE)


def judge(turn: Turn) -> Write | None:
    """Decide about challengers in shadow and champions on trial, as far as anything is shown.

    A challenger is to take over from who holds the alias now; one whose version cannot be loaded any more is rejected. One that
    won and waits, since promotions are frozen, is looked at anew with what has become known since, for itself; it expires after
    as many bars as a challenger may be in shadow. A champion on trial is rolled back where the one before is shown to be
    better, or where it is shown to have no skill; where that waits too long, or is turned against meanwhile, the trial begins
    anew. So it does where the one before cannot be loaded any more: the newest before that takes its place.
    """
    works = turn.works
    with works.database.reading(one_moment=True) as connection:
        shadows = challengers_in(connection, works.name, [ChallengerState.SHADOW])
        waiting = challengers_in(connection, works.name, [ChallengerState.TO_PROMOTE])
        under_way = trials_in(connection, works.name)
        trials = [one for one in under_way if one.state is TrialState.ON_TRIAL]
        seen = evidence_at(connection, works.name, turn.tick) if trials else []
    here = [one for one in shadows if not _waits_for_files(turn, one)]
    decided = [(one, verdict) for one in here if (verdict := _of_challenger(turn, one)) is not None]
    tried = [(one, verdict) for one in trials if (verdict := _of_trial(turn, one, seen)) is not None]
    anew = [(one, verdict) for one in waiting if (verdict := _of_waiting(turn, one)) is None or verdict.outcome in _ENDS]
    decided += [(one, verdict) for one, verdict in anew if verdict is not None]
    undecided = [one for one, verdict in anew if verdict is None]
    open_ones = [one for one in trials if one not in [trial for trial, _ in tried]]
    replaced = [(one, found) for one in open_ones if (found := _in_its_place(turn, one)) is not None]
    to_roll_back = [one for one in under_way if one.state is TrialState.TO_ROLL_BACK]
    begun_anew = [(one, why) for one in to_roll_back if (why := _not_fresh(turn, one))]
    if not decided and not tried and not undecided and not replaced and not begun_anew:
        return None
    turn.row.settle()
    for one, verdict in decided:
        if verdict.outcome is not Outcome.PROMOTE and one.version is not None:
            let_challenger_go(works.registry, works.name, one.version, one.scope)

    def write(connection: sa.Connection) -> None:
        for one, verdict in decided:
            _write_verdict(connection, turn, one, verdict)
        for one in undecided:
            reason = "It won, and by what has become known while promotions were frozen it is undecided again."
            change_challenger(connection, one.id, state=ChallengerState.SHADOW.value, reason=reason)
        for trial, (beside, why) in replaced:
            change_trial(connection, trial, before_version=beside, monitor={"since": turn.tick})
            tell_trial(connection, trial, turn.tick, TrialState.ON_TRIAL, why)
        for trial, why in begun_anew:
            change_trial(connection, trial, monitor={"since": turn.tick})
            tell_trial(connection, trial, turn.tick, TrialState.ON_TRIAL, why)
        for trial, verdict in tried:
            rolls = verdict.outcome is Outcome.ROLL_BACK
            state = TrialState.TO_ROLL_BACK if rolls else TrialState.SETTLED
            change_trial(connection, trial, monitor={**trial.monitor, DECIDED: turn.tick})
            tell_trial(connection, trial, turn.tick, state, verdict.sentence)
            if rolls and works.switch.state(connection).frozen:
                alias = trial.scope.written(CHAMPION)
                said = f"version {trial.version} is to be rolled back as {alias}, and promotions are frozen: {verdict.sentence}"
                works.alerts.tell(connection, f"to_roll_back:{alias}:{trial.version}", AlertLevel.ERROR, said, tick=turn.tick)

    return write


def _write_verdict(connection: sa.Connection, turn: Turn, one: Challenger, verdict: Verdict) -> None:
    state = _BECOMES[verdict.outcome]
    values: dict[str, Any] = {"state": state.value, "reason": verdict.sentence}
    if state is ChallengerState.TO_PROMOTE:
        values["parent_version"] = turn.lineup.held.get(one.scope)
        values["comparison"] = _won(turn, one)
    else:
        values["decided"] = turn.tick
        said = f"challenger {one.id} is {state.value}: {verdict.sentence}"
        turn.works.alerts.tell(connection, f"{state.value}:{one.id}", AlertLevel.INFO, said, tick=turn.tick)
    change_challenger(connection, one.id, **values)


def _waits_for_files(turn: Turn, one: Challenger) -> bool:
    """Whether a comparison rests: files of the champion are not here, or those of the challenger, as long as it may take."""
    assert one.version is not None  # it is in shadow since it was trained
    assert one.shadow_from is not None
    young = (turn.tick - one.shadow_from) // turn.bar < turn.works.config.mechanic.watched_bars(turn.bar)
    return turn.lineup.waits_for(one.scope) is not None or (young and turn.works.bench.is_absent(one.version))


def _of_challenger(turn: Turn, one: Challenger) -> Verdict | None:
    assert one.version is not None  # it is in shadow since it was trained
    assert one.shadow_from is not None
    try:
        turn.works.bench.served(one.version)
    except DOES_NOT_FIT as error:
        return Verdict(Outcome.REJECT, f"It cannot be served: {error}")
    if turn.lineup.held.get(one.scope) == one.version:
        return Verdict(Outcome.PROMOTE, "It is champion already: somebody promoted it.")
    champion = turn.lineup.able.get(one.scope)
    if champion is None:
        return Verdict(Outcome.PROMOTE, "Nobody is champion any more that it could be compared with.")
    kept = one.comparison or {}
    match = match_of(turn, kept, champion, one.version)
    bars = (turn.tick - one.shadow_from) // turn.bar
    short_of = _short_of(turn, champion, one) if kept.get("scheduled") else None
    return match.verdict(bars=bars, bars_allowed=turn.works.config.mechanic.watched_bars(turn.bar), short_of=short_of)


def _of_waiting(turn: Turn, one: Challenger) -> Verdict | None:
    """What is to be said now of one that won at an earlier turn and waits; None where it has to be compared further.

    It waits as long as a challenger may be in shadow, a first champion from its training on, and is too old then. One whose
    champion is another by now is left to the promotion, which finds that somebody else moved the alias.
    """
    stands = Verdict(Outcome.PROMOTE, one.reason)
    kept, champion = one.comparison or {}, turn.lineup.able.get(one.scope)
    won = kept.get(DECIDED, one.shadow_from)
    if won is None:
        return stands
    bars, allowed = (turn.tick - won) // turn.bar, turn.works.config.mechanic.watched_bars(turn.bar)
    if bars >= allowed:
        told = f"It had won, waited {bars} bars of {allowed} allowed while promotions were frozen, and is too old now."
        return Verdict(Outcome.EXPIRE, told)
    if "state" not in kept or kept["champion"] != champion or one.parent_version != turn.lineup.held.get(one.scope):
        return stands
    return _of_challenger(turn, one)


def _won(turn: Turn, one: Challenger) -> Mapping[str, Any]:
    """The comparison of one that has won: when it first did, and what becomes known from now on is looked at for itself."""
    kept = {DECIDED: turn.tick, **(one.comparison or {})}
    champion = turn.lineup.able.get(one.scope)
    if "state" not in kept or kept["champion"] != champion or one.version is None or champion is None:
        return kept
    match = match_of(turn, kept, champion, one.version)
    match.decide()
    return {**kept, "state": match.to_json()}


def _not_fresh(turn: Turn, trial: Trial) -> str:
    """Why a champion that is to be rolled back, and waits, is on trial anew; empty where the rollback stands."""
    assert trial.before_version is not None  # one that had nobody before it is not on trial
    decided = trial.monitor.get(DECIDED)
    if decided is None or turn.lineup.held.get(trial.scope) != trial.version:
        return ""
    bars, allowed = (turn.tick - decided) // turn.bar, turn.works.config.mechanic.watched_bars(turn.bar, on_trial=True)
    anew = "it is on trial anew."
    if bars >= allowed:
        return f"that it is to be rolled back waited {bars} bars of {allowed} allowed while promotions were frozen; {anew}"
    match = match_of(turn, trial.monitor, trial.version, trial.before_version)
    return f"by what has become known since, it is not to be rolled back; {anew}" if match.turned or match.refuted else ""


def _short_of(turn: Turn, champion: int, one: Challenger) -> float:
    """Payoff by which a challenger that was asked for by the calendar may be worse: a share of what the champion promised."""
    served = turn.lineup.served.get(champion)
    promised = _expected({} if served is None else served.version.extras)
    if promised is None:
        promised = _expected({EXPECTATION: one.expected})
    return turn.works.config.mechanic.margin * (promised or 0.0)


def _expected(extras: Mapping[str, Any]) -> float | None:
    kept = extras.get(EXPECTATION)
    try:
        return None if kept is None else LiveExpectation.from_dict(kept).expected
    except DataError:  # too little was judged out of fold for a promise
        return None


def _of_trial(turn: Turn, trial: Trial, seen: list[Evidence]) -> Verdict | None:
    assert trial.before_version is not None  # one that had nobody before it is not on trial
    holder = turn.lineup.held.get(trial.scope)
    if holder != trial.version:
        return Verdict(Outcome.SETTLE, "It is not champion any more: somebody else moved the alias.")
    for one in seen:
        of_it = (one.symbol, one.regime) == (trial.symbol, trial.regime)
        if one.kind is EvidenceKind.NO_SKILL and of_it and one.version_id == turn.works.bench.id_of(trial.version):
            return Verdict(Outcome.ROLL_BACK, one.sentence)
    match = match_of(turn, trial.monitor, trial.version, trial.before_version)
    bars = (turn.tick - trial.compared_since) // turn.bar
    return match.trial(bars=bars, bars_allowed=turn.works.config.mechanic.watched_bars(turn.bar, on_trial=True))


def _in_its_place(turn: Turn, trial: Trial) -> tuple[int, str] | None:
    """Who takes the place of the champion before, which cannot be served, and why; None where it can be, or nobody does."""
    bench, before = turn.works.bench, trial.before_version
    assert before is not None  # one that had nobody before it is not on trial
    if turn.lineup.held.get(trial.scope) != trial.version or not (why := bench.trouble_of(before)):
        return None
    found = bench.before(trial.scope, trial.version)
    return (
        None
        if found is None
        else (found, f"version {before} cannot be served: {why} It is on trial beside version {found} anew.")
    )
