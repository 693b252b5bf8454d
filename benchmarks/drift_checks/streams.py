"""Streaming detectors: River's alarms, numbers a second, and the run length that comes of the one that was wanted.

``python -m benchmarks.drift_checks.streams`` prints this part alone.
"""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from benchmarks import Section, markdown_table
from benchmarks.peers import peer_python, run_peer
from benchmarks.peers.alarm_streams import streams
from huracan.mlops import DDM, Adwin, Cusum, PageHinkley, StreamingDetector

__all__ = ["check"]

REQUIREMENTS = ["river==0.26.1"]
KINDS: dict[str, type[StreamingDetector]] = {"PageHinkley": PageHinkley, "Adwin": Adwin, "DDM": DDM}
FLOORS = {"PageHinkley": 1_000_000, "Adwin": 200_000}
RUN_LENGTH, REFERENCE, REFERENCES, PATHS = 1_000, 5_000, 120, 8
TOLERATED = 0.20

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

_SAID = """
{agree} of {runs} runs (six streams of 12,000 numbers that change twice, several settings a detector) raise alarms, and for DDM
warnings, at the very rows of River {version}.

Numbers a second, best of three rounds in one run, by CPU time of one thread. `replay` without and with numba (extra `fast`)
gives the same bits.

{rates}

Wanted: one false alarm in {wanted:,}. {references} references of {rows:,} numbers each, {paths} fresh streams a reference, each
watched until its first alarm, at most {longest:,} numbers; mean = numbers watched over alarms.

{lengths}

DDM is shown without a bar: it has no two sides, and its alarms come early or hardly ever (its docstring says why).
""".strip()


def check(references: int = REFERENCES) -> Section:
    """Compare, time, and watch."""
    told = json.loads(run_peer(peer_python("river", REQUIREMENTS), "river_alarms.py", "3"))
    given = {name: np.array(stream) for name, stream in streams().items()}
    agree, runs = _agreeing(told, given)
    short = [] if agree == runs else [f"{runs - agree} of {runs} runs alarm elsewhere than River"]
    rates, slow = _rates(told["rates"])
    lengths, off = _run_lengths(references)
    text = _SAID.format(
        agree=agree,
        runs=runs,
        version=told["river"],
        rates=rates,
        wanted=RUN_LENGTH,
        references=references,
        rows=REFERENCE,
        paths=PATHS,
        longest=20 * RUN_LENGTH,
        lengths=lengths,
    )
    return Section("Streaming detectors", text, (*short, *slow, *off))


def _agreeing(told: dict[str, Any], given: dict[str, NDArray[np.float64]]) -> tuple[int, int]:
    agree = runs = 0
    for name, all_runs in told["runs"].items():
        for run in all_runs:
            watch = KINDS[run["detector"]](**run["settings"])
            same = watch.replay(given[name]).tolist() == run["alarms"]
            if run["detector"] == "DDM":
                watch = watch.fresh()
                warned = [row for row, x in enumerate(given[name].tolist()) if watch.update(x).warning_detected]
                same = same and warned == [row for begin, end in run["warnings"] for row in range(begin, end)]
            agree, runs = agree + same, runs + 1
    return agree, runs


def _rates(river: dict[str, float]) -> tuple[str, list[str]]:
    """Ours in fresh processes, since what has been compiled once stays so."""
    has_numba = importlib.util.find_spec("numba") is not None
    plain = _timed(without_numba=True)
    fast = _timed(without_numba=False) if has_numba else {}
    rows, short = [], []
    for kind in plain:
        floor = FLOORS.get(kind)
        said = [
            f"{fast[kind]:,.0f}" if fast else "numba is not installed",
            f"{river[kind]:,.0f}" if kind in river else "has none",
        ]
        rows.append([kind, f">= {floor:,}" if floor else "", f"{plain[kind]:,.0f}", *said])
        best = max(plain[kind], fast.get(kind, 0.0))
        if floor and best < floor:
            short.append(f"{kind} replays {best:,.0f} numbers a second, {floor:,} were asked")
    return markdown_table(["detector", "bar", "replay, plain", "replay, `fast`", "River, update by update"], rows), short


