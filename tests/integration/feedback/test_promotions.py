"""Challengers and champions on trial: who takes over, who is rejected, rolled back, or waits while promotions are frozen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.integration.feedback.living import HOUR, NAME, SmallRun, alive, by_hand, opposite, rows, same_again, turn

from huracan.integration.feedback import promoting
from huracan.integration.feedback.challenger_log import (
    Challenger,
    ChallengerState,
    Trial,
    TrialState,
    add_challenger,
    challengers_in,
    change_challenger,
    put_trial,
)
from huracan.integration.feedback.shadowing import ShadowMatch
from huracan.integration.mechanic import Mechanic
from huracan.registry.scopes import ALL
from huracan.storage import from_json

SAID = "select symbol, ts, role, regime, score, position, vetoes from live_predictions order by version_id, symbol, ts"


def _challenger(mechanic: Mechanic) -> Challenger:
    found = mechanic.works.database.read(lambda connection: challengers_in(connection, NAME))
    assert len(found) == 1
    return found[0]


def _worse_champion(mechanic: Mechanic) -> int:
    """The opposite of version 1 is champion."""
    second = opposite(mechanic.works.registry, NAME, 1)
    mechanic.works.registry.promote(NAME, second, expected=1, reason="by mistake")
    return second


def test_a_challenger_that_is_better_on_the_same_bars_takes_over_and_is_on_trial(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    worse = _worse_champion(mechanic)
    by_hand(mechanic, 1, champion, parent_version=worse)
    for bars in range(0, 400, 48):
        report = turn(mechanic, champion, bars)
        if _challenger(mechanic).state is ChallengerState.PROMOTED:
            break
    assert mechanic.works.bench.holders() == {ALL: 1}
    assert "is better than" in _challenger(mechanic).reason
    assert "version 1: it is on trial." in report.trials["champion"]
    asked = turn(mechanic, champion, bars + 8)
    assert asked.predictions == 2 * 2 * 8  # the champion before is asked, too
    history = mechanic.works.registry.history(NAME).filter(action="promote").tail(1)
    assert from_json(history["evidence"][0]) == ["by hand"]


def test_a_new_champion_that_is_worse_than_the_one_before_is_rolled_back(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", retrain={"skill": False, "max_age": None})
    worse = _worse_champion(mechanic)
    since = champion.end_of_training
    trial = Trial(NAME, "", "", worse, since, 1, TrialState.ON_TRIAL, "it is on trial.")
    mechanic.works.database.run(lambda connection: put_trial(connection, trial))
    for bars in range(0, 400, 48):
        report = turn(mechanic, champion, bars)
        if mechanic.works.bench.holders() == {ALL: 1}:
            break
    assert mechanic.works.bench.holders() == {ALL: 1}
    assert "rolled back" in report.trials["champion"] and "better" in report.trials["champion"]
    assert rows(mechanic, "select state from champion_trials") == [("rolled_back",)]


def test_equal_ones_expire_or_settle(champion: SmallRun, tmp_path: Path) -> None:
    limits = {"shadow_bars": 60, "trial_bars": 60}
    mechanic = alive(champion, tmp_path / "home", mechanic=limits)
    by_hand(mechanic, same_again(mechanic.works.registry, NAME, 1), champion)
    for bars in (0, 30, 59):
        turn(mechanic, champion, bars)
    assert _challenger(mechanic).state is ChallengerState.SHADOW
    turn(mechanic, champion, 60)
    assert _challenger(mechanic).state is ChallengerState.EXPIRED


def test_a_challenger_that_a_person_promoted_is_champion_and_done_with(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    second = opposite(mechanic.works.registry, NAME, 1)
    by_hand(mechanic, second, champion)
    mechanic.works.registry.promote(NAME, second, reason="by hand")
    turn(mechanic, champion, 30)
    assert _challenger(mechanic).state is ChallengerState.PROMOTED


def test_while_promotions_are_frozen_intentions_wait_and_are_looked_at_anew(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    registry = mechanic.works.registry
    second = opposite(registry, NAME, 1)
    made = Challenger(
        "by hand", NAME, "", "", "full", ChallengerState.TO_PROMOTE, 0, "it won.", parent_version=1, version=second
    )
    mechanic.works.database.run(lambda connection: add_challenger(connection, made))
    mechanic.freeze("exchange migrates", actor="ann")
    report = turn(mechanic, champion, 0)
    assert report.frozen == "exchange migrates" and "promotions are frozen" in report.sentence
    assert _challenger(mechanic).state is ChallengerState.TO_PROMOTE and registry.holder(NAME)[0] == 1
    third = opposite(registry, NAME, second)
    registry.promote(NAME, third, expected=1, reason="by a person, meanwhile")
    mechanic.thaw("done", actor="ann")
    turn(mechanic, champion, 1)
    assert _challenger(mechanic).state is ChallengerState.CONFLICT
    assert "Somebody else moved the alias first" in _challenger(mechanic).reason
    assert registry.holder(NAME)[0] == third


def _victory(run: SmallRun, champion: int, shadow: int) -> ShadowMatch:
    """The version in shadow has been shown to be better by 100 bars before those of the run."""
    match = ShadowMatch(f"{NAME}/{champion}", f"{NAME}/{shadow}", horizon=run.config.labels.horizon)
    moments = run.end_of_training + np.arange(-100, 0) * HOUR
    rng = np.random.default_rng(0)
    match.update(moments, rng.standard_normal(100) - 0.5, rng.standard_normal(100) + 0.5)
    assert match.verdict(bars=100, bars_allowed=500) is not None
    return match


def _won_by(mechanic: Mechanic, worse: int, run: SmallRun) -> None:
    """``worse`` waits to be promoted in the place of version 1, against which it won."""
    kept = {"scheduled": False, "champion": 1, "state": _victory(run, 1, worse).to_json()}
    by_hand(mechanic, worse, run, comparison=kept)
    values = {"state": ChallengerState.TO_PROMOTE.value, "reason": "it won."}
    mechanic.works.database.run(lambda connection: change_challenger(connection, "by hand", **values))


def test_what_won_before_a_freeze_is_not_promoted_on_what_has_been_refuted_since(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", mechanic={"shadow_bars": 300})
    _won_by(mechanic, opposite(mechanic.works.registry, NAME, 1), champion)
    mechanic.freeze("maintenance", actor="ann")
    turn(mechanic, champion, 0)
    assert _challenger(mechanic).state is ChallengerState.TO_PROMOTE
    for bars in range(30, 400, 30):
        turn(mechanic, champion, bars)
    mechanic.thaw("done", actor="ann")
    turn(mechanic, champion, 399)
    assert _challenger(mechanic).state in (ChallengerState.EXPIRED, ChallengerState.REJECTED)
    assert mechanic.works.registry.holder(NAME)[0] == 1


def test_what_won_and_is_undecided_again_goes_back_to_shadow_and_may_win_later(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    registry = mechanic.works.registry
    worse = _worse_champion(mechanic)
    match = ShadowMatch(f"{NAME}/{worse}", f"{NAME}/1", horizon=champion.config.labels.horizon)
    moments, rng = champion.end_of_training + np.arange(-200, 0) * HOUR, np.random.default_rng(0)
    champions, shadows = rng.standard_normal(200), rng.standard_normal(200)
    shadows += np.where(np.arange(200) < 90, 2.0, -1.0)  # it was shown to be better, and then the champion earned more
    for part, decided in ((slice(0, 90), True), (slice(90, 200), False)):
        match.update(moments[part], champions[part], shadows[part])
        assert (match.verdict(bars=200, bars_allowed=500) is not None) == decided
    by_hand(mechanic, 1, champion, comparison={"scheduled": False, "champion": worse, "state": match.to_json()})
    values = {"state": ChallengerState.TO_PROMOTE.value, "parent_version": worse, "reason": "it won."}
    mechanic.works.database.run(lambda connection: change_challenger(connection, "by hand", **values))
    mechanic.freeze("maintenance", actor="ann")
    turn(mechanic, champion, 0)
    assert _challenger(mechanic).state is ChallengerState.SHADOW
    assert "it is undecided again" in _challenger(mechanic).reason
    mechanic.thaw("done", actor="ann")
    turn(mechanic, champion, 1)
    assert registry.holder(NAME)[0] == worse  # what it once won counts no more
    for bars in range(48, 400, 48):
        turn(mechanic, champion, bars)
    assert _challenger(mechanic).state is ChallengerState.PROMOTED and registry.holder(NAME)[0] == 1


def test_a_first_champion_that_waited_too_long_is_not_promoted(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", mechanic={"shadow_bars": 60})
    second = opposite(mechanic.works.registry, NAME, 1)
    by_hand(mechanic, second, champion)
    values = {"state": ChallengerState.TO_PROMOTE.value, "kind": "first"}
    mechanic.works.database.run(lambda connection: change_challenger(connection, "by hand", **values))
    mechanic.freeze("maintenance", actor="ann")
    turn(mechanic, champion, 0)
    assert _challenger(mechanic).state is ChallengerState.TO_PROMOTE
    turn(mechanic, champion, 61)
    assert _challenger(mechanic).state is ChallengerState.EXPIRED and "too old" in _challenger(mechanic).reason


def test_a_promotion_that_was_frozen_is_done_when_nothing_changed(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    second = opposite(mechanic.works.registry, NAME, 1)
    made = Challenger(
        "by hand", NAME, "", "", "full", ChallengerState.TO_PROMOTE, 0, "it won.", parent_version=1, version=second
    )
    mechanic.works.database.run(lambda connection: add_challenger(connection, made))
    (mechanic.pipeline.config.home / "FREEZE").write_text("no database here")
    assert turn(mechanic, champion, 0).frozen == "no database here"
    (mechanic.pipeline.config.home / "FREEZE").unlink()
    turn(mechanic, champion, 1)
    assert mechanic.works.registry.holder(NAME)[0] == second
    if mechanic.works.metrics.kept:
        for kind in ("held_back", "promoted"):
            assert f'huracan_promotions_total{{kind="{kind}",name="{NAME}"}} 1.0' in mechanic.works.metrics.text()


def test_a_challenger_that_cannot_be_trained_leaves_the_champion_and_its_reason(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    made = Challenger(
        "by hand",
        NAME,
        "",
        "",
        "full",
        ChallengerState.REQUESTED,
        champion.end_of_training,
        "asked for by hand.",
        parent_version=1,
        rows_from=champion.end_of_training - 30 * HOUR,
    )
    mechanic.works.database.run(lambda connection: add_challenger(connection, made))
    report = turn(mechanic, champion, 0)
    failed = _challenger(mechanic)
    assert failed.state is ChallengerState.FAILED and "could not be trained" in failed.reason
    assert report.champions == {"champion": 1} and "could not be trained" in report.challengers["by hand"]
    assert any("could not be trained" in sentence for _, sentence in mechanic.status().alerts)


def test_a_challenger_that_won_expires_when_it_waited_as_long_as_one_may_be_in_shadow(
    champion: SmallRun, tmp_path: Path
) -> None:
    """Counted from its victory, whenever it came into shadow."""
    mechanic = alive(champion, tmp_path / "home", retrain={"skill": False, "max_age": None}, mechanic={"shadow_bars": 120})
    worse = _worse_champion(mechanic)
    kept = {"champion": worse, "state": _victory(champion, worse, 1).to_json()}
    by_hand(mechanic, 1, champion, parent_version=worse, shadow_from=champion.end_of_training - 100 * HOUR, comparison=kept)
    mechanic.freeze("maintenance", actor="ann")
    states = []
    for bars in (0, 60, 119, 120):
        turn(mechanic, champion, bars)
        states.append(_challenger(mechanic).state)
    assert states == [ChallengerState.TO_PROMOTE] * 3 + [ChallengerState.EXPIRED]
    assert "waited 120 bars of 120 allowed while promotions were frozen, and is too old" in _challenger(mechanic).reason
    mechanic.thaw("done", actor="ann")
    turn(mechanic, champion, 130)
    assert mechanic.works.bench.holders() == {ALL: worse}


@pytest.mark.parametrize("thawed", [119, 121])
def test_a_rollback_that_waited_too_long_is_a_trial_anew(champion: SmallRun, tmp_path: Path, thawed: int) -> None:
    mechanic = alive(champion, tmp_path / "home", retrain={"skill": False, "max_age": None}, mechanic={"trial_bars": 120})
    worse, since = _worse_champion(mechanic), champion.end_of_training - 100 * HOUR
    monitor = {"champion": worse, "since": since, "state": _victory(champion, worse, 1).to_json()}
    trial = Trial(NAME, "", "", worse, since, 1, TrialState.ON_TRIAL, "it is on trial.", monitor)
    mechanic.works.database.run(lambda connection: put_trial(connection, trial))
    mechanic.freeze("maintenance", actor="ann")
    for bars in (0, 60, 118):
        turn(mechanic, champion, bars)
        assert rows(mechanic, "select state from champion_trials") == [("to_roll_back",)]
    mechanic.thaw("done", actor="ann")
    turn(mechanic, champion, thawed)
    [(state, reason)] = rows(mechanic, "select state, reason from champion_trials")
    if thawed < 120:
        assert state == "rolled_back" and mechanic.works.bench.holders() == {ALL: 1}
        return
    assert state == "on_trial" and mechanic.works.bench.holders() == {ALL: worse}
    assert reason.endswith("waited 121 bars of 120 allowed while promotions were frozen; it is on trial anew.")


def test_a_rollback_that_what_came_since_speaks_against_is_a_trial_anew(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", retrain={"skill": False, "max_age": None})
    worse, since = opposite(mechanic.works.registry, NAME, 1), champion.end_of_training - 100 * HOUR
    monitor = {"champion": 1, "since": since, "state": _victory(champion, 1, worse).to_json()}
    trial = Trial(NAME, "", "", 1, since, worse, TrialState.ON_TRIAL, "it is on trial.", monitor)
    mechanic.works.database.run(lambda connection: put_trial(connection, trial))
    mechanic.freeze("maintenance", actor="ann")
    told = []
    for bars in range(0, 300, 30):
        turn(mechanic, champion, bars)
        told += rows(mechanic, "select state, reason from champion_trials")
    assert told[0][0] == "to_roll_back" and told[-1][0] in ("on_trial", "settled")
    assert ("on_trial", "by what has become known since, it is not to be rolled back; it is on trial anew.") in told
    mechanic.thaw("done", actor="ann")
    turn(mechanic, champion, 300)
    assert mechanic.works.bench.holders() == {ALL: 1}


def test_what_is_frozen_between_the_look_at_the_switch_and_the_move_waits(
    champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mechanic = alive(champion, tmp_path / "home")
    second = opposite(mechanic.works.registry, NAME, 1)
    made = Challenger(
        "by hand", NAME, "", "", "full", ChallengerState.TO_PROMOTE, 0, "it won.", parent_version=1, version=second
    )
    mechanic.works.database.run(lambda connection: add_challenger(connection, made))
    mechanic.freeze("just now", actor="ann")
    monkeypatch.setattr(promoting, "_held_back", lambda turn, n: False)
    turn(mechanic, champion, 0)
    assert _challenger(mechanic).state is ChallengerState.TO_PROMOTE and mechanic.works.bench.holders() == {ALL: 1}
    mechanic.thaw("done", actor="ann")
    turn(mechanic, champion, 1)
    assert _challenger(mechanic).state is ChallengerState.PROMOTED and mechanic.works.bench.holders() == {ALL: second}
