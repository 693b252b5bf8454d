"""Do two strategies differ in Sharpe ratio? Ledoit and Wolf's test, which heavy tails and memory do not fool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.special import ndtr, ndtri

from huracan.errors import DataError
from huracan.statistics.bootstrap import optimal_block_length
from huracan.statistics.sample_checks import check_open_unit, check_seed, never_zero
from huracan.statistics.series import as_series

__all__ = ["SharpeDifference", "sharpe_difference_test"]

SharpeMethod = Literal["bootstrap", "hac"]

_GATHERED = 250_000
"""Counts of rows drawn that are held at a time: 2 MB, which stay in the processor's cache."""
_FEWEST_RESAMPLES = 99
_LARGEST_ROOT = 0.97


@dataclass(frozen=True)
class SharpeDifference:
    """Result of :func:`sharpe_difference_test`; all ratios are per bar.

    Attributes
    ----------
    sharpe_a, sharpe_b : mean over standard deviation. difference : a less b; positive: a is better.
    standard_error : of the difference. statistic : ``difference / standard_error``.
    p_value : two-sided. ci_low, ci_high : symmetric interval of the difference.
    n, method : observations; "bootstrap" or "hac".
    block_length, resamples : of the bootstrap; 0 for "hac".
    """

    sharpe_a: float
    sharpe_b: float
    difference: float
    standard_error: float
    statistic: float
    p_value: float
    ci_low: float
    ci_high: float
    n: int
    method: str
    block_length: int
    resamples: int


def sharpe_difference_test(
    returns_a: ArrayLike,
    returns_b: ArrayLike,
    *,
    method: SharpeMethod = "bootstrap",
    block_length: int | Literal["auto"] = "auto",
    resamples: int = 1999,
    confidence: float = 0.95,
    seed: int = 0,
) -> SharpeDifference:
    """Test whether two series of returns have the same Sharpe ratio.

    The difference is a smooth function of the means of the returns and of their squares; its standard error follows from
    their long-run covariance (prewhitened, quadratic spectral kernel, automatic bandwidth). "hac" compares with the
    normal distribution; "bootstrap" with what the studentised difference does in resamples of circular blocks, which is
    more accurate in small samples and with heavy tails.

    Parameters
    ----------
    returns_a, returns_b : (n,) returns of the same bars in time order, in excess of what lying still earns. At least 20.
        Annualise afterwards: by the square root of the bars in a year of 365 days, where returns do not remember.
    method : "bootstrap" or "hac".
    block_length : bars in a block; "auto" follows the memory of the returns (Politis and White) and is 1 where they have none.
    resamples : at least 99; the smallest p-value there can be is ``1 / (resamples + 1)``.
    confidence : level of the interval. seed : of the resamples.

    Raises
    ------
    DataError : returns that do not match or are not finite; constant returns, whose Sharpe ratio is infinite or undefined;
        returns of which one is a multiple of the other, between which nothing can differ; a setting out of bounds.
    NotEnoughData : fewer than 20 observations.

    References
    ----------
    Ledoit and Wolf (2008), "Robust performance hypothesis testing with the Sharpe ratio", Journal of Empirical Finance 15;
    Andrews and Monahan (1992), Econometrica 60; Politis and White (2004), Econometric Reviews 23.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> market = rng.normal(0, 0.01, 1000)
    >>> result = sharpe_difference_test(market + rng.normal(0.001, 0.005, 1000), market)
    >>> result.p_value < 0.01, 0 < result.ci_low < result.difference < result.ci_high
    (True, True)
    """
    _check_settings(method, block_length, resamples, confidence, seed)
    a, b = _checked_returns(returns_a, "returns_a"), _checked_returns(returns_b, "returns_b")
    if a.shape != b.shape:
        raise DataError(f"returns_a has {len(a)} rows and returns_b {len(b)}; returns of the same bars were expected.")
    n = len(a)
    # a Sharpe ratio has no unit: with unit deviations nothing over- or underflows, and no series outweighs the other
    moments = np.column_stack([a / a.std(), b / b.std()])
    moments = np.column_stack([moments, moments**2])
    mean = moments.mean(axis=0)
    centred = moments - mean
    ratios = mean[:2] / np.sqrt(mean[2:] - mean[:2] ** 2)
    gradient = _gradient(mean[None])[0]
    influence = centred @ gradient
    if influence.std() <= 1e-7 * np.abs(gradient).max():
        raise DataError(
            "one of the returns is a multiple of the other: their Sharpe ratios are equal in every sample, and no standard "
            "error can be estimated."
        )
    variance = float(gradient @ _long_run_covariance(centred) @ gradient)
    if not variance > 0.0:
        raise DataError("the long-run variance of the Sharpe difference is zero; its standard error cannot be estimated.")
    error = float(np.sqrt(variance / n))
    difference = float(ratios[0] - ratios[1])
    statistic = difference / error
    if method == "hac":
        block, used = 0, 0
        p_value = float(2 * ndtr(-abs(statistic)))
        half = float(ndtri(0.5 + confidence / 2)) * error
    else:
        block = _block_length(influence) if block_length == "auto" else int(block_length)
        if not 1 <= block <= n // 2:
            raise DataError(f"block_length is {block}; a number from 1 to {n // 2} was expected for {n} observations.")
        used = int(resamples)
        draws = _studentised_resamples(centred, mean, difference, block, used, seed)
        p_value = (1.0 + np.sum(draws >= abs(statistic))) / (used + 1.0)
        rank = min(used, int(np.ceil(confidence * (used + 1))))
        half = float(np.sort(draws)[rank - 1]) * error
    return SharpeDifference(
        sharpe_a=float(ratios[0]),
        sharpe_b=float(ratios[1]),
        difference=difference,
        standard_error=error,
        statistic=statistic,
        p_value=never_zero(float(p_value)),
        ci_low=difference - half,
        ci_high=difference + half,
        n=n,
        method=method,
        block_length=block,
        resamples=used,
    )


