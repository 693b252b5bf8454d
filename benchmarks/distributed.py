"""Many processes against one: parity of every strategy, and what is left of a training whose processes and hosts are killed.

Float64 throughout, so that what differs is the order of sums alone. Kills of hosts need root (network namespaces).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import markdown_table
from benchmarks.distributed_checks.problem import Problem
from benchmarks.distributed_checks.step_notes import is_gone, killed_at, step_under_way
from benchmarks.distributed_checks.two_hosts import Host, two_hosts
from huracan.distributed import DistributedConfig, DistributedTrainer
from huracan.storage.whole_files import put_file
from huracan.training import CheckpointFolder, Runtime

__all__ = ["EVERY", "fitted", "launched", "main", "without_a_host"]

_ROOT = Path(__file__).resolve().parent.parent
STEPS = 50
BARS = {"ddp": (1e-12, 1e-10), "accumulated": (1e-6, 1e-6), "other": (1e-10, 1e-8)}
"""Losses, parameters."""
KILLS_OF_ONE_TRAINING, TRAININGS, HOST_KILLS = 4, 5, 5
EVERY, SMALLER = 10, 1e-10
LENGTHS, BETWEEN = (10_000, 1_000_000), 500
NOTES = "steps"
"""Folder in that of a training, where processes write what step they compute."""


def launched(processes: int, module: str, *words: str) -> None:
    """Run a module on so many processes of this machine."""
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    path = os.pathsep.join([str(_ROOT), str(_ROOT / "src")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([*command, "-m", module, *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def main() -> str:
    """Check everything, and say how near it came."""
    parts = ["# Many processes against one", *_parity(), *_killed_processes(), *_killed_hosts(), *_bookkeeping()]
    return "\n\n".join(parts)


# --- parity ----------------------------------------------------------------------------------------------------------


def _parity() -> list[str]:
    module = "benchmarks.distributed_checks.parity"
    with tempfile.TemporaryDirectory() as home:
        launched(1, module, home, f"--steps={STEPS}", "--cases=ddp,ddp-again,ddp-transformer,ddp-accumulated")
        launched(4, module, home, f"--steps={STEPS}")
        launched(2, module, home, f"--steps={STEPS}", "--continue-from=4")
        found = {world: json.loads((Path(home) / f"parity-{world}.json").read_text()) for world in (1, 2, 4)}
    rows, wrong = [], []
    for world, cases in found.items():
        for name, case in cases.items():
            losses, parameters = BARS[_kind(name)]
            holds = max(case["losses"], case["validation"]) <= losses and case["parameters"] <= parameters
            if not (holds and case["same_names"]):
                wrong.append(f"{name} on {world}")
            numbers = [f"{case[key]:.1e}" for key in ("losses", "validation", "parameters")]
            left = world if name.endswith("-on-one") else 4
            told = name.replace("-on-", f" of {left} processes, gone on with by ")
            rows.append([told, _processes(world, name), *numbers, f"{losses:g}"])
        same = {"ddp-again": "ddp", **{name: name.removesuffix("-resumed") for name in cases if name.endswith("-resumed")}}
        wrong += [f"{name} on {world}" for name, first in same.items() if cases[name]["hash"] != cases[first]["hash"]]
    header = ["strategy", "processes", "step losses", "validation losses", "parameters", "bar of losses"]
    text = [
        f"Largest differences from one process over {STEPS} steps; the last batch of an epoch has two windows. Bar of DDP's "
        f"parameters: {BARS['ddp'][1]:g}. The same DDP training twice, and any that was stopped and went on from a "
        "checkpoint on as many processes (resumed), is bit for bit the same.",
        markdown_table(header, rows),
    ]
    assert not wrong, f"{', '.join(wrong)} differ from one process.\n\n" + "\n\n".join(text)
    return text


def _kind(name: str) -> str:
    if "accumulated" in name:
        return "accumulated"
    return "ddp" if name in ("ddp", "ddp-again", "ddp-resumed", "ddp-transformer") else "other"


def _processes(world: int, name: str) -> int:
    return 1 if name.endswith("-on-one") else world


# --- kills -----------------------------------------------------------------------------------------------------------


@dataclass
class Kills:
    """Kills a process of a training now and then: at which steps, and how many steps were lost by it."""

    folder: Path
    wanted: int
    world: int
    draw: random.Random

    def __post_init__(self) -> None:
        self.steps: list[int] = []
        self.lost: list[int] = []
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        after = 0
        for restarts in range(self.wanted):
            target, victim = after + self.draw.randrange(4, 25), self.draw.randrange(self.world)
            told = _wait_for(self.folder, victim, lambda t, r=restarts: t["restarts"] == r)
            at = killed_at(self.folder / NOTES, told["pid"], step=target)
            self.steps.append(at)
            back = _wait_for(self.folder, 0, lambda t, r=restarts: t["restarts"] == r + 1 and t["step"] > 0)
            after = back["resumed_from"] or 0
            self.lost.append(at - after)


def _killed_processes() -> list[str]:
    seconds, draw = 0.03, random.Random(0)
    problem = {"max_steps": 160, "max_epochs": 20, "checkpoint_every": EVERY}
    undisturbed = fitted(problem, 2)
    steps: list[int] = []
    lost: list[int] = []
    for number in range(TRAININGS):
        with tempfile.TemporaryDirectory() as home:
            kills = Kills(Path(home), KILLS_OF_ONE_TRAINING, 2, draw)
            notes = str(Path(home) / NOTES)
            told = fitted(
                {**problem, "seconds": seconds, "notes": notes}, 2, folder=home, max_restarts=KILLS_OF_ONE_TRAINING + 1
            )
        assert len(kills.lost) == KILLS_OF_ONE_TRAINING, f"training {number} was killed {len(kills.lost)} times only"
        for key in ("last_loss", "parameter_sum"):
            assert told[key] == undisturbed[key], (
                f"after kills at {kills.steps} the {key} is {told[key]}, not {undisturbed[key]}"
            )
        steps, lost = steps + kills.steps, lost + kills.lost
    assert 0 <= min(lost) <= max(lost) <= EVERY, lost
    return [
        "## Processes killed",
        f"{len(steps)} times `kill -9` of a random process of two, while it computed steps "
        f"{', '.join(map(str, sorted(steps)))}: final loss and sum of the parameters are those of the "
        f"undisturbed training bit for bit. At most {max(lost)} steps were lost, the one under way counted, with a checkpoint "
        f"every {EVERY}.",
    ]


def fitted(problem: dict[str, Any], processes: int, **config: Any) -> dict[str, Any]:
    """Losses and sum of the parameters of a training, data parallel where there are several processes."""
    how = DistributedConfig(strategy="ddp" if processes > 1 else "none", processes=processes, timeout=20.0, **config)
    return DistributedTrainer(how).fit(Problem(**problem), None).told


def _wait_for(folder: Path, rank: int, holds: Any, seconds: float = 120.0) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.05)
        try:
            told = json.loads((folder / "processes" / f"{rank}.json").read_bytes())
        except (FileNotFoundError, ValueError):
            continue
        if holds(told):
            return told
    raise AssertionError(f"process {rank} of {folder} did not get there within {seconds:g} s")


def _killed_hosts() -> list[str]:
    if os.geteuid() != 0 or not Path("/sbin/ip").exists():
        return ["## Hosts killed", "Not measured here: two network namespaces need root."]
    problem = {"max_steps": 90, "checkpoint_every": EVERY}
    undisturbed = fitted(problem, 2)
    draw, lost, worst = random.Random(1), [], 0.0
    with two_hosts() as hosts:
        for number in range(HOST_KILLS):
            told, behind = without_a_host(hosts, problem, draw.randrange(12, 60), back=True, port=29_400 + number)
            for key in ("last_loss", "parameter_sum"):
                assert told[key] == undisturbed[key], f"host kill {number}: {key} is {told[key]}, not {undisturbed[key]}"
            lost.append(behind)
        told, behind = without_a_host(hosts, problem, draw.randrange(12, 60), back=False, port=29_450)
        lost.append(behind)
        worst = max(
            abs(a - b)
            for a, b in zip(
                [*told["losses"], told["parameter_sum"]], [*undisturbed["losses"], undisturbed["parameter_sum"]], strict=True
            )
        )
    assert worst <= SMALLER, worst
    assert 0 <= min(lost) <= max(lost) <= EVERY, lost
    return [
        "## Hosts killed",
        f"Two network namespaces as hosts, one process each. {HOST_KILLS} times everything on the second was killed and it was "
        "started again: final loss and sum of the parameters are those of the undisturbed training bit for bit. Once it was "
        f"not: the first went on alone, and losses and sum differ by {worst:.1e} at most (bar {SMALLER:g}). At most "
        f"{max(lost)} steps were lost, the one under way counted, with a checkpoint every {EVERY}.",
    ]


def without_a_host(
    hosts: tuple[Host, Host], problem: dict[str, Any], step: int, *, back: bool, port: int
) -> tuple[dict[str, Any], int]:
    """Kill the second host at a step; what the first comes to, and the steps that were lost."""
    first, second = hosts
    with tempfile.TemporaryDirectory() as home:
        config = {"hosts": 2, "processes": 1, "head": f"{first.address}:{port}", "folder": home, "timeout": 15.0}
        config |= {"wait_for_hosts": 30.0} if back else {"wait_for_hosts": 3.0, "fewest_hosts": 1}
        problem = {**problem, "seconds": 0.03, "notes": str(Path(home) / NOTES)}
        running = first.train(problem, config | {"is_head": True})
        other = second.train(problem, config | {"is_head": False})
        pid = _wait_for(Path(home), 1, lambda _: True)["pid"]
        while step_under_way(Path(home) / NOTES, pid) < step:
            assert other.poll() is None, "the second host ended by itself"
            time.sleep(0.005)
        second.kill()
        other.communicate()
        while not is_gone(pid):
            time.sleep(0.005)
        at = step_under_way(Path(home) / NOTES, pid)
        if back:
            other = second.train(problem, config | {"is_head": False})
        said, complaint = running.communicate(timeout=180)
        assert running.returncode == 0, f"{said}{complaint}"
        if back:
            other.communicate(timeout=60)
        told = json.loads(said)
    assert told["resumed_from"] is not None, "the training was not disturbed"
    return told, at - told["resumed_from"]


# --- what a checkpoint costs -----------------------------------------------------------------------------------------


def _bookkeeping() -> list[str]:
    rows, grown = [], []
    for steps in LENGTHS:
        draw = random.Random(0)
        losses = [draw.random() for _ in range(steps)]
        with tempfile.TemporaryDirectory() as home:
            ours, text = CheckpointFolder(home), Path(home) / "text.json"
            _write(ours, losses[:-BETWEEN])
            before = (Path(home) / "losses.f64").stat().st_size
            began = time.perf_counter()
            _write(ours, losses)
            seconds = time.perf_counter() - began
            folder = Path(home) / f"step-{steps:08d}"
            written = (Path(home) / "losses.f64").stat().st_size - before + (folder / "progress.json").stat().st_size
            began = time.perf_counter()
            found = CheckpointFolder(home).newest()
            assert found is not None
            assert ours.losses(found) == losses
            read = time.perf_counter() - began
            began = time.perf_counter()
            put_file(text, json.dumps(losses).encode())
            whole = time.perf_counter() - began
            rows.append([f"{steps:,}", f"{written:,}", _ms(seconds), _ms(read), f"{text.stat().st_size:,}", _ms(whole)])
            grown.append(written)
    assert grown[1] - grown[0] <= 8, f"a checkpoint writes {grown} bytes after {LENGTHS} steps"
    header = ["steps so far", "bytes written", "checkpoint, ms", "found and read, ms", "bytes as text", "text alone, ms"]
    return [
        "## Losses of steps in a checkpoint",
        f"A checkpoint {BETWEEN} steps after the last, of next to no parameters. It writes the losses that are new, 8 bytes a "
        "step, and how far the training is, so this does not grow with the training; beside it all losses as text.",
        markdown_table(header, rows),
    ]


def _write(folder: CheckpointFolder, losses: list[float]) -> None:
    step = len(losses)
    folder.write(step, {"network": {"a": torch.zeros(1)}}, {"step": step}, Runtime(), losses)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.0f}"
