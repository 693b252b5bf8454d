"""The main job: reproducible, resumable, honest about what it did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from huracan import MarketRegime, UnifiedMLPipeline
from huracan.integration import PipelineResult
from huracan.integration.results import STAGES
from huracan.mlops.live_expectation import EXPECTATION, LiveExpectation
from huracan.serving import Champions
from huracan.storage import RunLog, RunStatus

SmallRun = tuple[UnifiedMLPipeline, PipelineResult]


def test_every_stage_answers(small_run: SmallRun) -> None:
    _, result = small_run
    assert tuple(result) == STAGES
    assert result.verdict
    assert result["drift_detection"].sentence
    assert result["should_retrain"]["reason"]
    assert result["feedback"]["status"] == "not_run"
    assert result["feedback"]["reason"]
    assert not result["feedback"]


def test_report_is_written_and_says_the_verdict(small_run: SmallRun) -> None:
    _, result = small_run
    assert result.report_path is not None
    assert result.champion is None or result.champion in result.report_path.read_text()
    assert not list(result.report_path.parent.glob("folds/**/*.npz")), "intermediate pieces of a finished run are removed"


def test_leaderboard_holds_every_learner_and_orders_by_skill(small_run: SmallRun) -> None:
    _, result = small_run
    table = result["evaluation"]["leaderboard"]
    assert set(table["learner"]) == {"majority", "ridge", "logistic_regression", "decision_tree"}
    skill = table["skill"].drop_nulls().to_list()
    assert skill == sorted(skill, reverse=True)
    majority = table.filter(pl.col("learner") == "majority")
    assert majority["skill"][0] is None, "a constant prediction is the baseline itself"
    assert majority["net_return"][0] == 0.0


def test_the_ab_test_is_of_the_learners_of_the_leaderboard_and_one_quantity_has_one_interval(small_run: SmallRun) -> None:
    _, result = small_run
    tested, table = result["ab_testing"], result["evaluation"]["leaderboard"].drop_nulls("skill")
    assert set(tested.comparison.models) == {*table["learner"], "baseline"}
    rows = {row["model_a"]: row for row in tested.pairs.iter_rows(named=True)}
    for row in table.iter_rows(named=True):
        pair = rows[row["learner"]]
        assert (row["skill"], row["ci_low"], row["ci_high"]) == (-pair["difference"], -pair["joint_high"], -pair["joint_low"])
        assert row["p_adjusted"] == pair["p_adjusted"]
    assert tested.n_trials == 4, "every learner with an account, those that never trade included"
    assert tested.decision == result.champion


def test_registry_holds_a_champion_that_predicts_like_the_one_evaluated(small_run: SmallRun) -> None:
    pipeline, result = small_run
    name = f"{pipeline.config.registry.model_name}.simulated"
    entry = pipeline.registry.get(name, alias="champion")
    assert entry.version == result.model_version
    assert entry.info.signature is not None
    model = pipeline.registry.load(name)
    assert np.isfinite(np.asarray(model.predict(np.zeros((3, len(entry.info.signature.columns)), np.float32)), float)).all()


def test_run_is_in_the_database(small_run: SmallRun) -> None:
    pipeline, result = small_run
    run = RunLog(pipeline.registry.database).get(result.run_id)
    assert run.status is RunStatus.FINISHED
    assert run.result_hash == result.result_hash
    assert run.summary["verdict"] == result.verdict
    assert len(RunLog(pipeline.registry.database).hold_out_uses(run.data_hash or "")) == 1


def test_models_are_known_for_every_regime(small_run: SmallRun) -> None:
    pipeline, _ = small_run
    cards = pipeline.get_all_models_info()
    for regime in MarketRegime:
        assert set(pipeline.get_models_for_regime(regime)) <= set(cards)
    needed = {"name", "purpose", "ideal_dataset_shape", "feature_requirements", "output_schema", "task", "market_regimes"}
    assert all(needed <= set(card) and card["purpose"] for card in cards.values())
    with pytest.raises(ValueError, match="sideways"):
        pipeline.get_models_for_regime("sideways")


def test_predictions_say_one_thing_a_symbol_for_the_last_closed_bar(small_run: SmallRun) -> None:
    _, result = small_run
    now = result["predictions"]
    assert now.columns == ["symbol", "ts", "regime", "score", "probability_up", "position"]
    assert now["symbol"].n_unique() == now.height == 2
    if result.champion is None:
        assert now["position"].to_list() == [0.0, 0.0]


def test_same_seed_same_bits_whatever_the_cores(tmp_path: Path, small_config: Any, small_run: SmallRun) -> None:
    again = UnifiedMLPipeline(small_config(tmp_path, training={"n_jobs": 1})).run()
    assert again.result_hash == small_run[1].result_hash
    other = UnifiedMLPipeline(small_config(tmp_path, seed=5)).run()
    assert other.result_hash != again.result_hash


def test_report_counts_the_looks_at_the_hold_out(tmp_path: Path, small_config: Any) -> None:
    pipeline = UnifiedMLPipeline(small_config(tmp_path))
    pipeline.run()
    content = pipeline.run()["performance_report"]["content"]
    assert any("had been looked at 1 time" in note for note in content.notes)


def test_one_model_a_symbol_is_served_by_symbol_with_its_own_evidence(tmp_path: Path, small_config: Any) -> None:
    simulated = {"simulation": {"n_bars": 3_000, "n_symbols": 2, "signal_strength": 2.0}}
    profiles = {"tiny": {"n_splits": 3, "learners": {"majority": {}, "ridge": {}}}}
    training = {"pooling": "per_symbol"}
    pipeline = UnifiedMLPipeline(small_config(tmp_path, training=training, data=simulated, profiles=profiles))
    result = pipeline.run()
    assert result["evaluation"]["leaderboard"].height == 2
    assert result.champion is not None
    symbols, registry = ("SIM01-USD", "SIM02-USD"), pipeline.registry
    kept = [registry.get(f"champion.simulated.{symbol}") for symbol in symbols]
    together = result["evaluation"]["leaderboard"]["skill"][0]
    skills = [one.metrics["skill"] for one in kept]
    assert len({*skills, together}) == 3, "each has its own, and neither that of all"
    assert np.mean(skills) == pytest.approx(together, rel=0.05), "which is about their mean"
    promised = [LiveExpectation.from_dict(one.extras[EXPECTATION]) for one in kept]
    assert [one.skill.mean for one in promised] == pytest.approx(skills), "what it promises of its life is its own too"
    assert kept[0].info.regime_evidence != kept[1].info.regime_evidence
    assert all("deserves_money" not in one.metrics for one in kept)
    with Champions.from_registry(registry, "champion.simulated", symbols=symbols, refresh=None) as champions:
        told = champions.table.filter(pl.col("regime").is_null())
    assert dict(told.select("symbol", "model_id").rows()) == {one: f"champion.simulated.{one}/1" for one in symbols}


def test_triple_barrier_labels_and_longer_horizons_run(tmp_path: Path, small_config: Any) -> None:
    for labels in ({"kind": "triple_barrier", "horizon": 6}, {"horizon": 8, "weights": "uniqueness"}):
        result = UnifiedMLPipeline(small_config(tmp_path, labels=labels)).run()
        assert result["evaluation"]["leaderboard"].height == 4


def test_without_a_hold_out(tmp_path: Path, small_config: Any) -> None:
    result = UnifiedMLPipeline(small_config(tmp_path, validation={"hold_out_share": 0.0})).run()
    assert result["evaluation"]["hold_out"]["reason"] == "no hold-out was set aside"


def _write_config(folder: Path, config: dict[str, Any]) -> Path:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def _start(file: Path) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HURACAN")}
    return subprocess.Popen(
        [sys.executable, "-m", "huracan", "run", "--config", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def _wait_for_pieces(home: Path, process: subprocess.Popen[str], n: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(home.glob("runs/*/folds/*/*.npz"))) < n:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_and_ends_as_if_undisturbed(tmp_path: Path, small_config: Any, how: signal.Signals) -> None:
    slower = {"tiny": {"n_splits": 3, "learners": {"ridge": {}, "random_forest": {}, "extra_trees": {}}}}
    config = small_config(tmp_path / "stopped", profiles=slower)
    file = _write_config(tmp_path, config)
    process = _start(file)
    _wait_for_pieces(tmp_path / "stopped", process, 4)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "goes on where it stopped" in said
        assert "Traceback" not in said
    folder = next((tmp_path / "stopped" / "runs").iterdir())
    kept = {piece: piece.stat().st_mtime_ns for piece in folder.glob("folds/*/*.npz")}
    assert len(kept) >= 4
    resumed = UnifiedMLPipeline(config).run()
    assert resumed.run_id == folder.name, "the unfinished run is taken up, not a new one begun"
    undisturbed = UnifiedMLPipeline(small_config(tmp_path / "calm", profiles=slower)).run()
    assert resumed.result_hash == undisturbed.result_hash
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    second = max(i for i, e in enumerate(events) if e["event"] == "stage started" and e["stage"] == "training")
    fitted_again = sum(e["event"] == "learner scored a fold" for e in events[second:])
    assert fitted_again == 4 * 3 - len(kept), "finished pieces are not computed again"


def test_a_damaged_piece_is_computed_again(tmp_path: Path, small_config: Any) -> None:
    from huracan.integration.run_folder import RunFolder

    folder = RunFolder.open(tmp_path, "k" * 64)
    folder.save("folds/0/ridge", {"score": np.arange(3.0)}, {"task": "regression"})
    arrays, facts = folder.load("folds/0/ridge") or ({}, {})
    assert arrays["score"].tolist() == [0, 1, 2] and facts == {"task": "regression"}
    file = folder.path / "folds/0/ridge.npz"
    file.write_bytes(file.read_bytes()[:40])
    assert folder.load("folds/0/ridge") is None
    assert folder.load("folds/0/never") is None
    folder.close()


def test_two_processes_never_share_a_run(tmp_path: Path) -> None:
    from huracan.integration.run_folder import RunFolder

    first, second = RunFolder.open(tmp_path, "k" * 64), RunFolder.open(tmp_path, "k" * 64)
    assert first.path != second.path
    first.close()
    third = RunFolder.open(tmp_path, "k" * 64)
    assert third.resumed and third.path == first.path
    for folder in (second, third):
        folder.close()
