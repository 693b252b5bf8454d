"""Symbols that no champion answers for: somebody is told, and one that answers for all is trained."""

from __future__ import annotations

from pathlib import Path

from tests.integration.feedback.living import NAME, SmallRun, alive, rows, turn

from huracan.registry.scopes import ALL, Scope

ONE, OTHER = "SIM01-USD", "SIM02-USD"
GAPS = " where it is ranging or illiquid"


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


def test_where_champions_answer_in_some_regimes_only_a_first_one_is_trained_for_the_others(
    champion: SmallRun, tmp_path: Path
) -> None:
    """Whoever is champion of all answers there from then on, and the others where they did."""
    mechanic = alive(champion, tmp_path / "home", mechanic={"learners": ["ridge"], "train": "60d"})
    registry = mechanic.works.registry
    for regime in ("trending", "volatile"):
        registry.promote(NAME, 1, regime=regime, reason="its own")
    registry.withdraw(NAME, "champion", expected=1, reason="by regime from now on")
    report = turn(mechanic, champion, 0)
    first = f"Train a first champion: nobody answers for {ONE}{GAPS}, {OTHER}{GAPS}, and the "
    assert report.decisions["champion"].startswith(first)
    told = [("warning", f"{symbol} has candles, and no champion answers for it{GAPS}.") for symbol in (ONE, OTHER)]
    assert mechanic.status().alerts == told
    assert mechanic.works.bench.holders() == {Scope("", "trending"): 1, Scope("", "volatile"): 1, ALL: 2}
    turn(mechanic, champion, 48)
    query = "select regime, symbol from live_predictions where role = 'champion' and ts >= :since"
    answered = rows(mechanic, query, since=champion.end_of_training)
    assert len(answered) == 2 * 48 and {"ranging", "illiquid"} <= {regime for regime, _ in answered}
    assert not mechanic.status().alerts
