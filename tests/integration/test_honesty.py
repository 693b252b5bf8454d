"""The main job cannot be fooled: not by gaps, drift, refits, overlapping labels or its own earlier folds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan import UnifiedMLPipeline
from huracan.accounting import CostModel, PositionPolicy
from huracan.config import load_config
from huracan.dataset import TrainingSet
from huracan.integration import judging
from huracan.integration.candidates import LearnerCandidate
from huracan.integration.closing import _answer, run_accounts
from huracan.integration.evidence import gather_evidence
from huracan.integration.out_of_fold import FittedLearner, LearnerRun, fit_learner
from huracan.integration.plan import Plan, make_plan
from huracan.integration.preparation import prepare, read_source
from huracan.market import simulate_market

BAR = np.timedelta64(1, "h")


def _candles(log_return: np.ndarray, seed: int = 0, symbol: str = "X") -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(log_return))
    open_ = np.concatenate(([100.0], close[:-1]))
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(close),
            "ts": np.datetime64("2024-01-01", "ms") + np.arange(len(close)) * BAR,
            "open": open_,
            "high": np.maximum(open_, close) * (1 + 0.002 * rng.random(len(close))),
            "low": np.minimum(open_, close) * (1 - 0.002 * rng.random(len(close))),
            "close": close,
            "volume": rng.lognormal(size=len(close)),
        }
    ).with_columns(pl.col("ts").dt.replace_time_zone("UTC"))


def _plan(small_config: Any, candles: pl.DataFrame, **changes: Any) -> Plan:
    config = load_config(small_config(Path("nowhere"), **changes), environ={})
    return make_plan(config, prepare(config, read_source(config, candles)).everything)


@pytest.fixture(scope="module")
def market() -> pl.DataFrame:
    return simulate_market(n_bars=900, n_symbols=2, seed=2, gap_share=0.003).candles


@pytest.mark.parametrize("horizon", [1, 8])
def test_models_answer_on_every_bar_whose_features_are_known(small_config: Any, market: pl.DataFrame, horizon: int) -> None:
    plan = _plan(small_config, market, labels={"horizon": horizon})
    assert (~plan.rows.labelled).sum() >= 2 * horizon, (
        "the last bars, and those before gaps, have no label and are asked all the same"
    )
    answered = np.concatenate([np.arange(span.start, span.stop) for span in plan.spans])
    assert np.array_equal(answered, np.arange(plan.spans[0].start, plan.spans[-1].stop))
    times = plan.rows.decision_time
    assert plan.hold_out is not None
    assert times[plan.spans[-1].stop - 1] < plan.hold_out.start <= times[plan.spans[-1].stop]


@pytest.mark.parametrize("horizon", [1, 8, 30])
def test_nothing_is_learned_from_a_label_that_was_not_known(small_config: Any, market: pl.DataFrame, horizon: int) -> None:
    plan = _plan(small_config, market, labels={"horizon": horizon})
    for k in range(1, len(plan.folds) + 1):
        known = plan.known_before(k)
        begins = plan.hold_out.start if k == len(plan.folds) else plan.rows.decision_time[plan.spans[k].start]  # type: ignore[union-attr]
        assert (plan.rows.label_end[known] < begins - plan.embargo).all()
        assert plan.rows.labelled[known].all()


def test_a_crash_across_a_gap_is_suffered(small_config: Any) -> None:
    rng = np.random.default_rng(0)
    candles = _candles(rng.normal(0, 0.005, 1200))
    crash = pl.when(pl.int_range(pl.len()) >= 800).then(0.8).otherwise(1.0)
    candles = candles.with_columns(pl.col(c) * crash for c in ("open", "high", "low", "close"))
    candles = candles.filter(~pl.int_range(pl.len()).is_between(770, 799))
    config = load_config(
        small_config(Path("nowhere"), costs={"fee_bps": 0, "half_spread_bps": 0, "slippage_bps": 0}), environ={}
    )
    plan = make_plan(config, prepare(config, read_source(config, candles)).everything)
    evidence = gather_evidence(config, plan, None, None)
    held = run_accounts(candles, evidence, CostModel.free()).buy_and_hold
    span = plan.rows.ts[plan.judged_span]
    inside = candles.filter(pl.col("ts").dt.replace_time_zone(None).is_between(span[0] + BAR, span[-1] + 2 * BAR))
    assert held.metrics["total_return"] == pytest.approx(inside["open"][-1] / inside["open"][0] - 1, rel=1e-9)
    before_gap = plan.rows.ts == candles["ts"].dt.replace_time_zone(None).to_numpy()[769]
    assert before_gap.any(), "the last bar before the gap is a row like any other"


def test_a_constant_prediction_earns_exactly_nothing(small_config: Any, market: pl.DataFrame) -> None:
    plan = _plan(small_config, market)
    n = len(plan.rows)
    run = LearnerRun("constant", "regression", np.zeros(n), np.ones(n, np.int8), constant=True)
    judged = judging.judge(plan, run, CostModel(), PositionPolicy(), horizon=1)
    assert not judged.payoff.any()
    assert (judged.target == 1.0).all(), "its account holds what it says"


@pytest.mark.parametrize("per_symbol", [False, True])
def test_the_level_of_a_refit_is_no_score(small_config: Any, market: pl.DataFrame, per_symbol: bool) -> None:
    plan = _plan(small_config, market)
    config = load_config(small_config(Path("nowhere")), environ={})
    rows = plan.development
    shifted = replace(rows, y=rows.y + 5.0)
    ridge = LearnerCandidate("ridge", config.active_profile.learners["ridge"])
    for past in (rows, shifted):
        fitted = fit_learner(ridge, past, seed=0, per_symbol=per_symbol)
        score = fitted.score(past, slice(None))
        assert abs(score.mean()) < 1e-3 * score.std() + 1e-6


@pytest.mark.slow
def test_markets_that_drift_crown_nobody(tmp_path: Path, small_config: Any) -> None:
    """A drift that ramps from falling to rising is no timing skill; at 5 % two of thirty are usual, six are not (p < .01)."""
    crowned = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        candles = _candles(np.linspace(-0.1, 0.1, 1500) * 0.01 + rng.normal(0, 0.01, 1500), seed)
        crowned += UnifiedMLPipeline(small_config(tmp_path / str(seed))).run(candles).champion is not None
    assert crowned <= 5


@pytest.mark.slow
def test_symbols_that_drift_apart_crown_nobody_with_one_model_each(tmp_path: Path, small_config: Any) -> None:
    """Constant drifts of opposite sign are known constants to models of their own, not skill; 4 of 15 has p < .01."""
    crowned = 0
    for seed in range(15):
        rng = np.random.default_rng(seed)
        parts = [
            _candles(drift * 0.01 + rng.normal(0, 0.01, 1200), seed, name)
            for name, drift in (("A", 0.05), ("B", -0.05), ("C", 0.05), ("D", -0.05))
        ]
        config = small_config(tmp_path / str(seed), training={"pooling": "per_symbol"})
        crowned += UnifiedMLPipeline(config).run(pl.concat(parts)).champion is not None
    assert crowned <= 3


def test_a_symbol_that_starts_late_is_left_alone_until_it_has_a_past(tmp_path: Path, small_config: Any) -> None:
    rng = np.random.default_rng(0)
    long, late = _candles(rng.normal(0, 0.01, 1200), 0, "LONG"), _candles(rng.normal(0, 0.01, 1200), 1, "NEW")
    for keep in (400, 150):
        config = small_config(tmp_path / str(keep), training={"pooling": "per_symbol"})
        result = UnifiedMLPipeline(config).run(pl.concat([long, late.tail(keep)]))
        assert any("NEW" in note for note in result["performance_report"]["content"].notes)


class _FirstFeature:
    """A stand-in model whose score is the first feature."""

    def predict(self, X: TrainingSet) -> np.ndarray:
        return X.X[:, 0]


@pytest.mark.parametrize("horizon", [1, 6])
def test_positions_now_are_those_of_a_run_through_history(small_config: Any, market: pl.DataFrame, horizon: int) -> None:
    plan = _plan(small_config, market, labels={"horizon": horizon})
    policy = PositionPolicy(mode="scaled", scale=0.3, holding="overlap" if horizon > 1 else "latest", horizon=horizon)
    n = len(plan.rows)
    run = LearnerRun("first", "regression", np.zeros(n), np.zeros(n, np.int8))
    scale = judging.Scale(0.0, 1.0, 0.0, 1.0)
    judged = judging.Judged(run, np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0), scale, policy, 1)
    fitted = FittedLearner({None: _FirstFeature()}, {None: 0.0})
    whole = policy.targets(plan.rows.X[:, 0], symbol_code=plan.rows.symbol_code, segment=plan.rows.segment)
    for first in (n // 2, n - 4):
        score, target, rows = _answer(plan.rows, first, fitted, judged, horizon)
        assert np.array_equal(rows.ts, plan.rows.ts[first:])
        np.testing.assert_allclose(score, plan.rows.X[first:, 0])
        np.testing.assert_allclose(target, whole[first:], atol=1e-12)
