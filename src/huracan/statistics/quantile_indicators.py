"""Shares below reference quantiles, and how much such shares move when the series remembers.

Whether a value lies below a quantile is a series of zeros and ones. The share of ones in a later window is a mean, and its
error is given by the long-run covariance of the indicators: autocorrelation, overlapping windows and volatility clustering all
show in it, whatever the distribution of the values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from huracan.statistics.moments import Moments
from huracan.statistics.weighted_sample import WeightedSample

__all__ = ["QuantileIndicators", "between", "bin_projections", "never_too_steady", "quantile_thresholds"]

_BLOCKS = 1_000
_STEADIEST = 0.25


@dataclass(frozen=True, eq=False)
class QuantileIndicators:
    """Indicators ``x <= threshold`` of a reference series.

    Attributes
    ----------
    thresholds : (K,) ascending. shares : (K,) share of reference moments at or below each, strictly between 0 and 1.
    projections : (J, K) of the indicators on the lowest J cosines of time; J is 0 where independence was assumed and nothing
        estimated. n_moments : of the reference.

    Examples
    --------
    Values that remember make shares that move more: an AR(.9) as if there were about ten times fewer of them.

    >>> from scipy.signal import lfilter
    >>> noise = np.random.default_rng(0).standard_normal(5_000)
    >>> calm = QuantileIndicators.of(noise, Moments.each_row(5_000), n_thresholds=19, n_cosines=28)
    >>> slow = QuantileIndicators.of(lfilter([1.0], [1.0, -0.9], noise), Moments.each_row(5_000), n_thresholds=19, n_cosines=28)
    >>> bool(0.5 < calm.inflation()[9] < 1.8), bool(6 < slow.inflation()[9] < 20)
    (True, True)
    """

    thresholds: NDArray[np.float64]
    shares: NDArray[np.float64]
    projections: NDArray[np.float64]
    n_moments: int

    @classmethod
    def of(
        cls,
        values: NDArray[np.floating],
        moments: Moments,
        *,
        n_thresholds: int,
        n_cosines: int,
        sample: WeightedSample | None = None,
    ) -> QuantileIndicators:
        """From values in order of time, none NaN.

        Parameters
        ----------
        n_thresholds : quantiles at 1/(K+1) .. K/(K+1); a value that many rows share keeps one, and one beneath it.
        n_cosines : averaged in the covariance; 0 takes the rows as independent.
        sample : ``values`` in ascending order, where the caller has them.
        """
        ordered = WeightedSample.of(values, None if moments.even else moments.weights()) if sample is None else sample
        thresholds = quantile_thresholds(ordered, n_thresholds)
        if not n_cosines:
            shares = ordered.share(thresholds)
            return cls(thresholds, shares, np.zeros((0, len(shares))), moments.n)
        bins = np.zeros(len(values), np.int16)  # a pass a threshold takes a fifth of a search a value
        for threshold in thresholds.astype(values.dtype):
            bins += values > threshold
        share, projection = bin_projections(bins, len(thresholds) + 1, moments, n_cosines)
        return cls(thresholds, np.cumsum(share)[:-1], np.cumsum(projection, axis=1)[:, :-1], moments.n)

    @property
    def n_cosines(self) -> int:
        """How many the covariance is the mean of."""
        return len(self.projections)

    def of_cosines(self, n_cosines: int) -> QuantileIndicators:
        """With the lowest ``n_cosines`` alone: fewer see a slower part of the spectrum, with more error."""
        if n_cosines >= self.n_cosines:
            return self
        return replace(self, projections=self.projections[:n_cosines])

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """(K, K) long-run: the number of moments times the covariance of their mean."""
        independent = independent_covariance(self.shares)
        if not self.n_cosines:
            return independent
        return never_too_steady(self.projections.T @ self.projections / self.n_cosines, np.diagonal(independent))

    @property
    def variance(self) -> NDArray[np.float64]:
        """(K,) the diagonal of :attr:`covariance`."""
        return np.diagonal(self.covariance) if self.n_cosines else self.shares * (1.0 - self.shares)

    def inflation(self) -> NDArray[np.float64]:
        """How many times more each share moves than that of independent rows (K,)."""
        return self.variance / (self.shares * (1.0 - self.shares))

    def bin_shares(self, at: NDArray[np.intp]) -> NDArray[np.float64]:
        """Shares of the bins between the thresholds numbered ``at``, the outer ones open: (len(at) + 1,)."""
        return between(self.shares[at])

    def bin_covariance(self, at: NDArray[np.intp]) -> NDArray[np.float64]:
        """Long-run covariance of those shares."""
        inner = np.pad(self.covariance[np.ix_(at, at)], 1)
        return np.diff(np.diff(inner, axis=0), axis=1)


def quantile_thresholds(sample: WeightedSample, n_thresholds: int) -> NDArray[np.float64]:
    """Values of the sample at shares ``1/(K+1) .. K/(K+1)``, each once; at or below each lie some of the rows and never all.

    A value that more rows share than lie between two quantiles is an atom. It also gets the largest value beneath it as a
    threshold, so that what lies below and what lies above can each be told from it.

    Examples
    --------
    >>> quantile_thresholds(WeightedSample(np.arange(1.0, 101.0)), 4).tolist()
    [20.0, 40.0, 60.0, 80.0]
    >>> quantile_thresholds(WeightedSample(np.array([-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0])), 3).tolist()
    [-1.0, 0.0]
    >>> len(quantile_thresholds(WeightedSample(np.ones(10)), 3))
    0
    """
    drawn = sample.quantiles(n_thresholds + 1)[1:-1]
    if np.all(drawn[1:] > drawn[:-1]) and drawn[-1] < sample.values[-1]:
        return drawn
    distinct = np.unique(drawn)
    first = np.searchsorted(sample.values, distinct, side="left")
    top = distinct == sample.values[-1]
    atom = (sample.share(distinct) - sample.share(distinct, "left") > 1.0 / (n_thresholds + 1)) | top
    beneath = sample.values[first[atom & (first > 0)] - 1].astype(np.float64)
    return np.unique(np.concatenate([distinct[~top], beneath]))


def bin_projections(
    bins: NDArray[np.integer], n_bins: int, moments: Moments, n_cosines: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of each bin, and the projections of its indicator on the lowest cosines of time.

    Moments are first averaged in up to 1,000 blocks, which the cosines meant here cannot tell from single moments. The mean of
    the products of the projections of two bins estimates the long-run covariance of their indicators.

    Parameters
    ----------
    bins : (rows,) from 0 to ``n_bins - 1``, in order of time.

    Returns
    -------
    shares : (n_bins,). projections : (n_cosines, n_bins).

    References
    ----------
    Lazarus, Lewis, Stock and Watson (2018), "HAR Inference: Recommendations for Practice", JBES 36(4).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> share, projection = bin_projections(rng.integers(0, 2, 10_000), 2, Moments.each_row(10_000), 200)
    >>> share.round(1).tolist(), bool(abs((projection.T @ projection / 200)[0, 1] + 0.25) < 0.05)
    ([0.5, 0.5], True)
    """
    weights = moments.weights()
    share = np.bincount(bins, weights, minlength=n_bins) / moments.n
    if not n_cosines:
        return share, np.zeros((0, n_bins))
    length = -(-moments.n // _BLOCKS)
    blocks = moments.n // length
    spare = moments.n - blocks * length
    if moments.of_row is None:
        cell = np.repeat(np.arange(0, blocks * n_bins, n_bins), length) + bins[spare:]
    else:
        first = int(np.searchsorted(moments.of_row, spare))
        cell = (moments.of_row[first:] - spare) // length * n_bins + bins[first:]
        weights = None if weights is None else weights[first:]
    table = np.bincount(cell, weights, minlength=blocks * n_bins).reshape(blocks, n_bins) / length
    return share, _cosines(blocks, n_cosines) @ (table - share) * np.sqrt(length)


def between(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of the bins between shares at or below their bounds, the outer bins open."""
    bounds = np.empty(len(shares) + 2)
    bounds[0], bounds[1:-1], bounds[-1] = 0.0, shares, 1.0
    return bounds[1:] - bounds[:-1]


def independent_covariance(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """That of indicators ``x <= threshold`` of independent rows: ``min(F_k, F_l) - F_k F_l``."""
    covariance: NDArray[np.float64] = np.minimum.outer(shares, shares) - np.outer(shares, shares)
    return covariance


def never_too_steady(covariance: NDArray[np.float64], independent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raise variances that are less than a quarter of those of independent rows.

    A column that swings in a fixed cycle has next to no variance at low frequencies; a window that ends within the cycle still
    differs a little from the reference, and no test may take that for certainty.
    """
    lacking = np.maximum(_STEADIEST * independent - np.diagonal(covariance), 0.0)
    return covariance + np.diag(lacking) if lacking.any() else covariance


@lru_cache(maxsize=64)
def _cosines(blocks: int, n_cosines: int) -> NDArray[np.float64]:
    """``sqrt(2/B) cos(pi j (b + 1/2) / B)``: (n_cosines, B)."""
    j, b = np.arange(1, n_cosines + 1)[:, None], np.arange(blocks) + 0.5
    waves = np.sqrt(2.0 / blocks) * np.cos(np.pi * j * b / blocks)
    waves.flags.writeable = False
    return waves
