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
from huracan.statistics.kolmogorov_smirnov import kolmogorov_smirnov, lattice_p_value
from huracan.statistics.moments import Moments
from huracan.statistics.quadratic_forms import QuadraticForm
from huracan.statistics.quantile_indicators import QuantileIndicators, between
from huracan.statistics.supremum import supremum_p_value
from huracan.statistics.weighted_sample import WeightedSample

__all__ = ["FEWEST_REFERENCE", "FEWEST_WINDOW", "LEVELS", "NumberReference", "TestSettings"]

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
    ) -> NumberReference:
        """From values in order of time, NaN where missing; ``codes`` says whose each row is where there are several symbols."""
        missing = MissingShare.none(moments.n)
        ordered = _in_order(values, moments)
        if ordered is None:
            gone = np.isnan(values)
            missing = MissingShare.of(gone, moments, settings.cosines(moments.n))
            values, moments, codes = values[~gone], moments.kept(~gone), None if codes is None else codes[~gone]
            ordered = _in_order(values, moments)
        n = moments.n
        empty = np.zeros(0, np.intp)
        if n < FEWEST_REFERENCE:
            return cls(name, n, None, empty, np.zeros(0), None, missing)
        assert ordered is not None
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
    ) -> tuple[ColumnDrift, DistributionPair | None]:
        """A window's values in order of time, NaN where missing; ``q_value`` is left open."""
        notes: list[str] = []
        missing_p, plain = None, False
        current = _in_order(values, moments)
        if current is None or self.missing.share:
            gone = np.isnan(values)
            missing_p, plain, said = self.missing.test(gone, moments, settings.tail_events)
            notes.append(said)
            values, moments, codes = values[~gone], moments.kept(~gone), None if codes is None else codes[~gone]
            current = _in_order(values, moments)
        assert current is not None
        if self.usual is not None and moments.n >= FEWEST_WINDOW:
            limits = (float(self.quantiles[0]), float(self.quantiles[-1]))
            unlike = self.usual.unlike(values, current, moments, codes, limits=limits)
            plain = plain or bool(unlike)
            notes += unlike
        found, pair = self._test_values(values, current, moments, settings, notes, certain=plain)
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
        shares = current.share(self.indicators.thresholds)
        indicators = self.indicators.of_cosines(cosines_for(self.n_moments, n))
        found = _strongest(indicators, shares, n, settings.tail_events)
        statistic, exact_p = self._largest_distance(current, n, settings, notes)
        found["statistic"] = statistic
        if not settings.n_cosines:
            found["p_value"] = exact_p
        elif not certain:
            notes += self._what_can_be_shown(found, n, settings)
        psi, bins = self._stability(indicators, shares, n, settings)
        edges = tuple(float(x) for x in self.indicators.thresholds[self.deciles])
        drawn = self.quantiles[::_DRAWN]
        pair = DistributionPair(self.name, drawn, self._share(drawn), current.share(drawn), found["at"], edges, *bins)
        return found | psi | {"wasserstein": self._moved(current, notes)}, pair

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

    def _largest_distance(
        self, current: WeightedSample, n: int, settings: TestSettings, notes: list[str]
    ) -> tuple[float, float]:
        """The statistic of Kolmogorov and Smirnov, and its p-value were rows independent."""
        m = self.n_moments
        plain = self.sample is not None and self.sample.cumulative is None and current.cumulative is None
        if plain and self.sample is not None and len(self.sample.values) == m and len(current.values) == n:
            tested = kolmogorov_smirnov(
                self.sample.values, current.values, sorted_already=True, statistic_only=bool(settings.n_cosines)
            )
            return tested.statistic, tested.p_value
        if self.sample is not None:
            distance, _ = self.sample.gap(current)
        else:
            distance = float(np.abs(self._share(self.quantiles) - current.share(self.quantiles)).max())
            notes.append("statistic and distance at 401 quantiles kept of the reference")
        if settings.n_cosines:
            return distance, float("nan")
        if max(m, n) <= _EXACT:
            return distance, lattice_p_value(floor(distance * lcm(m, n) + 1e-6), m, n)
        return distance, limiting_p_value(distance, m, n)

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

    def _moved(self, current: WeightedSample, notes: list[str]) -> float | None:
        """Wasserstein's distance in units of the spread."""
        spread = self.spread
        if spread < _SMALLEST_SPREAD:
            return None
        reference = self.sample or WeightedSample(self.quantiles)
        ends = (reference.values[0], reference.values[-1], current.values[0], current.values[-1])
        if not all(map(isfinite, ends)):
            notes.append("holds infinite values, which count as beyond every threshold")
            return None
        with np.errstate(over="ignore"):
            if self.sample is None:
                apart = np.abs(self.quantiles - current.quantiles(LEVELS - 1))
                moved = float((apart[1:] + apart[:-1]).mean() / 2) / spread
            else:
                moved = reference.wasserstein(current) / spread
        return moved if isfinite(moved) else None


def _strongest(indicators: QuantileIndicators, shares: NDArray[np.float64], n: int, tail_events: float) -> dict[str, Any]:
    """p-value of the largest studentised distance at the thresholds, where it is, and what the window is worth."""
    F, variance = indicators.shares, np.diagonal(indicators.covariance)
    m, nu = indicators.n_moments, indicators.n_cosines
    told: dict[str, Any] = {"n_eff": n / float(indicators.inflation()[np.abs(F - 0.5).argmin()])}
    t = (shares - F) / np.sqrt(variance * (1.0 / n + 1.0 / m))
    if nu:
        each = _each(indicators, shares, n, tail_events)
        strongest = int(each.argmin())
        beside = np.diagonal(indicators.covariance, 1) / np.sqrt(variance[1:] * variance[:-1])
        told["p_value"] = honest_p_value(supremum_p_value(each, beside, float(nu)), nu)
    else:
        strongest = int(np.abs(t).argmax())
    told["at"] = float(indicators.thresholds[strongest])
    told["direction"] = "higher" if t[strongest] < 0 else "lower" if t[strongest] > 0 else ""
    return told


def _each(indicators: QuantileIndicators, shares: NDArray[np.float64], n: int, tail_events: float) -> NDArray[np.float64]:
    """p-value of the studentised distance at each threshold, of as many degrees as separate events beyond it can carry."""
    F, inflation = indicators.shares, indicators.inflation()
    t = (shares - F) / np.sqrt(np.diagonal(indicators.covariance) * (1.0 / n + 1.0 / indicators.n_moments))
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


def _in_order(values: NDArray[np.floating], moments: Moments) -> WeightedSample | None:
    """The sample; None where a value is missing: NaN comes last in order."""
    sample = WeightedSample.of(values, None if moments.even else moments.weights())
    return None if len(values) and np.isnan(sample.values[-1]) else sample
