"""Which way a version came to answer does not show: taken over from another one, or opened afresh on the same candles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan import ModelRegistry
from huracan.preprocessing import FeatureRecipe
from huracan.serving import SKETCH_FILE, Predictor, Signal, VetoKind
from huracan.serving import predictor as predictor_module

NAME = "champion.simulated"
Bars = list[dict[str, Any]]
OVERLAP = {"holding": "overlap", "horizon": 12, "mode": "scaled", "scale": 0.5}
LOOKBACK = FeatureRecipe.minimal().lookback
NUMBERS = ("score", "probability", "forecast", "low", "high", "level", "position")


class ReadsRegime:
    """A scorer whose answer depends on the row's regime."""

    reads_regime = True

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.window, self.engine, self.n_outputs, self.reason = inner.window, inner.engine, inner.n_outputs, inner.reason

    def one(self, x: Any, regime: int = -1) -> Any:
        return self._inner.one(x) + 0.05 * regime

    def many(self, X: Any, regime: Any = None) -> Any:
        return self._inner.many(X) + 0.05 * np.asarray(regime)[:, None]


@pytest.fixture
def second(registry: ModelRegistry, request: pytest.FixtureRequest) -> Callable[..., None]:
    """``second(**extras)``: register the champion as version 1, and once more with these as version 2; 1 is champion."""

    def make(**extras: Any) -> None:
        first = registry.get(NAME)
        for changes in ({}, extras):
            registry.register(
                registry.load(NAME),
                first.info,
                name=request.node.name,
                extras={**first.extras, **changes},
                provenance=first.provenance,
                attachments={SKETCH_FILE: registry.attachments(NAME, first.version)[SKETCH_FILE]},
            )
        registry.promote(request.node.name, 1, reason="first")

    return make


def extended(history: pl.DataFrame, bars: Bars) -> pl.DataFrame:
    return pl.concat([history, pl.DataFrame(bars, schema=history.schema)]).sort("symbol", "ts")


def opened(registry: ModelRegistry, name: str, history: pl.DataFrame, **how: Any) -> Predictor:
    asked = {"history": history, "refresh": None, "max_age": None, "stale_after": None, **how}
    return Predictor.from_registry(registry, name, **asked)


def assert_same(mine: list[Signal], theirs: list[Signal], tolerance: float) -> None:
    for one, other in zip(mine, theirs, strict=True):
        assert (one.symbol, one.ts, one.model_id, one.regime) == (other.symbol, other.ts, other.model_id, other.regime)
        assert [veto.kind for veto in one.vetoes] == [veto.kind for veto in other.vetoes]
        for number in NUMBERS:
            a, b = getattr(one, number), getattr(other, number)
            assert (a is None) == (b is None), number
            assert a is None or a == pytest.approx(b, abs=tolerance), (number, one.ts)


def policy(registry: ModelRegistry, **changes: Any) -> dict[str, Any]:
    return {**registry.get(NAME).extras["policy"], **OVERLAP, **changes}


def _swapped_and_restarted(
    registry: ModelRegistry, name: str, history: pl.DataFrame, bars: Bars, *, at: int, **how: Any
) -> tuple[list[Signal], list[Signal]]:
    predictor = opened(registry, name, history, **how)
    for bar in bars[:at]:
        predictor.update(bar)
    registry.promote(name, 2, reason="better")
    assert predictor.refresh(), predictor.notes
    fresh = opened(registry, name, extended(history, bars[:at]), version=2, **how)
    after = bars[at : at + 60]
    return [predictor.update(bar) for bar in after], [fresh.update(bar) for bar in after]


