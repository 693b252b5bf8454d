"""The one training loop: it reads from top to bottom like its description, and is the same on any number of devices.

A step is: the next batch of the epoch's order; the gradient of its weighted mean loss, in one piece or several; the
gradient's norm cut; AdamW at the schedule's rate. After an epoch the validation windows say whether to go on, and the
parameters that did best on them are kept: those of the start, too, where no epoch did better.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import nn

from huracan.errors import DataError, ModelError
from huracan.logs import logger
from huracan.memory import keep_freed_memory
from huracan.training.averaging import ParameterAverage
from huracan.training.checkpoints import CheckpointFolder
from huracan.training.code_identity import code_of
from huracan.training.history import EpochRecord, TrainingResult
from huracan.training.identity import identity_of
from huracan.training.phases import Phase, RowLosses, TrainingTask
from huracan.training.randomness import depends_on_pieces, draws_itself, own_randomness, seed_of_step
from huracan.training.runtime import Runtime, parameter_type
from huracan.training.schedule import epoch_order, learning_rate_factor, phase_at, steps_in_epoch, total_steps
from huracan.training.settings import LoopSettings
from huracan.training.windows import Batch, WindowTable

__all__ = ["TrainingLoop"]

_EXPLODED = 1_000.0
_LEAST_LOSS = 1e-3
_VALIDATION_BATCH = 1_024
_PROGRESS = ("training", "history", "best", "has_best")


class TrainingLoop:
    """Train a network.

    Parameters
    ----------
    network : a module, the same on every process; its parameters are changed in place.
    task : what is learned.
    train, validation : windows to learn from, and windows that say when to stop.
    settings : how.
    runtime : where; one process on the CPU by default.
    checkpoints : a folder to go on from, and to write to every ``settings.checkpoint_every`` steps; None writes nothing.
    identity : text that no other training has, by which a checkpoint is known; by default made of what is given here.
    on_epoch : called by the chief process with every :class:`~huracan.training.history.EpochRecord`.

    Examples
    --------
    >>> from huracan.training.objectives import squared_error
    >>> from huracan.training.phases import Supervised
    >>> x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    >>> windows = WindowTable(x, torch.arange(400, dtype=torch.int32), 1, y=x[:, :1] * 2.0)
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 1))
    >>> settings = LoopSettings(max_epochs=40, batch_size=50, learning_rate=0.05)
    >>> result = TrainingLoop(network, Supervised(squared_error), windows, settings=settings).run()
    >>> result.steps, result.losses[-1] < 0.01
    (320, True)
    """

    def __init__(
        self,
        network: nn.Module,
        task: TrainingTask,
        train: WindowTable,
        validation: WindowTable | None = None,
        *,
        settings: LoopSettings | None = None,
        runtime: Runtime | None = None,
        checkpoints: CheckpointFolder | None = None,
        identity: str | None = None,
        on_epoch: Callable[[EpochRecord], None] | None = None,
    ) -> None:
        if not len(train):
            raise DataError("there is no window to learn from.")
        self.settings = settings or LoopSettings()
        self.runtime = runtime or Runtime()
        self.task, self.phases = task, tuple(task.phases)
        self.checkpoints, self.on_epoch = checkpoints, on_epoch
        self.identity = ""
        if checkpoints is not None:
            told = [repr(network), code_of(map(type, network.modules())), task, self.settings.decisive]
            if any(depends_on_pieces(network, phase.losses, train) for phase in self.phases):
                told.append(self.settings.accumulate)
            self.identity = identity or identity_of(told, train, validation, network.state_dict())
        self.draws = any(draws_itself(network, phase.losses, train) for phase in self.phases)
        self.runtime.place(network, task, self.settings)
        place = (self.runtime.device, parameter_type(self.settings))
        self.train = train.to(*place)
        self.validation = None
        if validation is not None and len(validation):
            same = validation.table is train.table
            self.validation = validation.to(*place, moved_table=self.train.table if same else None)
        self.parameters = [[p for p in phase.parameters(self.runtime.network) if p.requires_grad] for phase in self.phases]
        self.optimizers = [self._optimizer(phase, mine) for phase, mine in zip(self.phases, self.parameters, strict=True)]
        self.average = ParameterAverage(self.runtime.network, self.settings.averaging)
        self.per_epoch = steps_in_epoch(len(train), self.settings.batch_size)
        self.total = total_steps(self.settings, len(train))
        self.generator = torch.Generator(self.runtime.device)
        self.result = TrainingResult()
        self.best: dict[str, torch.Tensor] | None = None
        self._unsummed: list[torch.Tensor] = []
        self._order_of: tuple[int, torch.Tensor] | None = None

    @property
    def step(self) -> int:
        """Steps made so far, those before a resumption included."""
        return len(self.result.step_losses) + len(self._unsummed)

    def run(self) -> TrainingResult:
        """Train to the end, and leave the best parameters in the network.

        Raises
        ------
        ModelError : the loss left all bounds before any epoch was finished; or a checkpoint is of another training.
        """
        keep_freed_memory()
        with nullcontext() if self.checkpoints is None else self.checkpoints.held(self.runtime):
            start = self._resume()
            if start == 0:
                self._judge_the_start()
            self._train_from(start)
        if self.best is not None:
            self.runtime.network.load_state_dict(self.best)
        if self.result.best_epoch == 0 and self.runtime.chief:
            logger().info("no epoch was better on validation than the start, which is kept", loss=self.result.start_loss)
        return self.result

    def _train_from(self, start: int) -> None:
        result, began, began_at = self.result, time.perf_counter(), start
        self.runtime.network.train()
        for step in range(start, self.total):
            if not self._step(step):
                self._explode(step)
                return
            finished = step + 1 == self.total
            if (step + 1) % self.per_epoch == 0 or finished:
                self._sum_up()
                seconds = time.perf_counter() - began
                if not self._close_epoch(step, self._windows_seen(began_at, step) / seconds):
                    return
                began, began_at = time.perf_counter(), step + 1
            if self.checkpoints is not None and ((step + 1) % self.settings.checkpoint_every == 0 or finished):
                self._write_checkpoint(step + 1)
        result.stopped = result.stopped or f"all {self.settings.max_epochs} epochs done"

    def _windows_seen(self, first: int, last: int) -> int:
        """Windows in steps ``first`` to ``last`` of one epoch."""
        at, size = first - first % self.per_epoch, self.settings.batch_size
        return min((last + 1 - at) * size, len(self.train)) - (first - at) * size

    # --- one step --------------------------------------------------------------------------------------------------

    def _step(self, step: int) -> bool:
        """One optimizer step; False where loss or gradient are no longer numbers, and nothing was changed."""
        number = phase_at(step, self.phases)
        phase, optimizer, parameters = self.phases[number], self.optimizers[number], self.parameters[number]
        for parameter in parameters:
            parameter.grad = None
        seed = seed_of_step(self.settings.seed, step, self.runtime.stream)
        self.generator.manual_seed(seed)
        rows = self._rows_of_step(step)
        weight = self._weight(self.train, rows)
        if weight == 0.0:
            self._unsummed.append(torch.zeros((), device=self.runtime.device, dtype=parameter_type(self.settings)))
            return True
        pieces, told = self._pieces(rows), []
        with own_randomness(seed, self.runtime.device) if self.draws else nullcontext():
            for at, piece in enumerate(pieces):
                last = at == len(pieces) - 1
                told.append(
                    self.runtime.gradients(phase.losses, piece, scale=1.0 / weight, generator=self.generator, last=last)
                )
        self._unsummed.append(sum(told[1:], start=told[0]) / weight)
        norm = self.runtime.clip(parameters, self.settings.clip_norm)
        if not math.isfinite(norm):
            return False
        rate = learning_rate_factor(step, self.total, self.settings) * (phase.learning_rate or self.settings.learning_rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        self.average.update(step)
        return True

    def _rows_of_step(self, step: int) -> torch.Tensor:
        epoch, at = divmod(step, self.per_epoch)
        if self._order_of is None or self._order_of[0] != epoch:
            self._order_of = None  # one order at a time: four bytes a window
            self._order_of = epoch, epoch_order(len(self.train), self.settings.seed, epoch).to(self.runtime.device)
        size = self.settings.batch_size
        return self._order_of[1][at * size : (at + 1) * size].long()

    def _pieces(self, rows: torch.Tensor) -> list[Batch]:
        """This process's part of a batch; as many pieces as every other process has."""
        world = self.runtime.world
        size = -(-self.settings.batch_size // (world * self.settings.accumulate))
        mine = rows[self.runtime.part(len(rows))].split(size)
        most = -(-len(rows) // world)
        pieces = [self.train.batch(piece) for piece in mine if len(piece)]
        missing = -(-most // size) - len(pieces)
        return pieces + [_weightless(self.train)] * missing if missing else pieces

    @staticmethod
    def _weight(windows: WindowTable, rows: torch.Tensor) -> float:
        return float(len(rows)) if windows.weight is None else float(windows.weight[rows].sum())

    # --- one epoch -------------------------------------------------------------------------------------------------

    def _close_epoch(self, step: int, windows_per_second: float) -> bool:
        """Validate, keep what is best; False where training should end."""
        result, epoch = self.result, step // self.per_epoch + 1
        first = (epoch - 1) * self.per_epoch
        means = self._phase_means(first, step)
        self.runtime.share_buffers()
        with self.average.in_use():
            validation = self._validate()
        rate = self.optimizers[0].param_groups[0]["lr"]
        record = EpochRecord(epoch, step + 1, means, validation, rate, windows_per_second)
        decisive = next(iter(means.values())) if validation is None else validation
        if not math.isfinite(decisive) or self._left_all_bounds(decisive):
            self._explode(step)
            return False
        result.history.append(record)
        if self.runtime.chief:
            logger().debug("an epoch is done", epoch=epoch, losses=means, validation_loss=validation, rate=rate)
            if self.on_epoch is not None:
                self.on_epoch(record)
        if validation is None or validation < result.best_loss:  # without validation the last epoch is the best there is
            result.best_epoch, result.best_loss = epoch, decisive
            with self.average.in_use():
                self._keep()
        elif self.settings.patience is not None and epoch - result.lowest_epoch >= self.settings.patience:
            result.stopped = f"no lower validation loss for {self.settings.patience} epochs"
            return False
        return True

    def _judge_the_start(self) -> None:
        """A network that no epoch makes better stays as it came: a fresh one says a constant, a fitted one what it learned."""
        found = self._validate()
        if found is not None and math.isfinite(found):
            self.result.start_loss = self.result.best_loss = found
            self._keep()

    def _keep(self) -> None:
        self.best = {name: value.detach().clone() for name, value in self.runtime.network.state_dict().items()}

    def _phase_means(self, first: int, last: int) -> dict[str, float]:
        """Means over windows: a smaller last batch counts for less."""
        sums, weights = dict.fromkeys((phase.name for phase in self.phases), 0.0), dict.fromkeys(self.phases, 0.0)
        for step in range(first, last + 1):
            phase = self.phases[phase_at(step, self.phases)]
            weight = self._weight(self.train, self._rows_of_step(step))
            sums[phase.name] += weight * self.result.step_losses[step]
            weights[phase] += weight
        return {phase.name: sums[phase.name] / weight for phase, weight in weights.items() if weight}

    def _validate(self) -> float | None:
        losses = self.task.validation
        if self.validation is None or losses is None:
            return None
        network, windows = self.runtime.network, self.validation
        network.eval()
        total = torch.zeros((), device=self.runtime.device, dtype=torch.float64)
        self.generator.manual_seed(self.settings.seed)
        with torch.no_grad():
            for rows in torch.arange(len(windows), device=self.runtime.device).split(_VALIDATION_BATCH):
                total += self._losses_of(losses, windows, rows[self.runtime.part(len(rows))])
        network.train()
        weight = float(len(windows)) if windows.weight is None else float(windows.weight.sum())
        return float(self.runtime.total(total)) / weight

    def _losses_of(self, losses: RowLosses, windows: WindowTable, mine: torch.Tensor) -> torch.Tensor:
        batch = windows.batch(mine) if len(mine) else _weightless(windows)  # gone before the next one is cut
        return self.runtime.losses(losses, batch, generator=self.generator)

    def _sum_up(self) -> None:
        """Losses of the steps since the last time, over all processes, into the result."""
        if self._unsummed:
            self.result.step_losses += self.runtime.total(torch.stack(self._unsummed)).tolist()
            self._unsummed = []

    def _left_all_bounds(self, loss: float) -> bool:
        return self.constant_loss is not None and loss > _EXPLODED * max(self.constant_loss, _LEAST_LOSS)

    @cached_property
    def constant_loss(self) -> float | None:
        """Of the windows that are decisive; the same on every process."""
        return self.task.constant_loss(self.train if self.validation is None else self.validation)

    def _explode(self, step: int) -> None:
        self._sum_up()
        epoch = step // self.per_epoch + 1
        where = f"at step {step + 1} (epoch {epoch}) the loss or its gradient left all bounds"
        s = self.settings
        hint = f"lower learning_rate ({s.learning_rate:g}) or clip_norm ({s.clip_norm}), or look at the data"
        if not self.result.history:
            raise ModelError(f"training exploded: {where}; {hint}.")
        kept = f"the parameters of epoch {self.result.best_epoch} are kept"
        self.result.exploded, self.result.stopped = True, f"exploded: {where}; {kept}"
        logger().warning("training exploded", reason=f"{where}; {kept}; {hint}")

    # --- going on after a kill -------------------------------------------------------------------------------------

    def _write_checkpoint(self, step: int) -> None:
        assert self.checkpoints is not None
        self._sum_up()
        self.runtime.share_buffers()
        r = self.result
        progress = {
            "step": step,
            "training": self.identity,
            "history": [vars(record) for record in r.history],
            "best": [r.best_epoch, r.best_loss if math.isfinite(r.best_loss) else None],
            "start_loss": r.start_loss,
            "has_best": self.best is not None,
        }
        self.checkpoints.write(step, self._tensors(self.best is not None), progress, self.runtime, r.step_losses)

    def _resume(self) -> int:
        found = None if self.checkpoints is None else self.checkpoints.newest(self.runtime, needed=_PROGRESS)
        if found is None or self.checkpoints is None:
            return 0
        if found.progress.get("training") != self.identity:
            raise ModelError(
                f"{found.folder} is a checkpoint of another training: its network, loss, windows, settings or seed differ from "
                "these; give this training a folder of its own."
            )
        tensors = self._tensors(found.progress["has_best"])
        self.checkpoints.read(found, tensors, self.runtime)
        self._take_in(tensors)
        r = self.result
        r.resumed_from = found.step
        r.step_losses = self.checkpoints.losses(found)
        r.history = [EpochRecord(**record) for record in found.progress["history"]]
        r.best_epoch, best = found.progress["best"]
        r.best_loss = math.inf if best is None else best
        r.start_loss = found.progress["start_loss"]
        if self.runtime.chief:
            logger().info("training goes on from a checkpoint", step=found.step, folder=str(found.folder))
        return found.step

    def _tensors(self, with_best: bool) -> dict[str, Any]:
        from torch.distributed.checkpoint.state_dict import get_state_dict

        network, optimizers = get_state_dict(self.runtime.network, self.optimizers, options=_by_name())
        tensors: dict[str, Any] = {"network": network, "optimizers": optimizers}
        if with_best:
            state = self.runtime.network.state_dict()
            tensors["best"] = self.best or {name: torch.empty_like(value) for name, value in state.items()}
        if self.average.weight:
            tensors["average"] = self.average.state()
        return tensors

    def _take_in(self, tensors: dict[str, Any]) -> None:
        from torch.distributed.checkpoint.state_dict import set_state_dict

        set_state_dict(
            self.runtime.network,
            self.optimizers,
            model_state_dict=tensors["network"],
            optim_state_dict=tensors["optimizers"],
            options=_by_name(),
        )
        self.best = tensors.get("best")

    def _optimizer(self, phase: Phase, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """Matrices decay, biases and scales do not."""
        matrices = [p for p in parameters if p.ndim >= 2]
        others = [p for p in parameters if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": self.settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return self.runtime.optimizer([group for group in groups if group["params"]], betas=phase.betas)


def _weightless(windows: WindowTable) -> Batch:
    """One window of weight 0: what a process computes that has none of its own, so that all do the same things together."""
    first = windows.batch(torch.zeros(1, dtype=torch.long, device=windows.last.device))
    return replace(first, weight=torch.zeros_like(first.x[:, 0, 0]))


def _by_name() -> Any:
    """Optimizer state told by the names of parameters, so that processes may hold different ones."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(flatten_optimizer_state_dict=True)
