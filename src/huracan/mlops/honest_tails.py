"""How many cosines a window is compared by, and small p-values made right further out than a t distribution is."""

from __future__ import annotations

__all__ = ["FEWEST_COSINES", "cosines_for", "honest_p_value"]

FEWEST_COSINES = 8
"""That a long-run covariance is averaged over."""

_COSINES_A_WINDOW, _COSINES_LESS = 3.5, 7.0
_BEGINS, _POWER = 0.8, 0.7
_FAR, _FAR_POWER = 3e-4, 0.5


def cosines_for(m: int, n: int) -> int:
    """Cosines by which a window of n moments is compared with a reference of m, at most.

    The mean of n moments sees the spectrum up to about 1/n, which is cosine 2 m/n. Fewer are used, since a window that is a
    quarter of its reference is judged far too hard by those where volatility clusters: 28 at ten to one, 8 from four to one.

    >>> cosines_for(5_000, 500), cosines_for(4_000, 500), cosines_for(672, 168)
    (28, 21, 8)
    """
    return max(FEWEST_COSINES, round(_COSINES_A_WINDOW * m / max(n, 1) - _COSINES_LESS))


def honest_p_value(p_value: float, n_cosines: int) -> float:
    """Raise small p-values, for the long-run variance of clustered volatility is more uncertain than that of a t.

    Where indicators cluster, ``n_cosines`` squares are fewer independent ones than they are counted for, and a nominal 0.1 %
    would be 0.4 % of unchanged GARCH windows. Below ``b = .8 / n_cosines`` a p-value becomes ``b (p / b) ** .7``, and
    below .0003 it is raised in this way once more, to the power of .5: it is then right to about twice itself, and 5 % stays as
    it is where a window is a tenth of its reference. Rising, continuous, and never below what comes in. The powers were fitted
    to GARCH windows (``docs/drift.md``).

    Examples
    --------
    >>> [float(f"{honest_p_value(p, 28):.2g}") for p in (0.5, 0.05, 0.01, 1e-4, 1e-8)]
    [0.5, 0.05, 0.014, 0.00055, 1.6e-05]
    """
    begins = _BEGINS / n_cosines
    if p_value < begins:
        p_value = begins * (p_value / begins) ** _POWER
    if p_value < _FAR:
        p_value = _FAR * (p_value / _FAR) ** _FAR_POWER
    return p_value
