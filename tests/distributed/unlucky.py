"""A training whose processes are slow, hang, or run out of memory, for tests of what happens then."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from huracan.training import LoopSettings, TrainingResult, WindowTable
from huracan.training.job import NetworkRecipe, TrainingJob

__all__ = ["Estimator", "Unlucky"]


class Unlucky(nn.Module):
    """A linear map of the last bar; process ``who`` does ``what`` in its forward pass number ``when``.

    Each pass takes ``seconds``; the 20th fills the disk that ``fill`` lies on.
    """

    def __init__(
        self, what: str = "nothing", who: int = 1, when: int = 5, seconds: float = 0.0, fill: str | None = None
    ) -> None:
        super().__init__()
        self.map = nn.Linear(2, 1)
        self.what, self.when, self.seconds, self.passes = what, when, seconds, 0
        self.fill = fill
        self.mine = os.environ.get("RANK") == str(who)

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        time.sleep(self.seconds)
        if self.mine and self.fill is not None and self.passes == 20:
            _fill_disk(self.fill)
        if self.mine and self.passes == self.when:
            if self.what == "out of memory":
                raise MemoryError
            if self.what == "hang":
                time.sleep(1_000)
            if self.what == "defect":
                raise RuntimeError("shapes do not match")
        return self.map(x[:, -1])


class Estimator:
    """What :class:`~huracan.distributed.DistributedTrainer` needs of one."""

    def __init__(self, *, network: Mapping[str, Any] | None = None, **settings: Any) -> None:
        self.network = dict(network or {})
        usual = {"max_epochs": 10, "batch_size": 20, "precision": "float64", "learning_rate": 0.01, "checkpoint_every": 7}
        self.settings = LoopSettings(**{**usual, **settings})

    def prepare(self, X: Any, y: Any = None, sample_weight: Any = None) -> TrainingJob:
        rows = torch.arange(len(X), dtype=torch.int32)
        table = torch.as_tensor(X, dtype=torch.float64)
        target = torch.as_tensor(y, dtype=torch.float64)[:, None]
        train = WindowTable(table, rows, 1, y=target)
        return TrainingJob(NetworkRecipe("unlucky:Unlucky", self.network), "squared_error", train, None, self.settings)

    def finish(self, job: TrainingJob, parameters: Mapping[str, Tensor], result: TrainingResult) -> Self:
        self.parameters, self.result = dict(parameters), result
        return self


def _fill_disk(path: str) -> None:
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4_096))
