"""``run_complete_pipeline``: the same call and the same answer for numpy, pandas and polars, by both import paths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from huracan import UnifiedMLPipeline
from huracan.errors import DataError, HuracanError, ModelError
from huracan.integration.results import STAGES

ROOT = Path(__file__).resolve().parents[2]
LEARNERS: dict[str, Any] = {"majority": {}, "ridge": {}, "logistic_regression": {}, "lightgbm": {}}


PARTS = ("train", "val", "test")


def _pipeline(learners: dict[str, Any], **sections: Any) -> UnifiedMLPipeline:
    return UnifiedMLPipeline({"profile": "tiny", "profiles": {"tiny": {"learners": learners}}, **sections})


@pytest.fixture(scope="module")
def pipeline() -> UnifiedMLPipeline:
    return _pipeline(LEARNERS)


def _data(n: int = 900, kind: str = "numpy", classes: bool = False, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    y = 0.5 * X[:, 0] + rng.normal(size=n)
    target = (y > 0).astype(int) if classes else y
    names = ["a", "b", "c", "d"]
    frames = {
        "numpy": lambda v: v,
        "pandas": lambda v: pd.DataFrame(v, columns=names),
        "polars": lambda v: pl.DataFrame(v, schema=names),
    }
    series = {"numpy": lambda v: v, "pandas": pd.Series, "polars": lambda v: pl.Series("y", v)}
    cuts = {"train": slice(0, n // 2), "val": slice(n // 2, 3 * n // 4), "test": slice(3 * n // 4, n)}
    return {f"X_{p}": frames[kind](X[c]) for p, c in cuts.items()} | {
        f"y_{p}": series[kind](target[c]) for p, c in cuts.items()
    }


@pytest.mark.parametrize("classes", [False, True])
def test_every_kind_of_input_gives_the_same_answer(pipeline: UnifiedMLPipeline, classes: bool) -> None:
    results = [pipeline.run_complete_pipeline(**_data(kind=kind, classes=classes)) for kind in ("numpy", "pandas", "polars")]
    assert len({r.result_hash for r in results}) == 1
    for result in results:
        assert tuple(result) == STAGES
        assert result.champion is not None
        assert result["predictions"].height == 225
        assert result["predictions"]["model"].unique().to_list() == [result.champion]
        assert result["performance_report"]["leaderboard"].equals(result["evaluation"]["leaderboard"])
        assert result["evaluation"]["net"]["status"] == "not_run"


def test_a_linear_truth_is_found(pipeline: UnifiedMLPipeline) -> None:
    table = pipeline.run_complete_pipeline(**_data())["evaluation"]["leaderboard"]
    assert table.columns[:3] == ["learner", "loss", "rank_ic"]
    ridge = table.filter(pl.col("learner") == "ridge")
    assert ridge["r2"][0] == pytest.approx(0.2, abs=0.06), "theory: .25 / 1.25"


@pytest.mark.parametrize("level", [0.0, 0.3])
@pytest.mark.parametrize("classes", [False, True])
def test_noise_is_not_crowned_nor_is_a_constant_that_knows_the_level(
    pipeline: UnifiedMLPipeline, level: float, classes: bool
) -> None:
    """The label's level moves after training; whoever knows the new one has shown nothing."""
    crowned = 0
    for seed in range(20):
        rng = np.random.default_rng(100 + seed)
        noise = {f"y_{p}": rng.normal(0.0 if p == "train" else level, 1.0, n) for p, n in zip(PARTS, (450, 225, 225))}
        if classes:
            noise = {k: (v > 0).astype(int) for k, v in noise.items()}
        crowned += pipeline.run_complete_pipeline(**{**_data(seed=seed), **noise}).champion is not None
    assert crowned <= 3, "5 % of 20 is 1; more than 3 has probability below 2 %"


def test_a_slow_feature_on_the_right_side_of_a_new_level_is_not_crowned() -> None:
    """Features that drift (AR 0.99) and labels that are noise about a level that moves between validation and test."""
    pipeline = _pipeline({"ridge": {}, "lightgbm": {}})
    crowned, only_by_level = 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = np.zeros((900, 3))
        for i in range(1, 900):
            X[i] = 0.99 * X[i - 1] + rng.normal(size=3)
        y = rng.normal(size=900) + np.where(np.arange(900) < 675, 0.0, 0.5)
        cuts = zip(PARTS, (slice(0, 450), slice(450, 675), slice(675, 900)))
        result = pipeline.run_complete_pipeline(**{k: v for p, c in cuts for k, v in ((f"X_{p}", X[c]), (f"y_{p}", y[c]))})
        crowned += result.champion is not None
        assert result["ab_testing"].decision == result.champion
        only_by_level += "only by its level" in result.verdict
    assert crowned <= 3, "5 % of 20 is 1; more than 3 has probability below 2 %"
    assert only_by_level >= 2, "the temptation was there"


