"""Sums of squares of estimated shares, with the covariance of those shares estimated too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc, fdtri

from huracan.statistics.sample_checks import never_zero

__all__ = ["QuadraticForm"]

_FEWEST_EVENTS = 1.5
_EVENTS = 2.0
_MANY = 1e8


@dataclass(frozen=True)
class QuadraticForm:
    """The law of ``sum_b (g_b - f_b)^2 / f_b`` over bins, divided by ``1/n + 1/m``, when nothing changed.

    It is ``scale`` times an F variable: chi-square by independent rows, else with the first two moments matched
    (Satterthwaite; Rao and Scott's second order) and with the degrees of freedom that the estimated covariance leaves.

    Attributes
    ----------
    scale : its mean. degrees_of_freedom : of the numerator, 0 where there is one bin only. denominator : of the denominator.

    References
    ----------
    Rao and Scott (1984), "On chi-squared tests for multiway contingency tables", Annals of Statistics 12(1).

    Examples
    --------
    >>> null = QuadraticForm.independent(10)
    >>> round(null.critical(0.05), 2), round(null.p_value(16.92), 3)  # chi-square of 9 degrees of freedom
    (16.92, 0.05)
    """

    scale: float
    degrees_of_freedom: float
    denominator: float

    @classmethod
    def independent(cls, n_bins: int) -> QuadraticForm:
        """Of independent rows."""
        return cls(float(n_bins - 1), float(n_bins - 1), _MANY)

    @classmethod
    def estimated(cls, shares: NDArray[np.float64], covariance: NDArray[np.float64], n_cosines: int, n: int) -> QuadraticForm:
        """Of rows that remember.

        Parameters
        ----------
        shares : (B,) reference shares of the bins, each above 0. covariance : (B, B) long-run, of ``n_cosines`` cosines.
        n : moments of the window; where it holds few separate events a bin, the tail is given more weight.
        """
        root = np.sqrt(shares)
        normed = covariance / np.outer(root, root)
        first = float(np.trace(normed))
        nu = n_cosines
        second = nu**2 / ((nu - 1) * (nu + 2)) * (float((normed * normed).sum()) - first**2 / nu)
        second = max(second, first**2 / max(len(shares) - 1, 1))
        numerator = first**2 / second
        inflation = np.diagonal(covariance) / (shares * (1.0 - shares))
        events = float(np.mean(n * shares / np.maximum(inflation, 1e-12)))
        return cls(first, numerator, max(_FEWEST_EVENTS, min(nu * numerator, _EVENTS * events)))

    def p_value(self, statistic: float) -> float:
        """Probability of a sum as large as this."""
        return float(never_zero(float(fdtrc(self.degrees_of_freedom, self.denominator, statistic / self.scale))))

    def critical(self, alpha: float) -> float:
        """The sum that is exceeded with probability ``alpha``."""
        return _critical(self.degrees_of_freedom, self.denominator, alpha) * self.scale

    def effective(self, n: int, n_bins: int) -> float:
        """Independent rows that would be worth as much as ``n`` of these."""
        return n * (n_bins - 1) / self.scale


@lru_cache(maxsize=256)
def _critical(numerator: float, denominator: float, alpha: float) -> float:
    return float(fdtri(numerator, denominator, 1.0 - alpha))
