"""A loss difference over time: its running sum, and the band that equal models leave with a known probability."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, stdtrit

from huracan.errors import DataError
from huracan.statistics.ewc import ewc_t_test
from huracan.statistics.sample_checks import check_open_unit

__all__ = ["LossPath", "loss_path"]


@dataclass(frozen=True)
class LossPath:
    """Result of :func:`loss_path`.

    Attributes
    ----------
    cumulative : (n,) the differences summed up to and with each moment.
    band : (n,) equal models leave ``-band`` to ``band`` anywhere with probability ``alpha``; infinite where nothing can be
        said.
    first_left : the first moment at which the sum is outside, None where it never is.
    decidable : false where the difference remembers too long for its ``n`` moments.
    """

    cumulative: NDArray[np.float64]
    band: NDArray[np.float64]
    first_left: int | None
    alpha: float
    decidable: bool


def loss_path(difference: ArrayLike, *, alpha: float = 0.05) -> LossPath:
    """When did one model get ahead of the other: the running sum of their loss difference, with a band around zero.

    The sum of n differences of equal models moves like a Brownian motion of the long-run variance. The band
    ``c s sqrt(n) (1 + 2 t / n)`` is left anywhere on the way with probability ``alpha``, c solving the crossing probability of
    a straight line. The long-run variance is of equal-weighted cosines; that it is estimated widens the band by the ratio of
    the t to the normal quantile.

    Parameters
    ----------
    difference : (n,) losses of a less those of b, in time order, at least 20. alpha : probability to leave the band.

    Raises
    ------
    DataError : a value is not finite, all are the same, or ``alpha`` is not between 0 and 1. NotEnoughData : fewer than 20.

    References
    ----------
    Brown, Durbin and Evans (1975), "Techniques for testing the constancy of regression relationships over time", JRSS B 37
    (the line; at 5 % c is .948).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = loss_path(rng.normal(0.3, 1, 1000))
    >>> found.first_left is not None, loss_path(rng.normal(0, 1, 1000)).first_left
    (True, None)
    """
    check_open_unit(alpha, "alpha")
    test = ewc_t_test(difference, name="the loss difference")
    values = np.asarray(difference, dtype=np.float64)
    if values.ndim != 1:
        raise DataError(f"the loss difference has shape {values.shape}; one series was expected.")
    n = len(values)
    cumulative = np.cumsum(values)
    if not test.decidable:
        return LossPath(cumulative, np.full(n, np.inf), None, alpha, False)
    line = _line(alpha)
    # the tail that the line's lowest point has under the normal distribution, read from the t distribution
    widened = float(-stdtrit(test.degrees_of_freedom, ndtr(-line)))
    band = widened * test.standard_error * n * (1.0 + 2.0 * np.arange(1, n + 1) / n)
    outside = np.abs(cumulative) > band
    return LossPath(cumulative, band, int(np.argmax(outside)) if outside.any() else None, alpha, True)


@lru_cache
def _line(alpha: float) -> float:
    """The c for which a Brownian motion on [0, 1] leaves ``c (1 + 2 t)`` on either side with probability ``alpha``.

    >>> round(_line(0.05), 3), round(_line(0.01), 3)
    (0.948, 1.143)
    """
    # one side: P(W(t) >= a + b t somewhere on [0, 1]) = Phi(-a - b) + exp(-2 a b) Phi(b - a), here a = c, b = 2 c
    return float(brentq(lambda c: 2.0 * (ndtr(-3.0 * c) + np.exp(-4.0 * c * c) * ndtr(c)) - alpha, 0.05, 10.0))
