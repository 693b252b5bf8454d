"""An autoencoder beside the champion vetoes windows that are strange to it, in a stream and in a batch alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan import ModelRegistry
from huracan.catalogue import build_model
from huracan.errors import RegistryError
from huracan.model_info import FeatureSignature
from huracan.preprocessing import FeatureRecipe
from huracan.serving import Predictor, VetoKind

pytest.importorskip("torch", reason="torch is not installed (huracan[neural])")

CHAMPION = "champion.simulated"
RECIPE = FeatureRecipe.minimal()


@pytest.fixture(scope="module")
def watched(registry: ModelRegistry, history: pl.DataFrame) -> str:
    """A champion with an autoencoder of its own features beside it."""
    features = RECIPE.compute(history).drop_nulls().select(RECIPE.columns).to_numpy()
    made = build_model("autoencoder", window=8, latent=3, hidden=16, cross_hidden=8, max_epochs=1).fit(
        pl.DataFrame(features, schema=list(RECIPE.columns))
    )
    card = made.model_info().model_copy(update={"signature": FeatureSignature(columns=RECIPE.columns)})
    version = registry.register(made, card, name="strangeness", probe=features[-400:])
    return keep(registry, "watched", f"strangeness/{version}")


def keep(registry: ModelRegistry, name: str, anomaly_model: str) -> str:
    first = registry.get(CHAMPION)
    extras = {**first.extras, "anomaly_model": anomaly_model}
    version = registry.register(registry.load(CHAMPION), first.info, name=name, extras=extras, provenance=first.provenance)
    registry.promote(name, version, reason="test")
    return name


def test_strange_windows_are_vetoed_and_a_batch_says_the_same(
    registry: ModelRegistry, watched: str, history: pl.DataFrame, candles: pl.DataFrame, later: list[dict[str, Any]]
) -> None:
    how: dict[str, Any] = {"refresh": None, "max_age": None, "stale_after": None, "anomaly_share": 0.02}
    predictor = Predictor.from_registry(registry, watched, history=history, **how)
    signals = [predictor.update(bar) for bar in later]
    strange = [VetoKind.ANOMALY in [veto.kind for veto in signal.vetoes] for signal in signals]
    assert 0.0 < np.mean(strange) < 0.2
    batch = predictor.predict(candles)
    told = {(row["symbol"], row["ts"]): "anomaly" in row["vetoes"] for row in batch.iter_rows(named=True)}
    assert strange == [told[signal.symbol, signal.ts] for signal in signals]
    first = next(signal for signal, is_strange in zip(signals, strange) if is_strange)
    assert "by strangeness/1" in first.vetoes[-1].why
    assert not first.do_predict


@pytest.mark.parametrize(
    ("model_id", "said"), [("strangeness", "a model_id such as"), ("strangeness/9", "9"), (f"{CHAMPION}/1", "an autoencoder")]
)
def test_a_companion_that_cannot_be_is_refused(registry: ModelRegistry, watched: str, model_id: str, said: str) -> None:
    def serve_beside() -> None:
        name = keep(registry, f"beside {model_id}".replace("/", " "), model_id)
        Predictor.from_registry(registry, name, refresh=None)

    with pytest.raises(RegistryError, match=said):
        serve_beside()
