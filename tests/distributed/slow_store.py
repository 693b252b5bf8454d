"""A script that ``torchrun`` starts: two processes, one of which has a store far slower than the time-out of an exchange.

Writes ``FOLDER/RANK.json``: what each process hashed, where it went on from, its losses, and what it said of a silent process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from benchmarks.distributed_checks.problem import train
from torch.distributed.checkpoint import FileSystemWriter

from huracan.distributed.axes import ParallelAxes
from huracan.distributed.data_parallel import DataParallel
from huracan.training import CheckpointFolder, checkpoints

LIMIT, SLOW = 3.0, 4.5


def main() -> None:
    home = Path(sys.argv[1])
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, hashed = dist.get_rank(), []
    dist.barrier()
    dist.distributed_c10d._set_pg_timeout(timedelta(seconds=LIMIT))
    _make_slow(slow=rank == 1, hashed=hashed)
    runtime = DataParallel(ParallelAxes("ddp", data=2), timeout=LIMIT)
    first, _ = train("lstm", runtime, CheckpointFolder(home / "run"), max_steps=9, checkpoint_every=9)
    written, hashed[:] = list(hashed), []
    runtime = DataParallel(ParallelAxes("ddp", data=2), timeout=LIMIT)
    again, _ = train("lstm", runtime, CheckpointFolder(home / "run"), max_steps=9, checkpoint_every=9)
    told = {"written": written, "read": hashed, "resumed_from": again.resumed_from}
    told |= {"first": first.step_losses, "again": again.step_losses}
    told["silent"] = _silent(runtime)
    (home / f"{rank}.json").write_text(json.dumps(told))


def _make_slow(*, slow: bool, hashed: list[str]) -> None:
    hash_of, write = checkpoints._hash, FileSystemWriter.write_data

    def slow_hash(file: Path) -> str:
        hashed.append(file.name)
        time.sleep(SLOW * slow)
        return hash_of(file)

    def slow_write(self: Any, plan: Any, planner: Any) -> Any:
        time.sleep(SLOW * slow)
        return write(self, plan, planner)

    checkpoints._hash, FileSystemWriter.write_data = slow_hash, slow_write  # type: ignore[method-assign]


def _silent(runtime: DataParallel) -> str:
    """Process 1 is stopped: what process 0 says of it, and after how many seconds it says it."""
    pids, began = runtime.each(os.getpid), time.monotonic()

    def stop() -> None:
        if runtime.position == 1:
            os.kill(os.getpid(), signal.SIGSTOP)

    try:
        runtime.each(stop)
    except RuntimeError as error:
        if runtime.position == 0:
            said = f"{error} {time.monotonic() - began:.1f}"
            os.kill(pids[1], signal.SIGCONT)
            return said
    return ""  # process 1 finds that the other has gone on without it


if __name__ == "__main__":
    main()
    os._exit(0)  # what the two have to say of each other is said
