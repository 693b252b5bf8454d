"""``torchrun -m benchmarks.distributed_checks.parity FOLDER``: every strategy on this many processes, against one process.

Writes ``FOLDER/parity-WORLD.json``: case -> largest differences of step losses, validation losses and parameters from those
of one process, and a hash of the parameters. Leaves checkpoints of some cases in ``FOLDER/WORLD-CASE``; with
``--continue-from WORLD`` those that so many processes left are gone on with, by other strategies too. One process alone goes
on with each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.distributed_checks.problem import train
from huracan.distributed.axes import ParallelAxes
from huracan.distributed.config import DistributedConfig
from huracan.distributed.strategies import make_runtime
from huracan.training import CheckpointFolder, Runtime, TrainingResult

__all__ = ["CASES", "CONTINUED"]


@dataclass(frozen=True)
class Case:
    """A strategy on a network."""

    name: str
    strategy: str
    kind: str
    config: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    fewest: int = 2
    leaves_checkpoints: bool = False


CASES = (
    Case("ddp", "ddp", "lstm", fewest=1, leaves_checkpoints=True),
    Case("ddp-again", "ddp", "lstm", fewest=1),
    Case("ddp-transformer", "ddp", "transformer", fewest=1),
    Case("ddp-accumulated", "ddp", "lstm", settings={"accumulate": 4}, fewest=1),
    Case("fsdp2", "fsdp2", "lstm", leaves_checkpoints=True),
    Case("fsdp2-transformer", "fsdp2", "transformer"),
    Case("fsdp2-accumulated", "fsdp2", "transformer", settings={"accumulate": 4}),
    Case("tp", "tp", "transformer"),
    Case("pp-1f1b", "pp", "lstm", leaves_checkpoints=True),
    Case("pp-gpipe", "pp", "transformer", config={"schedule": "gpipe"}),
    Case("pp-accumulated", "pp", "lstm", settings={"accumulate": 2}),
    Case("fsdp2-tp", "fsdp2_tp", "transformer", leaves_checkpoints=True),
)

CONTINUED = (("ddp", "ddp"), ("ddp", "pp"), ("fsdp2", "ddp"), ("fsdp2", "fsdp2"), ("pp-1f1b", "fsdp2"), ("fsdp2-tp", "tp"))
"""Case that left a checkpoint, and the strategy that goes on from it."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--every", type=int, default=20, help="steps between checkpoints")
    parser.add_argument("--continue-from", type=int)
    parser.add_argument("--cases", help="comma-separated names; all unless given")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    world, chief = dist.get_world_size(), dist.get_rank() == 0
    wanted = options.cases.split(",") if options.cases else [case.name for case in CASES]
    done: dict[str, tuple[str, TrainingResult, dict[str, torch.Tensor]]] = {}
    for case in CASES:
        if case.name in wanted and world >= case.fewest:
            left = options.folder / f"{world}-{case.name}" if case.leaves_checkpoints else None
            done[case.name] = (case.kind, *_run(case, options, left))
            if left is not None and chief:
                shutil.rmtree(left / f"step-{options.steps:08d}")  # what a killed training would leave
    if options.continue_from:
        kinds = {case.name: case.kind for case in CASES}
        for name, strategy in CONTINUED:
            left = options.folder / f"{options.continue_from}-{name}"
            own = options.folder / f"{world}-from-{left.name}-{strategy}"
            if chief:
                shutil.copytree(left, own)
            dist.barrier()
            case = Case(own.name, strategy, kinds[name])
            done[f"{name}-on-{strategy}"] = (case.kind, *_run(case, options, own))
    dist.destroy_process_group()
    if chief:
        for case in CASES if world > 1 else ():
            if case.name in done and case.leaves_checkpoints:
                own = options.folder / f"1-from-{world}-{case.name}"
                shutil.copytree(options.folder / f"{world}-{case.name}", own)
                outcome = train(case.kind, Runtime(), CheckpointFolder(own), max_steps=options.steps)
                done[f"{case.name}-on-one"] = (case.kind, *outcome)
        found = _compare(done, options.steps)
        (options.folder / f"parity-{world}.json").write_text(json.dumps(found, indent=1))


def _run(case: Case, options: Any, left: Path | None) -> tuple[TrainingResult, dict[str, torch.Tensor]]:
    config = DistributedConfig(strategy=case.strategy, processes=dist.get_world_size(), **case.config)  # type: ignore[arg-type]
    axes = ParallelAxes.of(config, config.world) if config.world > 1 else ParallelAxes("ddp")
    runtime = make_runtime(config, axes, torch.device("cpu"))
    folder = None if left is None else CheckpointFolder(left)
    return train(case.kind, runtime, folder, max_steps=options.steps, checkpoint_every=options.every, **case.settings)


def _compare(done: dict[str, tuple[str, TrainingResult, dict[str, torch.Tensor]]], steps: int) -> dict[str, dict[str, Any]]:
    alone = {kind: train(kind, Runtime(), max_steps=steps) for kind in {kind for kind, _, _ in done.values()}}
    found = {}
    for name, (kind, result, parameters) in done.items():
        expected, whole = alone[kind]
        together = hashlib.sha256()
        for key in sorted(parameters):
            together.update(key.encode() + parameters[key].contiguous().numpy().tobytes())
        found[name] = {
            "losses": _largest(result.step_losses, expected.step_losses),
            "validation": _largest(result.validation_losses, expected.validation_losses),
            "parameters": max(float((parameters[key] - whole[key]).abs().max()) for key in whole),
            "same_names": sorted(parameters) == sorted(whole),
            "resumed_from": result.resumed_from,
            "hash": together.hexdigest(),
        }
    return found


def _largest(ours: list[float], theirs: list[float]) -> float:
    assert len(ours) == len(theirs), (len(ours), len(theirs))
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    main()
