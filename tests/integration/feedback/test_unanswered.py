"""Symbols that no champion answers for: somebody is told, and one that answers for all is trained."""

from __future__ import annotations

from pathlib import Path

from tests.integration.feedback.living import NAME, SmallRun, alive, rows, turn

from huracan.registry.scopes import ALL, Scope

ONE, OTHER = "SIM01-USD", "SIM02-USD"


def test_beside_a_symbols_own_champion_a_first_one_is_trained_for_the_others(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", mechanic={"learners": ["ridge"], "train": "60d"})
    registry = mechanic.works.registry
    registry.promote(NAME, 1, symbol=ONE, reason="its own")
    registry.withdraw(NAME, "champion", expected=1, reason="by symbol from now on")
    report = turn(mechanic, champion, 0)
    assert report.predictions == 1
    assert report.decisions["champion"].startswith(f"Train a first champion: nobody answers for {OTHER}, and ")
    assert mechanic.status().alerts == [("warning", f"{OTHER} has candles, and no champion answers for it.")]
    assert mechanic.works.bench.holders() == {Scope(ONE, ""): 1, ALL: 2}
    assert turn(mechanic, champion, 3).predictions == 2 * 3
    answered = rows(mechanic, "select distinct symbol from live_predictions where role = 'champion' order by 1")
    assert answered == [(ONE,), (OTHER,)]
    assert not mechanic.status().alerts
