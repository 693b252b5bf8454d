"""The arithmetic that environments are written in: NumPy on a processor, PyTorch on whatever device, the same lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["NUMPY", "NumpyArrays", "TensorArrays"]


_LINE = 128
"""Bytes that memory is read by, twice a line: tables begin at such a place, so that no entry lies across two."""


class NumpyArrays:
    """NumPy under the names that :mod:`huracan.accounting.step` and the environments use."""

    float64, single = np.float64, np.float32
    abs = staticmethod(np.abs)
    sign = staticmethod(np.sign)
    trunc = staticmethod(np.trunc)
    where = staticmethod(np.where)
    maximum = staticmethod(np.maximum)
    minimum = staticmethod(np.minimum)
    not_equal = staticmethod(np.not_equal)
    log = staticmethod(np.log)
    sqrt = staticmethod(np.sqrt)
    asarray = staticmethod(np.asarray)
    zeros = staticmethod(np.zeros)

    @staticmethod
    def column(values: Any) -> Any:
        """A column of a market."""
        return np.ascontiguousarray(values)

    @staticmethod
    def take(values: Any, rows: Any) -> Any:
        """``values[rows]``."""
        return values.take(rows)

    @staticmethod
    def take_rows(values: Any, rows: Any) -> Any:
        """``values[rows]`` of a table."""
        return values.take(rows, axis=0) if values.flags.c_contiguous else values[rows]

    @staticmethod
    def side_by_side(columns: Any) -> Any:
        """Columns (rows,) as one table for :meth:`gather`."""
        return np.ascontiguousarray(np.stack(columns, axis=1))

    @staticmethod
    def gather(table: Any, rows: Any) -> Any:
        """The columns of these rows, (columns, n). Rows are there: they are not checked once more."""
        return table.take(rows, axis=0, mode="clip").T

    @staticmethod
    def full(n: int, value: float) -> Any:
        """``n`` times the same float64."""
        return np.full(n, value)

    @staticmethod
    def integers(values: Any) -> Any:
        """int64."""
        return np.array(values, np.int64)

    @staticmethod
    def some(flags: Any) -> bool:
        """Whether any is set: where none is, work can be left out."""
        return bool(np.count_nonzero(flags))

    @staticmethod
    def table(shape: tuple[int, ...], kind: str) -> Any:
        """Zeros of a kind of number: "float32", "float64", "int32", "uint8"."""
        itemsize = np.dtype(kind).itemsize
        raw = np.empty(math.prod(shape) * itemsize + _LINE, np.uint8)  # not `zeros`: those get small pages, slow to find
        raw.fill(0)
        first = -raw.ctypes.data % _LINE
        return raw[first : first + math.prod(shape) * itemsize].view(kind).reshape(shape)

    @staticmethod
    def below(values: Any) -> Any:
        """The largest float64 below each, towards 0."""
        return np.nextafter(values, 0.0)

    @staticmethod
    def count(n: int) -> Any:
        """0 to n - 1, int64."""
        return np.arange(n)

    @staticmethod
    def float32(values: Any) -> Any:
        """As float32."""
        return values.astype(np.float32)

    @staticmethod
    def generator(seed: int) -> np.random.Generator:
        """A stream of random numbers."""
        return np.random.default_rng(seed)

    @staticmethod
    def state_of(random: np.random.Generator) -> Any:
        """Where a stream stands, as plain values."""
        return random.bit_generator.state

    @staticmethod
    def set_state(random: np.random.Generator, state: Any) -> None:
        """Let a stream go on from there."""
        random.bit_generator.state = state

    @staticmethod
    def drawn(random: np.random.Generator, n: int) -> Any:
        """``n`` numbers from 0 to below 1, float64."""
        return random.random(n)

    @staticmethod
    def drawn_integers(random: np.random.Generator, n: int, below: int) -> Any:
        """``n`` whole numbers from 0 to ``below - 1``."""
        return (random.random(n) * below).astype(np.int64)  # rounding never reaches ``below``; `integers` takes thrice as long

    @staticmethod
    def numpy(values: Any) -> NDArray[Any]:
        """A NumPy array of one's own."""
        return np.array(values)

    @staticmethod
    def empty_observations(n: int, width: int) -> Any:
        """float32 (n, width), not filled."""
        return np.empty((n, width), np.float32)

    @staticmethod
    def windows(features: Any, length: int) -> Any:
        """Every window of ``length`` rows as one row of a view, (rows - length + 1, length * d)."""
        rows, d = features.shape
        step = features.strides[0]
        shape = (max(rows - length + 1, 0), length * d)
        return np.lib.stride_tricks.as_strided(features, shape, (step, features.itemsize), writeable=False)


