"""One column of categories: how often each came in the reference, and chi-square of a window that holds under dependence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.mlops.column_tests import FEWEST_REFERENCE, FEWEST_WINDOW, TestSettings, stability
from huracan.mlops.drift_report import ColumnDrift, DistributionPair
from huracan.mlops.honest_tails import cosines_for, honest_p_value
from huracan.mlops.unseen_values import UnseenValues, usual_spells
from huracan.statistics.moments import Moments
from huracan.statistics.quadratic_forms import QuadraticForm
from huracan.statistics.quantile_indicators import bin_projections, never_too_steady

__all__ = ["MISSING", "CategoryReference"]

MISSING = "(missing)"
"""The category of rows without one."""

_OTHERS, _NEVER_SEEN = "(others)", "(never seen)"
_MOST = 50
_FEWEST_EXPECTED = 2.0
_NAMED = 3


@dataclass(frozen=True, eq=False)
class CategoryReference:
    """A column of categories in the reference.

    Attributes
    ----------
    known : every category that came, most frequent first. bins : the number of its bin, of each: of more than 50 the rare
        ones share the last bin.
    shares : (B,) of the bins. projections : (J, B) of their indicators on the lowest J cosines of time; J is 0 where rows were
        taken as independent.
    unseen : spells in its newer half of values that its older half had not: where there are some, values without end are usual.
    """

    name: str
    n_moments: int
    known: tuple[str, ...]
    bins: NDArray[np.intp]
    shares: NDArray[np.float64]
    projections: NDArray[np.float64]
    unseen: int = 0

    @classmethod
    def of(cls, name: str, values: pl.Series, moments: Moments, settings: TestSettings) -> CategoryReference:
        """From categories in order of time, null where missing."""
        filled = values.fill_null(MISSING)
        counts = filled.value_counts(sort=True)
        known = tuple(counts.sort(["count", filled.name], descending=[True, False])[filled.name].to_list())
        bins = np.minimum(np.arange(len(known)), _MOST - 1)
        n_bins = int(bins[-1]) + 1 if len(bins) else 0
        nu = settings.cosines(moments.n)
        number = _numbers(filled, known)
        shares, projection = bin_projections(bins[number], max(n_bins, 1), moments, nu)
        kept = projection.astype(np.float32).astype(np.float64)
        return cls(name, moments.n, known, bins, shares, kept, usual_spells(number, moments))

    @property
    def n_cosines(self) -> int:
        """That are kept; 0 where rows were taken as independent."""
        return len(self.projections)

    def covariance(self, n_cosines: int) -> NDArray[np.float64]:
        """(B, B) long-run, of the indicators of the bins, by the lowest ``n_cosines``."""
        independent = np.diag(self.shares) - np.outer(self.shares, self.shares)
        lowest = self.projections[:n_cosines]
        if not len(lowest):
            return independent
        return never_too_steady(lowest.T @ lowest / len(lowest), np.diagonal(independent))

    def test(self, values: pl.Series, moments: Moments, settings: TestSettings) -> tuple[ColumnDrift, DistributionPair | None]:
        """A window's categories in order of time; ``q_value`` is left open."""
        n = moments.n
        if self.n_moments < FEWEST_REFERENCE or n < FEWEST_WINDOW:
            short = (
                f"{self.n_moments} moments of reference and {n} of window, {FEWEST_REFERENCE} and {FEWEST_WINDOW} are needed"
            )
            return ColumnDrift(self.name, "category", note=short), None
        filled = values.fill_null(MISSING)
        number = _numbers(filled, self.known)
        seen = number >= 0
        weights = moments.weights()
        observed = (
            np.bincount(self.bins[number[seen]], None if weights is None else weights[seen], minlength=len(self.shares)) / n
        )
        new_share = float((~seen).sum() if weights is None else weights[~seen].sum()) / n
        drawn = self._pair(observed, new_share)
        if self.unseen:  # what was never seen is as rare as the rarest
            observed[-1] += new_share
        found, notes = self._test_shares(observed, n, settings)
        unseen = UnseenValues.of(~seen, moments, n_reference=self.n_moments, usual=self.unseen)
        if unseen.moments:
            new = filled.filter(~seen).unique(maintain_order=True).to_list()
            shown = ", ".join(f"'{name}'" for name in new[:_NAMED]) + (
                f" and {len(new) - _NAMED} more" if len(new) > _NAMED else ""
            )
            notes.append(f"never seen in the reference: {shown}, {unseen.share:.1%} of the window")
            found["drifted"] = unseen.plain
            found["p_value"] = min(1.0, 2.0 * min(found.get("p_value", 1.0), unseen.p_value))
        return ColumnDrift(self.name, "category", note="; ".join(notes), **found), drawn

    def _pair(self, observed: NDArray[np.float64], new_share: float) -> DistributionPair:
        """Both as bars, what the reference never saw as one of its own."""
        names, before, now = self._bin_names(), self.shares, observed.copy()
        if new_share > 0.0:
            names, before, now = (*names, _NEVER_SEEN), np.append(before, 0.0), np.append(now, new_share)
        place = np.arange(len(names), dtype=np.float64)
        return DistributionPair(self.name, place, np.cumsum(before), np.cumsum(now), None, names, before, now)

    def _test_shares(self, observed: NDArray[np.float64], n: int, settings: TestSettings) -> tuple[dict[str, Any], list[str]]:
        """Chi-square of bins that hold enough separate events; the others are one."""
        nu = min(self.n_cosines, cosines_for(self.n_moments, n))
        every = self.covariance(nu)
        spread = self.shares * (1.0 - self.shares)
        inflation = np.divide(np.diagonal(every), spread, out=np.ones_like(spread), where=spread > 0)
        few = n * self.shares / np.maximum(inflation, 1.0) < _FEWEST_EXPECTED
        if self.unseen:
            few[-1] = True  # together with all that is rare: which values these are was chosen by the reference
        few[self.shares.argmax()] = False
        if few.sum() == 1 and len(few) > 2:  # one rare bin joins the rarest of the others
            few[np.where(few, np.inf, self.shares).argmin()] = True
        group = np.cumsum(~few) - 1
        group[few] = int((~few).sum())
        joined = np.eye(int(group.max()) + 1)[group]
        expected, seen, covariance = self.shares @ joined, observed @ joined, joined.T @ every @ joined
        if len(expected) < 2:
            return {}, ["one category holds nearly all of the reference; there is no share to test"]
        independent = QuadraticForm.independent(len(expected))
        null = independent
        if settings.n_cosines:
            null = QuadraticForm.estimated(expected, covariance, nu, n)
        square = float(((seen - expected) ** 2 / expected).sum()) / (1.0 / n + 1.0 / self.n_moments)
        p_value = null.p_value(square) if not settings.n_cosines else honest_p_value(null.p_value(square), nu)
        told: dict[str, Any] = {"statistic": square, "p_value": p_value, "n_eff": null.effective(n, len(expected))}
        return told | stability(expected, seen, n, self.n_moments, null, settings.alpha), []

    def bin_of(self, values: pl.Series) -> NDArray[np.intp]:
        """The bin of each row of what it was made of."""
        return self.bins[_numbers(values.fill_null(MISSING), self.known)]

    def _bin_names(self) -> tuple[str, ...]:
        if len(self.known) > _MOST:
            return (*self.known[: _MOST - 1], _OTHERS)
        return self.known


def _numbers(values: pl.Series, known: tuple[str, ...]) -> NDArray[np.intp]:
    """Place of each value among the known, -1 for none."""
    place = values.replace_strict(list(known), list(range(len(known))), default=-1, return_dtype=pl.Int64)
    return place.to_numpy().astype(np.intp)