def test_a_learner_that_says_a_constant_scores_what_the_baseline_scores(pipeline: UnifiedMLPipeline) -> None:
    for classes in (False, True):
        table = pipeline.run_complete_pipeline(**_data(classes=classes))["evaluation"]["leaderboard"]
        loss = dict(table.select("learner", "loss").iter_rows())
        assert loss["majority"] == loss["baseline"]


def test_rows_whose_label_reaches_into_the_next_part_are_left_out() -> None:
    for embargo in (0, 7):
        pipeline = _pipeline({"ridge": {}}, validation={"embargo_bars": embargo})
        result = pipeline.run_complete_pipeline(**_data(), label_horizon=5)
        assert result["preprocessing"]["purged"] == {"train": 5 + embargo, "val": 5 + embargo}
        assert result["preprocessing"]["rows"] == {"train": 445 - embargo, "val": 220 - embargo, "test": 225}
        assert result["preprocessing"]["time_source"] == "row order"


def test_labels_are_counted_in_bars_across_the_boundary_of_parts() -> None:
    """Over a weekend the exit bar of the last training rows is a bar of validation, however many days later."""
    days = np.datetime64("2020-01-01") + np.arange(1400)
    business = days[np.is_busday(days)].astype("datetime64[ms]")
    pipeline = _pipeline({"ridge": {}}, validation={"embargo_bars": 0})
    for start in range(5):  # the boundaries fall on every day of the week
        ts = dict(zip(PARTS, np.split(business[start : start + 900], [450, 675])))
        purged = pipeline.run_complete_pipeline(**_data(), ts=ts, label_horizon=3)["preprocessing"]["purged"]
        for part, following in (("train", "val"), ("val", "test")):
            exits = np.concatenate((ts[part], ts[following]))[4 : 4 + len(ts[part])]  # in after 1 bar, out 3 later
            assert purged[part] == int((exits >= ts[following][0] + np.timedelta64(1, "D")).sum())
            assert purged[part] >= 3


