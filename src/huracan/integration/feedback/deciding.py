"""Stage 5: what was seen is put before the policy, scope by scope; its answer is kept, and a challenger asked for on a yes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from huracan.config.section import milliseconds
from huracan.integration.feedback.aliases import CHAMPION
from huracan.integration.feedback.challenger_log import (
    AT_WORK,
    Challenger,
    ChallengerState,
    add_challenger,
    challenger_id,
    challengers_in,
    requests_of,
)
from huracan.integration.feedback.evidence_log import evidence_at, last_decision, put_decision
from huracan.integration.feedback.lineup import SHARE
from huracan.integration.feedback.loop_state import put_state, read_state
from huracan.integration.feedback.nobody import now_nobody
from huracan.integration.feedback.seeing import looks_key
from huracan.integration.feedback.tick_log import Write
from huracan.integration.feedback.training_span import training_span
from huracan.integration.feedback.turn import Turn
from huracan.market.schema import written_time
from huracan.mlops.alerts import AlertLevel
from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.policy_history import PolicyHistory
from huracan.mlops.retrain_decision import Decision, RetrainDecision
from huracan.registry.scopes import ALL, Scope
from huracan.serving.served import Served
from huracan.storage.feedback_tables import live_predictions

__all__ = ["decide", "last_change_key"]


def last_change_key(scope: Scope) -> str:
    """Under which is kept when a scope's market was last found to have changed."""
    return f"last_change:{scope.written(CHAMPION)}"


def decide(turn: Turn) -> Write | None:
    """Ask the policy about every champion; where nobody is champion, whether there is enough to train a first one."""
    works, lineup = turn.works, turn.lineup
    with works.database.reading(one_moment=True) as connection:
        seen = evidence_at(connection, works.name, turn.tick)
        state = read_state(connection, works.name)
        answers: list[tuple[Scope, RetrainDecision, Served | None]] = []
        if not lineup.able or lineup.unanswered:
            answers.append((ALL, _first(turn, connection), None))
        for scope, version in lineup.able.items():
            if lineup.waits_for(scope) is None and (served := lineup.served.get(version)) is not None:
                history = _history(turn, connection, state, scope, served)
                answers.append((scope, works.policy.decide(_about(seen, scope), history, tick=turn.tick), served))
        news = [one for one in answers if _is_news(one[1], last_decision(connection, works.name, one[0]))]
        first = next((answer.reason for scope, answer, _ in answers if scope == ALL), "")
        kept = now_nobody(state, lineup, tick=turn.tick, why=first.removeprefix("Wait: ").rstrip("."))
    if not news and not kept:
        return None
    asked = [_asked_for(turn, scope, answer, served) for scope, answer, served in news if answer.retrains]
    driven = {challenger_id(works.name, scope, turn.tick) for scope, answer, _ in news if answer.evidence}
    changed = {last_change_key(scope): answer.train_from for scope, answer, _ in news if answer.retrains and answer.train_from}

    def write(connection: sa.Connection) -> None:
        for scope, answer, _ in news:
            put_decision(connection, works.name, scope, turn.tick, answer)
        for one in asked:
            add_challenger(connection, one)
            level = AlertLevel.WARNING if one.id in driven else AlertLevel.INFO
            said = f"a challenger for {one.scope.written(CHAMPION)} is asked for. {one.reason}"
            works.alerts.tell(connection, f"retraining:{one.id}", level, said, tick=turn.tick)
        put_state(connection, works.name, {**changed, **kept}, turn.tick)

    return write


def _about(seen: Sequence[Evidence], scope: Scope) -> list[Evidence]:
    """What speaks about a scope itself."""
    return [one for one in seen if (one.symbol, one.regime) == (scope.symbol, scope.regime)]


def _history(turn: Turn, connection: sa.Connection, state: Mapping[str, Any], scope: Scope, served: Served) -> PolicyHistory:
    name = turn.works.name
    under_way = [one.id for one in challengers_in(connection, name, AT_WORK) if one.scope == scope]
    counts = state.get(looks_key(scope), {"version": None, "counts": {}})
    looks = counts["counts"] if counts["version"] == served.version.version else {}
    newest = max(turn.intake.newest.values())
    return PolicyHistory(
        bar=turn.bar,
        trained_until=int(served.learned_until) if math.isfinite(served.learned_until) else turn.tick,
        labelled_until=newest,
        version_id=turn.works.bench.id_of(served.version.version),
        last_change=state.get(last_change_key(scope)),
        requests=requests_of(connection, name, scope),
        looks={EvidenceKind(kind): int(n) for kind, n in looks.items()},
        under_way=under_way[0] if under_way else "",
        can_go_on="warm_start" in served.version.info.hyperparameters,
    )


