"""What each process of a training does."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.distributed as dist

from huracan.distributed.axes import ParallelAxes
from huracan.distributed.config import DistributedConfig
from huracan.distributed.placement import Placement, join, own_device
from huracan.distributed.run_home import RunHome
from huracan.distributed.strategies import make_runtime
from huracan.distributed.vital_signs import VitalSigns
from huracan.training.checkpoints import CheckpointFolder
from huracan.training.history import EpochRecord
from huracan.training.job import TrainingJob
from huracan.training.loop import TrainingLoop
from huracan.training.phases import Supervised
from huracan.training.runtime import Runtime

__all__ = ["train_here"]


def train_here(
    home: RunHome,
    config: DistributedConfig,
    placement: Placement,
    *,
    exit_code: int = 2,
    launcher: int | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> None:
    """Take this process's part in the training of a folder, and write its outcome there; on any number of processes.

    A checkpoint decides whether it begins or goes on. One process alone trains as one, whatever the strategy.

    Parameters
    ----------
    exit_code : of this process where it hangs because another one failed.
    launcher : number of the process that started this one, holds the folder for all and has begun the run; None where
        this process and its like do so by themselves.
    on_epoch : called by process 0.

    Raises
    ------
    FolderInUse : somebody else trains here, and goes on undisturbed. HuracanError : on every process, with the same sentence.
    """
    if home.finished:
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        _take_part(home, config, placement, exit_code, launcher, on_epoch)
    finally:
        torch.set_num_threads(threads)
    if placement.world > 1:
        _leave()


def _take_part(
    home: RunHome,
    config: DistributedConfig,
    placement: Placement,
    exit_code: int,
    launcher: int | None,
    on_epoch: Callable[[EpochRecord], None] | None,
) -> None:
    signs = VitalSigns(home, placement, exit_code=exit_code, launcher=launcher)
    with signs.watching():
        job = TrainingJob.load(home.job)
        axes = ParallelAxes("none") if placement.world == 1 else ParallelAxes.of(config, placement.world)
        if placement.world == config.world:  # after hosts were lost, parts of a batch may differ by a row
            axes.check_batch(job.settings)
        device = own_device(config, placement)
        if placement.world > 1:
            join(placement, config, device)
        runtime = make_runtime(config, axes, device)
        with nullcontext() if launcher is not None else home.held(runtime.together):
            if launcher is None:
                signs.begin(runtime.together(lambda: home.begin(placement.world)))
            else:
                runtime.together(lambda: home.forget_failures(placement.world))
            _train(home, job, runtime, signs, on_epoch)


def _leave() -> None:
    """Leave the group when all do, so that none finds another one, or the store of process 0, gone while it is at work.

    What holds the group in circles is freed, too: a thread of gloo that frees a tensor while the interpreter ends aborts the
    process (https://github.com/pytorch/pytorch/pull/179291).
    """
    gc.collect()
    dist.all_reduce(torch.zeros(1))
    dist.destroy_process_group()
    gc.collect()


def _train(
    home: RunHome,
    job: TrainingJob,
    runtime: Runtime,
    signs: VitalSigns,
    on_epoch: Callable[[EpochRecord], None] | None,
) -> None:
    network, start = job.network.build(), home.read_start()
    if start is not None:
        network.load_state_dict(start)

    def told(record: EpochRecord) -> None:
        home.put_history(loop.result.history)
        if on_epoch is not None:
            on_epoch(record)

    loop = TrainingLoop(
        network,
        Supervised(job.objective),
        job.train,
        job.validation,
        settings=job.settings,
        runtime=runtime,
        checkpoints=CheckpointFolder(home.checkpoints),
        identity=home.digest(),
        on_epoch=told,
    )

    def step() -> int:
        made = loop.step
        signs.resumed_from = loop.result.resumed_from  # read after it, since it is set before steps are
        return made

    signs.step = step
    result = loop.run()
    parameters = runtime.whole_state()
    runtime.together(lambda: home.close(job, parameters, result))
    signs.step = lambda: result.steps  # which does not hold the network
