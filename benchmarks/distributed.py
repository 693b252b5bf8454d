"""Many processes against one: parity of every strategy, and what is left of a training whose processes and hosts are killed.

Float64 throughout, so that what differs is the order of sums alone. Kills of hosts need root (network namespaces).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import markdown_table
from benchmarks.distributed_checks.problem import Problem
from benchmarks.distributed_checks.two_hosts import Host, two_hosts
from huracan.distributed import DistributedConfig, DistributedTrainer

__all__ = ["launched", "main"]

_ROOT = Path(__file__).resolve().parent.parent
STEPS = 50
BARS = {"ddp": (1e-12, 1e-10), "accumulated": (1e-6, 1e-6), "other": (1e-10, 1e-8)}
"""Losses, parameters."""
KILLS_OF_ONE_TRAINING, TRAININGS, HOST_KILLS = 4, 5, 5
EVERY, SMALLER = 10, 1e-10


def launched(processes: int, module: str, *words: str) -> None:
    """Run a module on so many processes of this machine."""
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    path = os.pathsep.join([str(_ROOT), str(_ROOT / "src")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([*command, "-m", module, *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def main() -> str:
    """Check everything, and say how near it came."""
    parts = ["# Many processes against one", *_parity(), *_killed_processes(), *_killed_hosts()]
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
            rows.append([name.replace("-on-", " of 4, gone on with by "), _processes(world, name), *numbers, f"{losses:g}"])
        same = cases["ddp"]["hash"] == cases["ddp-again"]["hash"]
        if not same:
            wrong.append(f"ddp twice on {world}")
    header = ["strategy", "processes", "step losses", "validation losses", "parameters", "bar of losses"]
    text = [
        f"Largest differences from one process over {STEPS} steps; the last batch of an epoch has two windows. Bar of DDP's "
        f"parameters: {BARS['ddp'][1]:g}. The same DDP training twice is bit for bit the same on 1, 2 and 4 processes.",
        markdown_table(header, rows),
    ]
    assert not wrong, f"{', '.join(wrong)} differ from one process.\n\n" + "\n\n".join(text)
    return text


def _kind(name: str) -> str:
    if "accumulated" in name:
        return "accumulated"
    return "ddp" if name in ("ddp", "ddp-again", "ddp-transformer") else "other"


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
            told = _wait_for(self.folder, victim, lambda t, r=restarts, s=target: t["restarts"] == r and t["step"] >= s)
            os.kill(told["pid"], signal.SIGKILL)
            self.steps.append(told["step"])
            back = _wait_for(self.folder, 0, lambda t, r=restarts: t["restarts"] == r + 1 and t["step"] > 0)
            after = back["resumed_from"] or 0
            self.lost.append(max(0, told["step"] - after))


def _killed_processes() -> list[str]:
    seconds, draw = 0.03, random.Random(0)
    problem = {"max_steps": 160, "max_epochs": 20, "checkpoint_every": EVERY}
    undisturbed = _fitted({**problem, "seconds": 0.0}, 2)
    steps: list[int] = []
    lost: list[int] = []
    for number in range(TRAININGS):
        with tempfile.TemporaryDirectory() as home:
            kills = Kills(Path(home), KILLS_OF_ONE_TRAINING, 2, draw)
            told = _fitted({**problem, "seconds": seconds}, 2, folder=home, max_restarts=KILLS_OF_ONE_TRAINING + 1)
        assert len(kills.lost) == KILLS_OF_ONE_TRAINING, f"training {number} was killed {len(kills.lost)} times only"
        for key in ("last_loss", "parameter_sum"):
            assert told[key] == undisturbed[key], (
                f"after kills at {kills.steps} the {key} is {told[key]}, not {undisturbed[key]}"
            )
        steps, lost = steps + kills.steps, lost + kills.lost
    assert max(lost) <= EVERY, lost
    return [
        "## Processes killed",
        f"{len(steps)} times `kill -9` of a random process of two, at steps {', '.join(map(str, sorted(steps)))}: final loss "
        f"and sum of the parameters are those of the undisturbed training bit for bit; at most {max(lost)} steps were lost, with a "
        f"checkpoint every {EVERY}.",
    ]


def _fitted(problem: dict[str, Any], processes: int, **config: Any) -> dict[str, Any]:
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
    problem = {"max_steps": 90, "checkpoint_every": EVERY, "seconds": 0.03}
    undisturbed = _fitted({**problem, "seconds": 0.0}, 2)
    draw, lost, worst = random.Random(1), [], 0.0
    with two_hosts() as hosts:
        for number in range(HOST_KILLS):
            told, behind = _without_a_host(hosts, problem, draw.randrange(12, 60), back=True, port=29_400 + number)
            for key in ("last_loss", "parameter_sum"):
                assert told[key] == undisturbed[key], f"host kill {number}: {key} is {told[key]}, not {undisturbed[key]}"
            lost.append(behind)
        told, behind = _without_a_host(hosts, problem, draw.randrange(12, 60), back=False, port=29_450)
        lost.append(behind)
        worst = max(
            abs(a - b)
            for a, b in zip(
                [*told["losses"], told["parameter_sum"]], [*undisturbed["losses"], undisturbed["parameter_sum"]], strict=True
            )
        )
    assert worst <= SMALLER, worst
    assert max(lost) <= EVERY, lost
    return [
        "## Hosts killed",
        f"Two network namespaces as hosts, one process each. {HOST_KILLS} times everything on the second was killed and it was "
        "started again: final loss and sum of the parameters are those of the undisturbed training bit for bit. Once it was "
        f"not: the first went on alone, and losses and sum differ by {worst:.1e} at most (bar {SMALLER:g}). At most {max(lost)} "
        f"steps were lost, with a checkpoint every {EVERY}.",
    ]


def _without_a_host(
    hosts: tuple[Host, Host], problem: dict[str, Any], step: int, *, back: bool, port: int
) -> tuple[dict[str, Any], int]:
    """Kill the second host at a step; what the first comes to, and the steps that were lost."""
    first, second = hosts
    with tempfile.TemporaryDirectory() as home:
        config = {"hosts": 2, "processes": 1, "head": f"{first.address}:{port}", "folder": home, "timeout": 15.0}
        config |= {"wait_for_hosts": 30.0} if back else {"wait_for_hosts": 3.0, "fewest_hosts": 1}
        running = first.train(problem, config | {"is_head": True})
        other = second.train(problem, config | {"is_head": False})
        at = _wait_for(Path(home), 1, lambda told: told["step"] >= step)["step"]
        second.kill()
        other.communicate()
        if back:
            other = second.train(problem, config | {"is_head": False})
        said, complaint = running.communicate(timeout=180)
        assert running.returncode == 0, f"{said}{complaint}"
        if back:
            other.communicate(timeout=60)
        told = json.loads(said)
    assert told["resumed_from"] is not None, "the training was not disturbed"
    return told, max(0, at - told["resumed_from"])
