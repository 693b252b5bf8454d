"""One check for every sample that classical inference is run on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError, NotEnoughData

__all__ = ["as_pairs", "as_sample", "check_alternative", "check_open_unit", "rounding"]


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
    try:
        sample = np.asarray(plain(values), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} does not hold plain numbers ({error}); one finite number a {row} was expected.") from error
    if sample.ndim != 1:
        raise DataError(f"{name} has shape {sample.shape}; one number for every {row} was expected.")
    if len(sample) < minimum:
        raise NotEnoughData(f"{name} has {len(sample)} {rows}; at least {minimum} are needed for {purpose}.")
    bad = ~np.isfinite(sample)
    if bad.any():
        where = int(np.argmax(bad))
        raise DataError(f"{name} holds {sample[where]} in {row} {where}; finite numbers were expected.")
    if np.abs(sample).max() > 1e150:
        where = int(np.argmax(np.abs(sample)))
        raise DataError(f"{name} holds {sample[where]:g} in {row} {where}; its square overflows, rescale the data.")
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


def check_open_unit(value: float, name: str) -> None:
    """Refuse a level that is not strictly between 0 and 1."""
    if not 0.0 < value < 1.0:
        raise DataError(f"{name} is {value}; a number between 0 and 1 was expected.")


def rounding(*samples: NDArray[np.float64]) -> float:
    """Return the spread that is nothing but rounding at the scale of these values: 0.1 + 0.2 - 0.3 is not variation."""
    return float(64 * np.finfo(np.float64).eps * max(np.abs(sample).max() for sample in samples))
