"""Rows with a known signal, for one series and for a panel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from huracan.dataset import TrainingSet


def make_rows(n: int = 600, *, horizon: int = 3, seed: int = 0, strength: float = 0.5) -> TrainingSet:
    """One series whose label, over overlapping bars, follows its first feature."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4))
    bar = rng.standard_normal(n + horizon)
    noise = np.convolve(bar, np.ones(horizon) / np.sqrt(horizon))[horizon - 1 : horizon - 1 + n]
    return TrainingSet.from_arrays(X, strength * X[:, 0] + noise, label_horizon=horizon)


def make_panel(n: int = 240, symbols: int = 3, *, horizon: int = 2, seed: int = 0) -> TrainingSet:
    """Several symbols at the same times, with regimes."""
    rng = np.random.default_rng(seed)
    day = np.timedelta64(86_400_000, "ms")
    ts = np.repeat(np.datetime64("2020-01-01", "ms") + day * np.arange(n), symbols)
    X = rng.standard_normal((n * symbols, 4)).astype(np.float32)
    return TrainingSet(
        X=X,
        y=0.5 * X[:, 0].astype(np.float64) + rng.standard_normal(n * symbols),
        ts=ts,
        decision_time=ts + day,
        label_end=ts + day * (1 + horizon),
        feature_names=("a", "b", "c", "d"),
        symbol_code=np.tile(np.arange(symbols, dtype=np.int32), n),
        segment=np.zeros(n * symbols, np.int32),
        regime_code=np.repeat((np.arange(n) // 40 % 3 - 1).astype(np.int8), symbols),
        weight=np.ones(n * symbols),
        symbols=tuple(f"S{i}" for i in range(symbols)),
        bar_length=day,
    )


@pytest.fixture
def rows() -> TrainingSet:
    return make_rows()


@pytest.fixture
def panel() -> TrainingSet:
    return make_panel()


@pytest.fixture
def makers() -> Any:
    """The two functions above."""
    return make_rows, make_panel
