"""Import and start-up time: ``import huracan`` over bare Python, and ``huracan --help``; medians of 15, in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def seconds(*words: str) -> float:
    """Wall time of one command."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> str:
    """Measure in turn, so that a slow moment of the machine hits all alike."""
    commands = {"bare": ("-c", "pass"), "import": ("-c", "import huracan"), "help": ("-m", "huracan", "--help")}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(15):
        for name, words in commands.items():
            times[name].append(seconds(*words))
    median = {name: statistics.median(values) for name, values in times.items()}
    over = median["import"] - median["bare"]
    text = (
        "# Start-up\n\n| what | bar | median of 15 |\n|---|---|---|\n"
        f"| `import huracan` over bare Python | <= 0.3 s | {over:.3f} s |\n"
        f"| `huracan --help` | <= 0.7 s | {median['help']:.3f} s |\n"
    )
    assert over <= 0.3, text
    assert median["help"] <= 0.7, text
    return text
