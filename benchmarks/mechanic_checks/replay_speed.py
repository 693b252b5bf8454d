"""How long a replay of months takes, and whether its memory stays flat."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import Section, markdown_table, market_data

__all__ = ["Speed", "check", "measured"]

DAYS, SYMBOLS, MINUTES = 150, 8, 15.0
GROWTH = 1.1
"""Most that memory may grow from the first third of the turns to the last."""


@dataclass(frozen=True)
class Speed:
    """One replay in a process of its own.

    Attributes
    ----------
    turns, days, symbols : that were lived. seconds : of wall time, without reading the candles.
    challengers, promoted : how many.
    peaks : highest resident memory in each third of the turns, bytes. sentence : what came of it.
    """

    turns: int
    days: float
    symbols: int
    seconds: float
    challengers: int
    promoted: int
    peaks: tuple[float, float, float]
    sentence: str


def measured(candles: Path, *, days: int = DAYS, symbols: int = SYMBOLS) -> Speed:
    """Replay the last days of these candles, hourly turns, in another process."""
    with tempfile.TemporaryDirectory() as home:
        command = [
            sys.executable,
            "-m",
            "benchmarks.mechanic_checks.replay_process",
            str(candles),
            home,
            str(days),
            str(symbols),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"the replay ended with {done.returncode}: {done.stderr[-2_000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return Speed(**{**told, "peaks": tuple(told["peaks"])})


def check(days: int = DAYS) -> Section:
    """The figures as a part of the page."""
    found = measured(market_data() / "candles", days=days)
    minutes = found.seconds / 60.0
    growth = found.peaks[2] / found.peaks[0]
    short = []
    if minutes > MINUTES * days / DAYS:
        short.append(f"a replay of {found.days:.0f} days took {minutes:.1f} minutes, {MINUTES * days / DAYS:g} are allowed")
    if growth > GROWTH:
        short.append(f"memory grew by {growth - 1:.0%} from the first third to the last, {GROWTH - 1:.0%} are allowed")
    rows = [
        ("turns", f"{found.turns:,} (hourly, {found.days:.0f} days, {found.symbols} symbols of one-minute bars)"),
        ("wall time", f"{minutes:.1f} minutes, {1_000 * found.seconds / found.turns:.0f} ms a turn"),
        ("challengers trained", f"{found.challengers}, of which {found.promoted} were promoted"),
        ("highest memory by thirds", ", ".join(f"{peak / 2**20:,.0f} MiB" for peak in found.peaks)),
    ]
    text = (
        "Real candles, the default recipe of 48 features, ridge and LightGBM, on the cores of this machine; SQLite with "
        "`mechanic.replay_synchronous: normal`, which outlives a killed process, though not a power cut. "
    )
    return Section("Speed of a replay", f"{text}{found.sentence}\n\n{markdown_table(('what', 'measured'), rows)}", tuple(short))
