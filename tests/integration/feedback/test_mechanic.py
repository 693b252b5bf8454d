"""Turns over a small run's champion: what is predicted, scored, compared, decided, and what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.integration.feedback.living import HOUR, NAME, SmallRun, alive, opposite, rows, same_again, turn

from huracan import UnifiedMLPipeline
from huracan.errors import ConfigError, LeaseHeld, LeaseLost, NotEnoughData, StorageError
from huracan.integration.feedback import asking, publishing
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
from huracan.integration.feedback.feeds import FrameFeed, StoreFeed
from huracan.integration.feedback.shadowing import ShadowMatch
from huracan.integration.mechanic import Mechanic
from huracan.registry.scopes import ALL
from huracan.serving.served import Served
from huracan.storage import from_json
from huracan.storage.whole_files import aside_of

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


def _shadow(mechanic: Mechanic, version: int, run: SmallRun, **values: object) -> Challenger:
    """A challenger in shadow, as if it had been trained at the end of training."""
    settings = {"reason": "asked for by hand.", "parent_version": 1, "shadow_from": run.end_of_training, **values}
    made = Challenger(
        "by hand",
        NAME,
        "",
        "",
        "full",
        ChallengerState.SHADOW,
        run.end_of_training,
        version=version,
        version_id=mechanic.works.bench.id_of(version),
        **settings,
    )
    mechanic.works.database.run(lambda connection: add_challenger(connection, made))
    return made


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
    _shadow(mechanic, 1, champion, parent_version=worse)
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
    _shadow(mechanic, same_again(mechanic.works.registry, NAME, 1), champion)
    for bars in (0, 30, 59):
        turn(mechanic, champion, bars)
    assert _challenger(mechanic).state is ChallengerState.SHADOW
    turn(mechanic, champion, 60)
    assert _challenger(mechanic).state is ChallengerState.EXPIRED


def test_a_challenger_that_a_person_promoted_is_champion_and_done_with(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    second = opposite(mechanic.works.registry, NAME, 1)
    _shadow(mechanic, second, champion)
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


def _won_by(mechanic: Mechanic, worse: int, run: SmallRun) -> None:
    """``worse`` waits to be promoted in the place of version 1, against which it won by 100 bars before those of the run."""
    match = ShadowMatch(f"{NAME}/1", f"{NAME}/{worse}", horizon=run.config.labels.horizon)
    moments = run.end_of_training + np.arange(-100, 0) * HOUR
    rng = np.random.default_rng(0)
    match.update(moments, rng.standard_normal(100) - 0.5, rng.standard_normal(100) + 0.5)
    assert match.verdict(bars=100, bars_allowed=500) is not None
    kept = {"scheduled": False, "champion": 1, "state": match.to_json()}
    _shadow(mechanic, worse, run, comparison=kept)
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
    shadows += np.where(np.arange(200) < 90, 2.0, -2.5)  # it was shown to be better, and then the champion earned more
    for part, decided in ((slice(0, 90), True), (slice(90, 200), False)):
        match.update(moments[part], champions[part], shadows[part])
        assert (match.verdict(bars=200, bars_allowed=500) is not None) == decided
    _shadow(mechanic, 1, champion, comparison={"scheduled": False, "champion": worse, "state": match.to_json()})
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
    _shadow(mechanic, second, champion)
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


def test_one_works_at_a_time(champion: SmallRun, tmp_path: Path) -> None:
    one, other = alive(champion, tmp_path / "home"), alive(champion, tmp_path / "home")
    with one.working():
        turn(one, champion, 0)
        with pytest.raises(LeaseHeld, match="works as Mechanic"):
            turn(other, champion, 0)
        assert other.status().working is not None
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
    assert heard[1] == "the turn was not finished: the database went away."
    assert "predictions" in heard[0] and "predictions" in heard[2]


def test_files_of_a_killed_turn_are_written_anew_and_what_it_left_half_written_goes(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    turn(mechanic, champion, 0)
    outbox = tmp_path / "home" / "outbox"
    whole = {file: file.read_bytes() for file in outbox.rglob("*") if file.is_file()}
    heartbeat = outbox / publishing.heartbeat_of(NAME)
    assert publishing.published_tick(outbox, mechanic.name) == champion.end_of_training
    assert publishing.published_tick(outbox, "another") is None
    of_another, pointer = aside_of(heartbeat, "another"), outbox / "champion" / "latest.json"
    for left in (aside_of(heartbeat, mechanic.name), aside_of(pointer, mechanic.name), of_another):
        left.write_bytes(b"{")
    heartbeat.unlink()
    assert not turn(mechanic, champion, 0).done
    of_another.unlink()
    assert {file: file.read_bytes() for file in outbox.rglob("*") if file.is_file()} == whole


def test_files_are_written_at_each_turn_and_written_again_where_that_failed(
    champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mechanic = alive(champion, tmp_path / "home")
    outbox = tmp_path / "home" / "outbox"

    def full(path: Path, data: bytes, *, by: str) -> None:
        raise StorageError("the disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(publishing, "put_file", full)
        report = turn(mechanic, champion, 0)
    assert report.done and report.note == "its files were not written: the disk is full."
    assert not (outbox / "heartbeats").exists()
    assert not turn(mechanic, champion, 0).done
    pointer = from_json((outbox / "champion" / "latest.json").read_text())
    assert set(pointer) == {"date", "run_id", "models", "default_costs_bps", "code_hash", "updated_at"}
    assert list(pointer["models"]) == ["SIM01-USD", "SIM02-USD"]
    assert (tmp_path / "home" / pointer["models"]["SIM01-USD"]).is_dir()
    heartbeat = from_json((outbox / publishing.heartbeat_of(NAME)).read_text())
    assert heartbeat["tick"] == champion.end_of_training and heartbeat["report"]["predictions"] == 2
    assert len(list(outbox.glob("*/manifest.json"))) == 1
    before = (outbox / "champion" / "latest.json").stat().st_mtime_ns
    turn(mechanic, champion, 1)
    assert (outbox / "champion" / "latest.json").stat().st_mtime_ns == before


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
    mechanic.run(stop=lambda: len(heard) > 2, told=heard.append)
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
