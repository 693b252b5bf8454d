"""A replay in a process of its own: ``python -m benchmarks.mechanic_checks.replay_process CANDLES HOME DAYS SYMBOLS``.

CANDLES is a folder of one-minute files, one a symbol.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from huracan.config import load_config
from huracan.integration.feedback.lived import challengers_of
from huracan.integration.feedback.replay import replay
from huracan.integration.feedback.replay_report import ReplayResult
from huracan.market import read_candles
from huracan.memory import keep_freed_memory

_DAY = 86_400_000


def main(candles: Path, home: Path, days: int, symbols: int) -> None:
    """Print what was measured as a line of JSON."""
    keep_freed_memory()  # as a replay does, before threads that read files have arenas of their own
    files = sorted(candles.glob("*_1m.parquet"))[:symbols]
    frame = pl.concat([read_candles(file) for file in files]).sort("symbol", "ts")
    kept = frame["symbol"].unique().to_list()
    last = int(frame["ts"].dt.epoch("ms").max())  # type: ignore[arg-type]
    settings = {
        "home": str(home),
        "comparison": {"alpha": 0.49},  # a learner is crowned without evidence, so that there is a model to ask and to score
        "mechanic": {"replay_synchronous": "normal"},
    }
    start = last - days * _DAY
    resident: list[float] = []

    def look(_: str, share: float) -> None:
        resident.append(_resident())

    begun, worked = time.monotonic(), time.process_time()
    lived = replay(load_config(settings, environ={}), frame, every="1h", start=start, folder=home / "lived", progress=look)
    seconds, worked = time.monotonic() - begun, time.process_time() - worked
    states = challengers_of(lived.pipeline.registry.database, lived.name)["state"].to_list()
    told = {
        "turns": (lived.last - lived.first) // lived.every + 1,
        "days": (lived.last - lived.first) / _DAY,
        "symbols": len(kept),
        "seconds": seconds,
        "cpu_seconds": worked,
        "challengers": len(states),
        "promoted": states.count("promoted"),
        "medians": [float(np.median(part)) for part in np.array_split(resident, 3)],
        "peaks": [float(np.max(part)) for part in np.array_split(resident, 10)],
        "sentence": ReplayResult(lived).sentence,
    }
    print(json.dumps(told))


def _resident() -> float:
    """Bytes of memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4_096.0


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
