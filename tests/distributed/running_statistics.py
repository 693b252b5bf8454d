"""A training whose network keeps running statistics of the rows it sees, for tests of what is validated and kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from huracan.training import LoopSettings, TrainingResult, WindowTable
from huracan.training.job import NetworkRecipe, TrainingJob

__all__ = ["Estimator", "Normalised"]


class Normalised(nn.Module):
    """A linear map of the last bar, whose columns are scaled by what was seen of them so far."""

    def __init__(self) -> None:
        super().__init__()
        self.scaled, self.map = nn.BatchNorm1d(2), nn.Linear(2, 1)
        self.register_buffer("known", torch.tensor([True, False]))

    def forward(self, x: Tensor) -> Tensor:
        return self.map(self.scaled(x[:, -1]))


class Estimator:
    """What :class:`~huracan.distributed.DistributedTrainer` needs of one."""

    def prepare(self, X: Any, y: Any = None, sample_weight: Any = None) -> TrainingJob:
        rows = torch.arange(len(X), dtype=torch.int32)
        table, target = torch.as_tensor(X), torch.as_tensor(y)[:, None]
        n = len(X) * 3 // 4
        train, self.validation = (WindowTable(table, rows[part], 1, y=target[part]) for part in (slice(n), slice(n, None)))
        settings = LoopSettings(max_epochs=3, batch_size=20, precision="float64", learning_rate=0.05, checkpoint_every=4)
        recipe = NetworkRecipe("running_statistics:Normalised")
        return TrainingJob(recipe, "squared_error", train, self.validation, settings)

    def finish(self, job: TrainingJob, parameters: Mapping[str, Tensor], result: TrainingResult) -> Self:
        self.network = Normalised().double().eval()
        self.network.load_state_dict(parameters)
        self.result = result
        return self

    def validated(self) -> float:
        """The loss of the network that was kept."""
        assert self.validation.y is not None
        with torch.no_grad():
            error = self.network(self.validation.table[self.validation.last.long()][:, None]) - self.validation.y
        return float(error.square().mean())
