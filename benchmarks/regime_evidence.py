"""Which model suits which regime: found where it works, and nowhere else, on 50 simulated markets with known regimes.

Model A works only while the market truly trends, B only while it ranges, C never; elsewhere all three are noise as persistent
as real scores, on labels that overlap. Each is judged in all four regimes, twelve looks a market, as a run judges its learners.
"""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks import ShortOfBar, markdown_table
from benchmarks.regime_checks import specialists
from benchmarks.regime_checks.specialists import HOMES, Specialists, judged
from huracan.integration.regime_evidence import models_for_regime
from huracan.model_info import MarketRegime, ModelInfo, RegimeSkill

__all__ = ["main"]

SEEDS = 50
FOUND, WRONG = 0.90, 0.06


def main() -> str:
    """Judge all markets and count."""
    markets = [judged(seed) for seed in range(SEEDS)]
    said = [{regime: significant(market.true, regime) for regime in MarketRegime} for market in markets]
    rows, short = [], []
    for name, home in HOMES.items():
        at_home = [name in by_regime[home] for by_regime in said] if home is not None else []
        astray = [any(name in found for regime, found in by_regime.items() if regime is not home) for by_regime in said]
        naive = [bool(market.naive[name] - {home}) for market in markets]
        elsewhere = [_elsewhere(market, name, home) for market in markets]
        rows.append(
            [name, home or "none", _share(at_home), _share(astray), _share(naive), _share(elsewhere)],
        )
        if at_home and sum(at_home) < FOUND * SEEDS:
            short.append(f"{name} found in {_share(at_home)} of markets, bar {FOUND:.0%}")
        if sum(astray) > WRONG * SEEDS:
            short.append(f"{name} found in a wrong regime in {_share(astray)} of markets, bar {WRONG:.0%}")
    anyone = [any(n in found for r, found in one.items() for n, home in HOMES.items() if r is not home) for one in said]
    if sum(anyone) > WRONG * SEEDS:
        short.append(f"some model found in a wrong regime in {_share(anyone)} of markets, bar {WRONG:.0%}")
    table = markdown_table(
        [
            "model",
            "works in",
            "found there",
            "found elsewhere",
            "naive t-test elsewhere",
            "elsewhere by the classifier's regimes",
        ],
        rows,
    )
    page = (
        "# Regimes by evidence\n\n"
        f"{SEEDS} simulated markets of {specialists.SYMBOLS} symbols x {specialists.BARS:,} hourly bars, signal strength "
        f"{specialists.STRENGTH:g}, labels of {specialists.HORIZON} bars that overlap; inside its regime a model is the best "
        f"attainable forecast, outside an AR(1) of coefficient {specialists.PERSISTENCE:g}. Found: `models_for_regime(..., "
        '"significant")` at 5 %, adjusted over the twelve pairs (Holm). Regimes are the true ones; the last column asks the '
        "classifier, which sees candles only and lags: what works in trends then really earns in bars still called ranging, "
        "and is no error.\n\n"
        f"{table}\n\n"
        f"Bars: found where it works in at least {FOUND:.0%} of markets, in a wrong regime in at most {WRONG:.0%} for each "
        f"model and for all three together: {_share(anyone)}.\n"
    )
    if short:
        raise ShortOfBar(short, page)
    return page


def significant(skills: dict[str, tuple[RegimeSkill, ...]], regime: MarketRegime) -> set[str]:
    """Models that the evidence names for a regime, asked as a pipeline is asked."""
    cards = {name: _card(name, mine) for name, mine in skills.items()}
    return {one.name for one in models_for_regime(cards, regime, evidence="significant")}


def _card(name: str, skills: tuple[RegimeSkill, ...]) -> ModelInfo:
    return ModelInfo(
        name=name,
        purpose="a forecast that works in one regime",
        ideal_dataset_shape="(any)",
        feature_requirements=(),
        output_schema={"prediction": "forecast of the label"},
        task="regression",
        regime_evidence=skills,
    )


def _elsewhere(market: Specialists, name: str, home: MarketRegime | None) -> bool:
    return any(name in significant(market.classified, regime) for regime in MarketRegime if regime is not home)


def _share(hits: Iterable[bool]) -> str:
    counted = list(hits)
    return f"{sum(counted) / len(counted):.0%}" if counted else "-"
