"""Evidence by regime: what is found, how sure, in which order; the same from the pipeline, with the market's regime now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter

from huracan.dataset import REGIME_ORDER, TrainingSet
from huracan.errors import UnknownName
from huracan.integration.regime_evidence import (
    RegimeModel,
    UnknownRegime,
    models_for_regime,
    regime_named,
    skills_within_regimes,
)
from huracan.integration.unified_pipeline import UnifiedMLPipeline
from huracan.market import simulate_market
from huracan.model_info import MarketRegime, ModelInfo, RegimeSkill
from huracan.regimes import RegimeClassifier


def rows_in_spells(n: int, length: int = 150) -> TrainingSet:
    rows = TrainingSet.from_arrays(np.zeros((n, 1)), np.zeros(n))
    return replace(rows, regime_code=(np.arange(n) // length % 4).astype(np.int8))


def persistent(rng: np.random.Generator, n: int) -> np.ndarray:
    """Payoffs as overlapping labels make them."""
    return lfilter([1.0], [1.0, -0.8], rng.standard_normal(n))


def card(name: str, *skills: tuple[str, float, float], declared: dict[Any, str] | None = None) -> ModelInfo:
    numbers = {"ci_low": -1.0, "ci_high": 1.0, "n_effective": 500.0, "n_rows": 900}
    measured = [RegimeSkill(regime=MarketRegime(r), skill=s, p_adjusted=p, **numbers) for r, s, p in skills]
    return ModelInfo(
        name=name,
        purpose="-",
        ideal_dataset_shape="-",
        feature_requirements=(),
        output_schema={},
        task="regression",
        market_regimes=declared or {},
        regime_evidence=tuple(measured),
    )


def test_skill_is_found_where_it_is_and_hardly_elsewhere() -> None:
    """Persistent payoffs: at 5 % over twelve pairs two-sided, skill above 0, theory gives 2.5 % of markets a false find."""
    rows, found, wrong = rows_in_spells(12_000), 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        payoffs = {name: persistent(rng, 12_000) for name in "ABC"}
        payoffs["A"] += 0.5 * (rows.regime_code == 0)
        skills = skills_within_regimes(payoffs, rows)
        sure = {(name, s.regime) for name, mine in skills.items() for s in mine if s.skill > 0 and s.p_adjusted <= 0.05}
        found += ("A", MarketRegime.TRENDING) in sure
        wrong += bool(sure - {("A", MarketRegime.TRENDING)})
    assert found >= 38
    assert wrong <= 4  # P(more than 4 of 40 at 2.5 %) is .003


def test_what_says_nothing_is_left_out() -> None:
    rows = rows_in_spells(700)
    made = skills_within_regimes({"m": np.random.default_rng(0).standard_normal(700), "flat": np.zeros(700)}, rows)
    assert [skill.regime for skill in made["m"]] == [MarketRegime(regime) for regime in REGIME_ORDER]
    assert made["flat"] == ()
    rare = replace(rows, regime_code=np.where(np.arange(700) < 99, 1, 0).astype(np.int8))
    (only,) = skills_within_regimes({"m": np.random.default_rng(0).standard_normal(700)}, rare)["m"]
    assert (only.regime, only.n_rows, only.n_spells) == (MarketRegime.TRENDING, 601, 1)
    assert skills_within_regimes({}, rows) == {}


def test_spells_are_counted_by_symbol() -> None:
    two = TrainingSet.from_arrays(np.zeros((400, 1)), np.zeros(400))
    code = np.repeat([0, 0, 1, 0], 100).astype(np.int8)
    both = replace(two, regime_code=code, symbol_code=np.tile([0, 1], 200).astype(np.int32), symbols=("A", "B"))
    payoff = np.random.default_rng(0).standard_normal(400)
    assert skills_within_regimes({"m": payoff}, both)["m"][0].n_spells == 4


def test_best_first_and_no_less_than_asked() -> None:
    cards = {
        "good": card("good", ("trending", 0.2, 0.01)),
        "better": card("better", ("trending", 0.3, 0.2)),
        "refuted": card("refuted", ("trending", -0.1, 0.9), declared={"trending": "it says so"}),
        "said": card("said", declared={"trending": "momentum"}),
        "other": card("other", ("ranging", 0.5, 0.001)),
    }

    def names(evidence: str) -> list[str]:
        return [one.name for one in models_for_regime(cards, "trending", evidence=evidence)]

    assert names("declared") == ["better", "good", "said"]
    assert names("estimated") == ["better", "good"]
    assert names("significant") == ["good"]
    with pytest.raises(UnknownName, match="did you mean 'significant'"):
        names("significant?")


def test_an_unknown_regime_offers_the_nearest() -> None:
    for kind in (UnknownRegime, UnknownName, ValueError):
        with pytest.raises(kind, match="'trendy'; did you mean 'trending'"):
            regime_named("trendy")


def test_the_pipeline_says_how_it_knows(tmp_path: Path) -> None:
    pipeline = UnifiedMLPipeline({"home": tmp_path})
    named = pipeline.get_models_for_regime("ranging")
    known = pipeline.get_models_for_regime("ranging", with_evidence=True)
    assert [one.name for one in known] == named
    assert all(isinstance(one, RegimeModel) and one.evidence == "declared" and one.reason for one in known)
    assert pipeline.get_models_for_regime("ranging", "significant") == []
    cards = pipeline.get_all_models_info()
    assert cards["ridge"]["evidence"]["ranging"]["evidence"] == "declared"
    assert "illiquid" not in cards["ridge"]["evidence"]


def test_the_regime_now_is_the_classifiers(tmp_path: Path) -> None:
    candles = simulate_market(n_bars=900, n_symbols=3, seed=4).candles
    pipeline = UnifiedMLPipeline({"home": tmp_path, "regimes": {"trend_window": 24}})
    assert pipeline.current_regime(candles) == RegimeClassifier(trend_window=24).current_regime(candles)
