"""Intervals of a stream: where the model was stored they hold, and labels that become known steer them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan import ModelRegistry
from huracan.errors import DataError
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


def test_what_nobody_tells_is_waited_for_so_long_and_costs_what_its_numbers_do(
    registry: ModelRegistry, opened: Opened, later: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven numbers of eight bytes a bar, of as many bars as the labels look ahead and 1,000 more; the newest are learned."""
    monkeypatch.setattr("huracan.serving.served._TOLD_LATE", 100)
    predictor, mine = opened(), [bar for bar in later if bar["symbol"] == later[0]["symbol"]]
    most = predictor._served.waits
    assert most == 100 + registry.get("champion.simulated").extras["config"]["labels"]["horizon"]
    for bar in mine[: 2 * most]:
        predictor.update(bar)
    state = predictor._opened().states[mine[0]["symbol"]]
    assert state.interval is not None
    assert len(state.waiting) == len(state.interval._waiting) == most
    spent = sum(len(queue._numbers.tobytes()) for queue in (state.waiting, state.interval._waiting))
    assert spent <= 2 * most * 7 * 8
    oldest = 2 * most - most
    assert not predictor.learn(mine[0]["symbol"], mine[oldest - 1]["ts"], 0.0)
    assert predictor.learn(mine[0]["symbol"], mine[oldest]["ts"], 0.0)
    assert predictor.learn(mine[0]["symbol"], mine[2 * most - 1]["ts"], 0.0)
    assert len(state.waiting) == len(state.interval._waiting) == 0


@pytest.mark.parametrize("ts", [datetime(2024, 5, 5), 1.5, None, True, "2024-05-05T00:00:00Z"])
def test_a_label_without_a_time_is_refused(opened: Opened, ts: Any) -> None:
    with pytest.raises(DataError, match="ts of a label is"):
        opened().learn("SIM01-USD", ts, 0.1)


def test_a_label_is_learned_once_and_only_of_bars_that_were_answered(opened: Opened, later: Bars) -> None:
    predictor, symbol = opened(), later[0]["symbol"]
    predictor.update(later[0])
    assert not predictor.learn(symbol, later[2]["ts"], 0.0)
    assert predictor.learn(symbol, later[0]["ts"], 0.0)
    assert not predictor.learn(symbol, later[0]["ts"], 0.0)