class TensorArrays:
    """PyTorch under the same names, on one device; nothing here waits for the device."""

    def __init__(self, device: str | torch.device = "cpu") -> None:
        import torch

        self._torch = torch
        self.device = torch.device(device)
        self.float64, self.single = torch.float64, torch.float32
        self.abs, self.sign, self.trunc = torch.abs, torch.sign, torch.trunc
        self.where, self.log, self.sqrt = torch.where, torch.log, torch.sqrt
        self.not_equal = torch.not_equal

    def maximum(self, a: Any, b: Any) -> Any:
        """Elementwise; either may be a plain number."""
        if not isinstance(b, self._torch.Tensor):
            return a.clamp(min=b)
        return b.clamp(min=a) if not isinstance(a, self._torch.Tensor) else self._torch.maximum(a, b)

    def minimum(self, a: Any, b: Any) -> Any:
        """Elementwise; either may be a plain number."""
        if not isinstance(b, self._torch.Tensor):
            return a.clamp(max=b)
        return b.clamp(max=a) if not isinstance(a, self._torch.Tensor) else self._torch.minimum(a, b)

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        """A tensor on the device."""
        return self._torch.asarray(values, dtype=dtype, device=self.device)

    def column(self, values: Any) -> Any:
        """A column of a market, on the device."""
        return self._torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def take(self, values: Any, rows: Any) -> Any:
        """``values[rows]``."""
        return values.index_select(0, rows)

    def take_rows(self, values: Any, rows: Any) -> Any:
        """``values[rows]`` of a table."""
        return values[rows]

    def side_by_side(self, columns: Any) -> Any:
        """Columns (rows,) as one table for :meth:`gather`."""
        return self.column(np.stack(columns, axis=1))

    def gather(self, table: Any, rows: Any) -> Any:
        """The columns of these rows, (columns, n)."""
        return table.index_select(0, rows).T.contiguous()

    def zeros(self, n: int) -> Any:
        """float64 (n,)."""
        return self._torch.zeros(n, dtype=self.float64, device=self.device)

    def full(self, n: int, value: float) -> Any:
        """``n`` times the same float64."""
        return self._torch.full((n,), value, dtype=self.float64, device=self.device)

    def integers(self, values: Any) -> Any:
        """int64."""
        return self._torch.as_tensor(values, dtype=self._torch.int64, device=self.device).clone()

    @staticmethod
    def some(flags: Any) -> bool:
        """Always: to know would mean to wait for the device."""
        return True

    def table(self, shape: tuple[int, ...], kind: str) -> Any:
        """Zeros of a kind of number: "float32", "float64", "int32", "uint8"."""
        return self._torch.zeros(shape, dtype=getattr(self._torch, kind), device=self.device)

    def below(self, values: Any) -> Any:
        """The largest float64 below each, towards 0."""
        return self._torch.nextafter(values, self._torch.zeros_like(values))

    def count(self, n: int) -> Any:
        """0 to n - 1, int64."""
        return self._torch.arange(n, device=self.device)

    def float32(self, values: Any) -> Any:
        """As float32."""
        return values.to(self._torch.float32)

    def generator(self, seed: int) -> torch.Generator:
        """A stream of random numbers on the device."""
        return self._torch.Generator(self.device).manual_seed(seed)

    @staticmethod
    def state_of(random: torch.Generator) -> Any:
        """Where a stream stands, as plain values."""
        return random.get_state().tolist()

    def set_state(self, random: torch.Generator, state: Any) -> None:
        """Let a stream go on from there."""
        random.set_state(self._torch.tensor(state, dtype=self._torch.uint8))

    def drawn(self, random: torch.Generator, n: int) -> Any:
        """``n`` numbers from 0 to below 1, float64."""
        return self._torch.rand(n, generator=random, dtype=self.float64, device=self.device)

    def drawn_integers(self, random: torch.Generator, n: int, below: int) -> Any:
        """``n`` whole numbers from 0 to ``below - 1``."""
        return self._torch.randint(below, (n,), generator=random, device=self.device)

    @staticmethod
    def numpy(values: Any) -> NDArray[Any]:
        """A NumPy array of one's own."""
        return np.array(values.cpu().numpy()) if hasattr(values, "cpu") else np.array(values)

    def empty_observations(self, n: int, width: int) -> Any:
        """float32 (n, width), not filled."""
        return self._torch.empty((n, width), dtype=self._torch.float32, device=self.device)

    @staticmethod
    def windows(features: Any, length: int) -> Any:
        """Every window of ``length`` rows as one row of a view, (rows - length + 1, length * d)."""
        rows, d = features.shape
        return features.as_strided((max(rows - length + 1, 0), length * d), (d, 1))


NUMPY = NumpyArrays()
