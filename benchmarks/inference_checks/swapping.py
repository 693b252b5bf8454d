"""An alias that moves a hundred times while candles are answered."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import polars as pl

from benchmarks.inference_checks.champions import register
from huracan import ModelRegistry, TrainingSet
from huracan.serving import Predictor, Signal

__all__ = ["Swaps", "swaps_under_load"]

MOVES, REFRESH, PATIENCE = 100, 0.01, 60.0
_COMPARED = ("score", "probability", "forecast", "position", "do_predict", "vetoes", "regime")


@dataclass(frozen=True)
class Swaps:
    """What came of it; ``slowest`` in milliseconds."""

    swaps: int
    answers: int
    failed: int
    mixed: int
    slowest: float
    refresh: float = REFRESH


def swaps_under_load(registry: ModelRegistry, history: pl.DataFrame, bars: list[dict[str, Any]], rows: TrainingSet) -> Swaps:
    """Two versions with other levels, scales and policies take turns; answers are compared with those of each alone."""
    name = "swapped"
    versions = [register(registry, name, rows, "ridge", {}), register(registry, name, rows, "lightgbm", {"n_estimators": 50})]
    registry.promote(name, versions[0], reason="benchmark")
    how: dict[str, Any] = {"history": history, "max_age": None, "stale_after": None}
    predictor = Predictor.from_registry(registry, name, refresh=REFRESH, **how)
    done = threading.Event()
    moves = threading.Thread(target=_move, args=(registry, name, versions, predictor, done))
    moves.start()
    signals: list[Signal] = []
    failed, slowest, at = 0, 0.0, 0
    try:
        while not done.is_set():
            # a stream of candles without an end: the same bars, later
            bar = bars[at % len(bars)] if at < len(bars) else _shifted(bars, at)
            started = time.perf_counter()
            try:
                signals.append(predictor.update(bar))
            except Exception:  # noqa: BLE001 - counted, whatever it is
                failed += 1
            slowest = max(slowest, time.perf_counter() - started)
            at += 1
            time.sleep(0.001)
    finally:
        done.set()
        moves.join()
        predictor.close()
    alone = [Predictor.from_registry(registry, name, version=version, refresh=None, **how) for version in versions]
    mixed = 0
    for i, signal in enumerate(signals):
        bar = bars[i % len(bars)] if i < len(bars) else _shifted(bars, i)
        told = {one.model_id: one for one in (each.update(bar) for each in alone)}[signal.model_id]
        mixed += not all(_same(getattr(signal, key), getattr(told, key)) for key in _COMPARED)
    return Swaps(MOVES, len(signals), failed, mixed, slowest * 1_000.0)


def _move(registry: ModelRegistry, name: str, versions: list[int], predictor: Predictor, done: threading.Event) -> None:
    try:
        for i in range(1, MOVES + 1):
            version = versions[i % 2]
            registry.promote(name, version, reason=f"move {i}")
            patient = time.monotonic() + PATIENCE
            while predictor.model_id != f"{name}/{version}":
                assert time.monotonic() < patient, f"move {i} was not taken over within {PATIENCE} s: {predictor.notes}"
                time.sleep(0.002)
            time.sleep(0.02)
    finally:
        done.set()


def _shifted(bars: list[dict[str, Any]], at: int) -> dict[str, Any]:
    whole = bars[-1]["ts"] - bars[0]["ts"] + (bars[1]["ts"] - bars[0]["ts"])
    bar = bars[at % len(bars)]
    return {**bar, "ts": bar["ts"] + whole * (at // len(bars))}


def _same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, float) and isinstance(theirs, float):
        return abs(mine - theirs) <= 1e-5
    return bool(mine == theirs)
