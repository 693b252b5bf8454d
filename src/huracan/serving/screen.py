"""Whether a row of features is like those a model was trained on: quickly where it is, in words where it is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from huracan.serving.signal import Veto, VetoKind
from huracan.serving.sketch import TrainingSketch

__all__ = ["Screen"]

_SHOWN = 3


class Screen:
    """The training range of each column, and the sketch of all of them together.

    Parameters
    ----------
    columns : d names. low, high : (d,), infinite where not known. sketch : of the training rows, or None.

    Examples
    --------
    >>> screen = Screen(("a", "b"), np.zeros(2, np.float32), np.ones(2, np.float32), None)
    >>> screen.passes(np.array([0.5, 0.5], np.float32)), [veto.why for veto in screen.vetoes(np.array([0.5, 2.0], np.float32))]
    (True, ['b is 2, 0 to 1 in training'])
    """

    def __init__(
        self, columns: Sequence[str], low: NDArray[np.float32], high: NDArray[np.float32], sketch: TrainingSketch | None
    ) -> None:
        d = len(columns)
        self.columns, self.low, self.high, self.sketch = tuple(columns), low, high, sketch
        self._median = np.zeros(d, np.float32) if sketch is None else sketch.median
        self._whitening = np.zeros((1, d), np.float32) if sketch is None else sketch.whitening
        self._limit = 0.0 if sketch is None else sketch.limit**2

    def passes(self, x: NDArray[np.float32]) -> bool:
        """Whether nothing speaks against a row (d,); False also where it holds NaN."""
        apart = self._whitening @ (x - self._median)
        if not apart @ apart <= self._limit:
            return False
        return not ((x < self.low).any() or (x > self.high).any())

    def pass_many(self, X: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """:meth:`passes` of rows (n, d), and whether each is finite throughout.

        >>> screen = Screen(("a", "b"), np.zeros(2, np.float32), np.ones(2, np.float32), None)
        >>> screen.pass_many(np.array([[0.5, 0.5], [0.5, 2.0], [0.5, np.nan]], np.float32))
        (array([ True, False, False]), array([ True,  True, False]))
        """
        whole = np.asarray(np.isfinite(X).all(axis=1))
        with np.errstate(invalid="ignore"):
            apart = (X - self._median) @ self._whitening.T
            usual = np.asarray((apart * apart).sum(axis=1) <= self._limit)
        return whole & usual & ~((self.low > X) | (self.high < X)).any(axis=1), whole

    def vetoes(self, x: NDArray[np.float32]) -> list[Veto]:
        """What speaks against a row, the first three columns by name."""
        missing, infinite = np.flatnonzero(np.isnan(x)), np.flatnonzero(np.isinf(x))
        if len(missing):
            return [Veto(VetoKind.MISSING_VALUE, f"{self._named(missing)} without a value")]
        if len(infinite):
            return [Veto(VetoKind.INFINITE_FEATURE, f"{self._named(infinite)} infinite")]
        found = []
        outside = np.flatnonzero((x < self.low) | (x > self.high))
        if len(outside):
            said = [f"{self.columns[i]} is {x[i]:.6g}, {self.low[i]:.6g} to {self.high[i]:.6g} in training" for i in outside]
            more = f"; and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
            found.append(Veto(VetoKind.OUT_OF_RANGE, "; ".join(said[:_SHOWN]) + more))
        if self.sketch is not None and (far := self.sketch.distance(x)) > self.sketch.limit:
            found.append(Veto(VetoKind.FAR_FROM_TRAINING, f"distance {far:.4g}, the limit is {self.sketch.limit:.4g}"))
        return found

    def _named(self, at: NDArray[np.intp]) -> str:
        shown = ", ".join(self.columns[i] for i in at[:_SHOWN])
        return f"{shown} and {len(at) - _SHOWN} more" if len(at) > _SHOWN else shown
