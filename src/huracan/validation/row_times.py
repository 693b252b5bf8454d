"""When each row is decided and when its label is known, in one form for every splitter."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.dataset import TrainingSet, split_keys
from huracan.errors import DataError, NotEnoughData

__all__ = ["Embargo", "RowTimes"]

Embargo = int | float | dt.timedelta | np.timedelta64
"""An int is bars, a float a share of all times, a timedelta a time."""


@dataclass(frozen=True, eq=False)
class RowTimes:
    """Decision time and label end of every row, as int64, with what splitting needs of them.

    Attributes
    ----------
    decision, label_end : int64 (n,); milliseconds, or row numbers where ``clock`` is false.
    step : length of one bar in the same unit.
    clock : whether the numbers are times.

    Examples
    --------
    >>> times = RowTimes.of(np.zeros((5, 2)), label_horizon=2)
    >>> times.label_end.tolist(), times.clock
    ([2, 3, 4, 5, 6], False)
    """

    decision: NDArray[np.int64]
    label_end: NDArray[np.int64]
    step: int
    clock: bool

    def __post_init__(self) -> None:
        early = self.label_end < self.decision
        if early.any():
            where = int(np.argmax(early))
            raise DataError(
                f"row {where} is decided at {self.moment(self.decision[where])} and its label ends before, at "
                f"{self.moment(self.label_end[where])}; a label ends after its decision."
            )

    def __len__(self) -> int:
        return len(self.decision)

    @classmethod
    def of(
        cls, X: Any, *, decision_time: ArrayLike | None = None, label_end: ArrayLike | None = None, label_horizon: int = 1
    ) -> RowTimes:
        """Find the times of ``X``: a ``TrainingSet``, given times, those of a frame's index or column ``ts``, else row order.

        Without ``label_end`` a label ends ``label_horizon`` bars after its decision.
        """
        if label_horizon < 0:
            raise DataError(f"label_horizon is {label_horizon}; 0 or more bars were expected.")
        if isinstance(X, TrainingSet):
            if decision_time is not None or label_end is not None:
                raise DataError("a TrainingSet knows its times; decision_time and label_end cannot be given beside it.")
            step = max(1, int(X.bar_length / np.timedelta64(1, "ms")))
            return cls(_milliseconds(X.decision_time, "decision_time"), _milliseconds(X.label_end, "label_end"), step, True)
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        given = split_keys(X)[1].ts if decision_time is None else decision_time
        if given is None:
            if label_end is not None:
                raise DataError("label_end was given without decision_time; both were expected.")
            row = np.arange(n, dtype=np.int64)
            return cls(row, row + label_horizon, 1, False)
        decision = _milliseconds(given, "decision_time")
        if len(decision) != n:
            raise DataError(f"decision_time has {len(decision)} rows where X has {n}.")
        unique = np.unique(decision)
        step = max(1, int(np.quantile(np.diff(unique), 0.5, method="higher"))) if len(unique) > 1 else 1
        if label_end is not None:
            end = _milliseconds(label_end, "label_end")
            if len(end) != n:
                raise DataError(f"label_end has {len(end)} rows where X has {n}.")
            return cls(decision, end, step, True)
        padded = np.append(unique, unique[-1] + step * np.arange(1, label_horizon + 1))
        return cls(decision, padded[np.searchsorted(unique, decision) + label_horizon], step, True)

    @cached_property
    def order(self) -> NDArray[np.intp] | None:
        """Rows by decision time; None where they are so already."""
        if len(self) < 2 or bool(np.all(self.decision[1:] >= self.decision[:-1])):
            return None
        return np.argsort(self.decision, kind="stable")

    @cached_property
    def sorted_decision(self) -> NDArray[np.int64]:
        """Decision times, ascending."""
        return self.decision if self.order is None else self.decision[self.order]

    @cached_property
    def sorted_label_end(self) -> NDArray[np.int64]:
        """Label ends in the order of the decisions."""
        return self.label_end if self.order is None else self.label_end[self.order]

    @cached_property
    def latest_label_end(self) -> NDArray[np.int64]:
        """The latest label end among each row and those decided before it."""
        return np.maximum.accumulate(self.sorted_label_end)

    @cached_property
    def first_rows(self) -> NDArray[np.intp]:
        """Where each new decision time begins among the sorted rows, and their number at the end."""
        if not len(self):
            raise NotEnoughData("there are 0 rows to split.")
        at = np.flatnonzero(self.sorted_decision[1:] != self.sorted_decision[:-1]) + 1
        return np.concatenate(([0], at, [len(self)]))

    @property
    def n_times(self) -> int:
        """Number of different decision times."""
        return len(self.first_rows) - 1

    def embargo_length(self, embargo: Embargo) -> int:
        """The embargo in the unit of the times."""
        if isinstance(embargo, np.timedelta64):
            length = int(embargo / np.timedelta64(1, "ms"))
        elif isinstance(embargo, dt.timedelta):
            length = round(embargo.total_seconds() * 1000)
        elif isinstance(embargo, int | np.integer) and not isinstance(embargo, bool):
            return self._not_negative(int(embargo) * self.step, embargo)
        elif isinstance(embargo, float | np.floating):
            if not 0.0 <= embargo < 1.0:
                raise DataError(f"embargo is {embargo}; a float is a share of all times, from 0 to below 1 (an int is bars).")
            return int(np.ceil(embargo * self.n_times)) * self.step
        else:
            raise DataError(f"embargo is {embargo!r}; bars (int), a share (float) or a timedelta was expected.")
        if not self.clock:
            raise DataError(f"embargo is {embargo}, but the rows have no times; give bars (int) or times.")
        return self._not_negative(length, embargo)

    def moment(self, value: int | np.integer[Any]) -> Any:
        """One of the times as the user knows it: datetime64, or a row number."""
        return np.datetime64(int(value), "ms") if self.clock else int(value)

    def rows_at(self, positions: NDArray[np.intp]) -> NDArray[np.intp]:
        """Row numbers, ascending, of positions among the sorted rows."""
        return positions if self.order is None else np.sort(self.order[positions])

    @staticmethod
    def _not_negative(length: int, embargo: object) -> int:
        if length < 0:
            raise DataError(f"embargo is {embargo}; 0 or more was expected.")
        return length


def _milliseconds(times: Any, name: str) -> NDArray[np.int64]:
    if getattr(getattr(times, "dtype", None), "tz", None) is not None:
        times = (
            times.dt.tz_convert("UTC").dt.tz_localize(None)
            if hasattr(times, "dt")
            else times.tz_convert("UTC").tz_localize(None)
        )
    if getattr(getattr(times, "dtype", None), "time_zone", None) is not None:
        times = times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    values = np.asarray(times.to_numpy() if hasattr(times, "to_numpy") else times)
    if values.dtype == object:
        values = np.asarray(values, dtype="datetime64[ms]")
    if not np.issubdtype(values.dtype, np.datetime64):
        raise DataError(f"{name} is {values.dtype}; times (datetime64) were expected.")
    values = values.astype("datetime64[ms]", copy=False)
    missing = np.isnat(values)
    if missing.any():
        raise DataError(f"{name} is missing in row {int(np.argmax(missing))}; every row needs one.")
    return np.ascontiguousarray(values).view(np.int64)
