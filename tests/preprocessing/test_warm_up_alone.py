"""A feature opened on its warm-up alone is what it is on the whole past, wherever that is done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from huracan.preprocessing import FeatureRecipe, feature, get_indicator
from huracan.preprocessing.indicators import Bars
from huracan.preprocessing.spec import FeatureSpec

COLUMNS = ("open", "high", "low", "close", "volume")
ROWS = 60_000
OPENINGS = 300


def variants() -> list[FeatureSpec]:
    """Every feature of the default recipe, and its indicator with the shortest, short and long windows."""
    found = dict.fromkeys(FeatureRecipe.default().features)
    for name in {spec.indicator: None for spec in FeatureRecipe.default().features}:
        entry = get_indicator(name)
        for window, wide in ((3, 7), (2, 60), (40, 90)):
            sizes = {"long_window": wide, "slow": wide, "volatility_window": wide}
            taken = [p for p in entry.parameters if not p.choices and p.name != "deviations"]
            given = {p.name: max(sizes.get(p.name, window), int(p.low)) for p in taken}
            values = {**dict(entry.values_for({})), **given}
            if given and not (entry.refusal_of and entry.refusal_of(**values)):
                found[feature(name, **given)] = None
    return list(found)


def columns_of(folder: Path, coin: str) -> dict[str, np.ndarray]:
    candles = pl.read_parquet(next((folder / "candles").glob(f"{coin}*_1m.parquet")))[:ROWS]
    return {name: candles[name].to_numpy() for name in COLUMNS}


@pytest.mark.slow
@pytest.mark.parametrize("coin", ["LINK", "TRX", "LTC"])
def test_a_value_needs_no_more_than_its_warm_up(market_data: Path, coin: str) -> None:
    """At 300 moments of real minutes: within 1e-6 of the feature's deviation, and undefined where it is undefined."""
    columns, ts = columns_of(market_data, coin), np.arange(ROWS) * 60_000
    failed = {}
    for spec in variants():
        recipe = FeatureRecipe([spec])
        whole = spec.compute(Bars(columns, ts))
        scales = [max(float(np.nanstd(x)), 1e-12) for x in whole]
        for t in np.random.default_rng(0).integers(recipe.warmup, ROWS, OPENINGS).tolist():
            rows = slice(t - recipe.warmup, t + 1)
            part = spec.compute(Bars({name: x[rows] for name, x in columns.items()}, ts[rows]))
            for name, ours, all_of_it, scale in zip(spec.columns, part, whole, scales, strict=True):
                known = not np.isnan(all_of_it[t])
                gap = abs(ours[-1] - all_of_it[t]) / scale if known else 0.0
                if np.isnan(ours[-1]) == known or gap > 1e-6:
                    failed[name] = max(failed.get(name, 0.0), gap)
    assert failed == {}
