"""A market of one feature whose edge changes sign, and a Mechanic that lives through it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from huracan import Mechanic, UnifiedMLPipeline
from huracan.integration.feedback.clock import SimulatedClock
from huracan.integration.feedback.feeds import FrameFeed

HOUR = 3_600_000
START = 1_700_000_000_000 // (24 * HOUR) * (24 * HOUR)


def edge_market(n_bars: int, flips: Sequence[int], *, n_symbols: int = 1, strength: float = 0.4, seed: int = 0) -> pl.DataFrame:
    """Hourly candles whose return follows the one before by ``strength``, with its sign changed at ``flips``."""
    frames = []
    for k in range(n_symbols):
        rng = np.random.default_rng([seed, k])
        shocks = rng.standard_normal(n_bars) * 0.01
        sign = np.where(np.searchsorted(flips, np.arange(n_bars), side="right") % 2, -1.0, 1.0)
        returns = np.zeros(n_bars)
        for t in range(1, n_bars):
            returns[t] = sign[t] * strength * returns[t - 1] + shocks[t]
        close = 100.0 * np.exp(np.cumsum(returns))
        opened = np.concatenate([[100.0], close[:-1]])
        frames.append(
            pl.DataFrame(
                {
                    "symbol": [f"S{k}"] * n_bars,
                    "ts": START + np.arange(n_bars) * HOUR,
                    "open": opened,
                    "high": np.maximum(opened, close) * 1.001,
                    "low": np.minimum(opened, close) * 0.999,
                    "close": close,
                    "volume": rng.uniform(1.0, 2.0, n_bars),
                }
            ).with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))
        )
    return pl.concat(frames)


def settings(home: Path, **changes: Any) -> dict[str, Any]:
    """A quick loop: ridge on few features, small numbers everywhere."""
    told: dict[str, Any] = {
        "home": str(home),
        "features": {"recipe": "minimal"},
        "logging": {"terminal_level": "error"},
        "mechanic": {
            "every": "30d",
            "learners": ["ridge"],
            "train": "40d",
            "shadow_bars": 200,
            "trial_bars": 200,
            "lease_seconds": 60,
        },
        "retrain": {"min_new_rows": 72, "cool_down": "1d", "max_age": None},
    }
    for section, values in changes.items():
        told[section] = {**told.get(section, {}), **values}
    return told


def make_mechanic(home: Path, candles: pl.DataFrame, **changes: Any) -> Mechanic:
    """A Mechanic that lives through these candles by a clock of its own; :func:`do_turn` sets it."""
    pipeline = UnifiedMLPipeline(settings(home, **changes))
    return Mechanic(pipeline, source=FrameFeed(candles), clock=SimulatedClock(START), channels=())


def do_turn(mechanic: Mechanic, bar: int) -> Any:
    """The turn at the close of so many bars."""
    assert isinstance(mechanic.clock, SimulatedClock)
    mechanic.clock.set(START + bar * HOUR)
    return mechanic.tick()
