"""What a series holds at each frequency: cosine projections, gathered into bands, and what follows from them alone.

Everything here is a sum of squared projections. The projections of a difference are the difference of the projections,
so the comparison of many models needs one transform a model, not one a pair.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

__all__ = ["autocovariances", "band_edges", "band_middles", "cosine_projections", "gathered"]

_BANDS_AT_MOST = 1024
_NARROW = 16


def cosine_projections(batch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Project each row on the cosines ``sqrt(2/n) cos(pi j (t - 1/2) / n)``, ``j = 1 .. n - 1``.

    They are orthonormal and do not see the mean; the square of the j-th estimates the spectrum (times 2 pi) at frequency
    ``pi j / n``, nearly independent of the others.

    Parameters
    ----------
    batch : (repetitions, n).

    Returns
    -------
    (repetitions, n - 1).

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((1, 50))
    >>> bool(np.isclose(np.sum(cosine_projections(x) ** 2), 50 * x.var()))
    True
    """
    n = batch.shape[1]
    centred = batch - batch.mean(axis=1, keepdims=True)
    projection: NDArray[np.float64] = fft.dct(centred, type=2, axis=1, overwrite_x=True)[:, 1:]
    projection /= np.sqrt(2 * n)
    return projection


@lru_cache(maxsize=32)
def band_edges(n: int) -> NDArray[np.int64]:
    """Bounds of the bands of frequencies: band b holds the projections ``edges[b] <= j < edges[b + 1]``.

    Single frequencies up to 32 and wherever ``n`` is small; then bands a sixteenth of their frequency wide, never wider
    than a 1,024th of all frequencies, so that autocovariances at the lags looked at lose nothing by them.

    Examples
    --------
    >>> band_edges(500).tolist() == list(range(1, 501)), len(band_edges(100_000)) < 1200
    (True, True)
    """
    edges = [1]
    while edges[-1] < n:
        width = max(1, min(edges[-1] // _NARROW, n // _BANDS_AT_MOST))
        edges.append(min(n, edges[-1] + width))
    result = np.array(edges, dtype=np.int64)
    result.flags.writeable = False
    return result


def band_middles(n: int) -> NDArray[np.float64]:
    """The middle ``j`` of every band, in units of ``pi / n``."""
    edges = band_edges(n)
    return (edges[:-1] + edges[1:] - 1) / 2


def gathered(projection: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum the squared projections (repetitions, n - 1) over each band: (repetitions, bands)."""
    edges = band_edges(projection.shape[1] + 1)
    square = projection**2
    if len(edges) == projection.shape[1] + 1:
        return square
    return np.add.reduceat(square, edges[:-1] - 1, axis=1)


def autocovariances(power: NDArray[np.float64], n: int, highest: int) -> NDArray[np.float64]:
    """Autocovariances at lags 0 to ``highest`` from the power in bands.

    Those of the series continued by its mirror image at both ends: a spectrum that is nowhere negative, and less bias
    towards zero than the usual estimate, which continues it by its mean.

    Parameters
    ----------
    power : (repetitions, bands), from :func:`gathered`. n : observations.

    Returns
    -------
    (repetitions, highest + 1).
    """
    return power @ _cosine_weights(n, highest) / n


@lru_cache(maxsize=32)
def _cosine_weights(n: int, highest: int) -> NDArray[np.float64]:
    """The mean of ``cos(lag pi j / n)`` over each band: (bands, highest + 1)."""
    edges = band_edges(n)
    lag = np.arange(1, highest + 1)
    bound = np.sin(np.pi / n * np.outer(edges - 0.5, lag))
    mean = np.diff(bound, axis=0) / (2 * np.sin(np.pi * lag / (2 * n))) / np.diff(edges)[:, None]
    return np.column_stack([np.ones(len(mean)), mean])