def _studentised_resamples(
    centred: NDArray[np.float64], mean: NDArray[np.float64], difference: float, block: int, resamples: int, seed: int
) -> NDArray[np.float64]:
    """``|difference* - difference| / error*`` of each resample, from sums over blocks and their products alone."""
    n = len(centred)
    blocks = n // block
    running = np.concatenate([np.zeros((1, 4)), np.cumsum(np.concatenate([centred, centred[: block - 1]]), axis=0)])
    sums = running[block:] - running[:-block]
    row, column = np.triu_indices(4)
    table = np.column_stack([sums, sums[:, row] * sums[:, column]])
    generator = np.random.default_rng(seed)
    result = np.empty(resamples)
    step = max(1, _GATHERED // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        place = generator.integers(0, n, (rows, blocks)) + n * np.arange(rows)[:, None]
        counts = np.bincount(place.ravel(), minlength=rows * n).reshape(rows, n)
        average = (counts.astype(np.float64) @ table) / blocks
        drawn = average[:, :4]
        product = np.empty((rows, 4, 4))
        product[:, row, column] = product[:, column, row] = average[:, 4:]
        covariance = (product - drawn[:, :, None] * drawn[:, None, :]) / block
        moments = mean + drawn / block
        spread = np.maximum(moments[:, 2:] - moments[:, :2] ** 2, np.finfo(np.float64).tiny)
        gradient = _gradient(moments)
        variance = np.einsum("ri,rij,rj->r", gradient, covariance, gradient) / (blocks * block)
        ratios = moments[:, :2] / np.sqrt(spread)
        distance = np.abs(ratios[:, 0] - ratios[:, 1] - difference)
        # a resample without variation speaks for no difference, whatever was found
        known = variance > 0.0
        result[start : start + rows] = np.where(known, distance / np.sqrt(np.where(known, variance, 1.0)), np.inf)
    return result


def _gradient(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the Sharpe difference in the means of a, b, a squared, b squared: (rows, 4) -> (rows, 4)."""
    mean, square = moments[:, :2], moments[:, 2:]
    cube = np.maximum(square - mean**2, np.finfo(np.float64).tiny ** 0.5) ** 1.5
    sign = np.array([1.0, -1.0])
    return np.column_stack([sign * square / cube, -sign * mean / (2 * cube)])


def _long_run_covariance(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """Prewhitened quadratic spectral estimate (Andrews and Monahan) of the long-run covariance of the four columns."""
    n, k = centred.shape
    before, after = centred[:-1], centred[1:]
    left, root, right = np.linalg.svd(np.linalg.lstsq(before, after, rcond=None)[0].T)
    transition = left @ np.diag(np.minimum(root, _LARGEST_ROOT)) @ right
    white = after - before @ transition.T
    recolour = np.linalg.inv(np.eye(k) - transition)
    covariance = recolour @ _quadratic_spectral(white, _bandwidth(white)) @ recolour.T
    return covariance * n / (n - k)


def _bandwidth(white: NDArray[np.float64]) -> float:
    """Andrews' bandwidth from an AR(1) fitted to each column."""
    before, after = white[:-1], white[1:]
    rho = np.clip(np.sum(before * after, axis=0) / np.sum(before**2, axis=0), -_LARGEST_ROOT, _LARGEST_ROOT)
    variance = np.mean((after - rho * before) ** 2, axis=0)
    curvature = np.sum(4 * rho**2 * variance**2 / (1 - rho) ** 8) / np.sum(variance**2 / (1 - rho) ** 4)
    return float(1.3221 * (curvature * len(white)) ** 0.2)


def _quadratic_spectral(white: NDArray[np.float64], bandwidth: float) -> NDArray[np.float64]:
    n = len(white)
    size = fft.next_fast_len(2 * n, real=True)
    transform = fft.rfft(white, size, axis=0)
    weight = np.zeros(size)
    weight[:n] = _kernel(np.arange(n) / max(bandwidth, 1e-8))
    weight[size - n + 1 :] = weight[n - 1 : 0 : -1]
    # the sum over all lags of weighted cross-products is a product of transforms
    smooth = fft.rfft(weight).real
    spectrum = transform.conj().T @ (transform * smooth[:, None])
    ends = smooth[0] * np.outer(transform[0].conj(), transform[0])
    if size % 2 == 0:
        ends = ends + smooth[-1] * np.outer(transform[-1].conj(), transform[-1])
    covariance: NDArray[np.float64] = (2 * spectrum - ends).real / (size * n)
    return covariance


def _kernel(x: NDArray[np.float64]) -> NDArray[np.float64]:
    angle = np.where(x == 0.0, 1.0, 6 * np.pi * x / 5)
    value = 3 / angle**2 * (np.sin(angle) / angle - np.cos(angle))
    return np.where(x == 0.0, 1.0, value)


def _block_length(influence: NDArray[np.float64]) -> int:
    return int(np.clip(round(float(optimal_block_length(influence).circular)), 1, len(influence) // 5))


def _checked_returns(returns: ArrayLike, name: str) -> NDArray[np.float64]:
    values = as_series(returns, name, may_be_constant=True)
    if values.ndim != 1:
        raise DataError(f"{name} has shape {values.shape}; one series of returns was expected.")
    if np.ptp(values) <= 64 * np.finfo(np.float64).eps * np.abs(values).max():
        kind = "infinite" if values[0] else "undefined"
        raise DataError(f"{name} is {values[0]:g} in all {len(values)} rows; its Sharpe ratio is {kind}.")
    return values / np.abs(values).max()


def _check_settings(method: str, block_length: int | str, resamples: int, confidence: float, seed: int) -> None:
    if method not in ("bootstrap", "hac"):
        raise DataError(f"method is '{method}'; 'bootstrap' or 'hac' was expected.")
    if block_length != "auto" and (isinstance(block_length, bool) or not isinstance(block_length, int | np.integer)):
        raise DataError(f"block_length is {block_length!r}; 'auto' or a whole number was expected.")
    if isinstance(resamples, bool) or not isinstance(resamples, int | np.integer) or resamples < _FEWEST_RESAMPLES:
        raise DataError(f"resamples is {resamples}; a whole number, {_FEWEST_RESAMPLES} or more, was expected.")
    check_open_unit(confidence, "confidence")
    check_seed(seed)
