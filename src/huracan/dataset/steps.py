"""What follows from the times of rows: the length of a bar, where a gap is, when a label is known."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from huracan.errors import DataError

__all__ = ["LongestStep", "exit_times", "gap_length", "require_one_bar", "usual_step"]

LongestStep: TypeAlias = int | dt.timedelta | np.timedelta64 | None
"""The longest step in time that is no gap: in bars (an int), as a time, or None where nothing is a gap."""

_ONE_DAY = 86_400_000
_ENOUGH_STEPS = 20
"""A symbol of fewer steps may consist of gaps."""


def usual_step(steps: NDArray[np.int64]) -> tuple[int, bool]:
    """The length of a bar, and whether there are bars at all: at least half of the steps in time are as long as each other.

    Where they are not (rows by volume, by event), it is their median, and no row can be said to be missing.

    >>> usual_step(np.array([60, 60, 180, 60])), usual_step(np.array([5, 1, 40, 9]))
    ((60, True), (7, False))
    """
    if not len(steps):
        return _ONE_DAY, True
    if (steps == steps[0]).all():
        return int(steps[0]), True
    lengths, counts = np.unique(steps, return_counts=True)
    most = int(np.argmax(counts))
    return (int(lengths[most]), True) if 2 * counts[most] >= len(steps) else (max(1, int(np.median(steps))), False)


def require_one_bar(steps: NDArray[np.int64], code: NDArray[np.integer], symbols: Sequence[str], bar: int) -> None:
    """Refuse symbols whose own bars have another length: what is known one short bar after a long one begins would be told.

    ``code`` is the symbol of each step.
    """
    for number, symbol in enumerate(symbols):
        mine = steps[code == number]
        own, regular = usual_step(mine)
        if len(mine) >= _ENOUGH_STEPS and regular and own != bar:
            one, other = (np.timedelta64(length, "ms").astype(dt.timedelta) for length in (own, bar))
            raise DataError(
                f"bar lengths are mixed: rows of {symbol} are {one} apart, others {other}; one length was expected."
            )


def gap_length(longest_step: LongestStep, bar: int, regular: bool) -> int | None:
    """The step, in milliseconds, from which on rows do not follow each other; None where every step will do.

    Steps are counted in whole bars, so that an hour that daylight saving inserts, or a leap day, is no gap.

    >>> gap_length(1, 1_000, True), gap_length(dt.timedelta(seconds=4), 1_000, True), gap_length(1, 1_000, False)
    (1501, 4001, None)
    """
    if longest_step is None:
        return None
    if isinstance(longest_step, dt.timedelta | np.timedelta64):
        length = int(np.timedelta64(longest_step) / np.timedelta64(1, "ms"))
        if length >= 1:
            return length + 1
    elif isinstance(longest_step, int | np.integer) and not isinstance(longest_step, bool) and longest_step >= 1:
        return int((int(longest_step) + 0.5) * bar) + 1 if regular else None
    raise DataError(f"longest_step is {longest_step!r}; bars (an int from 1), a length of time above 0 or None was expected.")


def exit_times(ts: NDArray[np.datetime64], label_horizon: int, bar_length: np.timedelta64) -> NDArray[np.datetime64]:
    """When the label of each bar of one series is known: the open time of the bar it is left at, counted in rows.

    Beyond the last row time goes on by ``bar_length``. Never before ``ts + bar_length``, the moment of the decision.

    >>> ts = np.array([0, 1, 5, 6], "M8[h]")
    >>> exit_times(ts, 1, np.timedelta64(1, "h")).astype("M8[h]").astype(int).tolist()
    [5, 6, 7, 8]
    """
    if not len(ts):
        return ts
    padded = np.concatenate((ts, ts[-1] + bar_length * np.arange(1, label_horizon + 2)))
    return np.maximum(padded[1 + label_horizon :], ts + bar_length)
