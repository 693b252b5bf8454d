"""One numeric column: what is kept of its reference, and how a window is tested against it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import floor, isfinite, lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from huracan.mlops.drift_report import ColumnDrift, DistributionPair
from huracan.mlops.honest_tails import FEWEST_COSINES, cosines_for, honest_p_value
from huracan.mlops.missing_share import MissingShare
from huracan.mlops.unseen_values import UnseenValues
from huracan.mlops.usual_range import UsualRange
from huracan.statistics.kolmogorov_limits import limiting_p_value
from huracan.statistics.kolmogorov_smirnov import independent_p_value, lattice_p_value
from huracan.statistics.moments import Moments
from huracan.statistics.quadratic_forms import QuadraticForm
from huracan.statistics.quantile_indicators import QuantileIndicators, between
from huracan.statistics.sample_distance import SampleDistance
from huracan.statistics.supremum import supremum_p_value
from huracan.statistics.weighted_sample import WeightedSample

__all__ = ["FEWEST_REFERENCE", "FEWEST_WINDOW", "LEVELS", "NumberReference", "TestSettings", "in_order"]

FEWEST_REFERENCE, FEWEST_WINDOW = 200, 20
"""Moments that a reference and a window need at least."""

LEVELS = 401
"""Quantiles that are kept of a reference."""

_DRAWN = 4
_FEWEST_EVENTS = 1.5
_EXACT = 10_000
_FEW_WORTH = 40.0
_SMALLEST_SPREAD = 1e-300


@dataclass(frozen=True)
class TestSettings:
    """What every column's test shares: see :class:`huracan.mlops.DriftDetector`. ``n_cosines`` 0 takes rows as independent."""

    n_cosines: int
    n_thresholds: int
    psi_bins: int
    alpha: float
    tail_events: float = 2.5

    def cosines(self, n_moments: int) -> int:
        """Cosines kept of a reference of so many moments: as asked, at least 8, at most a tenth of the moments."""
        return 0 if not self.n_cosines else max(FEWEST_COSINES, min(self.n_cosines, n_moments // 10))


@dataclass(frozen=True, eq=False)
class NumberReference:
    """A numeric column of the reference.

    Attributes
    ----------
    indicators : of its quantiles; None where there are too few values, or where all are one (``constant``).
    deciles : which thresholds bound the bins of the PSI.
    quantiles : (401,) from the smallest to the largest. spread : interquartile range over 1.349.
    usual : how far out, and how long still, it has ever been; None without indicators.
    n_moments : with a value. missing : share of those without.
    sample : all values in order, in the memory of the process that fitted; what is stored does without.
    """

    name: str
    n_moments: int
    indicators: QuantileIndicators | None
    deciles: NDArray[np.intp]
    quantiles: NDArray[np.float64]
    constant: float | None
    missing: MissingShare
    usual: UsualRange | None = None
    sample: WeightedSample | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        name: str,
        values: NDArray[np.floating],
        moments: Moments,
        settings: TestSettings,
        codes: NDArray[np.integer] | None = None,
        sample: WeightedSample | None = None,
    ) -> NumberReference:
        """From values in order of time, NaN where missing.

        Parameters
        ----------
        codes : whose each row is, where there are several symbols. sample : ``values`` in their own order, where they are it.
        """
        missing = MissingShare.none(moments.n)
        ordered = in_order(values, moments) if sample is None else sample
        if ordered.holds_nan:
            gone = np.isnan(values)
            missing = MissingShare.of(gone, moments, settings.cosines(moments.n))
            values, moments, codes = values[~gone], moments.kept(~gone), None if codes is None else codes[~gone]
            ordered = in_order(values, moments)
        n = moments.n
        empty = np.zeros(0, np.intp)
        if n < FEWEST_REFERENCE:
            return cls(name, n, None, empty, np.zeros(0), None, missing)
        sample, quantiles = ordered, ordered.quantiles(LEVELS - 1)
        if sample.values[0] == sample.values[-1]:
            return cls(name, n, None, empty, quantiles, float(sample.values[0]), missing, None, sample)
        indicators = QuantileIndicators.of(
            values,
            moments,
            n_thresholds=settings.n_thresholds,
            n_cosines=settings.cosines(n),
            sample=sample,
        )
        deciles = _bounds(sample.quantiles(settings.psi_bins)[1:-1], indicators.thresholds)
        if settings.n_cosines:
            kept = indicators.projections.astype(np.float32).astype(np.float64)  # as they are stored, so that both test alike
            indicators = replace(indicators, projections=kept)
        usual = UsualRange.of(values, sample, codes)
        return cls(name, n, indicators, deciles, quantiles, None, missing, usual, sample)

    @property
    def spread(self) -> float:
        """Robust standard deviation; 0 where at least half of the values are one, or not finite."""
        if not len(self.quantiles):
            return 0.0
        lower, upper = float(self.quantiles[100]), float(self.quantiles[300])
        return upper / 1.349 - lower / 1.349 if isfinite(lower) and isfinite(upper) else 0.0

    def test(
        self,
        values: NDArray[np.floating],
        moments: Moments,
        settings: TestSettings,
        codes: NDArray[np.integer] | None = None,
        sample: WeightedSample | None = None,
        apart: SampleDistance | None = None,
    ) -> tuple[ColumnDrift, DistributionPair | None]:
        """A window's values in order of time, NaN where missing; ``q_value`` is left open.

        Parameters
        ----------
        sample, apart : ``values`` in their own order, and how far they are from those of the reference, where it is known.
        """
        notes: list[str] = []
        missing_p, plain = None, False
        current = in_order(values, moments) if sample is None else sample
        if current.holds_nan or self.missing.share:
            gone = np.isnan(values)
            missing_p, plain, said = self.missing.test(gone, moments, settings.tail_events)
            notes.append(said)
            if current.holds_nan:
                values, moments, codes = values[~gone], moments.kept(~gone), None if codes is None else codes[~gone]
                current, apart = in_order(values, moments), None
        if self.usual is not None and moments.n >= FEWEST_WINDOW:
            limits = (float(self.quantiles[0]), float(self.quantiles[-1]))
            unlike = self.usual.unlike(values, current, moments, codes, limits=limits)
            plain = plain or bool(unlike)
            notes += unlike
        found, pair = self._test_values(values, current, moments, settings, notes, apart, certain=plain)
        p_value = found.get("p_value")
        if missing_p is not None and (p_value is not None or self.n_moments >= FEWEST_REFERENCE):
            found["p_value"] = missing_p if p_value is None else min(1.0, 2.0 * min(p_value, missing_p))
        found["drifted"] = plain or found.get("drifted", False)
        return ColumnDrift(self.name, "number", note="; ".join(notes), **found), pair

    def _test_values(
        self,
        values: NDArray[np.floating],
        current: WeightedSample,
        moments: Moments,
        settings: TestSettings,
        notes: list[str],
        apart: SampleDistance | None,
        *,
        certain: bool,
    ) -> tuple[dict[str, Any], DistributionPair | None]:
        n = moments.n
        if self.n_moments < FEWEST_REFERENCE:
            notes.append(f"the reference has a value at {self.n_moments} moments, {FEWEST_REFERENCE} are needed")
            return {}, None
        if n < FEWEST_WINDOW:
            notes.append(f"the window has a value at {n} moments, {FEWEST_WINDOW} are needed")
            return {"drifted": n == 0}, None
        if self.indicators is None:
            return self._test_constant(values, moments, notes), None
        indicators = self.indicators.of_cosines(cosines_for(self.n_moments, n))
        drawn, k = self.quantiles[::_DRAWN], len(self.indicators.thresholds)
        below = current.share(np.concatenate([self.indicators.thresholds, drawn]))
        shares = below[:k]
        found = _strongest(indicators, shares, n, settings.tail_events)
        apart = self._distance(current, apart, notes)
        found["statistic"] = apart.largest
        if not settings.n_cosines:
            found["p_value"] = self._independent_p_value(apart, len(current.values), n)
        elif not certain:
            notes += self._what_can_be_shown(found, n, settings)
        psi, bins = self._stability(indicators, shares, n, settings)
        edges = tuple(self.indicators.thresholds[self.deciles].tolist())
        pair = DistributionPair(self.name, drawn, self._share(drawn), below[k:], found["at"], edges, *bins)
        return found | psi | {"wasserstein": self._in_spreads(apart, current, notes)}, pair

    def _what_can_be_shown(self, found: dict[str, Any], n: int, settings: TestSettings) -> list[str]:
        """Mark a column of which no window of n moments could show drift, and say how many could."""
        assert self.indicators is not None
        worth = found["n_eff"] * self.n_moments / n
        if found["p_value"] > settings.alpha and not self._can_be_shown(n, settings):
            needed = next((k for k in _longer(n, self.n_moments) if self._can_be_shown(k, settings)), None)
            found |= {"testable": False, "needed": needed}
            how_many = "no window beside this reference can" if needed is None else f"about {needed:,} are needed"
            return [f"cannot be shown to drift by {n:,} moments, worth {found['n_eff']:.1f} independent ones; {how_many}"]
        if worth < _FEW_WORTH:
            return [
                f"remembers long: the whole reference is worth {worth:.0f} independent moments, and its memory less certain"
            ]
        return []

    def _can_be_shown(self, n: int, settings: TestSettings) -> bool:
        """Whether the largest distance there can be, all values beyond one end, has a p-value of alpha or less."""
        assert self.indicators is not None
        indicators = self.indicators.of_cosines(cosines_for(self.n_moments, n))
        ends = (np.zeros_like(indicators.shares), np.ones_like(indicators.shares))
        single = min(float(_each(indicators, end, n, settings.tail_events).min()) for end in ends)
        if honest_p_value(len(indicators.shares) * single, indicators.n_cosines) <= settings.alpha:
            return True  # Bonferroni's bound is enough, mostly, and takes no integral
        return any(_strongest(indicators, end, n, settings.tail_events)["p_value"] <= settings.alpha for end in ends)

    def _test_constant(self, values: NDArray[np.floating], moments: Moments, notes: list[str]) -> dict[str, Any]:
        assert self.constant is not None
        other = values != self.constant
        if not other.any():
            notes.append(f"stands still at {self.constant:g} in both; there is nothing to test")
            return {}
        unseen = UnseenValues.of(other, moments, n_reference=self.n_moments)
        notes.append(f"stood still at {self.constant:g} in the reference and is another value at {unseen.moments} moments")
        direction = "higher" if np.count_nonzero(values > self.constant) * 2 >= np.count_nonzero(other) else "lower"
        told = {"p_value": unseen.p_value, "drifted": unseen.plain, "direction": direction, "at": self.constant}
        return {"statistic": float(other.mean()), **told}

    def _distance(self, current: WeightedSample, apart: SampleDistance | None, notes: list[str]) -> SampleDistance:
        """From the single values of the reference where they are there, else from the quantiles that are kept of them."""
        if self.sample is not None:
            return SampleDistance.of(self.sample, current) if apart is None else apart
        notes.append("statistic and distance at 401 quantiles kept of the reference")
        largest = float(np.abs(self._share(self.quantiles) - current.share(self.quantiles)).max())
        with np.errstate(over="ignore", invalid="ignore"):
            between_them = np.abs(self.quantiles - current.quantiles(LEVELS - 1))
            moved = float((between_them[1:] + between_them[:-1]).mean() / 2)
        return SampleDistance(largest, None, moved if isfinite(moved) else None)

    def _independent_p_value(self, apart: SampleDistance, n_rows: int, n: int) -> float:
        """That of the largest distance, were moments independent."""
        m = self.n_moments
        if apart.steps is not None and self.sample is not None and len(self.sample.values) == m and n_rows == n:
            return independent_p_value(apart.steps, m, n)[0]
        if max(m, n) <= _EXACT:
            return lattice_p_value(floor(apart.largest * lcm(m, n) + 1e-6), m, n)
        return limiting_p_value(apart.largest, m, n)

    def _share(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Reference share at or below each value, to a 400th."""
        return np.maximum(np.searchsorted(self.quantiles, at, side="right") - 1, 0) / (len(self.quantiles) - 1)

    def _stability(
        self, indicators: QuantileIndicators, shares: NDArray[np.float64], n: int, settings: TestSettings
    ) -> tuple[dict[str, float], tuple[NDArray[np.float64], NDArray[np.float64]]]:
        expected = indicators.bin_shares(self.deciles)
        observed = between(shares[self.deciles])
        if len(expected) < 2:
            return {}, (expected, observed)
        if settings.n_cosines:
            covariance = indicators.bin_covariance(self.deciles)
            null = QuadraticForm.estimated(expected, covariance, indicators.n_cosines, n)
        else:
            null = QuadraticForm.independent(len(expected))
        told = stability(expected, observed, n, self.n_moments, null, settings.alpha)
        return told, (expected, observed)

    def _in_spreads(self, apart: SampleDistance, current: WeightedSample, notes: list[str]) -> float | None:
        """Wasserstein's distance in units of the spread."""
        spread = self.spread
        if spread < _SMALLEST_SPREAD:
            return None
        ends = (self.quantiles[0], self.quantiles[-1], current.values[0], current.values[-1])
        if not all(map(isfinite, ends)):
            notes.append("holds infinite values, which count as beyond every threshold")
            return None
        moved = None if apart.moved is None else apart.moved / spread
        return moved if moved is not None and isfinite(moved) else None


def _strongest(indicators: QuantileIndicators, shares: NDArray[np.float64], n: int, tail_events: float) -> dict[str, Any]:
    """p-value of the largest studentised distance at the thresholds, where it is, and what the window is worth."""
    F, variance, nu = indicators.shares, indicators.variance, indicators.n_cosines
    told: dict[str, Any] = {"n_eff": float(n)}
    apart = shares - F
    if nu:
        each = _each(indicators, shares, n, tail_events)
        strongest = int(each.argmin())
        beside = np.diagonal(indicators.covariance, 1) / np.sqrt(variance[1:] * variance[:-1])
        told["p_value"] = honest_p_value(supremum_p_value(each, beside, float(nu)), nu)
        told["n_eff"] = n / float(indicators.inflation()[np.abs(F - 0.5).argmin()])
    else:
        strongest = int((apart * apart / variance).argmax())
    told["at"] = float(indicators.thresholds[strongest])
    told["direction"] = "higher" if apart[strongest] < 0 else "lower" if apart[strongest] > 0 else ""
    return told


def _each(indicators: QuantileIndicators, shares: NDArray[np.float64], n: int, tail_events: float) -> NDArray[np.float64]:
    """p-value of the studentised distance at each threshold, of as many degrees as separate events beyond it can carry."""
    F, inflation = indicators.shares, indicators.inflation()
    t = (shares - F) / np.sqrt(indicators.variance * (1.0 / n + 1.0 / indicators.n_moments))
    degrees = np.clip(tail_events * n * np.minimum(F, 1.0 - F) / inflation, _FEWEST_EVENTS, indicators.n_cosines)
    each: NDArray[np.float64] = 2.0 * stdtr(degrees, -np.abs(t))
    return each


def _longer(n: int, m: int) -> Iterator[int]:
    """Windows from a tenth longer to as long as the reference, each a tenth longer than the one before."""
    while (n := n + max(n // 10, 1)) <= m:
        yield n


def stability(
    expected: NDArray[np.float64],
    observed: NDArray[np.float64],
    n: int,
    m: int,
    null: QuadraticForm,
    alpha: float,
) -> dict[str, float]:
    """PSI of shares of bins, its p-value, and what it exceeds with probability alpha when nothing changed.

    An empty bin counts as half an observation. The p-value takes ``PSI / (1/n + 1/m)`` as a quadratic form. Size at nominal 5 %
    with 5,000 moments against 500, measured: see ``docs/drift.md``.

    References
    ----------
    Yurdakul (2018), "Statistical properties of population stability index", Western Michigan University.
    """
    held = np.maximum(observed, 0.5 / n)
    psi = float(((held - expected) * np.log(held / expected)).sum())
    error = 1.0 / n + 1.0 / m
    return {"psi": psi, "psi_p_value": null.p_value(psi / error), "psi_critical": null.critical(alpha) * error}


def _bounds(wanted: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.intp]:
    """Numbers of the thresholds that bound bins, each once."""
    place = np.searchsorted(thresholds, wanted, side="left")
    new = place < len(thresholds)
    new[1:] &= place[1:] > place[:-1]
    return place[new]


def in_order(values: NDArray[np.floating], moments: Moments) -> WeightedSample:
    """Values in their own order, NaN last; where moments have unequally many rows, each with its share of its moment."""
    return WeightedSample.of(values, None if moments.even else moments.weights())
