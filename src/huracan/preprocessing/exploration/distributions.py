"""How returns are distributed: moments, quantiles, and how heavy the tails are, with intervals that know of clustering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from huracan.errors import DataError
from huracan.statistics import ewc_t_test

__all__ = ["QUANTILES", "ReturnDistribution", "TailIndex", "return_distribution", "tail_index"]

QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
"""Quantiles that are reported."""
TAIL = 0.05
"""Share of the observations that counts as one tail."""
_LEAST_TAIL = 50
_LEAST_LOG_BEND = -8.0


@dataclass(frozen=True)
class TailIndex:
    """One tail: far out, the chance of a move beyond x falls like ``x ** -index``.

    Attributes
    ----------
    index : moments of order ``index`` and above do not exist; ``None`` where the tail is too short to tell, or lighter than any
        power law. low, high : 95 % interval that holds where extremes come in clusters; ``None`` where it cannot be given, or
        has no upper end. n_tail : observations in the tail.
    """

    index: float | None
    low: float | None
    high: float | None
    n_tail: int


@dataclass(frozen=True)
class ReturnDistribution:
    """Moments and tails of one series of returns; ``quantiles`` stand in the order of :data:`QUANTILES`.

    Mean, deviation, skewness and excess kurtosis describe the sample. Where the tail index is below 4 the kurtosis of the
    market does not exist, and that of the sample grows with its length.
    """

    n: int
    mean: float
    deviation: float
    skewness: float
    excess_kurtosis: float
    smallest: float
    largest: float
    zero_share: float
    quantiles: tuple[float, ...]
    left: TailIndex
    right: TailIndex


def return_distribution(returns: ArrayLike) -> ReturnDistribution:
    """Describe returns in time order; what is not finite is left out.

    Raises
    ------
    DataError : fewer than two values are finite.

    Examples
    --------
    >>> found = return_distribution(np.random.default_rng(0).standard_t(3, 20_000) / 100)
    >>> 2 < found.left.index < 4, bool(found.excess_kurtosis > 3)
    (True, True)
    """
    values = np.asarray(returns, dtype=np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        raise DataError(f"{len(values)} finite return(s); at least two were expected.")
    mean, deviation = float(values.mean()), float(values.std())
    scaled = (values - mean) / deviation if deviation > 0 else np.zeros_like(values)
    return ReturnDistribution(
        n=len(values),
        mean=mean,
        deviation=deviation,
        skewness=float((scaled**3).mean()),
        excess_kurtosis=float((scaled**4).mean() - 3.0) if deviation > 0 else 0.0,
        smallest=float(values.min()),
        largest=float(values.max()),
        zero_share=float((values == 0).mean()),
        quantiles=tuple(float(q) for q in np.quantile(values, QUANTILES)),
        left=tail_index(-values),
        right=tail_index(values),
    )


def tail_index(values: ArrayLike, share: float = TAIL) -> TailIndex:
    """Tail index of the largest ``share`` of ``values``, which stand in time order.

    Beyond the threshold u, squares are taken to be generalised Pareto: a move beyond x has the chance
    ``(1 + (x**2 - u**2) / s) ** (-index / 2)``, with s and the index by maximum likelihood. With ``s = u**2`` that is a power
    law from u on; with others it bends towards one as Student's t does. Hill's estimate takes the bend for the index, and its
    interval, however short, lies beside the truth: on 10,000 rows of t(4) it said 3.2.

    The interval is that of a mean of dependent influences (equal-weighted-cosine long-run variance), since in markets
    extremes come in clusters; to first order a threshold that is estimated adds nothing. Measured coverage of the 95 % interval
    on 2,000, 10,000 and 50,000 rows: Pareto of index 3: 92, 96, 96 %; t(3): 95, 95, 95 %; t(4): 96, 95, 98 %; GARCH of
    index 4.4: 90, 85, 89 %; Pareto in clusters of 5: 87, 93, 92 %, of 20: 89, 84, 90 % (of those that have an
    index: on 2,000 rows every third has none, on 10,000 one in 150). It speaks of the tail as far as it has been seen: t(4)
    under a volatility that wanders lognormally seems to have 3.2, and an interval that is short enough (10,000 rows: 64 %,
    50,000: 12 %) leaves 4 out.

    References
    ----------
    Pickands (1975), Annals of Statistics 3; Smith (1987), Annals of Statistics 15 (likelihood, information); Hsing (1991),
    Annals of Statistics 19 (dependent data).

    Examples
    --------
    >>> found = tail_index(np.random.default_rng(1).standard_t(4, 10_000))
    >>> found.n_tail, found.low < 4 < found.high
    (500, True)
    """
    x = np.asarray(values, dtype=np.float64)
    threshold = float(np.quantile(x, 1.0 - share))
    beyond = x > threshold
    k = int(beyond.sum())
    if k < _LEAST_TAIL or threshold <= 0.0:
        return TailIndex(None, None, None, k)
    excess = (x[beyond] / threshold) ** 2 - 1.0
    shape, bend = _generalised_pareto(excess)
    if shape is None:
        return TailIndex(None, None, None, k)
    influence = np.zeros(len(x))
    influence[beyond] = _influence_on_shape(shape, 1.0 + bend * excess) / (k / len(x))
    test = ewc_t_test(influence, name="the tail")
    half = (test.ci_high - test.ci_low) / 2
    if not test.decidable or not np.isfinite(half):
        return TailIndex(2.0 / shape, None, None, k)
    low = 2.0 / (shape * float(np.exp(half / shape)))  # on the scale of logarithms: short samples err towards light tails
    return TailIndex(2.0 / shape, low, 2.0 / (shape - half) if shape > half else None, k)


def _generalised_pareto(excess: NDArray[np.float64]) -> tuple[float | None, float]:
    """Shape, and shape over scale, of greatest likelihood; no shape where a tail lighter than any power law is likelier.

    The shape that suits a given bend is the mean of ``log(1 + bend * excess)``, so that one number is searched for.
    """

    def cost(log_bend: float) -> float:
        shape = float(np.log1p(np.exp(log_bend) * excess).mean())
        return float(np.log(shape) - log_bend + shape)

    grid = np.linspace(_LEAST_LOG_BEND, 8.0, 41)
    best = int(np.argmin([cost(at) for at in grid]))
    if best == 0:
        return None, 0.0
    found = minimize_scalar(cost, bounds=(grid[best - 1], grid[min(best + 1, 40)]), method="bounded")
    bend = float(np.exp(found.x))
    return float(np.log1p(bend * excess).mean()), bend


def _influence_on_shape(shape: float, stretched: NDArray[np.float64]) -> NDArray[np.float64]:
    """What one excess does to the shape: inverse information times score, ``stretched = 1 + bend * excess``."""
    moved = (1.0 + 1.0 / shape) * (1.0 - 1.0 / stretched)
    of_shape, of_scale = np.log(stretched) / shape**2 - moved / shape, moved - 1.0
    influence: NDArray[np.float64] = (1.0 + shape) * ((1.0 + shape) * of_shape - of_scale)
    return influence
