"""Stored models that cannot be loaded any more, found by a Mechanic that runs and by one that is started again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.integration.feedback.living import HOUR, NAME, SmallRun, alive, by_hand, opposite, rows, same_again, turn

from huracan import Mechanic
from huracan.errors import ArtifactError
from huracan.integration.feedback import lineup
from huracan.integration.feedback.challenger_log import (
    Challenger,
    ChallengerState,
    Trial,
    TrialState,
    add_challenger,
    put_trial,
    trials_in,
)
from huracan.registry.scopes import ALL
from huracan.storage import from_json

RUNNING = pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])


def _files(mechanic: Mechanic, version: int) -> list[Path]:
    registry = mechanic.works.registry
    folder = registry.artifacts.path(registry.get(NAME, version=version).digest)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _damage(mechanic: Mechanic, version: int) -> None:
    for file in _files(mechanic, version):
        file.chmod(0o600)
        file.write_bytes(b"damaged" + file.read_bytes())


def _pointed_at(mechanic: Mechanic) -> set[str]:
    """Digests that the champion pointer sends its reader to."""
    told = from_json((mechanic.pipeline.config.home / "outbox" / "champion" / "latest.json").read_text())
    return {Path(path).name for path in told["models"].values()}


def _digest(mechanic: Mechanic, version: int) -> str:
    return mechanic.works.registry.get(NAME, version=version).digest


def _second(mechanic: Mechanic) -> int:
    """A second champion, that says the same as the first."""
    version = same_again(mechanic.works.registry, NAME, 1)
    mechanic.works.registry.promote(NAME, version, expected=1, reason="it is newer")
    return version


def _first_asked_for(mechanic: Mechanic, state: ChallengerState, at: int, version: int | None = None) -> None:
    id = None if version is None else mechanic.works.bench.id_of(version)
    made = Challenger("first", NAME, "", "", "first", state, at, "as asked.", version=version, version_id=id, decided=at)
    mechanic.works.database.run(lambda connection: add_challenger(connection, made))


@RUNNING
def test_where_a_champion_is_damaged_the_one_before_answers_and_somebody_is_told(
    champion: SmallRun, tmp_path: Path, restarted: bool
) -> None:
    mechanic = alive(champion, tmp_path / "home")
    second = _second(mechanic)
    assert turn(mechanic, champion, 0).champions == {"champion": second}
    assert _pointed_at(mechanic) == {_digest(mechanic, second)}
    _damage(mechanic, second)
    for bars in (3, 6):
        mechanic = alive(champion, tmp_path / "home") if restarted else mechanic
        report = turn(mechanic, champion, bars)
        assert report.champions == {"champion": 1} and report.predictions == 6
        assert "Version 1 answers instead." in report.trouble[str(second)]
        assert _pointed_at(mechanic) == {_digest(mechanic, 1)}
    assert "is not served" in dict(mechanic.status().alerts)["error"]
    assert mechanic.works.bench.holders() == {ALL: second}


@RUNNING
def test_where_the_only_champion_is_damaged_another_is_trained_at_once(
    champion: SmallRun, tmp_path: Path, restarted: bool
) -> None:
    settings = {"learners": ["ridge"], "train": "60d"}
    mechanic = alive(champion, tmp_path / "home", mechanic=settings)
    _first_asked_for(mechanic, ChallengerState.PROMOTED, champion.end_of_training - HOUR, version=1)
    assert turn(mechanic, champion, 0).predictions == 2
    _damage(mechanic, 1)
    mechanic = alive(champion, tmp_path / "home", mechanic=settings) if restarted else mechanic
    report = turn(mechanic, champion, 1)
    assert report.predictions == 0
    assert "There is none before it" in dict(mechanic.status().alerts)["error"]
    said = f"Train a first champion: no champion of '{NAME}' can be served (version 1), and none before it, and "
    assert report.decisions["champion"].startswith(said)
    assert mechanic.works.bench.holders() == {ALL: 2} and _pointed_at(mechanic) == {_digest(mechanic, 2)}
    assert rows(mechanic, "select state from champion_trials") == [("settled",)]  # nobody could be compared with it
    assert turn(mechanic, champion, 5).predictions == 8
    assert turn(mechanic, champion, 6).trouble == {}


def _away(mechanic: Mechanic, version: int) -> Path:
    """Where the artifact went: it is not in this host's folder, and whole."""
    folder = mechanic.works.registry.artifacts.path(_digest(mechanic, version))
    return Path(shutil.move(folder, mechanic.pipeline.config.home.parent / f"away_{version}"))


