"""Turns over a small run's champion: what is predicted, scored, compared, decided, and what is not."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from polars.testing import assert_frame_equal
from tests.integration.feedback.living import HOUR, NAME, SmallRun, alive, opposite, rows, turn

from huracan import UnifiedMLPipeline
from huracan.errors import ConfigError, LeaseHeld, LeaseLost, NotEnoughData, StorageError
from huracan.integration.feedback import asking
from huracan.integration.feedback.feeds import FrameFeed, StoreFeed
from huracan.integration.mechanic import Mechanic
from huracan.serving.served import Served
from huracan.storage.tables import live_trades

SAID = "select symbol, ts, role, regime, score, position, vetoes from live_predictions order by version_id, symbol, ts"


def test_what_is_said_of_a_bar_does_not_depend_on_how_turns_cut_the_time(champion: SmallRun, tmp_path: Path) -> None:
    often, rarely = alive(champion, tmp_path / "a"), alive(champion, tmp_path / "b")
    turn(often, champion, 0)
    turn(rarely, champion, 0)
    for bars in range(1, 25):
        turn(often, champion, bars)
    turn(rarely, champion, 24)
    one, other = pl.DataFrame(rows(often, SAID), orient="row"), pl.DataFrame(rows(rarely, SAID), orient="row")
    assert one.height == 2 * 25
    assert_frame_equal(one, other, abs_tol=1e-12)
    scored = "select symbol, ts, label, payoff, net_return from live_outcomes order by symbol, ts"
    came = [pl.DataFrame(rows(mechanic, scored), orient="row") for mechanic in (often, rarely)]
    assert_frame_equal(*came, abs_tol=1e-12)


def test_a_turn_is_done_once_and_a_clock_that_goes_back_changes_nothing(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    turn(mechanic, champion, 0)
    assert turn(mechanic, champion, 10).predictions == 20
    again, back = turn(mechanic, champion, 10), turn(mechanic, champion, 4)
    assert not again.done and "is finished." in again.sentence
    assert not back.done and "only" in back.sentence
    assert len(rows(mechanic, SAID)) == 22
    assert turn(mechanic, champion, 11).predictions == 2


def test_a_clock_that_jumps_ahead_is_worked_off_in_pieces(
    champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huracan.integration.mechanic._MOST_BARS", 50)
    mechanic = alive(champion, tmp_path / "home")
    turn(mechanic, champion, 0)
    turn(mechanic, champion, 120)
    ticks = [row[0] for row in rows(mechanic, "select tick from mechanic_ticks order by tick")]
    assert [(tick - champion.end_of_training) // HOUR for tick in ticks] == [0, 50, 100, 120]
    assert len(rows(mechanic, SAID)) == 2 * 121


def test_every_outcome_is_scored_once_its_label_is_known(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    for bars in (0, 24, 48):
        turn(mechanic, champion, bars)
    waiting = "select count(*) from live_predictions p where not exists (select 1 from live_outcomes o where o.ts = p.ts)"
    horizon = champion.config.labels.horizon
    assert rows(mechanic, waiting) == [(2 * (horizon + 1),)]  # the exit's open is known once its bar is closed
    late = "select max(label_end - tick) from live_outcomes"
    assert rows(mechanic, late)[0][0] <= -HOUR


def test_the_answer_comes_from_the_champion_of_the_regime_and_others_are_asked_beside(
    champion: SmallRun, tmp_path: Path
) -> None:
    mechanic = alive(champion, tmp_path / "home")
    registry = mechanic.works.registry
    second = opposite(registry, NAME, 1)
    registry.promote(NAME, second, regime="volatile", reason="for storms")
    for bars in (0, 200):
        turn(mechanic, champion, bars)
    roles = rows(mechanic, "select v.version, p.regime, p.role, count(*) from live_predictions p join model_versions v "
                 "on v.id = p.version_id group by 1, 2, 3 order by 1, 2, 3")  # fmt: skip
    told = {(version, regime): role for version, regime, role, _ in roles}
    assert len(told) == len(roles)
    for regime in {regime for _, regime in told}:
        assert told[1, regime] == ("beside" if regime == "volatile" else "champion")
        assert told[second, regime] == ("champion" if regime == "volatile" else "beside")
    assert "volatile" in {regime for _, regime in told}
    keys = {key for (key,) in rows(mechanic, "select key from mechanic_state where key like 'monitor:%'")}
    assert keys == {"monitor:champion", "monitor:champion@*/volatile"}


def test_one_works_at_a_time(champion: SmallRun, tmp_path: Path) -> None:
    one, other = alive(champion, tmp_path / "home"), alive(champion, tmp_path / "home")
    with one.working():
        turn(one, champion, 0)
        with pytest.raises(LeaseHeld, match="works as Mechanic"):
            turn(other, champion, 0)
        assert other.status().working is not None
        asked = iter([False, True, True])
        other.run(stop=lambda: next(asked))  # waits, and shows that it does
        if one.works.metrics.kept:
            shown = [mechanic.works.metrics.text().split("\nhuracan_lease_held{")[1].split()[1] for mechanic in (one, other)]
            assert shown == ["1.0", "0.0"]
    assert turn(other, champion, 2).predictions == 4
    assert one.status().working is None


def test_a_loop_stops_between_two_stages_and_the_next_turn_goes_on_there(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    turn(mechanic, champion, 0)
    asked = iter([False] * 4 + [True] * 100)
    heard: list[str] = []
    mechanic.clock.set(champion.end_of_training + 8 * HOUR)  # type: ignore[attr-defined]
    mechanic.run(stop=lambda: next(asked), told=heard.append)
    assert heard == ["stopped between two stages; the next turn goes on there."]
    assert mechanic.status().unfinished == champion.end_of_training + 8 * HOUR
    assert mechanic.status().working is None
    report = turn(mechanic, champion, 8)
    assert report.done and report.predictions == 16
    assert mechanic.status().unfinished is None


def test_a_loop_goes_on_after_what_passes_by_itself(
    champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mechanic = alive(champion, tmp_path / "home", mechanic={"every": "4h"})
    heard: list[str] = []
    fails = iter([False, True, False, False])
    begun = Mechanic._turn

    def sometimes(self: Mechanic, *given: object) -> object:
        if next(fails):
            raise StorageError("the database went away.")
        return begun(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Mechanic, "_turn", sometimes)
    mechanic.run(stop=lambda: len(heard) > 2, told=heard.append)
    if mechanic.works.metrics.kept:
        assert f'huracan_ticks_total{{name="{NAME}",result="failed"}} 1.0' in mechanic.works.metrics.text()
    assert heard[1] == "the turn was not finished: the database went away."
    assert "predictions" in heard[0] and "predictions" in heard[2]


def test_raw_rows_go_and_their_sums_stay(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", mechanic={"keep_raw": "2d"})
    for bars in range(0, 121, 24):
        turn(mechanic, champion, bars)
    oldest = rows(mechanic, "select min(tick) from live_outcomes")[0][0]
    assert oldest >= champion.end_of_training + 72 * HOUR
    assert rows(mechanic, "select sum(n) from live_buckets")[0][0] > rows(mechanic, "select count(*) from live_outcomes")[0][0]


def test_a_mechanic_with_a_source_of_its_own_takes_no_candles(champion: SmallRun, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has a source of its own"):
        alive(champion, tmp_path / "home").tick(champion.candles)


def test_a_status_is_plain_json_and_disturbs_nobody(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    turn(mechanic, champion, 0)
    with mechanic.working():
        status = alive(champion, tmp_path / "home").status()
    assert status.champions == {"champion": 1} and status.last is not None and status.last.predictions == 2
    plain = status.to_dict()
    assert plain["last"]["tick"] == champion.end_of_training and plain["working"]["name"] == NAME


def test_a_status_tells_of_the_bots_fills_beside_the_opens_of_their_bars(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    turn(mechanic, champion, 0)
    bar = champion.candles.filter(pl.col("ts").dt.epoch("ms") <= champion.end_of_training - 3 * HOUR).row(-1, named=True)
    fill = {
        "trade_id": "t",
        "time": bar["ts"],
        "symbol": bar["symbol"],
        "side": "buy",
        "size": 1.0,
        "entry": bar["open"] * 1.001,
    }
    with mechanic.works.database.transaction() as connection:
        connection.execute(sa.insert(live_trades).values(**fill, fees=0.1, model_id=f"{NAME}/1"))
    bot = mechanic.status().bot
    assert (bot.trades, bot.n_slipped) == (1, 1) and bot.slippage_bps == pytest.approx(10.0)
    assert "10 bps worse than the open of their bar" in " ".join(mechanic.status().to_dict()["bot"]["sentences"])


def test_a_champion_made_for_other_labels_is_not_used(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    registry = mechanic.works.registry
    found, model = registry.get(NAME, version=1), registry.load(NAME, version=1)
    config = {**found.extras["config"], "labels": {**found.extras["config"]["labels"], "horizon": 9}}
    other = registry.register(
        model, found.info, name=NAME, provenance=found.provenance, extras={**found.extras, "config": config}
    )
    registry.promote(NAME, other, expected=1, reason="by mistake")
    report = turn(mechanic, champion, 0)
    assert report.champions == {"champion": 1} and report.predictions == 2
    assert "labels with horizon 9; 2 was expected." in report.trouble[str(other)]


def test_a_version_that_fails_at_a_bar_says_nothing_of_it_and_the_turn_goes_on(
    champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mechanic = alive(champion, tmp_path / "home")
    registry = mechanic.works.registry
    second = opposite(registry, NAME, 1)
    registry.promote(NAME, second, symbol="SIM02-USD", reason="by itself")
    turn(mechanic, champion, 0)
    asked = asking.predict

    def fails(served: Served, *given: object, **rest: object) -> object:
        if served.version.version == second:
            raise FloatingPointError("overflow in a product")
        return asked(served, *given, **rest)  # type: ignore[arg-type]

    with monkeypatch.context() as failing:
        failing.setattr(asking, "predict", fails)
        assert turn(mechanic, champion, 3).predictions == 3  # of the other symbol, by the other version
    assert "failed to answer: FloatingPointError" in dict(mechanic.status().alerts)["error"]
    turn(mechanic, champion, 4)
    assert list(mechanic.status().alerts) == []


def test_with_a_name_a_symbol_a_mechanic_looks_after_one(champion: SmallRun, tmp_path: Path) -> None:
    told = champion.config.model_dump(mode="json") | {"home": str(tmp_path)}
    told["training"] |= {"pooling": "per_symbol"}
    with pytest.raises(ConfigError, match="to one symbol, and start one for each"):
        _ = Mechanic(UnifiedMLPipeline(told), source=FrameFeed(champion.candles)).name
    told["mechanic"] |= {"symbols": ["SIM01-USD"]}
    assert Mechanic(UnifiedMLPipeline(told), source=FrameFeed(champion.candles)).name == "champion.SIM01-USD"


def test_what_was_said_before_a_long_absence_is_scored_after_it(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", mechanic={"patience_bars": 2})
    turn(mechanic, champion, 0)
    turn(mechanic, champion, 4)
    turn(mechanic, champion, 300)
    known = "select state, count(*) from live_outcomes where ts < :end group by 1"
    states = rows(mechanic, known, end=champion.end_of_training + 200 * HOUR)
    assert states == [("known", 2 * 201)]


def test_who_lost_the_lease_waits_for_who_took_it(champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mechanic = alive(champion, tmp_path / "home", mechanic={"every": "4h"})
    heard: list[str] = []
    fails = iter([False, True, False, False])
    begun = Mechanic._turn

    def sometimes(self: Mechanic, *given: object) -> object:
        if next(fails):  # as if it had been stopped for so long that another took over, and ended
            raise LeaseLost("this process is not Mechanic 'x' any more.")
        return begun(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Mechanic, "_turn", sometimes)
    shown: list[tuple[str, bool]] = []

    def hear(sentence: str) -> None:
        heard.append(sentence)
        lines = mechanic.works.metrics.text().splitlines()
        held = next((line[-3:] for line in lines if line.startswith("huracan_lease_held{")), "")
        shown.append((held, any(line.startswith("huracan_last_tick_seconds{") for line in lines)))

    mechanic.run(stop=lambda: len(heard) > 2, told=hear)
    if mechanic.works.metrics.kept:
        assert shown == [("1.0", True), ("0.0", False), ("1.0", True)]  # who lost it knows nothing of what is now
        assert f'huracan_lease_held{{name="{NAME}"}} 0.0' in mechanic.works.metrics.text()
        assert f'huracan_ticks_total{{name="{NAME}",result="failed"}} 0.0' in mechanic.works.metrics.text()
    assert heard[1] == "this process is not Mechanic 'x' any more."
    assert "predictions" in heard[0] and "predictions" in heard[2]
    fences = rows(mechanic, "select fence from mechanic_leases")
    assert fences == [(2,)]  # it was let go and taken again


def test_candles_of_none_that_is_looked_after_are_told(champion: SmallRun, tmp_path: Path) -> None:
    store = StoreFeed(tmp_path / "candles", symbols=["NOPE-USD"])
    mechanic = alive(champion, tmp_path / "home", source=store, mechanic={"symbols": ["NOPE-USD"]})
    with pytest.raises(NotEnoughData, match=r"none of the candles is of a symbol that is looked after \(NOPE-USD\)"):
        mechanic.tick(champion.candles)


def test_what_turns_do_is_measured(champion: SmallRun, tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    mechanic = alive(champion, tmp_path / "home")
    for bars in (0, 6):
        turn(mechanic, champion, bars)
    text = mechanic.works.metrics.text()
    assert f'huracan_ticks_total{{name="{NAME}",result="finished"}} 2.0' in text
    assert f'huracan_predictions_total{{name="{NAME}",role="champion",symbol="SIM01-USD"}} 7.0' in text
    assert f'huracan_stage_seconds_count{{name="{NAME}",stage="predictions"}} 2.0' in text
    assert f'huracan_frozen{{name="{NAME}"}} 0.0' in text
    assert f'huracan_bars_total{{name="{NAME}",state="taken",symbol="SIM01-USD"}} 7.0' in text
    [(known,)] = rows(mechanic, "select count(*) from live_outcomes where state = 'known'")
    [(said,)] = rows(mechanic, "select count(*) from live_predictions")
    assert f'huracan_outcomes_total{{name="{NAME}",state="known"}} {known}.0' in text
    assert f'huracan_pending_outcomes{{name="{NAME}",role="champion"}} {said - known}.0' in text
    regime, skill = rows(
        mechanic, "select regime, sum(payoff) / sum(answered) from live_buckets where symbol = 'SIM01-USD' group by 1"
    )[0]
    assert f'huracan_skill{{name="{NAME}",regime="{regime}",symbol="SIM01-USD"}} {skill}' in text


def test_skill_is_measured_of_the_version_that_answers_in_each_regime(champion: SmallRun, tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client")
    mechanic = alive(champion, tmp_path / "home")
    turn(mechanic, champion, 0)
    [(regime,)] = rows(mechanic, "select regime from live_predictions where symbol = 'SIM01-USD' order by ts desc limit 1")
    other = opposite(mechanic.works.registry, NAME, 1)
    mechanic.works.registry.promote(NAME, other, symbol="SIM01-USD", regime=regime, reason="it answers there alone")
    for bars in (12, 24):
        turn(mechanic, champion, bars)
    answered = rows(
        mechanic,
        "select version_id, regime, avg(payoff) from live_predictions join live_outcomes using (version_id, symbol, ts)"
        " where symbol = 'SIM01-USD' and role = 'champion' and payoff is not null and version_id = "
        "(select id from model_versions where version = :other) and regime = :regime group by 1, 2",
        other=other,
        regime=regime,
    )
    text = mechanic.works.metrics.text()
    [line] = [one for one in text.splitlines() if one.startswith("huracan_skill") and f'"{regime}",symbol="SIM01' in one]
    assert float(line.split()[-1]) == pytest.approx(answered[0][2])


def test_turns_that_fail_are_counted_and_a_symbol_that_is_gone_is_shown_no_more(champion: SmallRun, tmp_path: Path) -> None:
    """Of a symbol without bars for longer than the window of its sums nothing is known any more."""
    pytest.importorskip("prometheus_client")
    gone = champion.end_of_training + 24 * HOUR
    left = champion.candles.filter((pl.col("symbol") == "SIM01-USD") | (pl.col("ts").dt.epoch("ms") < gone))
    mechanic = alive(champion, tmp_path / "home", source=FrameFeed(left))

    def shown() -> set[str]:
        lines = mechanic.works.metrics.text().splitlines()
        return {line.split('symbol="')[1][:-1].split('"')[0] for line in lines if line.startswith("huracan_skill{")}

    for bars in (0, 24):
        turn(mechanic, champion, bars)
    assert shown() == {"SIM01-USD", "SIM02-USD"}
    turn(mechanic, champion, 9 * 24)
    assert shown() == {"SIM01-USD"}
    with pytest.raises(ConfigError, match="a source of its own"):
        mechanic.tick(left)
    assert f'huracan_ticks_total{{name="{NAME}",result="failed"}} 1.0' in mechanic.works.metrics.text()


def test_who_is_champion_of_a_symbol_without_candles_answered_nothing(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    for symbol in ("NOPE-USD", "SIM02-USD"):
        mechanic.works.registry.promote(NAME, 1, symbol=symbol, reason="by hand")
    assert turn(mechanic, champion, 0).champions == {"champion": 1, "champion@SIM02-USD": 1}
    assert set(mechanic.status().champions) == {"champion", "champion@NOPE-USD", "champion@SIM02-USD"}
