"""How probable is the largest of many t statistics whose neighbours are alike?"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, stdtr, stdtrit

from huracan.statistics.sample_checks import SMALLEST_P

__all__ = ["supremum_p_value"]

_NODES = 24
_FAR = 1e-30


def supremum_p_value(p_values: NDArray[np.float64], neighbours: NDArray[np.float64], degrees_of_freedom: float) -> float:
    """Upper bound of the probability that any of K ordered two-sided t tests is as extreme as the most extreme one.

    The bound of Hunter and Worsley takes from the sum of all K probabilities that of each two neighbours together. For
    indicators of ordered quantiles, where whatever joins two of them passes through those between, it is nearly exact. The
    probabilities of pairs are integrals over the tail, not draws, so the result is right in the far tail, where corrections
    for hundreds of features look.

    Parameters
    ----------
    p_values : (K,) of the single tests, each by degrees of freedom of its own.
    neighbours : (K - 1,) correlation of each test's statistic with the next.
    degrees_of_freedom : of the variance that all statistics share; more than 0.

    References
    ----------
    Hunter (1976), "An upper bound for the probability of a union", J. Applied Probability 13;
    Worsley (1982), "An improved Bonferroni inequality and applications", Biometrika 69(2).

    Examples
    --------
    Tests that are one and the same cost nothing, unrelated ones nearly their number:

    >>> alike, unlike = (supremum_p_value(np.full(5, 0.01), np.full(4, r), 28.0) for r in (1.0, 0.0))
    >>> round(alike, 4), bool(0.045 < unlike <= 0.05)
    (0.01, True)
    """
    smallest = max(float(p_values.min()), SMALLEST_P)
    if len(p_values) == 1:
        return smallest
    near = max(smallest, _FAR)  # beyond, the bound stays in proportion to the single probability
    c = -float(stdtrit(degrees_of_freedom, near / 2))
    together = _both_exceed(c, neighbours, degrees_of_freedom)
    bound = max(len(p_values) * near - float(together.sum()), near)
    return min(1.0, bound * (smallest / near))


def _both_exceed(c: float, correlation: NDArray[np.float64], nu: float) -> NDArray[np.float64]:
    """``P(|T1| > c, |T2| > c)`` of bivariate t with the correlations given."""
    x, weight = _nodes()
    t = c * np.exp(x / nu)
    density = np.exp(
        gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi) - (nu + 1) / 2 * np.log1p(t * t / nu) + x
    )
    rho = np.minimum(np.abs(correlation), 1.0 - 1e-9)[:, None]
    spread = np.sqrt((nu + t * t) * (1.0 - rho * rho) / (nu + 1))
    other = stdtr(nu + 1, (rho * t - c) / spread) + stdtr(nu + 1, -(rho * t + c) / spread)
    both: NDArray[np.float64] = 2.0 * (other * (density * weight * t / nu)).sum(axis=1)
    return both


@lru_cache(maxsize=1)
def _nodes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.polynomial.laguerre.laggauss(_NODES)