CASES: dict[str, tuple[dict[str, Any], float]] = {
    "held decisions": ({}, 1e-6),
    "volatility target": ({"volatility_target": 0.2}, 1e-6),
    "newest decision": ({"holding": "latest"}, 1e-6),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("gap", [False, True])
def test_a_swap_says_what_a_restart_says(
    registry: ModelRegistry,
    second: Callable[..., None],
    request: pytest.FixtureRequest,
    history: pl.DataFrame,
    later: Bars,
    case: str,
    gap: bool,
) -> None:
    changes, tolerance = CASES[case]
    second(policy=policy(registry, **changes), levels={"all": 0.01})
    bars = [*later[:20], *later[26:]] if gap else later
    at = 20 + 2 * (LOOKBACK + 5)
    mine, theirs = _swapped_and_restarted(registry, request.node.name, history, bars, at=at)
    assert any(signal.position for signal in theirs)
    assert_same(mine, theirs, tolerance)


def test_intervals_learn_the_same_behind_a_swap_as_behind_a_restart(
    registry: ModelRegistry, second: Callable[..., None], request: pytest.FixtureRequest, history: pl.DataFrame, later: Bars
) -> None:
    second(policy=policy(registry))
    mine, theirs = _swapped_and_restarted(registry, request.node.name, history, later, at=60, learn_from_candles=True)
    assert mine[-1].low != mine[0].low
    assert_same(mine, theirs, 1e-6)


def test_a_swap_within_a_gap_says_what_a_restart_says(
    registry: ModelRegistry, second: Callable[..., None], request: pytest.FixtureRequest, history: pl.DataFrame, later: Bars
) -> None:
    second(policy=policy(registry))
    bars = [*later[:20], *later[26:]]
    assert_same(*_swapped_and_restarted(registry, request.node.name, history, bars, at=30), 1e-6)


@pytest.mark.parametrize("recipe", ["same", "other classifier"])
def test_bars_that_the_new_version_calls_expired_decide_nothing(
    registry: ModelRegistry,
    second: Callable[..., None],
    request: pytest.FixtureRequest,
    history: pl.DataFrame,
    later: Bars,
    recipe: str,
) -> None:
    """Half of the decisions that the first position is made of come from before the model expired; by either way."""
    config = registry.get(NAME).extras["config"]
    changed = {**config, "regimes": {**config["regimes"], "trend_window": 36}}
    second(policy=policy(registry), config=config if recipe == "same" else changed)
    until = registry.get(NAME).provenance.trained_until
    assert until is not None
    mine, theirs = _swapped_and_restarted(
        registry, request.node.name, history, later, at=60, max_age=later[48]["ts"] + timedelta(hours=1) - until
    )
    assert {veto.kind for veto in mine[0].vetoes} == {VetoKind.EXPIRED}
    assert mine[0].position != 0.0
    assert_same(mine, theirs, 1e-6 if recipe == "same" else 1e-4)


def test_past_rows_are_asked_about_in_their_own_regimes(
    registry: ModelRegistry,
    second: Callable[..., None],
    request: pytest.FixtureRequest,
    history: pl.DataFrame,
    later: Bars,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    second(policy=policy(registry, center=0.0, spread=0.1, cap=10.0))
    load = predictor_module.load_served

    def reading(*args: Any, **how: Any) -> Any:
        served = load(*args, **how)
        return replace(served, scorer=ReadsRegime(served.scorer))

    monkeypatch.setattr(predictor_module, "load_served", reading)
    told = opened(registry, request.node.name, history)
    regimes = [told.update(bar).regime for bar in later[:280]]
    turn = next(i for i in range(60, 270, 2) if regimes[i] != regimes[i - 2])
    registry.promote(request.node.name, 1, reason="back")
    mine, theirs = _swapped_and_restarted(registry, request.node.name, history, later, at=turn + 4)
    assert_same(mine, theirs, 1e-6)


def test_a_bar_that_came_late_counts_in_later_positions_as_after_a_restart(
    registry: ModelRegistry, second: Callable[..., None], request: pytest.FixtureRequest, history: pl.DataFrame, later: Bars
) -> None:
    """Lateness is of this clock, and no history knows of it: it speaks against its own bar alone."""
    second(policy=policy(registry))
    now = [later[0]["ts"]]

    def clock() -> datetime:
        return now[0]

    live = opened(registry, request.node.name, history, version=2, clock=clock, stale_after=2.0)
    for i, bar in enumerate(later[:40]):
        now[0] = bar["ts"] + timedelta(hours=1 if i < 30 else 9)
        signal = live.update({**bar, "closed": True})
        assert (VetoKind.STALE in {veto.kind for veto in signal.vetoes}) == (i >= 30)
        assert i < 30 or not signal.do_predict
    fresh = opened(registry, request.node.name, extended(history, later[:40]), version=2)
    for bar in later[40:60]:
        now[0] = bar["ts"] + timedelta(hours=1)
        expected = fresh.update(bar).position
        assert expected != 0.0
        assert live.update({**bar, "closed": True}).position == pytest.approx(expected, abs=1e-9)
