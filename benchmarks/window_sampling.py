"""Batches of windows cut by index against PyTorch's ``DataLoader`` over windows that were made beforehand.

Both give the same batches, bit for bit, in the same order. The loader is taken twice: as it is mostly written (one window
an item, put together by its own collation), and at its best (a whole batch an item, one gather). Time is CPU time on one
thread. Memory is that of a fresh process: the highest resident size while an epoch passes, above what it was before there
was any data, as a multiple of the table and its targets.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from torch.utils.data import BatchSampler, DataLoader, TensorDataset

from benchmarks import markdown_table
from huracan.memory import give_back_freed_memory
from huracan.training.schedule import epoch_order
from huracan.training.windows import WindowTable

__all__ = ["WAYS", "main", "memory", "parity", "seconds"]

ROWS, FEATURES, WINDOW, BATCH = 216_000, 32, 64, 256
MANY = 8 * ROWS
"""Rows of eight symbols, 150 days of minutes each."""
TIMED_BATCHES, ROUNDS = 150, 5
FASTER, MEMORY = 3.0, 1.1

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


def table(rows: int = ROWS) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of features, and a target a row."""
    generator = torch.Generator().manual_seed(64)
    x = torch.empty(rows, FEATURES).normal_(generator=generator)
    return x, torch.empty(rows, 1).normal_(generator=generator)


def cut_by_index(x: torch.Tensor, y: torch.Tensor) -> Callable[[int], Batches]:
    """Epochs of batches as the training loop takes them."""
    windows = WindowTable(x, torch.arange(WINDOW - 1, len(x), dtype=torch.int32), WINDOW, y=y[WINDOW - 1 :])

    def taken(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        batch = windows.batch(rows.long())
        assert batch.y is not None
        return batch.x, batch.y

    def epoch(number: int) -> Batches:
        order = epoch_order(len(windows), 0, number)
        for first in range(0, len(order), BATCH):
            yield taken(order[first : first + BATCH])

    return epoch


def loader(x: torch.Tensor, y: torch.Tensor, *, whole_batches: bool) -> Callable[[int], Batches]:
    """Epochs of a ``DataLoader`` over materialised windows, in the same order."""
    made = x.unfold(0, WINDOW, 1).transpose(1, 2).contiguous()
    data = TensorDataset(made, y[WINDOW - 1 :])

    def epoch(number: int) -> Batches:
        order = epoch_order(len(data), 0, number).tolist()
        if whole_batches:
            yield from DataLoader(data, batch_size=None, sampler=BatchSampler(order, BATCH, drop_last=False))
        else:
            yield from DataLoader(data, batch_size=BATCH, sampler=order)

    return epoch


WAYS: dict[str, Callable[[torch.Tensor, torch.Tensor], Callable[[int], Batches]]] = {
    "windows cut by index": cut_by_index,
    "DataLoader, one window an item": lambda x, y: loader(x, y, whole_batches=False),
    "DataLoader, one batch an item": lambda x, y: loader(x, y, whole_batches=True),
}


def parity() -> int:
    """Batches of one epoch that are the same three ways.

    Raises
    ------
    AssertionError : a batch differs in a bit.
    """
    x, y = table(20_000)
    batches = 0
    for mine, *theirs in zip(*(way(x, y)(3) for way in WAYS.values()), strict=True):
        for other in theirs:
            assert torch.equal(mine[0], other[0]), f"windows of batch {batches} differ"
            assert torch.equal(mine[1], other[1]), f"targets of batch {batches} differ"
        batches += 1
    return batches


def seconds() -> dict[str, float]:
    """Median CPU seconds of a batch each way, in turns; making the windows and the order of the epoch is not in it."""
    x, y = table()
    ready = {name: way(x, y) for name, way in WAYS.items()}
    found: dict[str, list[float]] = {name: [] for name in ready}
    for turn in range(ROUNDS):
        for name, epoch in ready.items():
            batches = epoch(turn)
            for _ in range(10):
                next(batches)
            began = time.process_time()
            for _ in range(TIMED_BATCHES):
                next(batches)
            found[name].append((time.process_time() - began) / TIMED_BATCHES)
    return {name: median(times) for name, times in found.items()}


def memory(name: str, rows: int) -> float:
    """Highest resident memory of a process of its own that walks through an epoch, in sizes of the raw data."""
    script = f"from benchmarks import window_sampling as w; print(w.memory_here({name!r}, {rows}))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"{name}, {rows} rows: {found.stderr.strip().splitlines()[-1]}"
    return float(found.stdout)


def memory_here(name: str, rows: int) -> float:
    """The same, of this process."""
    torch.set_num_threads(1)
    small = table(2_000)
    for batch in WAYS[name](*small)(0):  # what is loaded at first use is no data
        del batch
    del small
    give_back_freed_memory()  # a batch of these is none of the data's
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the highest size is counted from now on
    x, y = table(rows)
    for batch in WAYS[name](x, y)(0):
        del batch
    return (_resident("VmHWM") - before) / (x.nbytes + y.nbytes)


def _resident(field: str) -> int:
    status = Path("/proc/self/status")
    if not status.is_file():
        raise FileNotFoundError("resident memory is read from /proc/self/status, which this system has not.")
    line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def main() -> str:
    """Check, then measure."""
    torch.set_num_threads(1)
    same = parity()
    timed = seconds()
    ours, *others = WAYS
    one_symbol = {name: memory(name, ROWS) for name in WAYS}
    many = memory(ours, MANY)
    rows = [
        [name, f"{timed[name] * 1e6:,.0f}", f"{timed[name] / timed[ours]:.2f}", f"{one_symbol[name]:.2f}", "not made"]
        for name in WAYS
    ]
    rows[0][-1] = f"{many:.2f}"
    batch = BATCH * WINDOW * FEATURES * 4
    share = {n: 100 * batch / (n * (FEATURES + 1) * 4) for n in (ROWS, MANY)}
    text = "\n\n".join(
        (
            "# Window sampling",
            f"Windows of {WINDOW} rows from a table of {ROWS:,} x {FEATURES} float32, batches of {BATCH}; {same} batches of an "
            f"epoch were the same bit for bit, targets too. CPU microseconds a batch, median of {ROUNDS} rounds of "
            f"{TIMED_BATCHES} batches; memory of a fresh process over a whole epoch, in sizes of table and targets.",
            markdown_table(
                ["way", "microseconds a batch", "times ours", f"memory, {ROWS:,} rows", f"memory, {MANY:,} rows"], rows
            ),
            f"On top of table and targets are four bytes a window for its place and four for the order of the epoch "
            f"({100 * 8 / (4 * (FEATURES + 1)):.1f} %), and one batch, {batch / 1e6:.1f} MB: {share[ROWS]:.1f} % of the data "
            f"of one symbol, {share[MANY]:.1f} % of that of eight ({MANY * (FEATURES + 1) * 4 / 1e6:.0f} MB). A batch is as "
            f"large for any table, so the bar on memory is applied where it is less than 1 % of it. Bars: {FASTER:g} times "
            f"faster than the loader as mostly written; memory {MEMORY:g} on {MANY:,} rows.",
        )
    )
    assert timed[others[0]] >= FASTER * timed[ours], text
    assert many <= MEMORY, text
    return text
