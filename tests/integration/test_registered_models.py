"""Registered models are compared on what none of them has learned from, as they were judged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from huracan import UnifiedMLPipeline
from huracan.cli import app
from huracan.errors import NotEnoughData, RegistryError
from huracan.integration.registered_models import named_version
from huracan.market import simulate_market

NAMES = ("champion.simulated@1", "champion.simulated@2")


def settings(home: Path, learner: str, recipe: str = "minimal", **changes: Any) -> dict[str, Any]:
    return {
        "home": str(home),
        "profile": "tiny",
        "profiles": {"tiny": {"n_splits": 3, "learners": {learner: {}}}},
        "features": {"recipe": recipe},
        "data": {"simulation": {"n_bars": 3_000, "n_symbols": 2, "signal_strength": 2.0}},
        **changes,
    }


@pytest.fixture(scope="module")
def two_champions(tmp_path_factory: pytest.TempPathFactory) -> UnifiedMLPipeline:
    """A home in which ridge on one recipe was champion first, and a logistic regression on another took its place."""
    home = tmp_path_factory.mktemp("home")
    assert UnifiedMLPipeline(settings(home, "ridge")).run().model_version == 1
    pipeline = UnifiedMLPipeline(settings(home, "logistic_regression", "default"))
    assert pipeline.run().model_version == 2
    return pipeline


def test_the_comparison_begins_where_the_last_of_them_stopped_learning(two_champions: UnifiedMLPipeline) -> None:
    result = two_champions.compare(*NAMES)
    until = max(two_champions.registry.get("champion.simulated", version=v).provenance.trained_until for v in (1, 2))
    assert result.comparison.times is not None
    assert result.comparison.times[0] >= np.datetime64(until.replace(tzinfo=None))
    assert f"{until:%Y-%m-%d}" in result.notes[0]
    assert result.comparison.models == NAMES


def test_a_champion_forecasts_what_its_run_said_of_the_last_bar(tmp_path: Path) -> None:
    pipeline = UnifiedMLPipeline(settings(tmp_path, "ridge"))
    said = pipeline.run()["predictions"]
    candles = simulate_market(n_bars=3_000, n_symbols=2, seed=pipeline.config.seed, signal_strength=2.0).candles
    forecast = pipeline.forecast("champion.simulated", candles)
    last = forecast.group_by("symbol", maintain_order=True).last().sort("symbol")
    assert last["ts"].to_list() == said.sort("symbol")["ts"].to_list()
    np.testing.assert_allclose(last["score"].to_numpy(), said.sort("symbol")["score"].to_numpy(), rtol=1e-9)
    with pytest.raises(RegistryError, match=r"did you mean .champion\.simulated."):
        pipeline.forecast("champion.simulatde", candles)


def test_the_champions_payoffs_are_those_of_the_hold_out(two_champions: UnifiedMLPipeline, tmp_path: Path) -> None:
    """Oracle: the report's one look at the hold-out, by other code, on the same candles."""
    held = UnifiedMLPipeline(settings(tmp_path, "logistic_regression", "default")).run()["evaluation"]["hold_out"]
    result = two_champions.compare(*NAMES)
    rows = dict(zip(result.comparison.models, -result.comparison.losses.mean(axis=0)))
    # the hold-out begins an embargo later, and its labels are taken less a mean over fewer rows
    assert rows["champion.simulated@2"] == pytest.approx(held.skill, abs=0.02)


def test_each_look_is_counted(two_champions: UnifiedMLPipeline) -> None:
    first, second = two_champions.compare(*NAMES), two_champions.compare(*NAMES)
    assert second.pairs.equals(first.pairs)
    looked = [next(note for note in one.notes if "looked at" in note) for one in (first, second)]
    assert looked[0] != looked[1]


def test_the_baseline_is_no_payoff_and_no_position(two_champions: UnifiedMLPipeline, tmp_path: Path) -> None:
    shutil.copytree(two_champions.config.home, tmp_path / "home")
    pipeline = UnifiedMLPipeline(settings(tmp_path / "home", "ridge"))
    version = pipeline.registry.get("champion.simulated", version=1)
    extras = {key: version.extras[key] for key in ("config", "recipe")}
    from huracan.catalogue import build_model

    rng = np.random.default_rng(0)
    majority = build_model("majority", task="regression").fit(rng.normal(size=(100, 1)), rng.normal(size=100))
    info = majority.model_info().model_copy(update={"signature": version.info.signature})
    pipeline.registry.register(majority, info, name="constant", kind="baseline", extras=extras, provenance=version.provenance)
    result = pipeline.compare("champion.simulated@1", "constant@1")
    assert result.comparison.mean_loss["constant@1"] == 0.0
    assert any("'constant@1' never moves" in note for note in result.notes)


def test_names_mean_champions_aliases_and_versions(two_champions: UnifiedMLPipeline) -> None:
    registry = two_champions.registry
    assert named_version(registry, "champion.simulated").version == 2
    assert named_version(registry, "champion.simulated@champion").version == 2
    assert named_version(registry, "champion.simulated@1").version == 1
    with pytest.raises(RegistryError, match=r"champion\.simulated"):
        named_version(registry, "champion.simulatd")


def test_what_cannot_be_compared_is_refused_with_the_reason(two_champions: UnifiedMLPipeline, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"are the same model, champion\.simulated/2"):
        two_champions.compare("champion.simulated", "champion.simulated@2")
    with pytest.raises(RegistryError, match="1 model"):
        two_champions.compare("champion.simulated")
    with pytest.raises(RegistryError, match="version 9"):
        two_champions.compare("champion.simulated@9", "champion.simulated@1")
    old = (
        simulate_market(n_bars=3_000, n_symbols=2, seed=0)
        .candles.head(4_000)
        .filter(pl.col("ts") < pl.datetime(2024, 3, 1, time_zone="UTC"))
    )
    with pytest.raises(NotEnoughData, match=r"0 labelled moments after 2024-.*at least 20"):
        two_champions.compare(*NAMES, candles=old)
    daily = simulate_market(n_bars=3_000, n_symbols=2, seed=0, bar="1d").candles
    with pytest.raises(RegistryError, match="trained on bars of 1h, these candles are bars of 1d"):
        two_champions.compare(*NAMES, candles=daily)
    shutil.copytree(two_champions.config.home, tmp_path / "home")
    longer = UnifiedMLPipeline(settings(tmp_path / "home", "ridge", labels={"horizon": 4}))
    longer.run()
    latest = max(one.version for one in longer.registry.versions("champion.simulated"))
    assert latest == 3
    with pytest.raises(RegistryError, match="trained for other labels: horizon 4 where"):
        longer.compare("champion.simulated@1", "champion.simulated@3")


def test_the_command_says_who_is_better_and_writes_page_and_json(two_champions: UnifiedMLPipeline, tmp_path: Path) -> None:
    import yaml

    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(settings(two_champions.config.home, "ridge")))
    page, data = tmp_path / "page.html", tmp_path / "data.json"
    done = CliRunner().invoke(app, ["compare", *NAMES, "-c", str(file), "--html", str(page), "--json", str(data)])
    assert done.exit_code == 0, done.output
    assert "champion.simulated@1" in done.output
    assert "textbook t test" in done.output
    assert "champion.simulated@1 against champion.simulated@2" in page.read_text()
    assert '"decision"' in data.read_text()
