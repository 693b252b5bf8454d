"""The same trainings by Lightning's Trainer and by the loop of this library, in turns. Runs in a peer's environment.

Prints, as JSON, network -> losses compared and CPU seconds of every run.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from statistics import median
from typing import Any

import lightning
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, TensorDataset

from benchmarks.training_loop import NETWORKS, compared, looped, optimizer_of, windows
from huracan.training import LoopSettings, WindowTable
from huracan.training.objectives import squared_error
from huracan.training.schedule import epoch_order, learning_rate_factor, total_steps

ROUNDS, WINDOWS, BATCH, EPOCHS = 5, 32 * 30, 32, 2


class Module(lightning.LightningModule):
    """A network, its loss, its optimizer and its rates."""

    def __init__(self, network: nn.Module, settings: LoopSettings, total: int) -> None:
        super().__init__()
        self.network, self.loop, self.total = network, settings, total
        self.losses: list[torch.Tensor] = []

    def training_step(self, batch: Any, number: int) -> torch.Tensor:
        """Mean loss of a batch."""
        x, y = batch
        loss = squared_error(self.network(x), y).mean()
        self.losses.append(loss.detach())
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW, and the rate of every step."""
        optimizer = optimizer_of(self.network, self.loop)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, self.total, self.loop))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}


class Order:
    """The order of each epoch, as the loop takes it."""

    def __init__(self, n: int, seed: int) -> None:
        self.n, self.seed, self.epoch = n, seed, 0

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[int]:
        self.epoch += 1
        return iter(epoch_order(self.n, self.seed, self.epoch - 1).tolist())


def with_lightning(network: nn.Module, data: WindowTable, settings: LoopSettings, *, whole_batches: bool) -> list[float]:
    """Losses of every step by Lightning's Trainer."""
    made = data.table.unfold(0, data.length, 1).transpose(1, 2).contiguous()
    items, order = TensorDataset(made, data.y), Order(len(data), settings.seed)
    if whole_batches:
        loader = DataLoader(items, batch_size=None, sampler=BatchSampler(order, settings.batch_size, drop_last=False))
    else:
        loader = DataLoader(items, batch_size=settings.batch_size, sampler=order)
    module = Module(network, settings, total_steps(settings, len(data)))
    trainer = lightning.Trainer(
        max_epochs=settings.max_epochs,
        accelerator="cpu",
        devices=1,
        barebones=True,
        gradient_clip_val=settings.clip_norm,
    )
    trainer.fit(module, loader)
    return torch.stack(module.losses).tolist()


def main() -> None:
    """Train every network three ways."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    data, settings = windows(WINDOWS), LoopSettings(max_epochs=EPOCHS, batch_size=BATCH)
    ways = {
        "loop": looped,
        "Lightning": lambda *given: with_lightning(*given, whole_batches=True),
        "Lightning, one window an item": lambda *given: with_lightning(*given, whole_batches=False),
    }
    found = {}
    for name in NETWORKS:
        found[name] = compared(name, ways, data, settings, ROUNDS)
        steps = total_steps(settings, len(data))
        found[name]["step_ms"] = median(found[name]["seconds"]["loop"]) / steps * 1e3
    print(json.dumps(found))


if __name__ == "__main__":
    main()
