"""How returns are distributed: moments, quantiles, and how heavy the tails are, with intervals that know of clustering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.statistics import ewc_t_test

__all__ = ["QUANTILES", "ReturnDistribution", "TailIndex", "return_distribution", "tail_index"]

QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
"""Quantiles that are reported."""
TAIL = 0.025
"""Share of the observations that counts as one tail."""
_LEAST_TAIL = 25


@dataclass(frozen=True)
class TailIndex:
    """Hill's estimate of one tail: the chance of a move beyond x falls like ``x ** -index``.

    Attributes
    ----------
    index : moments of order ``index`` and above do not exist. low, high : 95 % interval that holds where extremes come in
        clusters; ``None`` where it cannot be given. n_tail : observations in the tail.
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
    """Hill's tail index of the largest ``share`` of ``values``, which stand in time order.

    With the threshold u, ``1 / index`` is the mean of ``log(x / u)`` over the exceedances. Its interval is that of a ratio
    of two means of dependent series (delta method, equal-weighted-cosine long-run variance), since in markets extremes
    come in clusters and the textbook ``index / sqrt(k)`` is far too short. To first order a threshold that is estimated
    adds nothing where the tail is a power law; that it is one from the threshold on is assumed. Measured coverage on
    10,000 rows of which the extreme ones stand alone, or in clusters of 5, 10 and 20: 97, 92, 90 and 85 % (textbook in
    clusters of 20: 38 %); of 20 on 40,000 rows: 96 %.

    References
    ----------
    Hill (1975), Annals of Statistics 3; Hsing (1991), Annals of Statistics 19 (dependent data).

    Examples
    --------
    >>> pareto = (1 - np.random.default_rng(1).random(10_000)) ** (-1 / 3)
    >>> found = tail_index(pareto)
    >>> found.n_tail, found.low < 3 < found.high
    (250, True)
    """
    x = np.asarray(values, dtype=np.float64)
    threshold = float(np.quantile(x, 1.0 - share))
    beyond = x > threshold
    k = int(beyond.sum())
    if k < _LEAST_TAIL or threshold <= 0.0:
        return TailIndex(None, None, None, k)
    excess: NDArray[np.float64] = np.where(beyond, np.log(np.where(beyond, x, threshold) / threshold), 0.0)
    inverse = float(excess.sum() / k)
    influence = (excess - inverse * beyond) / (k / len(x))
    test = ewc_t_test(influence, name="the tail")
    half = (test.ci_high - test.ci_low) / 2
    if not test.decidable or not np.isfinite(half):
        return TailIndex(1 / inverse, None, None, k)
    factor = float(np.exp(half / inverse))  # on the scale of logarithms: a ratio, and never below zero
    return TailIndex(1 / inverse, 1 / inverse / factor, factor / inverse, k)
