"""Models that work in one true regime of a simulated market and are noise in all others, and what is found out about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import ttest_1samp

from huracan.dataset import REGIME_ORDER, TrainingSet
from huracan.integration.regime_evidence import skills_within_regimes
from huracan.labels import forward_return_labels
from huracan.market import SimulatedMarket, simulate_market
from huracan.model_info import MarketRegime, RegimeSkill
from huracan.preprocessing import FeatureRecipe, feature
from huracan.regimes import RegimeClassifier
from huracan.statistics import adjust_p_values
from huracan.validation.metrics import directional_payoff

__all__ = ["BARS", "HOMES", "HORIZON", "PERSISTENCE", "STRENGTH", "SYMBOLS", "Specialists", "judged", "market_rows"]

HOMES: dict[str, MarketRegime | None] = {"A": MarketRegime.TRENDING, "B": MarketRegime.RANGING, "C": None}
"""Model -> the one regime it works in."""

BARS, SYMBOLS, STRENGTH, HORIZON = 10_000, 4, 1.0, 4
PERSISTENCE = 0.9
"""Autocorrelation of noise: with labels that overlap, its payoffs are dependent, which a naive test takes for skill."""


@dataclass(frozen=True)
class Specialists:
    """What was found in one market.

    Attributes
    ----------
    true, classified : model -> skills by true regime, and by the classifier's, which lags behind the truth.
    naive : model -> regimes in which a t-test of its payoffs, row by row and adjusted all the same, finds skill.
    """

    true: dict[str, tuple[RegimeSkill, ...]]
    classified: dict[str, tuple[RegimeSkill, ...]]
    naive: dict[str, set[MarketRegime]]


def market_rows(market: SimulatedMarket, regimes: pl.DataFrame) -> TrainingSet:
    """Rows of every bar, labelled by the volatility-scaled return of the next four bars, with these regimes."""
    recipe = FeatureRecipe([feature("log_return_scaled", horizon=1)])
    labels = forward_return_labels(market.candles, horizon=HORIZON)
    return TrainingSet.from_candles(market.candles, recipe=recipe, labels=labels, regimes=regimes).labelled_only()


def judged(seed: int) -> Specialists:
    """Scores of A, B and C in one market, judged in every regime together, as the learners of a run are."""
    market = simulate_market(n_bars=BARS, n_symbols=SYMBOLS, seed=seed, signal_strength=STRENGTH)
    rows = market_rows(market, market.regimes)
    best = _best(market, rows)
    payoffs = {}
    for i, (name, home) in enumerate(HOMES.items()):
        noise = _noise(np.random.default_rng([seed, i]), rows)
        inside = np.zeros(len(rows), bool) if home is None else rows.regime_code == REGIME_ORDER.index(home)
        payoffs[name] = directional_payoff(np.where(inside, best, noise), rows.y, center=0.0, spread=1.0)
    told = RegimeClassifier().classify(market.candles).select("symbol", "ts", "regime")
    by_truth, by_classifier = (skills_within_regimes(payoffs, given) for given in (rows, rows.with_regimes(told)))
    return Specialists(by_truth, by_classifier, _naive(payoffs, rows))


def _best(market: SimulatedMarket, rows: TrainingSet) -> NDArray[np.float64]:
    """The best attainable score of each row, standardised."""
    keys = pl.DataFrame({"symbol": rows.symbol.astype(str), "ts": rows.ts}).with_columns(
        pl.col("ts").cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    )
    score = keys.join(market.best_scores, on=["symbol", "ts"], how="left", maintain_order="left")["score"].to_numpy()
    return (score - np.nanmean(score)) / np.nanstd(score)


def _naive(payoffs: dict[str, NDArray[np.float64]], rows: TrainingSet) -> dict[str, set[MarketRegime]]:
    pairs = [(name, code) for name in payoffs for code in range(len(REGIME_ORDER))]
    tests = [ttest_1samp(payoffs[name][rows.regime_code == code], 0.0) for name, code in pairs]
    adjusted = adjust_p_values([test.pvalue for test in tests], method="holm")
    found: dict[str, set[MarketRegime]] = {name: set() for name in payoffs}
    for (name, code), test, p in zip(pairs, tests, adjusted):
        if test.statistic > 0 and p <= 0.05:
            found[name].add(REGIME_ORDER[code])
    return found


def _noise(rng: np.random.Generator, rows: TrainingSet) -> NDArray[np.float64]:
    """An autoregression of variance 1 along each symbol."""
    made = np.empty(len(rows))
    for code in range(len(rows.symbols)):
        mine = rows.symbol_code == code
        shocks = rng.standard_normal(int(mine.sum())) * np.sqrt(1.0 - PERSISTENCE**2)
        made[mine] = lfilter([1.0], [1.0, -PERSISTENCE], shocks)
    return made
