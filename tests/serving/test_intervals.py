"""Intervals of a stream: where the model was stored they hold, and labels that become known steer them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from huracan import ModelRegistry
from huracan.labels import forward_return_labels
from huracan.serving import Predictor

Opened = Callable[..., Predictor]
Bars = list[dict[str, Any]]


def labels_of(registry: ModelRegistry, candles: pl.DataFrame) -> dict[tuple[str, Any], float]:
    told = registry.get("champion.simulated").extras["config"]["labels"]
    kept = {key: told[key] for key in ("horizon", "cost_bps", "volatility_scaled", "volatility_span")}
    labels = forward_return_labels(candles, **kept).drop_nulls("label")
    return {(row["symbol"], row["ts"]): row["label"] for row in labels.iter_rows(named=True)}


def test_labels_lie_in_their_intervals_about_as_often_as_promised(
    opened: Opened, registry: ModelRegistry, candles: pl.DataFrame, later: Bars
) -> None:
    """Adaptive: over T labels the misses are off by at most what the miss level moved, over rate x T; here 298 a symbol."""
    predictor, known = opened(), labels_of(registry, candles)
    hits = []
    for bar in later:
        signal = predictor.update(bar)
        key = (bar["symbol"], bar["ts"])
        if key not in known:
            continue
        assert signal.low is not None
        assert signal.high is not None
        assert signal.low < signal.high
        hits.append(signal.low <= known[key] <= signal.high)
        assert predictor.learn(bar["symbol"], bar["ts"], known[key])
    assert abs(np.mean(hits) - 0.9) < 0.05


def test_labels_far_outside_widen_the_intervals_of_their_symbol_alone(opened: Opened, later: Bars) -> None:
    predictor, untaught = opened(), opened()
    mine = later[0]["symbol"]
    for bar in later[:80]:
        predictor.update(bar)
        if bar["symbol"] == mine:
            assert predictor.learn(mine, bar["ts"], 50.0)
    for bar in later[:80]:
        untaught.update(bar)
    for bar in later[80:82]:
        taught, before = predictor.update(bar), untaught.update(bar)
        assert taught.low is not None and taught.high is not None and before.low is not None and before.high is not None
        wider = (taught.high - taught.low) / (before.high - before.low)
        assert wider > 2.0 if bar["symbol"] == mine else wider == 1.0


def test_a_label_is_learned_once_and_only_of_bars_that_were_answered(opened: Opened, later: Bars) -> None:
    predictor, symbol = opened(), later[0]["symbol"]
    predictor.update(later[0])
    assert not predictor.learn(symbol, later[2]["ts"], 0.0)
    assert predictor.learn(symbol, later[0]["ts"], 0.0)
    assert not predictor.learn(symbol, later[0]["ts"], 0.0)