def _priced(horizon: int, n: int = 900, seed: int = 3) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Prices, and a feature that sees the return of a label ``horizon`` bars long through as much noise."""
    rng = np.random.default_rng(seed)
    opens = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n + horizon + 1)))
    y = np.log(opens[1 + horizon :] / opens[1 : n + 1])
    X = np.column_stack((y + rng.normal(0, y.std(), n), rng.normal(size=n)))
    cuts = {"train": slice(0, n // 2), "val": slice(n // 2, 3 * n // 4), "test": slice(3 * n // 4, n)}
    data = {f"X_{p}": X[c] for p, c in cuts.items()} | {f"y_{p}": y[c] for p, c in cuts.items()}
    return data, {p: opens[:n][c] for p, c in cuts.items()}


@pytest.mark.parametrize("horizon", [1, 8])
def test_the_net_result_is_that_of_an_account_kept_bar_by_bar(horizon: int) -> None:
    """Oracle: cash and units in a plain loop, fees on every fill, borrow on a short, closed at the end."""
    data, prices = _priced(horizon, 900 * max(1, horizon // 2))  # overlapping labels need more rows to show what is there
    fee, borrow = 0.0005, 0.0002
    costs = {"fee_bps": 5.0, "half_spread_bps": 0.0, "slippage_bps": 0.0, "borrow_bps_per_bar": 2.0}
    result = _pipeline({"ridge": {}}, costs=costs).run_complete_pipeline(**data, prices=prices, label_horizon=horizon)
    assert result.champion == "ridge"
    target, price = result["predictions"]["position"].to_numpy(), prices["test"]
    assert np.ptp(target) > 0.5 and (target < 0).any()
    cash, units, held = 1.0, 0.0, 0.0
    for i in range(len(price) - 2):
        fill, mark = price[i + 1], price[i + 2]
        if target[i] != held:
            worth = cash + units * fill
            side = np.sign(target[i] * worth - units * fill)
            # after its own cost the position is the target share of what is left
            wanted = target[i] * (worth + fee * side * units * fill) / (1 + fee * side * target[i])
            cash -= wanted - units * fill + fee * abs(wanted - units * fill)
            units, held = wanted / fill, target[i]
        cash -= borrow * max(-units, 0.0) * fill
    worth = cash + units * mark - fee * abs(units) * mark
    net = result["evaluation"]["net"]
    assert net["total_return"][0] == pytest.approx(worth - 1.0, rel=1e-9)


def test_every_configured_cost_counts() -> None:
    data, prices = _priced(4)
    free = {"fee_bps": 0.0, "half_spread_bps": 0.0, "slippage_bps": 0.0}
    earned = [
        _pipeline({"ridge": {}}, costs={**free, **one})
        .run_complete_pipeline(**data, prices=prices, label_horizon=4)["evaluation"]["net"]["total_return"]
        .item()
        for one in ({}, {"fee_bps": 2.0}, {"slippage_bps": 2.0}, {"borrow_bps_per_bar": 2.0}, {"minimum_notional": 1e9})
    ]
    assert earned[0] > max(earned[1:4])
    assert earned[4] == 0.0, "no fill is large enough"


def test_without_a_signal_in_the_prices_the_account_loses_its_costs(pipeline: UnifiedMLPipeline) -> None:
    rng = np.random.default_rng(0)
    data = _data()
    prices = {p: 100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(data[f"X_{p}"])))) for p in PARTS}
    result = pipeline.run_complete_pipeline(**data, prices=prices)
    assert {"learner", "total_return", "sharpe"} <= set(result["evaluation"]["net"].columns)
    assert not result.deserves_money


def test_missing_values_are_filled_by_the_training_part_alone(pipeline: UnifiedMLPipeline) -> None:
    data = _data()
    data["X_train"][3, 1] = np.nan
    data["X_test"][5, 2] = np.nan
    before = pipeline.run_complete_pipeline(**data)
    data["X_test"][:, 3] *= 1000
    after = pipeline.run_complete_pipeline(**data)
    assert np.array_equal(
        before["preprocessing"]["preprocessor"].transform(data["X_val"]),
        after["preprocessing"]["preprocessor"].transform(data["X_val"]),
    )


@pytest.mark.parametrize(("down", "up"), [("down", "up"), ("sell", "buy"), (-1, 1), (False, True)])
def test_classes_come_back_under_their_own_names(pipeline: UnifiedMLPipeline, down: Any, up: Any) -> None:
    data = _data(classes=True)
    named = {k: np.where(v == 1, up, down) if k.startswith("y_") else v for k, v in data.items()}
    result = pipeline.run_complete_pipeline(**named)
    predictions = result["predictions"]
    assert predictions.columns == ["ts", "model", "forecast", "predicted", "probability"]
    assert set(predictions["predicted"]) == {down, up}
    assert result["preprocessing"]["classes"] == (down, up)
    assert predictions.filter(pl.col("predicted") == up)["probability"].min() > 0.5
    assert result.result_hash == pipeline.run_complete_pipeline(**data).result_hash


def test_the_task_is_taken_from_the_labels_and_says_why(pipeline: UnifiedMLPipeline) -> None:
    data = _data()
    three = {k: np.sign(np.round(v)).astype(int) if k.startswith("y_") else v for k, v in data.items()}
    said = pipeline.run_complete_pipeline(**three)["preprocessing"]
    assert said["task"] == "regression"
    assert said["task_reason"].startswith("y_train holds 3 different numbers (-1, 0, 1): a regression")
    said = pipeline.run_complete_pipeline(**_data(classes=True))["preprocessing"]
    assert said["task"] == "classification" and "forecasts are probabilities of 1" in said["task_reason"]


def test_a_learner_that_refuses_is_its_own_failure_and_not_the_end(pipeline: UnifiedMLPipeline) -> None:
    learners = {"ridge": {}, "last_value": {"params": {"column": "no such column"}}}
    result = _pipeline(learners).run_complete_pipeline(**_data())
    assert "no such column" in result["training"]["last_value"]["failure"]
    assert result["training"]["ridge"]["failure"] is None and result.champion == "ridge"
    assert "last_value" not in result["evaluation"]["leaderboard"]["learner"].to_list()
    with pytest.raises(ModelError, match="none of 1 learners could be trained; last_value: "):
        _pipeline({"last_value": {"params": {"column": "no such column"}}}).run_complete_pipeline(**_data())


def test_nothing_is_written_and_nothing_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HURACAN_HOME", str(tmp_path / "home"))
    _pipeline(LEARNERS).run_complete_pipeline(**_data(kind="pandas"))
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")
    assert [str(w.message) for w in recwarn] == []


def _frames(**columns: list[str]) -> dict[str, Any]:
    data = _data(kind="polars")
    return data | {key: data[key].select(names) for key, names in columns.items()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"y_train": np.zeros(450)}, "y_train holds only the value 0.0"),
        ({"y_val": np.zeros(3)}, "val: y has 3 rows where X has 225"),
        ({"X_test": np.zeros((225, 3))}, "X_test has 3 columns where X_train has 4"),
        ({"X_train": np.zeros(450)}, r"X_train has shape \(450,\); rows x features"),
        ({"X_val": [[1.0], [1.0, 2.0]]}, "X_val has rows of different lengths"),
        ({"X_val": pl.DataFrame(np.zeros((225, 4)))}, "X_val has named columns and X_train has none"),
        ({"y_test": np.full(225, np.nan)}, "test: column 'y' holds nan in row 0"),
        ({"y_val": np.array([None] * 225)}, "y_val holds None in row 0; a number was expected"),
        ({"y_train": np.array(["up", "flat", "down"] * 150)}, r"holds 3 classes \('down', 'flat', 'up'\); two classes, or"),
        ({"y_train": np.array(["up", "down", None] * 150)}, "y_train holds None in row 2 among texts"),
        ({"X_val": np.zeros((0, 4)), "y_val": np.zeros(0)}, "X_val has no rows"),
        ({"X_val": np.full((225, 4), np.inf)}, "X_val: column 'x0' holds inf in row 0"),
        ({"ts": {"train": np.arange(3)}}, "ts lacks 'val'"),
        ({"prices": {p: np.zeros(n) for p, n in zip(PARTS, (450, 225, 225))}}, "train: prices holds 0.0 in row 0"),
        ({"label_horizon": 0}, "label_horizon is 0; a whole number of at least 1 bar"),
        ({"label_horizon": 2.5}, "label_horizon is 2.5"),
        ({"label_horizon": 300}, "every row of val has a label that ends after test begins"),
        (_frames(X_val=["a", "c", "d"]), "X_val lacks column 'b', which X_train has"),
        (_frames(X_train=["a", "c", "d"]), "X_val has column 'b', which X_train has not"),
        (_frames(X_test=["b", "a", "c", "d"]), "X_test has 'b' as column 0 where X_train has 'a'"),
        ({"X_train": pl.DataFrame({"ts": [1] * 450, "a": [0.0] * 450})}, "X_train has column 'ts', which is no feature"),
    ],
)
def test_bad_parts_are_named_in_one_sentence(pipeline: UnifiedMLPipeline, change: dict[str, Any], said: str) -> None:
    with pytest.raises(HuracanError, match=said) as caught:
        pipeline.run_complete_pipeline(**{**_data(), **change})
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_part_left_out_is_named(pipeline: UnifiedMLPipeline) -> None:
    data = _data()
    del data["y_val"]
    with pytest.raises(TypeError, match=r"run_complete_pipeline\(\) missing 1 required keyword-only argument: 'y_val'"):
        pipeline.run_complete_pipeline(**data)


def test_parts_of_different_time_sources_are_refused(pipeline: UnifiedMLPipeline) -> None:
    data = _data(kind="pandas")
    data["X_train"].index = pd.date_range("2024-01-01", periods=450)
    with pytest.raises(DataError, match="train has its times by time index, val by row order"):
        pipeline.run_complete_pipeline(**data)


def test_several_symbols_are_refused_and_not_taken_for_one(pipeline: UnifiedMLPipeline) -> None:
    data = _data(kind="pandas")
    times = pd.date_range("2024-01-01", periods=225)
    data["X_train"].index = pd.MultiIndex.from_product([["BTC", "ETH"], times], names=["symbol", "ts"])
    with pytest.raises(DataError, match="X_train has rows of 2 symbols; one series was expected"):
        pipeline.run_complete_pipeline(**data)


def test_parts_must_follow_each_other(pipeline: UnifiedMLPipeline) -> None:
    days = np.datetime64("2024-01-01") + np.arange(900)
    with pytest.raises(DataError, match="must follow each other in time"):
        pipeline.run_complete_pipeline(**_data(), ts={"train": days[450:], "val": days[:225], "test": days[225:450]})


def test_documented_import_path_gives_the_very_same_objects() -> None:
    program = """
from src.cloud.training.ml_framework.integration.unified_pipeline import UnifiedMLPipeline
from src.cloud.training.ml_framework.model_registry import ModelRegistry
from src.cloud.training.ml_framework.preprocessing.enhanced_preprocessing import EnhancedPreprocessor
from src.cloud.training.ml_framework.baselines.ab_testing import compare_models
import huracan, huracan.preprocessing, huracan.baselines.ab_testing as ab
assert UnifiedMLPipeline is huracan.UnifiedMLPipeline and ModelRegistry is huracan.ModelRegistry
assert EnhancedPreprocessor is huracan.preprocessing.EnhancedPreprocessor and compare_models is ab.compare_models
assert ab.__spec__.name == "huracan.baselines.ab_testing"
pipeline = UnifiedMLPipeline("config/ml_framework.yaml")
try:
    import src.cloud.training.ml_framework.nothing
except ModuleNotFoundError:
    print("same")
"""
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "same\n", done.stderr
