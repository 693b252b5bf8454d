"""What each symbol of a panel has in a column of the reference, so that a window can be held against some of them only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from huracan.mlops.categories import CategoryReference
from huracan.mlops.column_tests import LEVELS, NumberReference
from huracan.mlops.missing_share import MissingShare
from huracan.statistics.quantile_indicators import QuantileIndicators

__all__ = ["SymbolShares"]

_RAREST = 0.01
"""Share beyond a threshold that few symbols must have there for it to be looked at."""


@dataclass(frozen=True, eq=False)
class SymbolShares:
    """Shares of one column, symbol by symbol.

    Attributes
    ----------
    shares : (s, K) of each symbol's rows, at or below each threshold of a number, or in each bin of a category; NaN for a
        symbol without a value. missing : (s,) of its rows without one.
    """

    shares: NDArray[np.float64]
    missing: NDArray[np.float64]

    @classmethod
    def of_number(
        cls, column: NumberReference, values: NDArray[np.floating], codes: NDArray[np.integer], n_symbols: int
    ) -> SymbolShares:
        """From the rows that a reference was made of.

        Parameters
        ----------
        values : (rows,) NaN where missing. codes : (rows,) number of each row's symbol.
        """
        gone = np.isnan(values)
        counts = np.bincount(codes, minlength=n_symbols)
        missing = np.bincount(codes, gone, minlength=n_symbols) / np.maximum(counts, 1)
        thresholds = np.zeros(0) if column.indicators is None else column.indicators.thresholds
        bins = np.searchsorted(thresholds.astype(values.dtype), values[~gone], side="left")
        below = np.cumsum(_counts(bins, codes[~gone], len(thresholds) + 1, n_symbols), axis=1)
        return cls(_of_all(below)[:, :-1], missing)

    @classmethod
    def of_category(cls, bins: NDArray[np.integer], n_bins: int, codes: NDArray[np.integer], n_symbols: int) -> SymbolShares:
        """From the bin of each row; a missing category is one of them."""
        counts = _counts(bins, codes, n_bins, n_symbols)
        total = counts.sum(axis=1, keepdims=True)
        return cls(_of_all(np.concatenate([counts, total], axis=1))[:, :-1], np.zeros(n_symbols))

    def restricted(
        self, column: NumberReference | CategoryReference, kept: Sequence[int]
    ) -> NumberReference | CategoryReference:
        """The column as it is of the symbols numbered ``kept`` alone, each counting the same.

        Shares are theirs. The long-run covariance of the mean over fewer symbols is larger by no more than the ratio of their
        numbers, which is what it is raised by; quantiles are interpolated between the thresholds.

        Examples
        --------
        >>> from huracan.mlops import DriftDetector
        >>> rng = np.random.default_rng(0)
        >>> calm, wild = rng.standard_normal(500), 4 * rng.standard_normal(500)
        >>> panel = {"ts": np.repeat(np.arange(500), 2), "symbol": ["calm", "wild"] * 500, "x": np.ravel((calm, wild), "F")}
        >>> made = DriftDetector().fit(panel).reference_
        >>> both, alone = made.columns["x"], made.of_symbols(["calm"]).columns["x"]
        >>> bool(both.spread > 1.3), bool(0.9 < alone.spread < 1.1)
        (True, True)
        """
        mine = self.shares[list(kept)]
        some = ~np.isnan(mine).any(axis=1)
        shares = np.clip(mine[some].mean(axis=0), 0.0, 1.0) if some.any() else np.zeros(mine.shape[1])
        more = len(self.shares) / max(int(some.sum()), 1)
        if isinstance(column, CategoryReference):
            return replace(
                column, shares=shares, projections=column.projections * np.sqrt(_ratio(column.shares, shares) * more)
            )
        return _of_number(column, shares, float(self.missing[list(kept)].mean()), more)


def _of_number(column: NumberReference, shares: NDArray[np.float64], missing: float, more: float) -> NumberReference:
    gone = column.missing
    raised = gone.projections * np.sqrt(_ratio(np.array([gone.share]), np.array([missing])) * more)
    column = replace(column, missing=MissingShare(missing, gone.n_moments, raised), sample=None)
    found = column.indicators
    if found is None:
        return column
    between = (shares >= _RAREST) & (shares <= 1.0 - _RAREST)
    between[1:] &= shares[1:] > shares[:-1]
    if not between.any():  # of these symbols nearly all values lie between two thresholds, and nothing can be told of them
        return replace(column, indicators=None, deciles=np.zeros(0, np.intp), quantiles=np.zeros(0), n_moments=0)
    projections = (found.projections * np.sqrt(_ratio(found.shares, shares) * more))[:, between]
    thresholds = found.thresholds[between]
    kept = QuantileIndicators(thresholds, shares[between], projections, found.n_moments)
    deciles = (np.cumsum(between) - 1)[column.deciles[between[column.deciles]]].astype(np.intp)
    ends = column.quantiles[[0, -1]]
    low, high = np.where(np.isfinite(ends), ends, thresholds[[0, -1]])
    points, values = np.concatenate([[0.0], kept.shares, [1.0]]), np.concatenate([[low], thresholds, [high]])
    quantiles = np.interp(np.linspace(0.0, 1.0, LEVELS), points, values)
    return replace(column, indicators=kept, deciles=deciles, quantiles=np.maximum.accumulate(quantiles))


def _ratio(before: NDArray[np.float64], now: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many times the variance of an indicator is what it was."""
    spread = before * (1.0 - before)
    return np.divide(now * (1.0 - now), spread, out=np.zeros_like(spread), where=spread > 0.0)


def _counts(bins: NDArray[np.integer], codes: NDArray[np.integer], n_bins: int, n_symbols: int) -> NDArray[np.intp]:
    """(symbols, bins) rows of each symbol in each bin."""
    return np.bincount(codes * n_bins + bins, minlength=n_symbols * n_bins).reshape(n_symbols, n_bins)


def _of_all(counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """Counts as shares of the last in their row, exactly 0 and 1 where they are; NaN for symbols without rows."""
    total = counts[:, -1:]
    return np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
