"""Times and lengths as the feedback loop counts them: whole milliseconds."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from huracan.errors import DataError

__all__ = ["whole_milliseconds"]


def whole_milliseconds(value: Any, what: str) -> int:
    """A time (milliseconds UTC) or a length as an ``int``; ``what`` begins the sentence where it is none.

    A ``datetime`` is none: a database would keep it, or compare it with nothing, where a number is meant.

    Raises
    ------
    DataError : no whole number.

    Examples
    --------
    >>> import numpy as np
    >>> whole_milliseconds(np.int64(60_000), "a bar is")
    60000
    >>> whole_milliseconds(0.5, "a bar is")
    Traceback (most recent call last):
    huracan.errors.DataError: a bar is 0.5; whole milliseconds were expected.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise DataError(f"{what} {value!r}; whole milliseconds were expected.")
    return int(value)
