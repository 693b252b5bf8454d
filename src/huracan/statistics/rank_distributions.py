"""Exact distributions of rank statistics where nothing differs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["mann_whitney_cdf", "signed_rank_cdf"]


def mann_whitney_cdf(n: int, m: int) -> NDArray[np.float64]:
    """``P(U <= u)`` without ties, u = 0 ... n m: the Gaussian binomial coefficient, in whole numbers of any size.

    O(smaller sample x n m), where a recursion over both samples takes minutes at 8 x 20,000.

    Examples
    --------
    >>> (20 * mann_whitney_cdf(3, 3)).round().astype(int).tolist()
    [1, 2, 4, 7, 10, 13, 16, 18, 19, 20]
    """
    small, large = sorted((n, m))
    ways = np.zeros(n * m + 1, dtype=object)
    ways[0] = 1
    for step in range(1, small + 1):  # times (1 - q^(large + step)) / (1 - q^step)
        lag = large + step
        ways[lag:] = ways[lag:] - ways[:-lag]
        padded = np.concatenate([ways, np.zeros(-len(ways) % step, dtype=object)])
        ways = np.add.accumulate(padded.reshape(-1, step), axis=0).reshape(-1)[: n * m + 1]
    at_most = np.add.accumulate(ways)
    return np.array(at_most / at_most[-1], dtype=np.float64)


def signed_rank_cdf(rank: NDArray[np.int64]) -> NDArray[np.float64]:
    """``P(sum of the positive ranks <= w)``, w = 0 ... their sum, every sign being equally likely; up to 50 ranks.

    Examples
    --------
    >>> (8 * signed_rank_cdf(np.array([1, 2, 3]))).astype(int).tolist()
    [1, 2, 3, 5, 6, 7, 8]
    """
    total = int(rank.sum())
    ways = np.zeros(total + 1)
    ways[0] = 1.0
    for value in rank:
        ways[value:] += ways[: total + 1 - value].copy()  # at most 2^50 ways: exact
    at_most = np.cumsum(ways)
    return at_most / at_most[-1]
