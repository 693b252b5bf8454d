"""What callers of a predictor and of champions give, checked and read alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Literal, SupportsFloat

import polars as pl

from huracan.errors import DataError
from huracan.preprocessing.online_candles import moment_of

__all__ = ["MaxAge", "milliseconds_by", "no_candles", "require_label", "require_limits", "usual_age"]

MaxAge = timedelta | Literal["auto"] | None
"""From a model's newest label on, after which it is vetoed; ``auto`` is :func:`usual_age`, None never."""


def require_limits(*, refresh: float | None, max_age: MaxAge, stale_after: float | None, anomaly_share: float) -> None:
    """Refuse limits that are no finite numbers above 0; None is none, and an age may be ``auto``.

    Raises
    ------
    DataError : one is something else, or the share is above 1.
    """
    _require_above_zero("refresh", refresh, "seconds")
    if isinstance(max_age, str):
        if max_age != "auto":
            raise DataError(f"max_age is {max_age!r}; a length of time, None, or 'auto' was expected.")
    else:
        _require_above_zero("max_age", None if max_age is None else max_age.total_seconds(), "seconds")
    _require_above_zero("stale_after", stale_after, "bars")
    _require_above_zero("anomaly_share", anomaly_share, "usual windows", most=1.0)


def usual_age(bar: int | None) -> timedelta:
    """How old a model may be that nobody set a limit for: thirty days, or 720 bars where these are longer.

    A month of hours is as much as it takes to learn anew and to be compared; on bars of a day that is two years.

    Parameters
    ----------
    bar : length of a bar, milliseconds; None where it is not known.

    Examples
    --------
    >>> [usual_age(bar).days for bar in (None, 60_000, 3_600_000, 4 * 3_600_000, 24 * 3_600_000)]
    [30, 30, 30, 120, 720]
    """
    return max(timedelta(days=30), timedelta(milliseconds=720 * (bar or 0)))


def _require_above_zero(name: str, value: float | None, of: str, most: float = math.inf) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0.0 < value <= most and value < math.inf):
        expected = f"a finite number of {of} above 0, or None," if most == math.inf else f"a share of {of} above 0 and up to 1"
        raise DataError(f"{name} is {value!r}; {expected} was expected.")


def require_label(ts: Any, label: Any) -> int:
    """Open of the bar, in milliseconds since 1970, of a label that can be told.

    Raises
    ------
    DataError : the label is no finite number, or ``ts`` no time.
    """
    moment = moment_of(ts)
    if moment is None:
        raise DataError(f"ts of a label is {ts!r:.60}; the open of its bar, with a zone or in milliseconds, was expected.")
    if isinstance(label, bool) or not isinstance(label, SupportsFloat):
        raise DataError(f"label is {label!r:.60}; a number was expected.")
    if not math.isfinite(label):
        raise DataError(f"label is {label}; a finite number was expected.")
    return moment


def milliseconds_by(clock: Callable[[], datetime] | None) -> Callable[[], float]:
    """What tells the present in milliseconds since 1970: a clock, or the computer's."""
    present = time.time if clock is None else lambda: clock().timestamp()
    return lambda: present() * 1_000.0


def no_candles() -> pl.DataFrame:
    """Candles of nothing, canonical."""
    from huracan.market import CANDLE_SCHEMA

    return pl.DataFrame(schema=CANDLE_SCHEMA)
