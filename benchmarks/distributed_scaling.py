"""Two processes on two cores: the catalogue's LSTM at a global batch of 256, each process with one thread.

Efficiency is windows a second of two processes over twice those of one, medians of alternating runs in the same two
processes. Beside it what two processes reach that do half the batch each and never speak to each other: what the machine itself
allows. Needs a machine with nothing else to do.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from statistics import median

from benchmarks import markdown_table
from benchmarks.distributed import launched

__all__ = ["main"]

LEAST = 0.85


def main() -> str:
    """Measure, and require the bar."""
    if (os.cpu_count() or 1) < 2:
        raise FileNotFoundError("two processes at once need two cores, and this machine has one.")
    with tempfile.TemporaryDirectory() as home:
        told = Path(home) / "scaling.json"
        launched(2, "benchmarks.distributed_checks.scaling", str(told))
        found = json.loads(told.read_text())
    one, two, apart = (median(found[kind]) for kind in ("one", "two", "apart"))
    each = [b / (2.0 * a) for a, b in zip(found["one"], found["two"], strict=True)]
    efficiency = two / (2.0 * one)
    free = f"{apart / (2.0 * one):.3f}"
    rows = [[f"{one:,.0f}", f"{two:,.0f}", f"{efficiency:.3f}", f"{min(each):.3f} to {max(each):.3f}", f"{LEAST}", free]]
    header = [
        "one process, windows/s",
        "two processes, windows/s",
        "efficiency",
        f"{len(each)} runs",
        "bar",
        "without exchange",
    ]
    text = "\n\n".join(
        (
            "# Two processes on two cores",
            "LSTM of the catalogue (64 wide, windows of 32 bars, 40 features, dropout 0.1), float32, global batch 256, gloo.",
            markdown_table(header, rows),
        )
    )
    assert efficiency >= LEAST, text
    return text
