"""What a run says of the newest bars: drift of features since the training, and whether that asks for another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan import UnifiedMLPipeline
from huracan.dataset import TrainingSet
from huracan.integration import PipelineResult
from huracan.integration.drift_stage import drift_evidence, drift_stages, newest_stretch
from huracan.integration.feedback.evidence_log import put_evidence
from huracan.integration.feedback.loop_state import put_state
from huracan.integration.feedback.seeing import looks_key
from huracan.integration.preparation import prepare, read_source
from huracan.market import simulate_market
from huracan.mlops.drift_detector import DriftDetector
from huracan.mlops.drift_report import ColumnDrift, DriftReport, JointDrift
from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.mlops.reference import REFERENCE_FILE, Reference
from huracan.registry.scopes import ALL
from huracan.storage.tables import metadata

NAME = "champion.simulated"
SmallRun = tuple[UnifiedMLPipeline, PipelineResult]
RIDGE = {"profile": "one", "profiles": {"one": {"n_splits": 2, "learners": {"ridge": {}}}}}


def test_a_run_holds_the_newest_week_against_the_four_before_it_and_answers_in_a_sentence(small_run: SmallRun) -> None:
    _, result = small_run
    drift, asked = result["drift_detection"], result["should_retrain"]
    assert isinstance(drift, DriftReport)
    assert (drift.n_current, drift.n_reference) == (7 * 24, 28 * 24)
    assert [column.feature for column in drift.columns] == list(result["preprocessing"]["columns"])
    assert asked["reason"].endswith(".")
    assert asked["decision"] in ("keep", "wait", "retrain_full", "retrain_warm")
    assert "huracan mechanic" in result["feedback"]["reason"]
    page = Path(str(result.report_path)).read_text()
    assert asked["reason"].replace("'", "&#39;") in page
    for said in asked["looked_at"].values():
        assert said.replace("'", "&#39;") in page


def test_the_reference_kept_with_a_version_tests_as_the_run_did(small_run: SmallRun) -> None:
    pipeline, result = small_run
    kept = Reference.from_bytes(pipeline.registry.attachments(NAME, 1)[REFERENCE_FILE])
    drift = result["drift_detection"]
    assert kept.n_moments == drift.n_reference
    assert list(kept.columns) == [column.feature for column in drift.columns]
    assert kept.recipe_hash == result["preprocessing"]["recipe_hash"]
    again = DriftDetector.from_reference(kept)
    assert again.reference_.to_bytes() == kept.to_bytes()


def test_a_champion_that_lived_is_told_with_its_figures(small_config: Callable[..., Any], tmp_path: Path) -> None:
    pipeline = UnifiedMLPipeline(small_config(tmp_path, **RIDGE))
    pipeline.run()
    [version] = pipeline.registry.find(name=NAME, stage=None)
    sums = {"n": 10, "hits": 6, "answered": 10, "vetoed": 0, "payoff_squared": 1.0, "squared": 1.0, "log_loss": 6.0}
    lived = {"version_id": version.id, "symbol": "SIM01-USD", "regime": "", "bucket": 1_700_000_000_000, "payoff": 0.5}
    with pipeline.registry.database.transaction() as connection:
        connection.execute(
            metadata.tables["live_buckets"].insert().values({**sums, **lived, "gross": 0.02, "cost": 0.01, "net": 0.01})
        )
    rows = _rows(600)
    told = drift_stages(pipeline.config, pipeline.registry, NAME, rows, len(rows))["feedback"]
    assert (told["outcomes"], told["mean_payoff"], told["net_return"]) == (10, 0.05, 0.01)
    assert "10 outcomes since 2023-11-14" in told["sentence"]
    assert told["against_backtest"]["figure"].to_list() == ["skill", "net"]


def test_drift_alone_keeps_the_champion_and_age_retrains_it(small_run: SmallRun) -> None:
    """The champion of the run is of 2024, the rows are of 2026."""
    pipeline, _ = small_run
    rows = _rows(900, shift=3.0)
    told = drift_stages(pipeline.config, pipeline.registry, NAME, rows, len(rows))
    assert told["drift_detection"].drifted
    assert told["should_retrain"]["decision"] == "retrain_full"
    assert "bars old" in told["should_retrain"]["reason"]
    young = pipeline.config.model_copy(update={"retrain": pipeline.config.retrain.model_copy(update={"max_age": None})})
    asked = drift_stages(young, pipeline.registry, NAME, rows, len(rows))["should_retrain"]
    assert asked["decision"] == "keep"
    assert "does not ask for a retraining by itself" in asked["reason"]
    nobody = drift_stages(pipeline.config, pipeline.registry, "nobody", rows, len(rows))
    assert "nobody is champion of 'nobody'" in nobody["should_retrain"]["reason"]


@pytest.mark.parametrize(("shift", "drifted"), [(0.0, False), (1.0, True)])
def test_ready_features_of_test_are_held_against_those_of_train(shift: float, drifted: bool) -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((1_200, 3))
    X[900:, 1] += shift
    y = X[:, 0] + rng.standard_normal(1_200)
    parts = {"train": slice(0, 600), "val": slice(600, 900), "test": slice(900, 1_200)}
    given = {f"{letter}_{part}": values[rows] for part, rows in parts.items() for letter, values in (("X", X), ("y", y))}
    result = UnifiedMLPipeline(RIDGE).run_complete_pipeline(**given)
    drift = result["drift_detection"]
    assert drift.n_current == 300
    assert ("x1" in drift.drifted_features) == drifted
    assert result["should_retrain"]["decision"] == "keep"
    assert result["should_retrain"]["reason"]
    assert not result["feedback"]


def test_too_short_a_part_is_no_error() -> None:
    """Of 150 training rows features are not compared; payoffs are judged all the same."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((300, 2))
    told = _ready(X, X[:, 0] + rng.standard_normal(300), (150, 240))
    assert "144 moments; at least 200" in told["drift_detection"]["reason"]
    assert told["should_retrain"]["looked_at"]["features"] == told["drift_detection"]["reason"]
    assert "84 moments; at least 200" in told["should_retrain"]["looked_at"]["scores"]
    assert told["should_retrain"]["decision"] == "keep"


