"""``TimeSteps``: how far apart the rows of a table are, and its longest hole; what is said of those of two tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.market import written_length

__all__ = ["TimeSteps", "said_of_steps"]

_FEWEST = 20
_EVEN, _NEAR = 0.5, 0.1
_OTHER = 1.5
_LONGER = 4.0
_SHARE = 0.1
_DAY = 86_400_000


@dataclass(frozen=True)
class TimeSteps:
    """Steps from one moment to the next, of rows that come evenly: at least half of the steps are about as long as the median.

    Attributes
    ----------
    dated : whether steps are milliseconds; otherwise what the times count is not known.
    moments : how many. step : the median. second, longest : the two longest steps. since, until : where the longest is.
    """

    dated: bool
    moments: int
    step: float
    second: float
    longest: float
    since: str
    until: str

    @classmethod
    def of(cls, times: NDArray[np.integer], dated: bool, written: Callable[[int], str]) -> TimeSteps | None:
        """From the time of each row, never falling; None where fewer than 20 moments follow the first, or rows come unevenly.

        Parameters
        ----------
        dated : times are milliseconds. written : number of a row -> its time, for people.

        Examples
        --------
        >>> hours = np.r_[0:30, 54:80] * 3_600_000
        >>> steps = TimeSteps.of(hours, True, lambda row: str(hours[row]))
        >>> steps.step, steps.longest / steps.step, steps.since
        (3600000.0, 25.0, '104400000')
        """
        steps = np.diff(times)
        rows = np.flatnonzero(steps)
        steps = steps[rows].astype(np.float64)
        if len(steps) < _FEWEST:
            return None
        median = float(np.median(steps))
        if np.mean(np.abs(steps - median) <= _NEAR * median) < _EVEN:
            return None
        at = int(steps.argmax())
        row = int(rows[at])
        second = float(np.partition(steps, -2)[-2])
        return cls(dated, len(steps) + 1, median, second, float(steps[at]), written(row), written(row + 1))

    @classmethod
    def read(cls, told: Sequence[Any] | None) -> TimeSteps | None:
        """From what :meth:`told` gave.

        Raises
        ------
        ValueError : it is something else.
        """
        if told is None:
            return None
        dated, moments, step, second, longest, since, until = told
        made = cls(bool(dated), int(moments), float(step), float(second), float(longest), str(since), str(until))
        if not (made.step > 0.0 and 0.0 < made.second <= made.longest and isfinite(made.longest) and made.moments > _FEWEST):
            raise ValueError(f"rows are told to be {made.step} apart, at most {made.longest}")
        return made

    def told(self) -> list[Any]:
        """As plain values."""
        return list(astuple(self))

    def hole(self, usual: float) -> str | None:
        """Where its longest hole is, in words; None where that is no longer than others, or short beside the table.

        Parameters
        ----------
        usual : the longest step that is usual, such as a weekend.
        """
        if self.longest <= _LONGER * usual or self.longest < _SHARE * self.moments * self.step:
            return None
        return f"no row between {self.since} and {self.until}" + (f" ({_length(self.longest)})" if self.dated else "")


def said_of_steps(reference: TimeSteps | None, window: TimeSteps | None) -> list[str]:
    """What is to be said of how rows of both follow each other; nothing where they come alike, or nothing is known.

    A hole is longer than four times the second longest step of the reference (nights and weekends recur), and than a tenth of
    the table without it.

    Examples
    --------
    >>> hourly = TimeSteps(True, 500, 3_600_000.0, 3_600_000.0, 3_600_000.0, "2026-01-01", "2026-01-01 01:00")
    >>> minutes = TimeSteps(True, 500, 60_000.0, 60_000.0, 60_000.0, "2026-02-01", "2026-02-01 00:01")
    >>> print(*said_of_steps(hourly, minutes))
    rows of the window are 1m apart, those of the reference 1h: of bars of another length a feature is another one
    >>> broken = TimeSteps(True, 200, 3_600_000.0, 3_600_000.0, 365 * 86_400_000.0, "2025-01-01", "2026-01-01")
    >>> print(*said_of_steps(hourly, broken))
    the window has no row between 2025-01-01 and 2026-01-01 (365 days): both sides of it are taken for one unbroken stretch
    """
    said, usual = [], None
    if reference is not None and window is not None and reference.dated == window.dated:
        if max(reference.step, window.step) <= _OTHER * min(reference.step, window.step):
            usual = reference.second
        else:
            said.append(
                f"rows of the window are {_apart(window)} apart, those of the reference {_apart(reference)}: of bars of "
                "another length a feature is another one"
            )
    for what, steps in (("the reference", reference), ("the window", window)):
        if steps is None:
            continue
        if (hole := steps.hole(steps.second if usual is None else usual)) is not None:
            said.append(f"{what} has {hole}: both sides of it are taken for one unbroken stretch")
    return said


def _apart(steps: TimeSteps) -> str:
    return _length(steps.step) if steps.dated else f"{steps.step:,g}"


def _length(milliseconds: float) -> str:
    if milliseconds > 2 * _DAY:
        return f"{milliseconds / _DAY:,.0f} days"
    if milliseconds < 1.0:
        return f"{milliseconds:.3g} ms"
    unit = 1_000 if milliseconds > 10_000 else 1
    return written_length(round(milliseconds / unit) * unit)
