"""A small training with everything in it: weights, a last batch of two windows, validation, an average of parameters."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import nn

from benchmarks.distributed_checks.step_notes import note_steps
from huracan.models.networks.lstm import LSTMNetwork
from huracan.models.networks.transformer import TransformerNetwork
from huracan.training import CheckpointFolder, LoopSettings, Runtime, Supervised, TrainingLoop, TrainingResult, WindowTable
from huracan.training.job import NetworkRecipe, TrainingJob
from huracan.training.objectives import squared_error
from huracan.training.randomness import built_with_seed

__all__ = ["WINDOW", "Problem", "network", "settings", "slowed", "train", "windows"]

WINDOW, FEATURES, BATCH = 8, 3, 32
TRAINED, VALIDATED = 386, 45
"""386 = 12 x 32 + 2: in the last batch of an epoch some of four processes have no window of their own."""


def windows() -> tuple[WindowTable, WindowTable]:
    """Windows to learn from and to validate on, of one random table."""
    stream = torch.Generator().manual_seed(0)
    x = torch.randn(TRAINED + VALIDATED + WINDOW, FEATURES, generator=stream)
    last = torch.arange(WINDOW, len(x), dtype=torch.int32)
    y = x[last.long(), :1] - 0.5 * x[last.long() - 3, 1:2] + 0.3 * torch.randn(len(last), 1, generator=stream)
    weight = torch.rand(len(last), generator=stream) + 0.1
    every = WindowTable(x, last, WINDOW, y=y, weight=weight)
    order = torch.arange(len(last))
    return every.take(order[:TRAINED]), every.take(order[TRAINED:])


def network(kind: str) -> nn.Module:
    """Four blocks, so that it can be cut into four stages; four heads."""
    sizes = {"hidden": 8, "n_blocks": 4, "dropout": 0.0}
    with built_with_seed(3):
        if kind == "transformer":
            return TransformerNetwork(FEATURES, WINDOW, 1, n_heads=4, **sizes)
        return LSTMNetwork(FEATURES, WINDOW, 1, **sizes)


def settings(**changed: object) -> LoopSettings:
    """In float64, where equal arithmetic in another order differs by 1e-16."""
    usual = {"max_epochs": 10, "max_steps": 50, "batch_size": BATCH, "precision": "float64", "learning_rate": 3e-3, "seed": 5}
    return LoopSettings(**{**usual, "averaging": 0.9, "checkpoint_every": 20, **changed})  # type: ignore[arg-type]


def train(
    kind: str, runtime: Runtime, checkpoints: CheckpointFolder | None = None, **changed: object
) -> tuple[TrainingResult, dict[str, torch.Tensor]]:
    """Train, and have the whole parameters (on the chief)."""
    learned, validated = windows()
    loop = TrainingLoop(
        network(kind),
        Supervised(squared_error),
        learned,
        validated,
        settings=settings(**changed),
        runtime=runtime,
        checkpoints=checkpoints,
    )
    result = loop.run()
    return result, runtime.whole_state()


def slowed(kind: str, seconds: float, notes: str) -> nn.Module:
    """The network, which takes at least so long for each forward pass, so that there is time to be killed, and notes steps."""
    whole = note_steps(network(kind), notes)
    whole.register_forward_pre_hook(lambda *_: time.sleep(seconds))
    return whole


class Problem:
    """The training as :class:`~huracan.distributed.DistributedTrainer` takes it.

    Parameters
    ----------
    seconds : of a forward pass, at least. notes : folder where processes write their steps; None writes none.
    """

    def __init__(self, *, seconds: float = 0.0, notes: str | None = None, **changed: object) -> None:
        self.seconds, self.notes, self.settings = seconds, notes, settings(**changed)

    def prepare(self, X: Any = None, y: Any = None, sample_weight: Any = None) -> TrainingJob:
        """The job, whatever is given."""
        learned, validated = windows()
        recipe = NetworkRecipe(f"{__name__}:network", {"kind": "lstm"})
        if self.notes is not None:
            arguments = {"kind": "lstm", "seconds": self.seconds, "notes": self.notes}
            recipe = NetworkRecipe(f"{__name__}:slowed", arguments)
        return TrainingJob(recipe, "squared_error", learned, validated, self.settings)

    def finish(self, job: TrainingJob, parameters: Mapping[str, torch.Tensor], result: TrainingResult) -> Self:
        """Keep what came of it."""
        self.parameters, self.result = dict(parameters), result
        return self

    @property
    def told(self) -> dict[str, Any]:
        """What two trainings are compared by."""
        total = sum(float(value.sum()) for _, value in sorted(self.parameters.items()) if value.is_floating_point())
        losses = self.result.step_losses
        return {"last_loss": losses[-1], "losses": losses, "parameter_sum": total, "resumed_from": self.result.resumed_from}
