"""How long a replay of months takes, and whether its memory stays flat."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import Section, markdown_table, market_data

__all__ = ["Speed", "check", "measured"]

DAYS, SYMBOLS, MINUTES = 150, 8, 15.0
GROWTH = 1.1
"""Most that the median of memory may grow from the middle third of the turns to the last for it to be called flat."""


@dataclass(frozen=True)
class Speed:
    """One replay in a process of its own.

    Attributes
    ----------
    turns, days, symbols : that were lived. seconds : of wall time, without reading the candles; ``cpu_seconds`` of all cores.
    challengers, promoted : how many.
    medians : of resident memory after the turns of each third, bytes. peaks : the highest in each tenth of the turns.
    sentence : what came of it.
    """

    turns: int
    days: float
    symbols: int
    seconds: float
    cpu_seconds: float
    challengers: int
    promoted: int
    medians: tuple[float, ...]
    peaks: tuple[float, ...]
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
    return Speed(**{**told, "medians": tuple(told["medians"]), "peaks": tuple(told["peaks"])})


def check(days: int = DAYS) -> Section:
    """The figures as a part of the page."""
    found = measured(market_data() / "candles", days=days)
    minutes = found.seconds / 60.0
    _, middle, last = found.medians
    growth = last / middle
    short = []
    if minutes > MINUTES * days / DAYS:
        short.append(f"a replay of {found.days:.0f} days took {minutes:.1f} minutes, {MINUTES * days / DAYS:g} are allowed")
    if growth > GROWTH:
        short.append(f"memory grew by {growth - 1:.0%} from the middle third to the last, {GROWTH - 1:.0%} are allowed")
    rows = [
        ("turns", f"{found.turns:,} (hourly, {found.days:.0f} days, {found.symbols} symbols of one-minute bars)"),
        ("wall time", f"{minutes:.1f} minutes, {1_000 * found.seconds / found.turns:.0f} ms a turn"),
        ("processor time", f"{found.cpu_seconds / 60.0:.1f} minutes"),
        ("challengers trained", f"{found.challengers}, of which {found.promoted} were promoted"),
        ("median memory by thirds", f"{_told(found.medians)} MiB"),
        ("highest memory by tenths", f"{_told(found.peaks)} MiB"),
    ]
    flat = "" if growth > GROWTH else ": it is flat"
    rule = (
        f"Memory is called flat where the median of the last third of the turns is at most {GROWTH:g} times that of the middle "
        f"one; it is {growth:.2f} times{flat}."
    )
    text = (
        "Real candles, the default recipe of 48 features, ridge and LightGBM, on the cores of this machine; SQLite with "
        "`mechanic.replay_synchronous: normal`, which outlives a killed process, though not a power cut. "
    )
    return Section(
        "Speed of a replay", f"{text}{found.sentence}\n\n{markdown_table(('what', 'measured'), rows)}\n\n{rule}", tuple(short)
    )


def _told(sizes: Iterable[float]) -> str:
    return ", ".join(f"{size / 2**20:,.0f}" for size in sizes)
