"""Panels: what many symbols say at one time is one observation, not many."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.statistics.sample_checks import as_numbers

__all__ = ["average_by_time"]


def average_by_time(values: ArrayLike, times: ArrayLike) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Average over everything that has the same time.

    The losses of forty coins in one hour move together; a test that counts them as forty observations finds
    differences that are not there. Inference runs on the means over time.

    Parameters
    ----------
    values : (n,) or (n, k) floats. times : (n,) anything that sorts, in any order.

    Returns
    -------
    unique_times : ascending. mean : of the rows at each of them, (number of times,) or (number of times, k).

    Raises
    ------
    DataError : values and times do not fit, values are no numbers, or a time is missing or of another kind.

    Examples
    --------
    >>> times, mean = average_by_time([1.0, 3.0, 10.0], [7, 7, 8])
    >>> times.tolist(), mean.tolist()
    ([7, 8], [2.0, 10.0])
    """
    number = as_numbers(values, "values")
    time = np.asarray(times)
    if number.ndim not in (1, 2) or time.ndim != 1 or len(number) != len(time):
        raise DataError(f"values {number.shape} and times {time.shape}: one time for every row was expected.")
    missing = np.flatnonzero(time != time)
    if len(missing):
        raise DataError(f"the time of row {missing[0]} is missing; a time for every row was expected.")
    try:
        if len(time) > 1 and not np.all(time[1:] >= time[:-1]):
            order = np.argsort(time, kind="stable")
            time, number = time[order], number[order]
    except TypeError as error:
        raise DataError(f"times are not of one kind that sorts ({error}); one time for every row was expected.") from error
    if not len(time):
        return time, number
    start = np.flatnonzero(np.concatenate(([True], time[1:] != time[:-1])))
    if len(start) == len(time):
        return time.copy(), number.copy()
    count = np.diff(np.append(start, len(time)))
    total = np.add.reduceat(number, start, axis=0)
    return time[start], total / (count if number.ndim == 1 else count[:, None])
