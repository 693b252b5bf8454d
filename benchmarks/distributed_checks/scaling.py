"""``torchrun --nproc-per-node=2 -m benchmarks.distributed_checks.scaling FILE``: windows a second of two processes and of one.

Runs alternate: process 0 alone while process 1 waits, then both, each with one thread.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from huracan.distributed.axes import ParallelAxes
from huracan.distributed.data_parallel import DataParallel
from huracan.models.networks.lstm import LSTMNetwork
from huracan.training import LoopSettings, Runtime, Supervised, TrainingLoop, WindowTable
from huracan.training.objectives import squared_error
from huracan.training.randomness import built_with_seed

FEATURES, WINDOW, BATCH = 40, 32, 256
STEPS, ROUNDS = 30, 9


def _rate(runtime: Runtime, batch: int = BATCH) -> float:
    """Windows a second of the second epoch, by the loop's own clock; the catalogue's LSTM, dropout included."""
    x = torch.randn(batch * STEPS + WINDOW, FEATURES, generator=torch.Generator().manual_seed(0))
    last = torch.arange(WINDOW, len(x), dtype=torch.int32)
    with built_with_seed(0):
        network = LSTMNetwork(FEATURES, WINDOW, 1)
    settings = LoopSettings(batch_size=batch, max_epochs=2)
    windows = WindowTable(x, last, WINDOW, y=x[last.long(), :1].clone())
    result = TrainingLoop(network, Supervised(squared_error), windows, settings=settings, runtime=runtime).run()
    return result.history[-1].windows_per_second


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=120))
    chief = dist.get_rank() == 0
    one, two, apart = [], [], []
    for _ in range(ROUNDS):
        if chief:
            one.append(_rate(Runtime()))
        dist.barrier()
        two.append(_rate(DataParallel(ParallelAxes("ddp", data=2))))
        dist.barrier()
        both = torch.tensor(_rate(Runtime(), BATCH // 2))
        dist.all_reduce(both)
        apart.append(float(both))
    if chief:
        Path(sys.argv[1]).write_text(json.dumps({"one": one, "two": two, "apart": apart}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
