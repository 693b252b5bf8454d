"""Windows cut by index from one contiguous table; none is ever made before it is needed.

A table holds rows of one symbol and segment together, oldest first. A window is its last row and a length; a batch of
windows is one gather. What a training needs in memory is the table, its targets, and four bytes a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from huracan.errors import DataError

__all__ = ["Batch", "WindowTable", "bars_before"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows with their targets: ``x`` (batch, length, features), ``y`` (batch, ...) or None, ``weight`` (batch,) or None.

    ``condition`` (batch,) holds whole numbers a task may condition on (a regime, say), or is None.
    """

    x: torch.Tensor
    y: torch.Tensor | None
    weight: torch.Tensor | None
    condition: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class WindowTable:
    """A table of rows, and the windows that may be cut from it.

    Attributes
    ----------
    table : float (rows, features), contiguous; rows of one symbol and segment lie together, oldest first.
    last : int32 (n,), the row each window ends in. The caller sees to it that the ``length - 1`` rows above belong to the
        same symbol and segment, see :func:`bars_before`.
    length : rows in a window.
    y : (n, ...) targets, or None. weight : float (n,), or None where all weigh the same. condition : int64 (n,) or None.

    Examples
    --------
    >>> table = torch.arange(6.0).reshape(6, 1)
    >>> windows = WindowTable(table, torch.tensor([2, 5], dtype=torch.int32), 3)
    >>> windows.batch(torch.tensor([1, 0])).x[:, :, 0]
    tensor([[3., 4., 5.],
            [0., 1., 2.]])
    """

    table: torch.Tensor
    last: torch.Tensor
    length: int
    y: torch.Tensor | None = None
    weight: torch.Tensor | None = None
    condition: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if self.table.ndim != 2 or not self.table.is_contiguous():
            raise DataError(f"the table has shape {tuple(self.table.shape)}; contiguous rows x features were expected.")
        if len(self.last) and (int(self.last.min()) < self.length - 1 or int(self.last.max()) >= len(self.table)):
            raise DataError(
                f"windows of {self.length} rows end in rows {int(self.last.min())} to {int(self.last.max())} of a table of "
                f"{len(self.table)}; from {self.length - 1} to {len(self.table) - 1} were expected."
            )
        for name in ("y", "weight", "condition"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.last):
                raise DataError(f"{name} has {len(value)} rows where there are {len(self.last)} windows.")

    def __len__(self) -> int:
        return len(self.last)

    @property
    def n_features(self) -> int:
        """Columns of the table."""
        return self.table.shape[1]

    def take(self, which: torch.Tensor) -> WindowTable:
        """The windows of these numbers, over the same table."""
        cut: dict[str, Any] = {}
        for name in ("last", "y", "weight", "condition"):
            value = getattr(self, name)
            cut[name] = None if value is None else value[which]
        return replace(self, **cut)

    def to(self, device: torch.device, dtype: torch.dtype, *, moved_table: torch.Tensor | None = None) -> WindowTable:
        """The same windows on a device, with table, targets and weights in this precision; classes stay whole numbers.

        ``moved_table`` is the table where it has been taken there already.
        """

        def moved(value: torch.Tensor | None) -> torch.Tensor | None:
            if value is None:
                return None
            return value.to(device, dtype) if value.is_floating_point() else value.to(device)

        cut: dict[str, Any] = {name: moved(getattr(self, name)) for name in ("last", "y", "weight", "condition")}
        table = self.table.to(device, dtype) if moved_table is None else moved_table
        return replace(self, table=table, **cut)

    def batch(self, which: torch.Tensor) -> Batch:
        """Cut the windows of these numbers (int64)."""
        return Batch(
            self._rows(self.last.index_select(0, which)),
            None if self.y is None else self.y.index_select(0, which),
            None if self.weight is None else self.weight.index_select(0, which),
            None if self.condition is None else self.condition.index_select(0, which),
        )

    def in_order(self, size: int) -> Iterator[Batch]:
        """All windows, ``size`` at a time."""
        for start in range(0, len(self), size):
            stop = min(start + size, len(self))
            yield self.batch(torch.arange(start, stop, device=self.last.device))

    def _rows(self, last: torch.Tensor) -> torch.Tensor:
        if self._strided is not None:
            return torch.from_numpy(self._strided[last.numpy() - (self.length - 1)]).view(len(last), self.length, -1)
        rows = (last.long()[:, None] + self._offsets).reshape(-1)
        return self.table.index_select(0, rows).view(len(last), self.length, -1)

    @cached_property
    def _offsets(self) -> torch.Tensor:
        return torch.arange(1 - self.length, 1, device=self.table.device)

    @cached_property
    def _strided(self) -> NDArray[np.generic] | None:
        """Every window as one row of a view; numpy copies whole rows of it faster than torch gathers single ones."""
        if self.table.device.type != "cpu":
            return None
        values = self.table.numpy()
        rows, width = values.shape
        step = values.strides[0]
        shape = (max(rows - self.length + 1, 0), self.length * width)
        return np.lib.stride_tricks.as_strided(values, shape, (step, values.itemsize), writeable=False)


def bars_before(
    symbol_code: NDArray[np.integer],
    segment: NDArray[np.integer],
    ts: NDArray[np.datetime64] | None,
    step: np.timedelta64 | None,
) -> NDArray[np.int64]:
    """How many unbroken bars stand before each row of a table sorted by symbol and time.

    Parameters
    ----------
    symbol_code, segment : (n,). ts : datetime64 (n,); with ``step``, a row that is not one ``step`` after the row above it
        begins anew, because a bar between them is missing from the table.

    Returns
    -------
    int64 (n,): a window of length L may end in a row that has at least L - 1.

    Examples
    --------
    >>> bars_before(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), None, None).tolist()
    [0, 1, 0, 0]
    """
    n = len(symbol_code)
    begins = np.ones(n, bool)
    begins[1:] = (symbol_code[1:] != symbol_code[:-1]) | (segment[1:] != segment[:-1])
    if ts is not None and step is not None:
        begins[1:] |= np.diff(ts) != step
    row = np.arange(n)
    return row - np.maximum.accumulate(np.where(begins, row, 0))
