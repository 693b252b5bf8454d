"""Pipeline parallel: each process has some of the blocks, and a batch goes through them in pieces."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe

from huracan.distributed.axes import ParallelAxes
from huracan.distributed.config import PipelineSchedule
from huracan.distributed.group_runtime import GroupRuntime
from huracan.training.phases import RowLosses
from huracan.training.runtime import weighted_sum
from huracan.training.windows import Batch

__all__ = ["Pipeline", "Stage"]


class Stage(nn.Module):
    """Some of the blocks of a network, with its stem before the first and its head behind the last.

    Parameters have the names they have in the whole network, so that checkpoints of one fit the other.

    Parameters
    ----------
    network : ``stem``, ``blocks`` and ``head``.
    number, of : which stage this is, from 0, of how many.

    Examples
    --------
    >>> from huracan.models.networks.lstm import LSTMNetwork
    >>> stages = [Stage(LSTMNetwork(3, 8, 1, hidden=4, n_blocks=3), number, 2) for number in (0, 1)]
    >>> [sorted({".".join(name.split(".")[:2]) for name, _ in stage.named_parameters()}) for stage in stages]
    [['blocks.0', 'blocks.1', 'stem.project'], ['blocks.2', 'head.project']]
    """

    def __init__(self, network: nn.Module, number: int, of: int) -> None:
        super().__init__()
        blocks = list(network.blocks)  # type: ignore[arg-type]
        least, more = divmod(len(blocks), of)
        start = number * least + min(number, more)
        self.stem = network.stem if number == 0 else None
        self.blocks = nn.ModuleDict({str(i): blocks[i] for i in range(start, start + least + (number < more))})
        self.head = network.head if number == of - 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """What the next stage gets; windows come into the first, outputs leave the last."""
        if self.stem is not None:
            x = self.stem(x)  # type: ignore[operator]
        for block in self.blocks.values():
            x = block(x)
        if self.head is not None:
            x = self.head(x)  # type: ignore[operator]
        return x.contiguous()  # what is sent must be


class Pipeline(GroupRuntime):
    """PyTorch's pipeline schedules under the loop: all processes see the same batch, each computes its stage.

    References
    ----------
    Huang et al. (2019), "GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism", NeurIPS;
    Narayanan et al. (2019), "PipeDream: Generalized Pipeline Parallelism for DNN Training", SOSP (1F1B).
    """

    def __init__(
        self,
        axes: ParallelAxes,
        device: torch.device | str = "cpu",
        *,
        timeout: float = 60.0,
        schedule: PipelineSchedule = "1f1b",
    ) -> None:
        super().__init__(axes, device, timeout=timeout)
        self.schedule = schedule
        self.stream = self.position  # stages draw different numbers: they are different layers
        self._lines: dict[int, _Line] = {}

    def gradients(
        self, losses: RowLosses, batch: Batch, *, scale: float, generator: torch.Generator, last: bool
    ) -> torch.Tensor:
        """Add the gradient of this stage; the sum of the losses is known in the last stage, and 0 elsewhere."""
        return self._through(losses, batch, scale, generator, learn=True)

    def losses(self, losses: RowLosses, batch: Batch, *, generator: torch.Generator) -> torch.Tensor:
        """The sum of the weighted losses of a batch in the last stage, 0 elsewhere."""
        return self._through(losses, batch, 1.0, generator, learn=False)

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Losses are known in the last stage alone, and summed to be known everywhere."""
        dist.all_reduce(values)
        return values

    def whole_state(self) -> dict[str, torch.Tensor]:
        """The network's parameters and buffers by name, whole, on the CPU; empty on processes that are not the chief."""
        mine = {name: value.detach().cpu() for name, value in self.network.state_dict().items()}
        stages: list[dict[str, torch.Tensor]] | None = [{}] * self.axes.stages if self.chief else None
        dist.gather_object(mine, stages, dst=0)
        return {name: value for stage in stages or () for name, value in stage.items()}

    def _mine(self, network: nn.Module) -> nn.Module:
        return Stage(network, self.position, self.axes.stages)

    def _held(self, gradient: torch.Tensor) -> tuple[torch.Tensor, int]:
        """No parameter is on two processes."""
        return gradient, 1

    def _through(
        self, losses: RowLosses, batch: Batch, scale: float, generator: torch.Generator, *, learn: bool
    ) -> torch.Tensor:
        """Send a batch through the stages; rows of weight 0 make its pieces equal."""
        pieces = self.axes.micro_batches
        whole = _filled_up(batch, -(-len(batch) // pieces) * pieces)
        line = self._lines.get(len(whole))
        if line is None:
            line = self._lines[len(whole)] = self._lay(len(whole))
        line.losses, line.batch, line.scale, line.generator = losses, whole, scale, generator
        said: list[torch.Tensor] = []
        arguments = (whole.x,) if self.position == 0 else ()
        at_end = self.position == self.axes.stages - 1
        target = torch.arange(len(whole), device=self.device) if at_end else None
        run = line.run.step if learn else line.run.eval
        with self.precision():
            run(*arguments, target=target, losses=said if at_end else None)
        if not at_end:
            return torch.zeros((), device=self.device, dtype=batch.x.dtype)
        return torch.stack(said).sum().detach() / scale

    def _lay(self, size: int) -> _Line:
        """A schedule for batches of one size: what a stage receives has the shape of the first it received."""
        stage = PipelineStage(self.network, self.position, self.axes.stages, self.device)
        kind: type[ScheduleGPipe | Schedule1F1B] = ScheduleGPipe if self.schedule == "gpipe" else Schedule1F1B
        line = _Line()
        line.run = kind(stage, self.axes.micro_batches, loss_fn=line.loss, scale_grads=False)
        return line


class _Line:
    """One schedule, and what the loss of the batch under way needs."""

    run: ScheduleGPipe | Schedule1F1B
    losses: RowLosses
    batch: Batch
    scale: float
    generator: torch.Generator

    def loss(self, output: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The scaled sum of the weighted losses of some rows of the batch, whose output is known."""
        batch = self.batch
        assert batch.weight is not None
        piece = Batch(
            batch.x[rows],
            None if batch.y is None else batch.y[rows],
            batch.weight[rows],
            None if batch.condition is None else batch.condition[rows],
        )
        return weighted_sum(self.losses(_Known(output), piece, self.generator), piece.weight) * self.scale


class _Known(nn.Module):
    """Stands for a network whose output is known already."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        return self.output


def _filled_up(batch: Batch, size: int) -> Batch:
    """The batch with weights, and with its first row repeated at weight 0 up to a size."""
    weight = torch.ones_like(batch.x[:, 0, 0]) if batch.weight is None else batch.weight
    missing = size - len(batch)
    if not missing:
        return replace(batch, weight=weight)
    rows = torch.arange(size, device=weight.device)
    rows[len(batch) :] = 0
    return Batch(
        batch.x[rows],
        None if batch.y is None else batch.y[rows],
        torch.cat([weight, weight.new_zeros(missing)]),
        None if batch.condition is None else batch.condition[rows],
    )
