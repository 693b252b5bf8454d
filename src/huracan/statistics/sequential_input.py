"""What a monitor takes in: finite numbers, in ascending time."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.statistics.sample_checks import plain

__all__ = ["Clock", "as_values"]

_LAST_NANOSECOND_IN_MICROSECONDS = 2**63 // 1000 - 1


def as_values(x: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return a number, or numbers in time order, as a finite float64 array (n,), or say why not.

    Examples
    --------
    >>> as_values(2, "the loss"), as_values([1, 2.5], "the loss")
    (array([2.]), array([1. , 2.5]))
    """
    raw = plain(x)
    if raw.ndim > 1:
        raise DataError(f"{name} has {raw.ndim} dimensions; one value a moment was expected (average symbols first).")
    try:
        if raw.dtype.kind not in "biufO":
            raise TypeError
        values = raw.astype(np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise DataError(f"{name} is of type {raw.dtype}; numbers were expected.") from None
    except OverflowError:
        raise DataError(f"{name} holds a number that no float holds; finite numbers were expected.") from None
    bad = ~np.isfinite(values)
    if bad.any():
        where = int(np.argmax(bad))
        raise DataError(f"{name} holds {values[where]} at row {where} of this update; finite numbers were expected.")
    return values


class Clock:
    """The time of the latest observation, where time is given: it must ascend.

    Times are whole numbers, floats, or moments (datetime, datetime64; without a zone they are UTC), one kind throughout.
    """

    __slots__ = ("_kind", "_latest")

    def __init__(self) -> None:
        self._kind: str | None = None
        self._latest: int | float = 0

    @property
    def runs(self) -> bool:
        """Whether observations have brought their time so far."""
        return self._kind is not None

    def read(self, time: Any, count: int, before: int) -> tuple[str, int | float] | None:
        """Check the times of ``count`` values that follow ``before`` earlier ones; returns what :meth:`move_on` takes."""
        if time is None:
            if self.runs and count:
                raise DataError(f"time is missing; the observation before has time {self._shown(self._latest)}.")
            return None
        kind, moments = _moments(time)
        if len(moments) != count:
            raise DataError(f"time has {len(moments)} entries for {count} observations; one for each was expected.")
        if not count:
            return None
        if not self.runs and before:
            raise DataError(f"time is given, but the {before} observations before came without; give it always or never.")
        if self.runs and kind != self._kind:
            raise DataError(f"time is of kind {kind}; the observations before have times of kind {self._kind}.")
        earlier = np.concatenate(([self._latest], moments[:-1])) if self.runs else moments[:-1]
        later = moments if self.runs else moments[1:]
        bad = ~(later > earlier)
        if bad.any():
            where = int(np.argmax(bad))
            row = where if self.runs else where + 1
            first, second = _shown(kind, earlier[where]), _shown(kind, later[where])
            told = "is repeated (average what has one time first)" if later[where] == earlier[where] else f"follows {first}"
            raise DataError(f"time {second} at row {row} of this update {told}; ascending times were expected.")
        return kind, moments[-1].item()

    def move_on(self, latest: tuple[str, int | float] | None) -> None:
        """Take over what :meth:`read` returned."""
        if latest is not None:
            self._kind, self._latest = latest

    def state(self) -> list[Any] | None:
        """Kind and time of the latest observation, or None."""
        return None if self._kind is None else [self._kind, self._latest]

    @classmethod
    def from_state(cls, state: list[Any] | None) -> Clock:
        """The clock that :meth:`state` described; ``ValueError`` where it described none."""
        clock = cls()
        if state is not None:
            kind, latest = state
            expected = float if kind == "float" else int
            if kind not in ("integer", "float", "moment") or type(latest) is not expected or not abs(latest) < np.inf:
                raise ValueError(f"the latest time is {state}")
            clock._kind, clock._latest = kind, latest
        return clock

    def _shown(self, moment: int | float) -> str:
        return _shown(self._kind, moment)


def _shown(kind: str | None, moment: Any) -> str:
    return str(np.datetime64(int(moment), "ns")) if kind == "moment" else str(moment)


def _moments(time: Any) -> tuple[str, NDArray[Any]]:
    raw = np.atleast_1d(np.asarray(time.to_numpy() if hasattr(time, "to_numpy") else time))
    if raw.ndim > 1:
        raise DataError(f"time has {raw.ndim} dimensions; one for each observation was expected.")
    if raw.dtype.kind == "O" and all(isinstance(item, date) for item in raw):
        raw = np.array([_without_zone(item) for item in raw], dtype="datetime64[us]")
    if raw.dtype.kind == "M":
        if np.isnat(raw).any():
            raise DataError(f"time is missing at row {int(np.argmax(np.isnat(raw)))} of this update.")
        if np.any(np.abs(raw.astype("datetime64[us]").astype(np.int64)) > _LAST_NANOSECOND_IN_MICROSECONDS):
            raise DataError(f"time {raw.max()} is beyond the years 1678 to 2262.")
        return "moment", raw.astype("datetime64[ns]").astype(np.int64)
    if raw.dtype.kind in "iu":
        return "integer", raw.astype(np.int64)
    if raw.dtype.kind == "f":
        if not np.isfinite(raw).all():
            where = int(np.argmax(~np.isfinite(raw)))
            raise DataError(f"time is {raw[where]} at row {where} of this update; finite times were expected.")
        return "float", raw.astype(np.float64)
    raise DataError(f"time is of type {raw.dtype}; whole numbers, floats or datetimes were expected.")


def _without_zone(moment: date) -> date:
    if isinstance(moment, datetime) and moment.tzinfo is not None:
        return moment.astimezone(UTC).replace(tzinfo=None)
    return moment
