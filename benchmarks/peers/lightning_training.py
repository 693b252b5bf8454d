"""The same trainings by Lightning's Trainer and by the loop of this library, in turns. Runs in a peer's environment.

Each way has a process of its own, as where it is used: what one asks of the allocator does not serve the others. Prints, as
JSON, network -> losses compared and CPU seconds of every run.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import median
from typing import Any

import lightning
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, TensorDataset

from benchmarks.training_loop import NETWORKS, Way, compared, looped, optimizer_of, trained, windows
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


WAYS: dict[str, Way] = {
    "loop": looped,
    "Lightning": partial(with_lightning, whole_batches=False),
    "Lightning, batches made beforehand": partial(with_lightning, whole_batches=True),
}


def quiet() -> None:
    """One thread, and nothing said."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def one_training(name: str, way: str) -> tuple[list[float], float]:
    """Losses of every step, and CPU seconds."""
    return trained(name, WAYS[way], windows(WINDOWS), LoopSettings(max_epochs=EPOCHS, batch_size=BATCH))


def in_its_home(home: ProcessPoolExecutor, name: str, way: str) -> tuple[list[float], float]:
    """:func:`one_training` in another process."""
    return home.submit(one_training, name, way).result()


def main() -> None:
    """Train every network three ways."""
    context = multiprocessing.get_context("spawn")
    homes = {way: ProcessPoolExecutor(1, mp_context=context, initializer=quiet) for way in WAYS}
    found: dict[str, Any] = {}
    for name in NETWORKS:
        runs = {way: partial(in_its_home, homes[way], name, way) for way in WAYS}
        found[name] = compared(runs, ROUNDS)
        found[name]["step_ms"] = median(found[name]["seconds"]["loop"]) / (EPOCHS * WINDOWS / BATCH) * 1e3
    for home in homes.values():
        home.shutdown()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
