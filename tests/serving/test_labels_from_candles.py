"""Intervals that learn from candles learn the labels of the batch, each once the candle is there that ends it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from huracan import ModelRegistry
from huracan.labels import forward_return_labels
from huracan.registry.kept_facts import read_facts
from huracan.serving import Predictor

NAME = "champion.simulated"
Bars = list[dict[str, Any]]


def copy(registry: ModelRegistry, name: str, **labels: Any) -> dict[str, Any]:
    """The champion under another name, with other labels in its configuration; these."""
    first = registry.get(NAME)
    config = first.extras["config"]
    told = {**config["labels"], **labels}
    extras = {**first.extras, "config": {**config, "labels": told}}
    kept = {"provenance": first.provenance, "attachments": registry.attachments(NAME, first.version)}
    registry.register(registry.load(NAME), first.info, name=name, extras=extras, **kept)
    return told


@pytest.mark.parametrize(
    "labels", [{"horizon": 1}, {"horizon": 5, "volatility_scaled": False, "cost_bps": 20.0}, {"horizon": 3}]
)
@pytest.mark.parametrize("gap", [False, True])
def test_what_is_learned_is_what_a_batch_labels(
    registry: ModelRegistry,
    request: pytest.FixtureRequest,
    history: pl.DataFrame,
    later: Bars,
    labels: dict[str, Any],
    gap: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each label is learned at the candle whose open is its end, before that bar's own interval is made; never earlier."""
    told = copy(registry, request.node.name, **labels)
    how: dict[str, Any] = {"history": history, "refresh": None, "max_age": None, "stale_after": None, "version": 1}
    predictor = Predictor.from_registry(registry, request.node.name, learn_from_candles=True, **how)
    bars = [bar for bar in later if bar["symbol"] == later[0]["symbol"]]
    bars = [*bars[:20], *bars[23:120]] if gap else bars[:90]
    state = predictor._opened().states[later[0]["symbol"]]
    assert state.interval is not None
    learned: list[tuple[Any, float]] = []
    update, now = state.interval.update, [bars[0]["ts"]]
    monkeypatch.setattr(state.interval, "update", lambda y: (learned.append((now[0], y)), update(y))[1])
    answered = []
    for bar in bars:
        now[0] = bar["ts"]
        if predictor.update(bar).low is not None:
            answered.append(bar["ts"])
    candles = pl.concat([history, pl.DataFrame(bars, schema=history.schema)]).sort("symbol", "ts")
    kept = {key: told[key] for key in ("horizon", "cost_bps", "volatility_scaled", "volatility_span")}
    batch = forward_return_labels(candles, **kept).filter(
        (pl.col("symbol") == later[0]["symbol"]) & pl.col("ts").is_in(answered) & pl.col("label").is_not_null()
    )
    known = [(moment, label) for moment, label in learned if not math.isnan(label)]
    assert [moment for moment, _ in known] == batch["label_end"].to_list()
    assert [label for _, label in known] == pytest.approx(batch["label"].to_list(), rel=1e-9, abs=1e-12)
    assert len(known) > 40


def test_a_label_that_the_candles_told_is_not_learned_again(opened: Callable[..., Predictor], later: Bars) -> None:
    predictor, bars = opened(learn_from_candles=True), later[:12:2]
    for bar in bars:
        predictor.update(bar)
    symbol = bars[0]["symbol"]
    assert not predictor.learn(symbol, bars[0]["ts"], 0.0)
    assert predictor.learn(symbol, bars[-1]["ts"], 0.0)


def test_other_labels_are_not_told_by_candles_and_notes_say_so(
    registry: ModelRegistry, request: pytest.FixtureRequest, history: pl.DataFrame
) -> None:
    copy(registry, request.node.name, kind="triple_barrier")
    facts = read_facts(registry.get(request.node.name, version=1).extras, 3_600_000)
    assert facts.labels is None
    predictor = Predictor.from_registry(registry, request.node.name, version=1, learn_from_candles=True)
    assert predictor.notes == ("its labels are no plain forward returns, so candles do not tell them: learn does.",)
