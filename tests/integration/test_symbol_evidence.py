"""Evidence of each symbol alone: what has an edge is found, what has none is not, and luck of many is paid for."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from huracan.dataset import TrainingSet
from huracan.integration.regime_evidence import skills_within_regimes, skills_within_symbols
from huracan.integration.symbol_evidence import evidence_by_symbol

N, SYMBOLS = 600, tuple(f"S{i:02d}" for i in range(12))


def judged_rows(seed: int, edge: float) -> tuple[TrainingSet, np.ndarray]:
    """Rows of twelve symbols in two regimes; the first symbol alone has an edge."""
    rng = np.random.default_rng(seed)
    total = N * len(SYMBOLS)
    code = np.tile(np.arange(len(SYMBOLS), dtype=np.int32), N)
    ts = np.datetime64("2024-01-01", "ms") + np.timedelta64(3_600_000, "ms") * np.repeat(np.arange(N), len(SYMBOLS))
    rows = TrainingSet.from_arrays(np.empty((total, 0)), rng.standard_normal(total), ts=ts, symbol=np.array(SYMBOLS)[code])
    rows = replace(rows, regime_code=(np.repeat(np.arange(N), len(SYMBOLS)) // 150 % 2).astype(np.int8))
    return rows, rng.standard_normal(total) + edge * (rows.symbol_code == 0)


def evidence_of(rows: TrainingSet, payoff: np.ndarray, champion: str | None = "m") -> Any:
    one = SimpleNamespace(payoff=payoff, z=payoff, probability=np.full(len(payoff), 0.6))
    other = SimpleNamespace(payoff=np.random.default_rng(9).standard_normal(len(payoff)), z=payoff, probability=payoff)
    plan = SimpleNamespace(times=rows, judged=np.arange(len(rows)))
    return SimpleNamespace(
        plan=plan, judged={"m": one, "n": other}, skills={"m": None, "n": None}, champion=champion, alpha=0.05
    )


ACCOUNT: Any = SimpleNamespace(
    per_symbol=pl.DataFrame({"symbol": SYMBOLS, "total_return": 0.1, "sharpe": float("nan"), "max_drawdown": 0.2})
)


def test_the_edge_of_one_symbol_is_on_its_card_alone() -> None:
    rows, payoff = judged_rows(0, 0.5)
    found = evidence_by_symbol(evidence_of(rows, payoff), ACCOUNT)
    assert list(found) == list(SYMBOLS)
    sure = [symbol for symbol, own in found.items() if own.metrics["p_adjusted"] <= 0.05 and own.metrics["skill"] > 0]
    assert sure == ["S00"]
    assert found["S00"].metrics["skill"] == np.mean(payoff[rows.symbol_code == 0])
    assert found["S00"].metrics["net_return"] == 0.1
    assert "net_sharpe" not in found["S00"].metrics, "what is not a number is not told"
    assert found["S00"].metrics["ci_low"] > 0
    assert "is shown to have skill" in found["S00"].sentence
    assert "24 pairs of learner and symbol" in found["S01"].sentence
    assert {skill.n_rows for skill in found["S00"].regimes} == {300}
    assert all(skill.p_adjusted <= 0.05 for skill in found["S00"].regimes)
    assert not any(skill.p_adjusted <= 0.05 for symbol in SYMBOLS[1:] for skill in found[symbol].regimes)


def test_of_symbols_without_an_edge_hardly_one_run_shows_any() -> None:
    """Two-sided at 5 % over all pairs: of 40 runs more than 5 with any find of the champion have a chance of 1.4 % at most."""
    wrong = 0
    for seed in range(40):
        rows, payoff = judged_rows(seed, 0.0)
        found = evidence_by_symbol(evidence_of(rows, payoff), ACCOUNT).values()
        wrong += any(own.metrics["p_adjusted"] <= 0.05 for own in found)
    assert wrong <= 5


def test_p_values_by_regime_are_adjusted_over_every_symbol() -> None:
    """Holm over s symbols: the smallest p-value of all is multiplied by the number of all pairs."""
    rows, payoff = judged_rows(1, 0.5)
    together = skills_within_symbols({"m": payoff}, rows)
    alone = skills_within_regimes({"m": payoff[rows.symbol_code == 0]}, rows.of_symbol("S00"))["m"]
    smallest = min(skill.p_adjusted for skill in together["m", "S00"])
    assert smallest == min(skill.p_adjusted for skill in alone) / 2 * 2 * len(SYMBOLS)


def test_too_few_moments_and_no_champion_say_nothing() -> None:
    rows, payoff = judged_rows(0, 0.5)
    few = (rows.symbol_code > 0) | (rows.decision_time <= rows.decision_time[98 * len(SYMBOLS)])
    found = evidence_by_symbol(evidence_of(rows.take(few), payoff[few]), ACCOUNT)
    assert (found["S00"].metrics, found["S00"].regimes) == ({}, ())
    assert found["S00"].sentence.startswith("S00 was judged at 99 moments, and 100 are needed")
    assert evidence_by_symbol(evidence_of(rows, payoff, None), ACCOUNT) == {}
