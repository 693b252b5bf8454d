"""How long a series remembers: a fitted autoregression, a hill beneath it, and the cosines they allow."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.statistics.series import as_series
from huracan.statistics.spectrum import autocovariances, band_edges, band_middles, cosine_projections, gathered

__all__ = ["choose_n_cosines", "cosines_for_power", "default_n_cosines", "fit_autoregression"]

_LOWEST_COSINES = 4
_TOLERATED_BIAS = 0.05
_HOPELESS_BIAS = 0.50
_LONGEST_SEASON = 25
_HILL_SEEN = 5.0
_HILL_CERTAIN = 10.0


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
    B is the largest number, up to :func:`default_n_cosines`, whose average is within 5 % of the spectrum at zero. The
    shape of the spectrum is that of an autoregression (order by AIC, 25 at least allowed, so that the day of hourly bars
    is seen) times, where one shows, a hill at zero: slow movement under much noise, such as a regime, which an
    autoregression of low order overlooks. A likelihood ratio decides; about one white series in sixty shows a hill by
    chance, and is then tested with fewer cosines than it needs.

    Parameters
    ----------
    x : one series (n,) or a batch (repetitions, n), in time order.

    Returns
    -------
    n_cosines : int array, one per series. hopeless : bool array; true where even 4 cosines would miss half of the
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
    chosen, hopeless = cosines_for_power(gathered(cosine_projections(batch)), batch.shape[1])
    return (chosen, hopeless) if values.ndim == 2 else (chosen[0], hopeless[0])


def cosines_for_power(power: NDArray[np.float64], n: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """:func:`choose_n_cosines` for series of which the power in bands (repetitions, bands) is known."""
    most = min(default_n_cosines(n), n - 1)
    lowest = min(_LOWEST_COSINES, most)
    phi = fit_autoregression(autocovariances(power, n, _highest_order(n)), n)
    ordinate = np.arange(most + 1)
    inverse = _inverse_spectrum(phi, np.pi * ordinate / n)
    relative = inverse[:, :1] / inverse[:, 1:]
    hill, gain = _hill(power, phi, n)
    shape = np.where((gain > _HILL_SEEN)[:, None], relative * hill, relative)
    average = np.cumsum(shape, axis=1) / ordinate[1:]
    good = average >= 1.0 - _TOLERATED_BIAS
    chosen = np.where(good.all(axis=1), most, np.maximum(np.argmin(good, axis=1), lowest))
    # a hill that may be chance costs cosines, not the test
    surest = np.where(gain > _HILL_CERTAIN, average[:, lowest - 1], relative[:, :lowest].mean(axis=1))
    return chosen, surest < 1.0 - _HOPELESS_BIAS


def fit_autoregression(covariance: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Fit an autoregression to each row (Yule-Walker by Levinson-Durbin), its order chosen by AIC.

    Parameters
    ----------
    covariance : (repetitions, highest order + 1) autocovariances. n : observations they rest on.

    Returns
    -------
    Coefficients (repetitions, highest order), zero beyond each row's chosen order.

    Examples
    --------
    >>> fit_autoregression(0.7 ** np.arange(4.0)[None], 1000).round(3)
    array([[0.7, 0. , 0. ]])
    """
    repetitions, highest = covariance.shape[0], covariance.shape[1] - 1
    phi = np.zeros((repetitions, highest))
    best = phi.copy()
    variance = covariance[:, 0].copy()
    lowest = n * np.log(variance)
    for order in range(1, highest + 1):
        known = phi[:, : order - 1]
        reflection = (covariance[:, order] - np.einsum("ij,ij->i", known, covariance[:, order - 1 : 0 : -1])) / variance
        phi[:, : order - 1] = known - reflection[:, None] * known[:, ::-1]
        phi[:, order - 1] = reflection
        variance = variance * np.maximum(1.0 - reflection**2, np.finfo(np.float64).eps)
        criterion = n * np.log(variance) + 2 * order
        better = criterion < lowest
        lowest = np.where(better, criterion, lowest)
        best[better] = phi[better]
    return best


def _highest_order(n: int) -> int:
    return max(1, min(max(int(10 * np.log10(n)), _LONGEST_SEASON), n // 5))


def _inverse_spectrum(phi: NDArray[np.float64], frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    phase = np.outer(np.arange(1, phi.shape[1] + 1), frequency)
    real = 1.0 - phi @ np.cos(phase)
    imaginary = phi @ np.sin(phase)
    return real**2 + imaginary**2


def _hill(power: NDArray[np.float64], phi: NDArray[np.float64], n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The likeliest hill at zero in what the autoregression leaves, relative to its top at each of the first cosines.

    Returns
    -------
    shape : (repetitions, most cosines). gain : (repetitions,) twice the log likelihood (Whittle) won over no hill.
    """
    inverse, log_volume, shape = _hills(n)
    used = len(inverse)
    white = power[:, :used] * _inverse_spectrum(phi, np.pi * band_middles(n)[:used] / n)
    count = np.diff(band_edges(n))[:used].sum()
    with_hill = count * np.log(white @ inverse) + log_volume
    likeliest = with_hill.argmin(axis=1)
    gain = count * np.log(white.sum(axis=1)) - with_hill[np.arange(len(power)), likeliest]
    return shape[likeliest], gain


@lru_cache(maxsize=32)
def _hills(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The hills that are tried: ``1 + height / (1 + (j / width)^2)``, over the lowest quarter of the frequencies."""
    most = min(default_n_cosines(n), n - 1)
    middle = band_middles(n)
    used = max(int(np.searchsorted(middle, n / 4)), min(3 * most, len(middle)))
    size = np.diff(band_edges(n))[:used]
    widths = 2.0 ** np.arange(max(1, int(np.log2(size.sum() / 4)) + 1))
    heights = 2.0 ** np.arange(-1, 8)
    width, height = (grid.ravel()[:, None] for grid in np.meshgrid(widths, heights))
    hill = 1.0 + height / (1.0 + (middle[:used] / width) ** 2)
    shape = (1.0 + height / (1.0 + (np.arange(1, most + 1) / width) ** 2)) / (1.0 + height)
    return (1.0 / hill).T, np.log(hill) @ size, shape