def _first(turn: Turn, connection: sa.Connection) -> RetrainDecision:
    """Whether to train a first champion, where nobody answers.

    Only a first one that came to nothing is waited after: one that answered, and cannot any more, is replaced at once; but not
    one whose files are only not on this host, which another may serve.
    """
    works, lineup = turn.works, turn.lineup
    name, config = works.name, works.config
    if elsewhere := sorted(
        {absent for scope in lineup.held if (absent := lineup.waits_for(scope)) and scope not in lineup.able}
    ):
        versions = ", ".join(map(str, elsewhere))
        reason = (
            f"Wait: the files of version {versions} of '{name}' are not in this host's folder of artifacts, and who may answer "
            f"elsewhere is not replaced. {SHARE}; where the files are lost, restore them, or huracan models withdraw."
        )
        return RetrainDecision(Decision.WAIT, reason, (), ("artifact",))
    why = f"nobody is champion of '{name}'"
    if lineup.able:
        why = f"nobody answers for {', '.join(f'{symbol}{where}' for symbol, where in lineup.unanswered.items())}"
    elif lineup.held:
        versions = ", ".join(str(version) for version in sorted(set(lineup.held.values())))
        why = f"no champion of '{name}' can be served (version {versions}), and none before it"
    if any(one.scope == ALL for one in challengers_in(connection, name, AT_WORK)):
        return RetrainDecision(Decision.WAIT, f"Wait: {why}; another one is under way.", (), ("challenger",))
    past = [one for one in challengers_in(connection, name) if one.requested <= turn.tick and _in_vain(connection, one)]
    if past and turn.tick < (until := past[-1].requested + milliseconds(config.retrain.cool_down)):
        reason = (
            f"Wait: {why}; after the last attempt to train one the next may be made at {written_time(until)}. What came of "
            f"that one: {past[-1].state}, {past[-1].reason}"
        )
        return RetrainDecision(Decision.WAIT, reason, (), ("cool_down",), next_look=until)
    span = training_span(works.feed, config, turn.tick, turn.symbols)
    if span.missing:
        reason = (
            f"Wait: {why}, and {span.bars} of the {span.needed} bars that a first one needs are there; the last of them "
            f"closes on {written_time(turn.tick + span.missing * turn.bar)} at the earliest. Earlier candles, or a smaller "
            f"retrain.min_new_rows ({config.retrain.min_new_rows}, of which it takes four times as many), bring it forward."
        )
        return RetrainDecision(Decision.WAIT, reason, (), ("new_rows",), next_look=turn.tick + span.missing * turn.bar)
    reason = f"Train a first champion: {why}, and the {span.needed} bars that it needs are there."
    return RetrainDecision(Decision.RETRAIN_FULL, reason, next_look=turn.tick + turn.bar)


def _in_vain(connection: sa.Connection, one: Challenger) -> bool:
    """Whether it was to be a first champion of all, and has never answered."""
    if one.kind != "first" or one.scope != ALL:
        return False
    p = live_predictions.c
    answered = sa.select(p.tick).where(p.version_id == one.version_id).limit(1)
    return one.version_id is None or connection.execute(answered).one_or_none() is None


def _is_news(answer: RetrainDecision, before: tuple[Decision, str] | None) -> bool:
    """Whether an answer is to be kept: a yes always; else where it is another than before, numbers in its sentence aside."""
    if answer.retrains:
        return True
    if before is None:
        return answer.decision is not Decision.KEEP
    return before[0] is not answer.decision or _without_numbers(before[1]) != _without_numbers(answer.reason)


def _without_numbers(sentence: str) -> str:
    return "".join(letter for letter in sentence if not letter.isdigit())


def _asked_for(turn: Turn, scope: Scope, answer: RetrainDecision, served: Served | None) -> Challenger:
    kind = "first" if served is None else "warm" if answer.decision is Decision.RETRAIN_WARM else "full"
    return Challenger(
        id=challenger_id(turn.works.name, scope, turn.tick),
        name=turn.works.name,
        symbol=scope.symbol,
        regime=scope.regime,
        kind=kind,
        state=ChallengerState.REQUESTED,
        requested=turn.tick,
        reason=answer.reason,
        parent_version=turn.lineup.held.get(scope) if served is None else served.version.version,
        rows_from=answer.train_from,
        comparison={"scheduled": served is not None and not answer.evidence},
    )
