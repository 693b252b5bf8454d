"""Cleaning as configured: what the main job trains on, and what it leaves out."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import polars as pl

from huracan.config import CleaningConfig, load_config
from huracan.integration.preparation import load_recipe, prepare, read_source
from huracan.preprocessing import CleaningPolicy, FeatureRecipe


def candles(n: int = 900) -> pl.DataFrame:
    """Hourly random walk of one symbol."""
    rng = np.random.default_rng(4)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    return pl.DataFrame(
        {
            "symbol": "A",
            "ts": pl.Series([start + dt.timedelta(hours=i) for i in range(n)], dtype=pl.Datetime("ms", "UTC")),
            "open": close,
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": rng.lognormal(2, 1, n),
        }
    )


def test_the_configuration_has_every_setting_of_the_policy_with_its_default() -> None:
    assert CleaningPolicy(**CleaningConfig().model_dump()) == CleaningPolicy()
    assert list(CleaningConfig.model_fields) == [field.name for field in dataclasses.fields(CleaningPolicy)]


def test_on_bars_that_were_filled_in_nothing_is_decided_and_nothing_learned() -> None:
    given = candles()
    holes = [500, 501, 640]
    settings = load_config(
        {"cleaning": {"gaps": "forward_fill"}, "features": {"recipe": "minimal"}, "labels": {"horizon": 3}}, environ={}
    )
    prepared = prepare(settings, read_source(settings, given[[i for i in range(len(given)) if i not in holes]]))
    assert prepared.source.candles.height == len(given), "the accounts run over whole candles"
    times = given["ts"].dt.replace_time_zone(None).to_numpy()
    decided = set(prepared.everything.ts.tolist())
    assert not decided & set(times[holes].astype("datetime64[ms]").tolist())
    labelled = prepared.rows.ts.astype("datetime64[ms]")
    hour = np.timedelta64(1, "h")
    missing = times[holes].astype("datetime64[ms]")
    assert not np.isin(labelled + hour, missing).any(), "no label begins at an invented price"
    assert not np.isin(labelled + 4 * hour, missing).any(), "nor ends at one"
    assert np.isin(labelled + 2 * hour, missing).any(), "what lies between does not matter"
    assert "3 bars filled" in prepared.source.cleaning


def test_a_recipe_of_the_engine_is_read_by_its_path(tmp_path) -> None:
    path = tmp_path / "engine.json"
    path.write_text(FeatureRecipe.minimal().to_engine_json(symbol="BTC"), encoding="utf-8")
    settings = load_config({"features": {"recipe": str(path)}}, environ={})
    assert load_recipe(settings) == FeatureRecipe.minimal()
    assert load_recipe(load_config({"features": {"recipe": "alpha158"}}, environ={})) == FeatureRecipe.alpha158()
