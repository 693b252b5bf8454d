"""Wall time and peak memory of ``huracan run`` as a user starts it: simulated market, 40 daily coins, eight 1-minute coins."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import markdown_table, market_data


def timed(source: str | None) -> tuple[float, float, float, str]:
    """Wall seconds, CPU seconds, peak memory (GB) and verdict of one run in its own process."""
    home = tempfile.mkdtemp()
    words = [sys.executable, "-m", "huracan", "run", *([source] if source else []), "--home", home, "--profile", "quick"]
    output = Path(home, "said.txt")
    started = time.perf_counter()
    child = os.posix_spawn(
        sys.executable, words, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT, 0o600)]
    )
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - started
    said = output.read_text().splitlines()
    shutil.rmtree(home)
    assert os.waitstatus_to_exitcode(status) == 0, said
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9, said[0]


def eight_minute_symbols(folder: Path) -> str:
    """A folder that holds the eight 1-minute files and nothing else."""
    target = tempfile.mkdtemp()
    for file in sorted((folder / "candles").glob("*_1m.parquet")):
        os.symlink(file, Path(target, file.name))
    return target


def main() -> str:
    """Time the three."""
    data = market_data()
    cases = [
        ("simulated, 5 symbols x 5,000 hourly bars", None, 120, 2.0),
        ("`daily_40.parquet`, 40 symbols x 1,095 daily bars", str(data / "candles" / "daily_40.parquet"), 180, None),
        ("eight symbols x 216,000 1-minute bars", eight_minute_symbols(data), 600, 8.0),
    ]
    rows, over = [], []
    for name, source, seconds, gigabytes in cases:
        wall, cpu, memory, verdict = timed(source)
        bar = f"<= {seconds} s" + (f", <= {gigabytes:g} GB" if gigabytes else "")
        rows.append([name, bar, f"{wall:.0f} s", f"{cpu:.0f} s", f"{memory:.2f} GB", verdict.split(":")[0]])
        if wall > seconds or (gigabytes and memory > gigabytes):
            over.append(name)
    table = markdown_table(["data", "bar", "wall", "CPU", "peak memory", "verdict"], rows)
    said = "`huracan run`, profile `quick`, 15 learners, 5 judged folds and one that tunes, as a process of its own."
    text = f"# The main job\n\n{said}\n\n{table}\n"
    assert not over, text
    return text
