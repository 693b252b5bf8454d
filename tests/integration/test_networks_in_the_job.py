"""Networks in the main job: they look back beyond the span they answer on, and are kept, stored and served like others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huracan import UnifiedMLPipeline
from huracan.catalogue import build_model, signal_score
from huracan.config import LearnerConfig
from huracan.dataset import TimeSource, TrainingSet
from huracan.integration.array_judging import train
from huracan.integration.array_rows import read_parts
from huracan.integration.candidates import LearnerCandidate, candidates_of
from huracan.integration.out_of_fold import fit_learner, run_out_of_fold, training_level
from huracan.integration.plan import make_plan
from huracan.integration.preparation import prepare, read_source

NETWORK = {"window": 6, "max_epochs": 1}
GRU = {"window": 6, "max_epochs": 2, "hidden": 8, "learning_rate": 0.01}


def pipeline(home: Path, learners: dict[str, Any], **changes: Any) -> UnifiedMLPipeline:
    return UnifiedMLPipeline(
        {
            "home": str(home),
            "data": {"simulation": {"n_symbols": 2, "n_bars": 700, "signal_strength": 2.0}},
            "features": {"recipe": "minimal"},
            "profiles": {"small": {"n_splits": 2, "learners": learners}},
            "profile": "small",
            **changes,
        }
    )


def _gru() -> LearnerCandidate:
    return LearnerCandidate("gru", LearnerConfig(params=GRU))


def test_the_result_does_not_depend_on_the_cores(tmp_path: Path) -> None:
    learners = {"majority": {}, "gru": {"params": GRU}, "transformer": {"params": {**GRU, "patch": 2, "n_heads": 2}}}
    one, two = (
        pipeline(tmp_path / str(n), learners, training={"n_jobs": n}, validation={"hold_out_share": 0.2}).run() for n in (1, 2)
    )
    assert one.result_hash == two.result_hash
    board = one["evaluation"]["leaderboard"]
    assert set(board["learner"]) == {"majority", "gru", "transformer"}
    assert board.filter(learner="gru")["skill"].is_not_null().all()


def test_the_first_rows_of_a_fold_are_answered_with_the_bars_before_it(tmp_path: Path) -> None:
    config = pipeline(tmp_path, {"gru": {"params": GRU}}).config
    rows = prepare(config, read_source(config, None)).everything
    plan = make_plan(config, rows)
    run = run_out_of_fold(plan, candidates_of(config), per_symbol=False, seed=0, n_jobs=1)["gru"]
    assert run.failure is None
    span = plan.spans[1]
    fitted = fit_learner(_gru(), plan.development.take(plan.folds[1].train_rows), seed=0)
    model = fitted.models[None]
    behind = plan.rows.take(slice(span.start - 200, span.stop))
    expected = model.predict(behind)[200:] - fitted.levels[None]
    np.testing.assert_allclose(run.score[span], expected, rtol=0, atol=1e-7)
    assert len(np.unique(run.score[span][:4])) == 4, "no constant where there is history"


@pytest.mark.parametrize("per_symbol", [False, True])
def test_one_model_or_one_a_symbol(tmp_path: Path, per_symbol: bool) -> None:
    config = pipeline(tmp_path, {"gru": {"params": GRU}}).config
    rows: TrainingSet = make_plan(config, prepare(config, read_source(config, None)).everything).rows
    fitted = fit_learner(_gru(), rows.take(slice(0, 900)).labelled_only(), seed=0, per_symbol=per_symbol)
    expected = np.zeros(len(rows))
    for symbol, model in fitted.models.items():
        mine = slice(None) if symbol is None else rows.symbol_code == rows.symbols.index(symbol)
        expected[mine] = signal_score(model, rows.take(mine))
    np.testing.assert_allclose(fitted.raw_score(rows, slice(901, 960)), expected[901:960], rtol=0, atol=1e-7)


class _SaysTheFirstFeature:
    def predict(self, X: TrainingSet) -> np.ndarray:
        return X.X[:, 0]


def many_symbols(symbols: int, bars: int) -> TrainingSet:
    """Rows in turn; the first feature is a number of the symbol plus noise."""
    rng = np.random.default_rng(0)
    bar, n = np.timedelta64(3_600_000, "ms"), symbols * bars
    ts = np.repeat(np.datetime64("2024-01-01", "ms") + np.arange(bars) * bar, symbols)
    code = np.tile(np.arange(symbols, dtype=np.int32), bars)
    X = np.column_stack([code + 0.1 * rng.standard_normal(n), rng.standard_normal(n)]).astype(np.float32)
    return TrainingSet(
        X=X,
        y=X[:, 1].astype(np.float64),
        ts=ts,
        decision_time=ts + bar,
        label_end=ts + 2 * bar,
        feature_names=("a", "b"),
        symbol_code=code,
        segment=np.zeros(n, np.int32),
        regime_code=np.full(n, -1, np.int8),
        weight=np.ones(n),
        symbols=tuple(f"S{i:03}" for i in range(symbols)),
        bar_length=bar,
        time_source=TimeSource.CANDLES,
    )


def test_the_level_of_a_model_is_that_of_all_symbols() -> None:
    rows = many_symbols(8, 20_000)
    assert training_level(_SaysTheFirstFeature(), rows) == pytest.approx(
        3.5, abs=5 * np.sqrt(63 / 12 / 20_000)
    )  # uniform on 0..7


def test_the_level_of_a_model_that_looks_back_is_that_of_its_forecasts() -> None:
    rows = many_symbols(400, 130)
    rows.X[: len(rows) // 2, 1] += 3.0
    rows.y[:] = rows.X[:, 1]
    model = build_model("linear_network", window=64, max_epochs=4, learning_rate=0.02, max_train_rows=2_000).fit(rows)
    whole = signal_score(model, rows)
    level, error = training_level(model, rows), whole.std() / np.sqrt(20_000)
    assert level == pytest.approx(whole.mean(), abs=5 * error)
    assert abs(level - model.target_centers_[0]) > 10 * error, "no constant"


@pytest.mark.parametrize(("times", "broken"), [("none", False), ("weekends", False), ("a month apart", True)])
def test_ready_features_of_validation_and_test_are_judged_with_the_rows_before_them(times: str, broken: bool) -> None:
    rng = np.random.default_rng(0)
    cut = {"train": slice(0, 300), "val": slice(300, 400), "test": slice(400, 500)}
    X, y = rng.standard_normal((500, 3)), rng.standard_normal(500)
    ts = None
    if times != "none":
        days = np.datetime64("2024-01-01", "D") + np.arange(500) + 2 * (np.arange(500) // 5)
        days = days + (np.arange(500) // 100 if times == "weekends" else 30 * (np.arange(500) >= 300))
        ts = {part: days[at] for part, at in cut.items()}
    parts = {"X": {p: X[at] for p, at in cut.items()}, "y": {p: y[at] for p, at in cut.items()}}
    rows = read_parts(parts["X"], parts["y"], ts=ts, label_end=None, prices=None, horizon=3, embargo_bars=0)
    assert rows.purged["val"] > 0
    config = UnifiedMLPipeline(
        {"profile": "p", "profiles": {"p": {"learners": {"linear_network": {"params": NETWORK}}}}}
    ).config
    judged, _ = train(config, rows, "regression")
    one = judged["linear_network"]
    whole = signal_score(one.model, rows.whole)
    constant = one.model.target_centers_[0]
    for part, score in (("val", one.val_score), ("test", one.test_score)):
        assert len(score) == len(getattr(rows, part))
        np.testing.assert_allclose(score, whole[rows.at[part]], rtol=0, atol=1e-6)
        begins_anew = broken and part == "val"
        assert np.all(score[:5] == constant) if begins_anew else not np.any(score == constant)


def test_no_window_reaches_across_rows_that_were_left_out() -> None:
    """Labels that end late leave holes in the middle of a part."""
    y, cut = (
        np.random.default_rng(0).standard_normal(400),
        {"train": slice(0, 200), "val": slice(200, 300), "test": slice(300, 400)},
    )
    days = np.datetime64("2024-01-01", "D") + np.arange(400)
    end = days + 2
    end[50:60] = days[210]
    given = [{part: values[at] for part, at in cut.items()} for values in (y[:, None], y, days, end)]
    rows = read_parts(given[0], given[1], ts=given[2], label_end=given[3], prices=None, horizon=1, embargo_bars=0)
    assert rows.purged["train"] == 10 + 1  # and the last one
    at = rows.at["train"]
    assert np.array_equal(np.flatnonzero(np.diff(rows.train.segment)), np.flatnonzero(np.diff(at) > 1))
