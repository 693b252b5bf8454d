"""The arithmetic that environments are written in: NumPy on a processor, PyTorch on whatever device, the same lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["NUMPY", "NumpyArrays", "TensorArrays"]


class NumpyArrays:
    """NumPy under the names that :mod:`huracan.accounting.step` and the environments use."""

    float64 = np.float64
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
        return values[rows]

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
        return bool(flags.any())

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
        self.float64 = torch.float64
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

    def empty_observations(self, n: int, width: int) -> Any:
        """float32 (n, width), not filled."""
        return self._torch.empty((n, width), dtype=self._torch.float32, device=self.device)

    @staticmethod
    def windows(features: Any, length: int) -> Any:
        """Every window of ``length`` rows as one row of a view, (rows - length + 1, length * d)."""
        rows, d = features.shape
        return features.as_strided((max(rows - length + 1, 0), length * d), (d, 1))


NUMPY = NumpyArrays()
