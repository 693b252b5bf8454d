"""The two classes of a search by log loss: labels as a user gives them, or whether a value is above 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from huracan.errors import DataError

__all__ = ["TwoClasses"]

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class TwoClasses:
    """The names of the lower and the upper class; by default 1 is a value above 0, and 0 any other."""

    names: NDArray[Any] = field(default_factory=lambda: np.array([0, 1]))
    named: bool = False

    @classmethod
    def of(cls, y: Any) -> Self:
        """From labels (n,): two different ones are classes; numbers that are no whole ones are asked for their sign.

        Raises
        ------
        DataError : more than two classes.

        Examples
        --------
        >>> TwoClasses.of([1, 2, 2]).names.tolist(), TwoClasses.of([0.3, -0.2, 0.1]).names.tolist()
        ([1, 2], [0, 1])
        >>> TwoClasses.of(["down", "up", "flat"])
        Traceback (most recent call last):
        ...
        huracan.errors.DataError: y holds 3 classes (down, flat, up); two, or numbers whose sign is asked for, were expected.
        """
        values = np.asarray(y).reshape(-1)
        is_number = values.dtype.kind in "iufb"
        names = np.unique(values[np.isfinite(values)] if is_number else values)
        if len(names) == 2:
            return cls(names, named=True)
        if len(names) > 2 and (not is_number or np.all(names == np.round(names))):
            told = ", ".join(map(str, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
            raise DataError(f"y holds {len(names)} classes ({told}); two, or numbers whose sign is asked for, were expected.")
        return cls()

    def signed(self, y: Any) -> NDArray[np.float64]:
        """Labels (n,) as numbers, of the upper class above 0 and of the lower one not.

        Raises
        ------
        DataError : a label is of neither class.

        Examples
        --------
        >>> TwoClasses.of([1, 2]).signed([2, 1, 2]), TwoClasses.of([0.3, -0.2, 0.1]).signed([0.5, -0.5])
        (array([1., 0., 1.]), array([ 0.5, -0.5]))
        """
        values = np.asarray(y).reshape(-1)
        if not self.named:
            return values.astype(np.float64)
        known = np.isin(values, self.names)
        if not known.all():
            other = values[np.argmin(known)]
            raise DataError(f"y is {other} in row {np.argmin(known)}; {self.names[0]} or {self.names[1]} was expected.")
        return (values == self.names[1]).astype(np.float64)
