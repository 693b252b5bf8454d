"""How long a series remembers: a fitted autoregression, and the cosines that allows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from huracan.statistics.series import as_series

__all__ = ["choose_n_cosines", "default_n_cosines", "fit_autoregression"]

_LOWEST_COSINES = 4
_TOLERATED_BIAS = 0.05
_HOPELESS_BIAS = 0.40


def default_n_cosines(n: int) -> int:
    """Number of cosines for a moderately persistent series of ``n`` observations: ``0.4 n^(2/3)``, at least 4.

    References
    ----------
    Lazarus, Lewis, Stock and Watson (2018), "HAR Inference: Recommendations for Practice", JBES 36(4), eq. (4).

    Examples
    --------
    >>> default_n_cosines(1000), default_n_cosines(250)
    (40, 16)
    """
    return max(_LOWEST_COSINES, round(0.4 * n ** (2 / 3)))


def choose_n_cosines(x: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Choose the number of cosines from the sample size and from how long the series remembers.

    The average of the first B cosine ordinates estimates the spectrum at frequency zero; for a persistent series the
    spectrum falls away from zero, so that many cosines estimate too little variance and the test rejects too often.
    An autoregression (order by AIC) gives the shape of the spectrum; B is the largest number, up to
    :func:`default_n_cosines`, whose average is within 5 % of the spectrum at zero.

    Parameters
    ----------
    x : one series (n,) or a batch (repetitions, n), in time order.

    Returns
    -------
    n_cosines : int array, one per series. hopeless : bool array; true where even 4 cosines would miss 40 % of the
        variance, as for a random walk: the mean of such a series cannot be tested on this many observations.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.standard_normal(1000)
    >>> int(choose_n_cosines(noise)[0]), bool(choose_n_cosines(noise.cumsum())[1])
    (40, True)
    """
    values = as_series(x)
    batch = np.atleast_2d(values)
    n = batch.shape[1]
    most = min(default_n_cosines(n), n - 1)
    phi = fit_autoregression(batch)
    frequency = np.pi * np.arange(most + 1) / n
    lag = np.arange(1, phi.shape[1] + 1)
    real = 1.0 - phi @ np.cos(np.outer(lag, frequency))
    imaginary = phi @ np.sin(np.outer(lag, frequency))
    inverse = real**2 + imaginary**2
    relative = inverse[:, :1] / inverse[:, 1:]
    average = np.cumsum(relative, axis=1) / np.arange(1, most + 1)
    good = average >= 1.0 - _TOLERATED_BIAS
    lowest = min(_LOWEST_COSINES, most)
    chosen = np.where(good.all(axis=1), most, np.maximum(np.argmin(good, axis=1), lowest))
    hopeless = average[:, lowest - 1] < 1.0 - _HOPELESS_BIAS
    return (chosen, hopeless) if values.ndim == 2 else (chosen[0], hopeless[0])


def fit_autoregression(batch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit an autoregression to each row (Yule-Walker by Levinson-Durbin), its order chosen by AIC.

    Parameters
    ----------
    batch : (repetitions, n). Orders up to ``10 log10 n`` (at most n/5) are tried.

    Returns
    -------
    Coefficients (repetitions, highest order), zero beyond each row's chosen order.

    Examples
    --------
    >>> from scipy.signal import lfilter
    >>> series = lfilter([1], [1, -0.7], np.random.default_rng(0).standard_normal(5000))
    >>> bool(abs(fit_autoregression(series[None])[0, 0] - 0.7) < 0.03)
    True
    """
    repetitions, n = batch.shape
    highest = max(1, min(int(10 * np.log10(n)), n // 5))
    covariance = _autocovariance(batch, highest)
    phi = np.zeros((repetitions, highest))
    best = phi.copy()
    variance = covariance[:, 0].copy()
    lowest = n * np.log(variance)
    for order in range(1, highest + 1):
        known = phi[:, : order - 1]
        reflection = (covariance[:, order] - np.einsum("ij,ij->i", known, covariance[:, order - 1 : 0 : -1])) / variance
        phi[:, : order - 1] = known - reflection[:, None] * known[:, ::-1]
        phi[:, order - 1] = reflection
        variance = variance * np.maximum(1.0 - reflection**2, np.finfo(np.float64).tiny)
        criterion = n * np.log(variance) + 2 * order
        better = criterion < lowest
        lowest = np.where(better, criterion, lowest)
        best[better] = phi[better]
    return best


def _autocovariance(batch: NDArray[np.float64], highest: int) -> NDArray[np.float64]:
    n = batch.shape[1]
    size = fft.next_fast_len(n + highest + 1, real=True)
    transform = fft.rfft(batch - batch.mean(axis=1, keepdims=True), size, axis=1)
    return fft.irfft(np.abs(transform) ** 2, size, axis=1)[:, : highest + 1] / n