@RUNNING
def test_a_champion_whose_files_are_on_another_host_only_is_not_replaced(
    champion: SmallRun, tmp_path: Path, restarted: bool
) -> None:
    settings = {"learners": ["ridge"], "train": "60d"}
    mechanic = alive(champion, tmp_path / "home", mechanic=settings)
    assert turn(mechanic, champion, 0).predictions == 2
    away = _away(mechanic, 1)
    mechanic = alive(champion, tmp_path / "home", mechanic=settings) if restarted else mechanic
    for bars in (1, 30):
        report = turn(mechanic, champion, bars)
        assert report.predictions == 0 and "share home" in report.trouble["1"] and "?." not in report.trouble["1"]
        assert "is not replaced" in report.unanswered
    assert rows(mechanic, "select id from challengers") == [] and mechanic.works.bench.holders() == {ALL: 1}
    assert any("share home" in sentence for _, sentence in mechanic.status().alerts)
    shutil.move(away, mechanic.works.registry.artifacts.path(_digest(mechanic, 1)))
    report = turn(mechanic, champion, 31)
    assert report.trouble == {} and report.champions == {"champion": 1} and report.predictions == 2


def test_a_challenger_waits_while_files_are_on_another_host_only(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    second = same_again(mechanic.works.registry, NAME, 1)
    by_hand(mechanic, second, champion)
    turn(mechanic, champion, 0)
    for version, bars in ((1, 1), (second, 2)):
        away = _away(mechanic, version)
        turn(mechanic, champion, bars)
        assert rows(mechanic, "select state from challengers") == [("shadow",)]
        shutil.move(away, mechanic.works.registry.artifacts.path(_digest(mechanic, version)))
    assert mechanic.works.bench.holders() == {ALL: 1}


def test_where_no_other_can_be_trained_the_pointer_names_nobody(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", retrain={"min_new_rows": 10_000})
    turn(mechanic, champion, 0)
    _damage(mechanic, 1)
    report = turn(mechanic, champion, 1)
    assert report.champions == {} and _pointed_at(mechanic) == set()
    assert f"Wait: no champion of '{NAME}' can be served (version 1)" in report.decisions["champion"]


def test_a_first_champion_that_came_to_nothing_is_waited_after(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", retrain={"cool_down": "1d", "max_age": None})
    mechanic.works.registry.withdraw(NAME, "champion", reason="nobody is to be")
    _first_asked_for(mechanic, ChallengerState.FAILED, champion.end_of_training - HOUR)
    assert "after the last attempt to train one" in turn(mechanic, champion, 0).decisions["champion"]
    assert "Train a first champion" in turn(mechanic, champion, 24).decisions["champion"]


def test_where_what_was_trained_cannot_be_served_either_it_is_not_trained_again_every_turn(
    champion: SmallRun, tmp_path: Path
) -> None:
    """As where a library that models need is gone: what is damaged here could be anything that keeps all of them away."""
    mechanic = alive(champion, tmp_path / "home", retrain={"cool_down": "1d", "max_age": None})
    second = _second(mechanic)
    _first_asked_for(mechanic, ChallengerState.PROMOTED, champion.end_of_training - HOUR, version=second)
    for version in (1, second):
        _damage(mechanic, version)
    report = turn(mechanic, champion, 0)
    assert f"Wait: no champion of '{NAME}' can be served (version {second})" in report.decisions["champion"]
    assert "after the last attempt to train one the next may be made at" in report.decisions["champion"]
    assert "Train a first champion" in turn(mechanic, champion, 24).decisions["champion"]


def test_files_that_were_only_touched_or_cannot_be_read_at_present_change_nothing(
    champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mechanic = alive(champion, tmp_path / "home")
    turn(mechanic, champion, 0)
    served = mechanic.works.bench.served(1)
    assert mechanic.works.bench.served(1) is served
    os.utime(_files(mechanic, 1)[0], (0, 0))
    with monkeypatch.context() as away:

        def fails(*given: Any, **rest: Any) -> Any:
            raise ArtifactError("it cannot be read: the disk is away.")

        away.setattr(lineup, "load_served", fails)
        assert mechanic.works.bench.served(1) is served
    assert turn(mechanic, champion, 1).trouble == {}
    assert mechanic.works.bench.served(1) is not served
    assert _pointed_at(mechanic) == {_digest(mechanic, 1)}


def _on_trial(mechanic: Mechanic, run: SmallRun, version: int, before: int) -> None:
    trial = Trial(NAME, "", "", version, run.end_of_training, before, TrialState.ON_TRIAL, "it is on trial.")
    mechanic.works.database.run(lambda connection: put_trial(connection, trial))


@RUNNING
def test_a_trial_beside_who_cannot_be_loaded_is_not_passed(champion: SmallRun, tmp_path: Path, restarted: bool) -> None:
    settings = {"trial_bars": 60}
    mechanic = alive(champion, tmp_path / "home", mechanic=settings)
    second = _second(mechanic)
    _on_trial(mechanic, champion, second, 1)
    turn(mechanic, champion, 0)
    _damage(mechanic, 1)
    mechanic = alive(champion, tmp_path / "home", mechanic=settings) if restarted else mechanic
    for bars in (30, 59, 90, 150):
        report = turn(mechanic, champion, bars)
        assert not report.trials
        assert f"version 1 of '{NAME}' cannot be asked beside the champion" in dict(mechanic.status().alerts)["error"]
    assert rows(mechanic, "select state, before_version from champion_trials") == [("on_trial", 1)]


def test_the_next_good_one_takes_the_place_of_a_predecessor_that_cannot_be_loaded(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", retrain={"skill": False, "max_age": None})
    registry = mechanic.works.registry
    second = _second(mechanic)
    third = opposite(registry, NAME, 1)
    registry.promote(NAME, third, expected=second, reason="by mistake")
    _on_trial(mechanic, champion, third, second)
    turn(mechanic, champion, 0)
    _damage(mechanic, second)
    report = turn(mechanic, champion, 1)
    assert "It is on trial beside version 1 anew." in report.trials["champion"]
    [trial] = mechanic.works.database.read(lambda connection: trials_in(connection, NAME))
    assert trial.before_version == 1 and trial.compared_since == champion.end_of_training + HOUR
    assert trial.since == champion.end_of_training
    for bars in range(48, 400, 48):
        turn(mechanic, champion, bars)
        if mechanic.works.bench.holders() == {ALL: 1}:
            break
    assert mechanic.works.bench.holders() == {ALL: 1}  # and not the damaged one
    assert rows(mechanic, "select state from champion_trials") == [("rolled_back",)]


def test_a_challenger_that_cannot_be_loaded_is_rejected_and_told(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    second = same_again(mechanic.works.registry, NAME, 1)
    made = Challenger(
        "by hand", NAME, "", "", "full", ChallengerState.SHADOW, 0, "as asked.", parent_version=1, version=second,
        version_id=mechanic.works.bench.id_of(second), shadow_from=champion.end_of_training,
    )  # fmt: skip
    mechanic.works.database.run(lambda connection: add_challenger(connection, made))
    turn(mechanic, champion, 0)
    _damage(mechanic, second)
    report = turn(mechanic, champion, 1)
    assert "It cannot be served" in report.challengers["by hand"]
    assert rows(mechanic, "select state from challengers") == [("rejected",)]


def test_damage_that_keeps_size_and_time_of_a_file_is_found_at_the_next_turn(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    second = _second(mechanic)
    turn(mechanic, champion, 0)
    for file in _files(mechanic, second):
        times, content = (file.stat().st_atime_ns, file.stat().st_mtime_ns), file.read_bytes()
        file.chmod(0o600)
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(file, ns=times)
    report = turn(mechanic, champion, 3)
    assert report.champions == {"champion": 1} and f"version {second} of '{NAME}' is not served" in report.trouble[str(second)]
