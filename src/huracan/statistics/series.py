"""One check for every series that inference is run on."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError, NotEnoughData
from huracan.statistics.sample_checks import LARGEST, SMALLEST, as_numbers

__all__ = ["MINIMUM_OBSERVATIONS", "as_series"]

MINIMUM_OBSERVATIONS = 20
"""Fewer time points than this leave no long-run variance to estimate."""


def as_series(
    x: ArrayLike, name: str = "the series", *, minimum: int = MINIMUM_OBSERVATIONS, may_be_constant: bool = False
) -> NDArray[np.float64]:
    """Return ``x`` as a finite float64 array, one series (n,) or a batch of them (repetitions, n), or say why not.

    Raises
    ------
    DataError : not numbers, not one or two dimensions, a value is not finite or too large to square (its place is named), all
        are too small to square, or a series is constant and may not be.
    NotEnoughData : fewer than ``minimum`` observations.

    Examples
    --------
    >>> as_series([1, 2, 4], minimum=3)
    array([1., 2., 4.])
    """
    values = as_numbers(x, name)
    if values.ndim not in (1, 2):
        raise DataError(f"{name} has {values.ndim} dimensions; one series, or repetitions x time, was expected.")
    n = values.shape[-1]
    if n < minimum:
        raise NotEnoughData(f"{name} has {n} observation(s) in time; at least {minimum} are needed.")
    bad = ~np.isfinite(values)
    if bad.any():
        where = tuple(map(int, np.argwhere(bad)[0]))
        raise DataError(f"{name} holds {values[where]} at row {where[-1]}; finite numbers were expected.")
    largest = np.abs(values).max(axis=-1, initial=0.0)
    if np.any(largest > LARGEST):
        where = tuple(map(int, np.unravel_index(np.abs(values).argmax(), values.shape)))
        raise DataError(f"{name} holds {values[where]:g} at row {where[-1]}; its square overflows, rescale the data.")
    vanishing = (largest > 0.0) & (largest < SMALLEST)
    if np.any(vanishing):
        raise DataError(
            f"{name} holds nothing larger than {float(np.max(largest, where=vanishing, initial=0.0)):g}; its square vanishes, "
            "rescale the data."
        )
    if may_be_constant:
        return values
    # a spread at the level of rounding is no spread: 0.1 + 0.2 - 0.3 is not evidence
    constant = np.ptp(values, axis=-1) <= 64 * np.finfo(np.float64).eps * largest
    if np.any(constant):
        first = values if values.ndim == 1 else values[int(np.argmax(constant))]
        raise DataError(f"{name} is {first[0]:g} in all {n} rows; without variation no standard error can be estimated.")
    return values
