"""One check for every sample that classical inference is run on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError, NotEnoughData

__all__ = [
    "LARGEST",
    "SMALLEST",
    "SMALLEST_P",
    "as_numbers",
    "as_pairs",
    "as_sample",
    "check_alternative",
    "check_differences",
    "check_open_unit",
    "check_seed",
    "never_zero",
    "p_value_text",
    "rounding",
]

LARGEST, SMALLEST = 1e150, 1e-150
"""Numbers beyond these have squares that overflow, or vanish."""

SMALLEST_P = float(np.finfo(np.float64).tiny)
"""The smallest p-value that is ever given."""

_SMALLEST_WRITTEN = 1e-300


def as_numbers(values: Any, name: str, *, each: str = "row") -> NDArray[np.float64]:
    """Return any array-like of real numbers as float64 of its shape, or say that it is none; what is masked becomes NaN.

    Examples
    --------
    >>> as_numbers([1, True], "a")
    array([1., 1.])
    """
    try:
        raw = plain(values)
        if raw.dtype.kind not in "biufO":
            raise TypeError(f"they are of type {raw.dtype}")
        return raw.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} does not hold plain numbers ({error}); one finite number a {each} was expected.") from error


def as_sample(
    values: ArrayLike,
    name: str,
    *,
    minimum: int = 2,
    purpose: str = "this test",
    row: str = "row",
    rows: str = "observation(s)",
) -> NDArray[np.float64]:
    """Return ``values`` as one finite float64 array, or say why not, calling its entries ``row`` and ``rows``.

    Raises
    ------
    DataError : not one dimension, not numbers, or a value is missing or not finite (its row is named).
    NotEnoughData : fewer than ``minimum`` values.

    Examples
    --------
    >>> as_sample([1, 2, 4], "a")
    array([1., 2., 4.])
    """
    sample = as_numbers(values, name, each=row)
    if sample.ndim != 1:
        raise DataError(f"{name} has shape {sample.shape}; one number for every {row} was expected.")
    if len(sample) < minimum:
        raise NotEnoughData(f"{name} has {len(sample)} {rows}; at least {minimum} are needed for {purpose}.")
    bad = ~np.isfinite(sample)
    if bad.any():
        where = int(np.argmax(bad))
        raise DataError(f"{name} holds {sample[where]} in {row} {where}; finite numbers were expected.")
    largest = float(np.abs(sample).max(initial=0.0))
    if largest > LARGEST:
        where = int(np.argmax(np.abs(sample)))
        raise DataError(f"{name} holds {sample[where]:g} in {row} {where}; its square overflows, rescale the data.")
    if 0.0 < largest < SMALLEST:
        raise DataError(f"{name} holds nothing larger than {largest:g}; its square vanishes, rescale the data.")
    return sample


def as_pairs(
    a: ArrayLike, b: ArrayLike, *, minimum: int = 2, purpose: str = "this test"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two samples of one length, row i of one belonging to row i of the other.

    Examples
    --------
    >>> as_pairs([1, 2], [3, 5])
    (array([1., 2.]), array([3., 5.]))
    """
    first = as_sample(a, "a", minimum=minimum, purpose=purpose)
    second = as_sample(b, "b", minimum=minimum, purpose=purpose)
    if len(first) != len(second):
        raise DataError(f"a has {len(first)} rows and b {len(second)}; pairs need equally many.")
    return first, second


def plain(values: Any) -> NDArray[Any]:
    """Any array-like as a numpy array; the masked values of a masked array become NaN instead of silently returning."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan)
    return np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)


def check_alternative(alternative: str) -> None:
    """Refuse an alternative that does not exist."""
    if alternative not in ("two-sided", "less", "greater"):
        raise DataError(f"alternative is '{alternative}'; 'two-sided', 'less' or 'greater' was expected.")


def check_differences(delta: NDArray[np.float64], noise: float) -> None:
    """Refuse pairs that differ by rounding alone, or all by the same number; ``noise`` is what rounding makes of them.

    Examples
    --------
    >>> check_differences(np.array([1.0, 2.0]), 1e-15)
    """
    if np.abs(delta).max() <= noise:
        raise DataError(f"none of the {len(delta)} pairs differs; signed ranks need pairs that do.")
    if np.ptp(delta) <= noise:
        raise DataError(f"all {len(delta)} pairs differ by {delta[0]:g}; signed ranks need differences that vary.")


def check_open_unit(value: float, name: str) -> None:
    """Refuse a level that is not strictly between 0 and 1."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or not 0.0 < value < 1.0:
        raise DataError(f"{name} is {value!r}; a number between 0 and 1 was expected.")


def check_seed(seed: int) -> None:
    """Refuse a seed that is no whole number from 0 on."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise DataError(f"seed is {seed!r}; a whole number, 0 or more, was expected.")


def never_zero(p_value: Any) -> Any:
    """Return p-values with those that are smaller than any floating point number replaced by the smallest: an upper bound.

    No sample proves anything with certainty.

    Examples
    --------
    >>> never_zero(0.0) > 0.0, never_zero(0.3)
    (True, 0.3)
    """
    if isinstance(p_value, float):
        return max(p_value, SMALLEST_P)
    return np.maximum(p_value, SMALLEST_P)


def p_value_text(p_value: float, digits: int = 3) -> str:
    """A p-value as sentences write it; one that is only a bound, or nearly, is never written as if it had been measured.

    Examples
    --------
    >>> p_value_text(0.01234), p_value_text(never_zero(0.0))
    ('p = 0.0123', 'p < 1e-300')
    """
    return f"p < {_SMALLEST_WRITTEN:g}" if p_value < _SMALLEST_WRITTEN else f"p = {p_value:.{digits}g}"


def rounding(*samples: NDArray[np.float64]) -> float:
    """Return the spread that is nothing but rounding at the scale of these values: 0.1 + 0.2 - 0.3 is not variation."""
    return float(64 * np.finfo(np.float64).eps * max(np.abs(sample).max() for sample in samples))