def test_a_relation_that_turned_its_sign_asks_for_a_retraining_and_says_of_which_rows() -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((1_200, 3))
    y = X[:, 0] + rng.standard_normal(1_200)
    y[900:] -= 2.0 * X[900:, 0]
    asked = _ready(X, y, (600, 900))["should_retrain"]
    assert asked["decision"] == "retrain_full"
    assert "shown to have no skill" in asked["reason"] and "row 9" in asked["reason"]  # it turned at row 900
    assert 895 <= asked["train_from"] <= 950
    assert asked["next_look"] == 1_200  # the row after the last: there are no times
    assert not asked["looked_at"]["features"].startswith("1 ")


def test_drift_of_features_and_scores_together_asks_once_and_says_so() -> None:
    """The label follows the features as before, so that skill alone would not ask."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((1_200, 2))
    X[900:, 0] *= 3.0
    asked = _ready(X, X[:, 0] + rng.standard_normal(1_200), (600, 900))["should_retrain"]
    assert asked["decision"] == "retrain_full"
    assert "and the scores with it, asked once (a Mechanic waits for 2 looks in a row)" in asked["reason"]
    assert "Nothing speaks against the skill" in asked["looked_at"]["skill"]


def test_times_that_were_given_are_told_as_times() -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((1_200, 3))
    y = X[:, 0] + rng.standard_normal(1_200)
    y[900:] -= 2.0 * X[900:, 0]
    ts = np.datetime64("2026-01-01") + np.arange(1_200) * np.timedelta64(1, "h")
    asked = _ready(X, y, (600, 900), ts)["should_retrain"]
    assert asked["decision"] == "retrain_full"
    assert "rows from 2026-02-" in asked["reason"]  # hour 900 is 2026-02-07 12:00


def test_a_champion_whose_outcomes_show_no_skill_is_asked_to_be_trained_again(
    small_config: Callable[..., Any], tmp_path: Path
) -> None:
    pipeline = UnifiedMLPipeline(small_config(tmp_path, **RIDGE))
    pipeline.run()
    [version] = pipeline.registry.find(name=NAME, stage=None)
    rows = _rows(900)
    begin = int(rows.decision_time[0].astype("datetime64[ms]").astype(np.int64))
    _live(pipeline, version.id, begin, np.random.default_rng(0).normal(-2.0, 0.3, 200))
    young = pipeline.config.model_copy(update={"retrain": pipeline.config.retrain.model_copy(update={"max_age": None})})
    asked = drift_stages(young, pipeline.registry, NAME, rows, len(rows))["should_retrain"]
    assert asked["decision"] == "retrain_full"
    assert "is shown to have no skill: its mean payoff over 800 outcomes" in asked["reason"]
    assert asked["looked_at"]["mechanic"].startswith("no Mechanic")


def test_scores_of_a_champion_on_bars_it_never_saw_are_held_against_those_out_of_fold(tmp_path: Path) -> None:
    """Features four times as wide in the last week: the scores drift with them, and both together ask for a retraining."""
    sections: dict[str, Any] = {"features": {"recipe": "minimal"}, "retrain": {"max_age": None}, "home": str(tmp_path)}
    sections |= {"profile": "one", "profiles": {"one": {"n_splits": 3, "learners": {"ridge": {}}}}}
    pipeline = UnifiedMLPipeline(sections)
    candles = simulate_market(n_bars=2_200, n_symbols=2, seed=0, signal_strength=3.0).candles
    moments = candles["ts"].unique().sort()
    pipeline.run(candles.filter(pl.col("ts") < moments[1_600]))
    rows = prepare(pipeline.config, read_source(pipeline.config, candles)).everything
    as_before = drift_stages(pipeline.config, pipeline.registry, "champion", rows, len(rows))["should_retrain"]
    assert as_before["decision"] == "keep"
    assert "the scores are not shown to be distributed otherwise" in as_before["looked_at"]["scores"]
    X = rows.X.copy()
    X[rows.ts > rows.ts[-1] - np.timedelta64(7, "D")] *= 4.0
    moved = drift_stages(pipeline.config, pipeline.registry, "champion", replace(rows, X=X), len(rows))["should_retrain"]
    assert moved["decision"] == "retrain_full" and "and the scores with it, asked once" in moved["reason"]
    other = replace(rows, feature_names=tuple(f"{name}_" for name in rows.feature_names))
    told = drift_stages(pipeline.config, pipeline.registry, "champion", other, len(rows))["should_retrain"]
    assert "reads other features than this run made" in told["looked_at"]["scores"]


def test_what_a_mechanic_saw_and_asked_for_is_heard(small_config: Callable[..., Any], tmp_path: Path) -> None:
    """Its looks count as it counted them, and its last request holds the next one back."""
    pipeline = UnifiedMLPipeline(small_config(tmp_path, **RIDGE))
    pipeline.run()
    [version] = pipeline.registry.find(name=NAME, stage=None)
    rows = _rows(900)
    tick = int(rows.decision_time[-1].astype("datetime64[ms]").astype(np.int64))
    young = pipeline.config.model_copy(update={"retrain": pipeline.config.retrain.model_copy(update={"max_age": None})})

    def asked(counts: dict[str, int]) -> dict[str, Any]:
        with pipeline.registry.database.transaction() as connection:
            put_state(connection, NAME, {looks_key(ALL): {"version": version.version, "counts": counts}}, tick)
        found: dict[str, Any] = drift_stages(young, pipeline.registry, NAME, rows, len(rows))["should_retrain"]
        return found

    scope: dict[str, Any] = {"name": NAME, "tick": tick - 3_600_000, "version_id": version.id}
    seen = [Evidence.of(kind, f"{kind} moved.", **scope) for kind in (EvidenceKind.DATA, EvidenceKind.PREDICTION)]
    with pipeline.registry.database.transaction() as connection:
        put_evidence(connection, NAME, tick - 3_600_000, seen)
    once = asked({"data": 1, "prediction": 1})
    assert (once["decision"], once["blocked_by"]) == ("wait", ["persistence"])
    twice = asked({"data": 2, "prediction": 2})
    assert twice["decision"] == "retrain_full"
    assert "and the scores with it, 2 looks in a row" in twice["reason"]
    over = asked({})
    assert over["decision"] == "keep"
    assert over["looked_at"]["mechanic"] == "nothing that a Mechanic saw stands."


def test_a_report_becomes_evidence_of_its_kinds() -> None:
    told: dict[str, Any] = {"n_reference": 900, "n_current": 90, "alpha": 0.05, "correction": "fdr_by", "dependence": "auto"}
    told |= {"assumption": "", "missing": (), "new": (), "renamed": {}, "joint": None}
    quiet = DriftReport(columns=(ColumnDrift("a", "number", q_value=0.5),), **told)
    assert drift_evidence(quiet, name="m", tick=5) == ()
    gone = ColumnDrift("gone", "number", drifted=True, note="missing in the window")
    moved = (
        ColumnDrift("a", "number", q_value=0.01, drifted=True),
        ColumnDrift("b", "number", q_value=0.001, drifted=True),
        gone,
    )
    loud = replace(quiet, columns=moved, missing=("gone",), joint=JointDrift(0.02, True, "distance from the centre"))
    data, joint, columns = drift_evidence(loud, name="m", tick=5, version_id=7)
    assert (data.id, data.q_value, data.strong, data.version_id) == ("m:*:*:data:5", 0.001, False, 7)
    assert (joint.kind, joint.p_value) == ("joint", 0.02)
    assert columns.strong and "gone" in columns.sentence
    only_gone = replace(quiet, columns=(gone,), missing=("gone",))
    assert [one.kind for one in drift_evidence(only_gone, name="m", tick=5)] == ["columns"]


def test_the_newest_stretch_counts_time_and_not_rows() -> None:
    rows = _rows(100)
    holed = rows.take(np.r_[0:60, 90:100])
    assert len(newest_stretch(holed, "24h")) == 10
    assert len(newest_stretch(rows, "24h")) == 24
    assert len(newest_stretch(rows, "900d")) == 100
    assert len(newest_stretch(rows.take(slice(0, 0)), "1d")) == 0


def _ready(X: np.ndarray[Any, Any], y: np.ndarray[Any, Any], cuts: tuple[int, int], ts: Any = None) -> PipelineResult:
    """A run of ridge on ready features, cut into train, validation and test."""
    parts = {"train": slice(0, cuts[0]), "val": slice(*cuts), "test": slice(cuts[1], None)}
    given = {f"{letter}_{part}": values[rows] for part, rows in parts.items() for letter, values in (("X", X), ("y", y))}
    times = None if ts is None else {part: ts[rows] for part, rows in parts.items()}
    return UnifiedMLPipeline(RIDGE).run_complete_pipeline(**given, ts=times)


def _live(pipeline: UnifiedMLPipeline, version_id: int, begin: int, payoff: np.ndarray[Any, Any]) -> None:
    """Sums of four outcomes each, in buckets of four hours."""
    same = {"n": 4, "hits": 0, "answered": 4, "vetoed": 0, "payoff_squared": 1.0, "squared": 1.0, "log_loss": 2.0}
    same |= {"gross": -0.04, "cost": 0.01, "net": -0.05}
    rows = [
        {**same, "version_id": version_id, "symbol": "SIM01-USD", "regime": "", "bucket": begin + k * 14_400_000, "payoff": one}
        for k, one in enumerate(payoff.tolist())
    ]
    with pipeline.registry.database.transaction() as connection:
        connection.execute(metadata.tables["live_buckets"].insert(), rows)


def _rows(n: int, shift: float = 0.0) -> TrainingSet:
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, 2))
    X[-168:, 0] += shift
    ts = np.datetime64("2026-01-01") + np.arange(n) * np.timedelta64(1, "h")
    return TrainingSet.from_arrays(X, rng.standard_normal(n), ts=ts)
