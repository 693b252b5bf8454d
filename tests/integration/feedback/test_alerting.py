"""What somebody should hear of a life: moves of the champion, lost skill, files that are missing; each once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.integration.feedback.living import NAME, SmallRun, alive, by_hand, opposite, same_again, turn

from huracan import Mechanic
from huracan.errors import StorageError
from huracan.integration.feedback import publishing
from huracan.integration.feedback.alerting import settle_alerts
from huracan.integration.feedback.challenger_log import (
    ChallengerState,
    Trial,
    TrialState,
    put_trial,
)
from huracan.mlops.alerts import AlertLevel, Alerts
from huracan.registry.scopes import ALL
from huracan.storage import Database


class Kept:
    """A channel that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        self.got.append(message)

    def of(self, kind: str) -> list[tuple[str, str]]:
        """Level and state of each message about something."""
        return [(one["level"], one["state"]) for one in self.got if one["id"].startswith(f"{kind}:")]


def test_a_promotion_and_the_rollback_of_a_worse_champion_are_each_told_once(champion: SmallRun, tmp_path: Path) -> None:
    heard = Kept()
    mechanic = alive(champion, tmp_path / "home", channels=[heard], retrain={"skill": False, "max_age": None})
    second = opposite(mechanic.works.registry, NAME, 1)
    by_hand(mechanic, second, champion, state=ChallengerState.TO_PROMOTE, reason="it won.")
    turn(mechanic, champion, 0)
    assert heard.of("promoted") == [("info", "told")]
    assert heard.got[0]["text"] == f"{NAME}: version {second} is champion from now on: it won."
    for bars in range(48, 400, 48):
        mechanic = alive(champion, tmp_path / "home", channels=[heard], retrain={"skill": False, "max_age": None})
        turn(mechanic, champion, bars)
        if mechanic.works.bench.holders() == {ALL: 1}:
            break
    turn(mechanic, champion, bars + 6)
    assert heard.of("promoted") == [("info", "told")]
    assert heard.of("rolled_back") == [("warning", "told")]
    [rolled] = [one["text"] for one in heard.got if one["id"] == f"rolled_back:champion:{second}"]
    assert rolled.startswith(f"{NAME}: version {second} as champion was rolled back: ") and "is better than" in rolled
    assert heard.of("skill")[0] == ("warning", "raised") and heard.of("skill")[-1][1] == "resolved"


def test_a_challenger_that_lost_and_one_that_came_too_late_are_told(champion: SmallRun, tmp_path: Path) -> None:
    heard = Kept()
    mechanic = alive(champion, tmp_path / "home", channels=[heard])
    registry = mechanic.works.registry
    by_hand(mechanic, same_again(registry, NAME, 1), champion, state=ChallengerState.TO_PROMOTE, reason="it won.")
    registry.promote(NAME, opposite(registry, NAME, 1), expected=1, reason="by a person, meanwhile")
    turn(mechanic, champion, 0)
    assert heard.of("conflict") == [("warning", "told")]
    assert "did not take over champion: Somebody else moved the alias first." in heard.got[-1]["text"]


def test_a_challenger_that_is_worse_is_told_as_rejected(champion: SmallRun, tmp_path: Path) -> None:
    heard = Kept()
    mechanic = alive(champion, tmp_path / "home", channels=[heard])
    by_hand(mechanic, opposite(mechanic.works.registry, NAME, 1), champion, reason="it won.")
    for bars in range(0, 400, 48):
        turn(mechanic, champion, bars)
        if heard.of("rejected"):
            break
    assert heard.of("rejected") == [("info", "told")]
    assert "is better than" in heard.got[-1]["text"]


def test_lost_skill_and_the_training_it_leads_to_are_told_and_end_with_the_champion(champion: SmallRun, tmp_path: Path) -> None:
    heard = Kept()
    settings = {"cool_down": "1d", "min_new_rows": 24, "max_age": None}
    mechanic = alive(champion, tmp_path / "home", channels=[heard], retrain=settings, mechanic={"learners": ["ridge"]})
    registry = mechanic.works.registry
    worse = opposite(registry, NAME, 1)
    registry.promote(NAME, worse, expected=1, reason="by mistake")
    for bars in range(0, 300, 12):
        turn(mechanic, champion, bars)
        if heard.of("retraining"):
            break
    assert heard.of("skill")[0] == ("warning", "raised")
    assert heard.of("retraining") == [("warning", "told")]
    assert "fell" in next(one["text"] for one in heard.got if one["id"] == "skill:champion")
    registry.promote(NAME, 1, reason="by hand")
    turn(mechanic, champion, bars + 1)
    assert all(not id.startswith("skill") for id in _holding(mechanic))


def test_what_holds_for_long_is_heard_of_when_it_becomes_more_urgent_or_once_a_while() -> None:
    heard, hour = Kept(), 3_600_000
    database = Database("sqlite://")
    database.upgrade()
    alerts = Alerts("btc", (heard,), repeat=hour)
    for tick in range(100):
        level = AlertLevel.WARNING if tick < 50 else AlertLevel.ERROR
        with database.transaction() as connection:
            now = {"champion": (level, "it fell.")} if tick < 90 else {}
            settle_alerts(connection, alerts, "skill", now, tick=tick * hour, again=24 * hour)
        alerts.send(database, tick=tick * hour)
    assert [one["last"][8:13] for one in heard.got] == ["01 00", "02 00", "03 00", "03 02", "04 02", "04 02"]
    assert heard.of("skill") == [
        ("warning", "raised"),
        *[("warning", "holds")] * 2,
        *[("error", "holds")] * 2,
        ("error", "resolved"),
    ]


def _holding(mechanic: Mechanic) -> list[str]:
    return [one.id for one in mechanic.works.database.read(mechanic.works.alerts.holding)]


def test_a_rollback_that_a_freeze_holds_back_is_told(champion: SmallRun, tmp_path: Path) -> None:
    heard = Kept()
    mechanic = alive(champion, tmp_path / "home", channels=[heard], retrain={"skill": False, "max_age": None})
    registry = mechanic.works.registry
    worse = opposite(registry, NAME, 1)
    registry.promote(NAME, worse, expected=1, reason="by mistake")
    trial = Trial(NAME, "", "", worse, champion.end_of_training, 1, TrialState.ON_TRIAL, "it is on trial.")
    mechanic.works.database.run(lambda connection: put_trial(connection, trial))
    mechanic.freeze("maintenance", actor="ann")
    for bars in range(0, 400, 48):
        turn(mechanic, champion, bars)
    assert heard.of("to_roll_back") == [("error", "told")]
    assert mechanic.works.bench.holders() == {ALL: worse}


def test_files_that_cannot_be_written_are_told_until_they_are(
    champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Kept()
    mechanic = alive(champion, tmp_path / "home", channels=[heard])

    def full(path: Path, data: bytes, *, by: str) -> None:
        raise StorageError("the disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(publishing, "put_file", full)
        for bars in (0, 1, 2):
            turn(mechanic, champion, bars)
    assert heard.of("files") == [("error", "raised")]
    assert _holding(mechanic) == ["files:outbox"]
    turn(mechanic, champion, 3)
    assert heard.of("files") == [("error", "raised"), ("error", "resolved")]
