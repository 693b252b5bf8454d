"""The policy: every branch by its decision, its numbers and its sentence; one row, one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from huracan.errors import DataError, UnknownName
from huracan.mlops import Decision, Evidence, EvidenceKind, PolicyHistory, RetrainDecision, RetrainPolicy
from huracan.mlops.policy_history import looks_in_a_row

HOUR = 3_600_000
NOW = 1_000 * HOUR  # 1970-02-11 16:00
KIND = EvidenceKind
SAYS = {
    KIND.SKILL_FALL: "the skill of btc fell.",
    KIND.NO_SKILL: "btc has no skill.",
    KIND.DATA: "4 of 40 features of btc drifted.",
    KIND.JOINT: "the features of btc drifted together.",
    KIND.PREDICTION: "the scores of btc drifted.",
    KIND.CALIBRATION: "the probabilities of btc are off.",
}
CHANGE = 600  # bars; 1970-01-26 00:00


def seen(*kinds: EvidenceKind, since: int | None = CHANGE, **rest: Any) -> list[Evidence]:
    at = None if since is None else since * HOUR
    return [Evidence.of(kind, SAYS[kind], name="btc", tick=NOW, since=at, version_id=7, **rest) for kind in kinds]


def history(*, looks: Mapping[EvidenceKind, int] | None = None, **past: Any) -> PolicyHistory:
    """A champion of bar 100, labels known up to now, no retraining before."""
    known: dict[str, Any] = {"trained_until": 100 * HOUR, "labelled_until": NOW, "version_id": 7, **past}
    return PolicyHistory(bar=HOUR, looks=looks or {}, **known)


TWICE = dict.fromkeys(EvidenceKind, 2)
ONCE = dict.fromkeys(EvidenceKind, 1)
FROM = "on rows from 1970-01-26 00:00 on"
CASES: dict[str, tuple[dict[str, Any], list[Evidence], PolicyHistory, str, tuple[str, ...], str]] = {
    # name: settings, evidence, history, decision, blocked by, reason
    "nothing": ({}, [], history(), "keep", (), "Keep: nothing speaks against the champion."),
    "nobody": (
        {},
        seen(KIND.NO_SKILL),
        history(trained_until=None),
        "keep",
        (),
        "Keep: nobody is champion, there is nothing to retrain.",
    ),
    "under way": (
        {},
        seen(KIND.NO_SKILL),
        history(under_way="btc:*:9"),
        "wait",
        ("challenger",),
        "Wait: challenger btc:*:9 is under way.",
    ),
    "skill fell": (
        {},
        seen(KIND.SKILL_FALL),
        history(looks=TWICE),
        "retrain_full",
        (),
        f"Retrain {FROM}: the skill of btc fell, 2 looks in a row; 400 labelled rows since.",
    ),
    "skill fell, seen once": (
        {},
        seen(KIND.SKILL_FALL),
        history(looks=ONCE),
        "wait",
        ("persistence",),
        "Wait: skill_fall was seen in 1 look in a row, 2 are needed.",
    ),
    "skill fell, a network": (
        {},
        seen(KIND.SKILL_FALL),
        history(looks=TWICE, can_go_on=True),
        "retrain_warm",
        (),
        f"Train on {FROM}: the skill of btc fell, 2 looks in a row; 400 labelled rows since.",
    ),
    "no skill does not wait to persist": (
        {},
        seen(KIND.NO_SKILL, since=None),
        history(),
        "retrain_full",
        (),
        "Retrain: btc has no skill; 900 labelled rows since.",
    ),
    "no skill is not trained further": (
        {},
        seen(KIND.NO_SKILL),
        history(can_go_on=True),
        "retrain_full",
        (),
        f"Retrain {FROM}: btc has no skill; 400 labelled rows since.",
    ),
    "skill is not asked": (
        {"skill": False},
        seen(KIND.NO_SKILL, KIND.SKILL_FALL),
        history(looks=TWICE),
        "keep",
        (),
        "Keep: what was seen (no_skill and skill_fall) does not ask for a retraining by itself.",
    ),
    "data alone informs": (
        {},
        seen(KIND.DATA),
        history(looks=TWICE),
        "keep",
        (),
        "Keep: what was seen (data) does not ask for a retraining by itself.",
    ),
    "data with the scores": (
        {},
        seen(KIND.DATA, KIND.PREDICTION),
        history(looks=TWICE),
        "retrain_full",
        (),
        f"Retrain {FROM}: 4 of 40 features of btc drifted and the scores with it, 2 looks in a row; 400 labelled rows since.",
    ),
    "data with the scores, the scores once": (
        {},
        seen(KIND.DATA, KIND.PREDICTION),
        history(looks={KIND.DATA: 5, KIND.PREDICTION: 1}),
        "wait",
        ("persistence",),
        "Wait: prediction was seen in 1 look in a row, 2 are needed.",
    ),
    "data and scores, each once": (
        {"persistence": 3},
        seen(KIND.DATA, KIND.PREDICTION),
        history(looks={KIND.DATA: 2, KIND.PREDICTION: 1}),
        "wait",
        ("persistence",),
        "Wait: data was seen in 2 looks in a row and prediction was seen in 1 look in a row, 3 are needed.",
    ),
    "data counts alone where asked": (
        {"data_drift": "alone"},
        seen(KIND.JOINT),
        history(looks=TWICE),
        "retrain_full",
        (),
        f"Retrain {FROM}: the features of btc drifted together, 2 looks in a row; 400 labelled rows since.",
    ),
    "data never counts where asked": (
        {"data_drift": "never"},
        seen(KIND.DATA, KIND.PREDICTION),
        history(looks=TWICE),
        "keep",
        (),
        "Keep: what was seen (data and prediction) does not ask for a retraining by itself.",
    ),
    "calibration informs": (
        {},
        seen(KIND.CALIBRATION),
        history(looks=TWICE),
        "keep",
        (),
        "Keep: what was seen (calibration) does not ask for a retraining by itself.",
    ),
    "too few rows since the change": (
        {},
        seen(KIND.SKILL_FALL, since=880),
        history(looks=TWICE),
        "wait",
        ("new_rows",),
        "Wait, although the skill of btc fell, 2 looks in a row: 120 of 250 labelled rows since 1970-02-06 16:00 are there.",
    ),
    "too few new rows without a change": (
        {},
        seen(KIND.NO_SKILL, since=None),
        history(trained_until=900 * HOUR),
        "wait",
        ("new_rows",),
        "Wait, although btc has no skill: 100 of 250 labelled rows since 1970-02-07 12:00 are there.",
    ),
    "the champion learned from rows after the change": (
        {},
        seen(KIND.SKILL_FALL),
        history(looks=TWICE, trained_until=900 * HOUR),
        "wait",
        ("new_rows",),
        "Wait, although the skill of btc fell, 2 looks in a row: 100 of 250 labelled rows since 1970-02-07 12:00 are there.",
    ),
    "bars are missing": (
        {},
        seen(KIND.SKILL_FALL),
        history(looks=TWICE, rows_since=lambda moment: 30),
        "wait",
        ("new_rows",),
        "Wait, although the skill of btc fell, 2 looks in a row: 30 of 250 labelled rows since 1970-01-26 00:00 are there.",
    ),
    "cool-down": (
        {},
        seen(KIND.SKILL_FALL),
        history(looks=TWICE, requests=(900 * HOUR,)),
        "wait",
        ("cool_down",),
        "Wait, although the skill of btc fell, 2 looks in a row: 100 of 250 bars have passed since the last retraining was "
        "asked for.",
    ),
    "no skill overrides the cool-down": (
        {},
        seen(KIND.NO_SKILL),
        history(requests=(900 * HOUR,)),
        "retrain_full",
        (),
        f"Retrain {FROM}: btc has no skill; 400 labelled rows since.",
    ),
    "no skill does not override the budget": (
        {"budget": 2, "budget_window_bars": 500},
        seen(KIND.NO_SKILL),
        history(requests=(100 * HOUR, 600 * HOUR, 900 * HOUR)),
        "wait",
        ("budget",),
        "Wait, although btc has no skill: 2 of 2 retrainings of the last 500 bars are used up.",
    ),
    "the budget has come back": (
        {"budget": 2, "budget_window_bars": 400, "cool_down_bars": 0},
        seen(KIND.NO_SKILL),
        history(requests=(100 * HOUR, 600 * HOUR, 900 * HOUR)),
        "retrain_full",
        (),
        f"Retrain {FROM}: btc has no skill; 400 labelled rows since.",
    ),
    "no budget at all": (
        {"budget": 0},
        seen(KIND.NO_SKILL),
        history(),
        "wait",
        ("budget",),
        "Wait, although btc has no skill: 0 of 0 retrainings of the last 10000 bars are used up.",
    ),
    "everything is in the way": (
        {"budget": 1},
        seen(KIND.SKILL_FALL, since=990),
        history(looks=TWICE, requests=(950 * HOUR,)),
        "wait",
        ("new_rows", "cool_down", "budget"),
        "Wait, although the skill of btc fell, 2 looks in a row: 10 of 250 labelled rows since 1970-02-11 06:00 are there, "
        "50 of 250 bars have passed since the last retraining was asked for and 1 of 1 retrainings of the last 10000 bars are "
        "used up.",
    ),
    "old": (
        {"max_age_bars": 900},
        [],
        history(),
        "retrain_full",
        (),
        "Retrain: the champion's newest row is 900 bars old, 900 are allowed; 900 labelled rows since.",
    ),
    "not old yet": ({"max_age_bars": 901}, [], history(), "keep", (), "Keep: nothing speaks against the champion."),
    "old, after a change": (
        {"max_age_bars": 900},
        [],
        history(last_change=CHANGE * HOUR),
        "retrain_full",
        (),
        f"Retrain {FROM}: the champion's newest row is 900 bars old, 900 are allowed; 900 labelled rows since.",
    ),
    "old, and skill fell once": (
        {"max_age_bars": 900},
        seen(KIND.SKILL_FALL),
        history(looks=ONCE),
        "retrain_full",
        (),
        "Retrain: the champion's newest row is 900 bars old, 900 are allowed; 900 labelled rows since.",
    ),
    "rows doubled": (
        {"doubling": True, "min_new_rows": 200},
        [],
        history(last_change=CHANGE * HOUR, requests=(800 * HOUR,), trained_until=800 * HOUR, can_go_on=True),
        "wait",
        ("cool_down",),
        "Wait, although the 400 labelled rows since the change of 1970-01-26 00:00 are at least twice the 200 of last time: "
        "200 of 250 bars have passed since the last retraining was asked for.",
    ),
    "rows doubled, cool": (
        {"doubling": True, "min_new_rows": 200, "cool_down_bars": 200},
        [],
        history(last_change=CHANGE * HOUR, requests=(800 * HOUR,), trained_until=800 * HOUR, can_go_on=True),
        "retrain_warm",
        (),
        f"Train on {FROM}: the 400 labelled rows since the change of 1970-01-26 00:00 are at least twice the 200 of last time; "
        "200 labelled rows since.",
    ),
    "rows not doubled": (
        {"doubling": True},
        [],
        history(last_change=CHANGE * HOUR, requests=(801 * HOUR,), trained_until=801 * HOUR),
        "keep",
        (),
        "Keep: nothing speaks against the champion.",
    ),
    "rows doubled, not asked": (
        {"doubling": False},
        [],
        history(last_change=CHANGE * HOUR, requests=(700 * HOUR,), trained_until=700 * HOUR),
        "keep",
        (),
        "Keep: nothing speaks against the champion.",
    ),
    "a clock that was ahead": (
        {"budget": 1},
        seen(KIND.SKILL_FALL),
        history(looks=TWICE, requests=(9_760 * HOUR,)),
        "retrain_full",
        (),
        f"Retrain {FROM}: the skill of btc fell, 2 looks in a row; 400 labelled rows since "
        "(1 asked for at a later time than now, by a clock that was wrong, not counted).",
    ),
    "a clock that was ahead, and asked since": (
        {},
        seen(KIND.SKILL_FALL),
        history(looks=TWICE, requests=(9_760 * HOUR, 900 * HOUR)),
        "wait",
        ("cool_down",),
        "Wait, although the skill of btc fell, 2 looks in a row: 100 of 250 bars have passed since the last retraining was "
        "asked for (1 asked for at a later time than now, by a clock that was wrong, not counted).",
    ),
    "rows doubled, asked by a clock that was ahead as well": (
        {"doubling": True, "min_new_rows": 200, "cool_down_bars": 200},
        [],
        history(last_change=CHANGE * HOUR, requests=(800 * HOUR, 9_760 * HOUR), trained_until=800 * HOUR),
        "retrain_full",
        (),
        f"Retrain {FROM}: the 400 labelled rows since the change of 1970-01-26 00:00 are at least twice the 200 of last time; "
        "200 labelled rows since (1 asked for at a later time than now, by a clock that was wrong, not counted).",
    ),
    "evidence about another version": (
        {},
        seen(KIND.NO_SKILL),
        history(version_id=8),
        "keep",
        (),
        "Keep: nothing speaks against the champion.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_answer_has_its_decision_what_blocks_it_and_its_sentence(case: str) -> None:
    settings, evidence, past, decision, blocked_by, reason = CASES[case]
    answer = RetrainPolicy(**settings).decide(evidence, past, tick=NOW)
    assert (answer.decision, answer.blocked_by, answer.reason) == (decision, blocked_by, reason)
    assert answer.retrains == decision.startswith("retrain")
    assert answer.next_look > NOW


@pytest.mark.parametrize(
    ("settings", "evidence", "past"),
    [
        ({}, seen(KIND.SKILL_FALL, since=880), history(looks=TWICE)),
        ({}, seen(KIND.SKILL_FALL), history(looks=TWICE, requests=(900 * HOUR,))),
        ({}, seen(KIND.SKILL_FALL), history(looks=TWICE, requests=(900 * HOUR, 99_999 * HOUR))),
        ({"budget": 2, "budget_window_bars": 500}, seen(KIND.NO_SKILL), history(requests=(600 * HOUR, 700 * HOUR, 900 * HOUR))),
    ],
)
def test_the_next_look_is_the_first_tick_at_which_what_blocks_is_gone(
    settings: dict[str, Any], evidence: list[Evidence], past: PolicyHistory
) -> None:
    policy = RetrainPolicy(**settings)
    until = policy.decide(evidence, past, tick=NOW).next_look
    for tick, waits in ((until - HOUR, True), (until, False)):
        answer = policy.decide(evidence, replace(past, labelled_until=tick), tick=tick)
        assert (answer.decision == Decision.WAIT) == waits, answer.reason


def test_an_answer_rests_on_evidence_that_it_names_and_says_from_when_rows_are_used() -> None:
    evidence = [*seen(KIND.SKILL_FALL), *seen(KIND.NO_SKILL, since=None), *seen(KIND.CALIBRATION)]
    answer = RetrainPolicy().decide(evidence, history(looks=TWICE), tick=NOW)
    assert answer.evidence == (f"btc:*:*:no_skill:{NOW}", f"btc:*:*:skill_fall:{NOW}")
    assert answer.train_from == CHANGE * HOUR
    assert answer.to_dict()["decision"] == "retrain_full" and answer.to_dict()["evidence"] == list(answer.evidence)


def test_the_same_question_has_the_same_answer() -> None:
    asked = seen(KIND.DATA, KIND.PREDICTION), history(looks=TWICE)
    assert RetrainPolicy().decide(*asked, tick=NOW) == RetrainPolicy().decide(*asked, tick=NOW)


def test_a_decision_is_not_read_as_yes_or_no() -> None:
    answer = RetrainPolicy().decide([], history(), tick=NOW)
    with pytest.raises(TypeError, match=r"no bare yes or no; read \.decision \('keep'\) and \.reason"):
        bool(answer)
    with pytest.raises(TypeError):
        assert not RetrainDecision(Decision.KEEP, "")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"data_drift": "sometimes"}, "data_drift is 'sometimes'; 'never', 'with_prediction' or 'alone'"),
        ({"persistence": 0}, "persistence is 0; a whole number of at least 1"),
        ({"cool_down_bars": -1}, "cool_down_bars is -1; a whole number of at least 0"),
        ({"min_new_rows": 2.5}, r"min_new_rows is 2\.5; a whole number"),
        ({"budget": True}, "budget is True; a whole number"),
        ({"max_age_bars": 0}, "max_age_bars is 0; a whole number of at least 1"),
    ],
)
def test_settings_out_of_bounds_are_refused_with_their_value(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        RetrainPolicy(**setting)


def test_a_look_that_was_not_taken_neither_adds_nor_forgets() -> None:
    looked: dict[EvidenceKind, int] = {}
    for kinds, looked_for in (
        ([KIND.DATA], [KIND.DATA, KIND.JOINT]),
        ([KIND.SKILL_FALL], [KIND.SKILL_FALL]),
        ([KIND.DATA], [KIND.DATA, KIND.JOINT]),
    ):
        looked = looks_in_a_row(looked, seen(*kinds), looked_for=looked_for)
    assert looked == {KIND.DATA: 2, KIND.SKILL_FALL: 1}
    assert looks_in_a_row(looked, [], looked_for=[KIND.DATA]) == {KIND.SKILL_FALL: 1}


def test_a_bar_without_length_is_refused() -> None:
    with pytest.raises(DataError, match="a bar is 0 ms long"):
        PolicyHistory(bar=0)


@pytest.mark.parametrize("name", ["skill", "doubling"])
def test_what_is_neither_true_nor_false_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=f"{name} is 'no'; True or False was expected"):
        RetrainPolicy(**{name: "no"})


@pytest.mark.parametrize(
    ("evidence", "tick", "what"),
    [((), None, "the tick is None"), ((), 1.5, "the tick is 1.5"), (None, 5, "no list of Evidence"), (["a"], 5, "no list of")],
)
def test_what_is_no_evidence_and_no_tick_is_refused(evidence: Any, tick: Any, what: str) -> None:
    with pytest.raises(DataError, match=what):
        RetrainPolicy().decide(evidence, PolicyHistory(bar=1, trained_until=0), tick=tick)


def test_what_is_dated_later_than_now_is_not_believed_and_said() -> None:
    """A clock that was a day ahead; its evidence alone asks for nothing, and takes nothing from what was seen in time."""
    later = [
        Evidence.of(KIND.NO_SKILL, "no skill of btc is shown.", name="btc", tick=NOW + 24 * HOUR, version_id=7, strong=True)
    ]
    alone = RetrainPolicy().decide(later, history(), tick=NOW)
    assert alone.decision is Decision.KEEP and "Evidence dated later than now, 1 of 1, not counted" in alone.reason
    both = RetrainPolicy().decide([*later, *seen(KIND.SKILL_FALL)], history(looks=TWICE), tick=NOW)
    assert both.decision is Decision.RETRAIN_FULL and "1 of 2, not counted" in both.reason
    assert later[0].id not in both.evidence


def test_evidence_of_several_names_and_one_that_is_in_no_list_are_refused() -> None:
    other = Evidence.of(KIND.SKILL_FALL, "the skill of eth fell.", name="eth", tick=NOW)
    with pytest.raises(DataError, match="evidence is of btc and eth; of one name was expected"):
        RetrainPolicy().decide([*seen(KIND.SKILL_FALL), other], history(looks=TWICE), tick=NOW)
    with pytest.raises(DataError, match="no list of Evidence"):
        RetrainPolicy().decide(other, history(), tick=NOW)  # type: ignore[arg-type]


def test_times_beyond_the_calendar_and_numbers_of_numpy_are_taken() -> None:
    """An answer is plain values whatever integers it was made of."""
    past = history(looks=TWICE, trained_until=-(10**17), labelled_until=300 * HOUR)
    decided = RetrainPolicy().decide(seen(KIND.SKILL_FALL, since=-(10**17) // HOUR), past, tick=NOW)
    assert f"rows from {-(10**17) // HOUR * HOUR:,} ms on" in decided.reason
    found = [Evidence.of(KIND.SKILL_FALL, "fell.", name="btc", tick=np.int64(NOW), since=np.int64(CHANGE * HOUR))]
    answer = RetrainPolicy().decide(found, replace(history(looks=TWICE), bar=np.int64(HOUR)), tick=np.int64(NOW))
    assert json.loads(json.dumps(answer.to_dict())) == answer.to_dict() and answer.retrains


def test_what_began_later_than_it_was_seen_began_when_it_was_seen() -> None:
    """Nobody waits for rows after a time that has not come."""
    decided = [
        RetrainPolicy().decide(seen(KIND.SKILL_FALL, since=bar), history(looks=TWICE), tick=NOW) for bar in (1_000, 9_000)
    ]
    assert decided[0] == decided[1] and decided[0].train_from == NOW


@pytest.mark.parametrize("bar", [3.6e6, True, None, "1h"])
def test_a_bar_that_is_not_in_whole_milliseconds_is_refused(bar: Any) -> None:
    with pytest.raises(DataError, match="ms long; whole milliseconds were expected"):
        PolicyHistory(bar=bar)


@pytest.mark.parametrize("past", [{"looks": None}, {"requests": None}, {"asked_once": "data"}, {"requests": 5}])
def test_a_past_of_another_form_is_refused_by_name(past: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"{next(iter(past))} is .* was expected"):
        PolicyHistory(bar=1, **past)


def test_evidence_of_a_kind_or_time_that_there_is_not_is_refused() -> None:
    """A kind with a letter missing would be heard by nobody."""
    with pytest.raises(UnknownName, match="did you mean 'skill_fall'"):
        Evidence.of("skil_fall", "the skill of btc fell.", name="btc", tick=NOW)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="seen at None; whole milliseconds"):
        Evidence.of(KIND.DATA, "it drifted.", name="btc", tick=None)  # type: ignore[arg-type]
    assert Evidence.of("data", "it drifted.", name="btc", tick=NOW).kind is KIND.DATA  # type: ignore[arg-type]