def _timed(*, without_numba: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.drift_checks.streams", "rates", *(["plain"] if without_numba else [])]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _own_rates() -> dict[str, float]:
    """Numbers a second of each detector on a million numbers that now and then alarm."""
    random = np.random.default_rng(0)
    x = random.standard_normal(1_000_000)
    wrong = (random.random(1_000_000) < 0.2).astype(np.float64)
    watches = {"PageHinkley": PageHinkley(), "Adwin": Adwin(), "DDM": DDM(), "Cusum": Cusum(0.0, 0.25, 12.0)}
    rates = {}
    for kind, watch in watches.items():
        given = wrong if kind == "DDM" else x
        watch.fresh().replay(given)  # compiled, where it is
        seconds = []
        for _ in range(3):
            began = time.process_time()
            watch.fresh().replay(given)
            seconds.append(time.process_time() - began)
        rates[kind] = len(given) / min(seconds)
    return rates


def _autoregression(rho: float) -> Draw:
    scale = math.sqrt(1.0 - rho**2)
    return lambda random, n: lfilter([scale], [1.0, -rho], random.standard_normal(n + 300))[300:]


def _errors(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    return (random.random(n) < 0.2).astype(np.float64)


def _run_lengths(references: int) -> tuple[str, list[str]]:
    rows, short = [], []
    numbers: dict[str, Draw] = {"iid": _autoregression(0.0), "AR .9": _autoregression(0.9)}
    for kind in (PageHinkley, Adwin, Cusum):
        for name, draw in numbers.items():
            mean, error = _realised(kind, draw, references)
            rows.append([kind.__name__, name, f"within {TOLERATED:.0%}", f"{mean:,.0f}", f"+- {2 * error:,.0f}"])
            if abs(mean / RUN_LENGTH - 1.0) > TOLERATED:
                short.append(f"{kind.__name__} on {name} alarms once in {mean:,.0f}, {RUN_LENGTH:,} were wanted")
    mean, error = _realised(DDM, _errors, references)
    rows.append(["DDM", "iid errors, 20 %", "", f"{mean:,.0f}", f"+- {2 * error:,.0f}"])
    return markdown_table(["detector", "stream", "bar", "mean run length", "two standard errors"], rows), short


def _realised(kind: type[StreamingDetector], draw: Draw, references: int) -> tuple[float, float]:
    """Numbers watched over alarms, and its standard error over references (delta method)."""
    random, longest = np.random.default_rng(7), 20 * RUN_LENGTH
    seen, alarms = np.zeros(references), np.zeros(references)
    for i in range(references):
        watch = kind.calibrated(draw(random, REFERENCE), run_length=RUN_LENGTH, random_state=i)
        for _ in range(PATHS):
            rows = _first_alarm(watch.fresh(), draw(random, longest))
            seen[i] += longest if rows is None else rows
            alarms[i] += rows is not None
    mean = seen.sum() / alarms.sum()
    return float(mean), float((seen - mean * alarms).std() * math.sqrt(references) / alarms.sum())


def _first_alarm(watch: StreamingDetector, path: NDArray[np.float64], step: int = 1_000) -> int | None:
    for begin in range(0, len(path), step):
        rows = watch.replay(path[begin : begin + step])
        if rows.size:
            return begin + int(rows[0]) + 1
    return None


if __name__ == "__main__":
    if "rates" in sys.argv:
        if "plain" in sys.argv:
            sys.modules["numba"] = None  # type: ignore[assignment]
        print(json.dumps(_own_rates()))
    else:
        found = check()
        print(f"## {found.title}\n\n{found.text}\n\n{'; '.join(found.short)}")
