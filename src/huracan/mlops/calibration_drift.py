"""Calibration drift: do probabilities still say how often, tested where outcomes hang together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtrc

from huracan.errors import DataError, NotEnoughData
from huracan.mlops.evidence import Evidence, EvidenceKind
from huracan.statistics.moments import Moments
from huracan.statistics.persistence import choose_n_cosines
from huracan.statistics.sample_checks import check_open_unit, never_zero, p_value_text
from huracan.statistics.spectrum import cosine_projections
from huracan.validation.calibration import Calibration, calibration_table

__all__ = ["FEWEST_MOMENTS", "CalibrationDrift", "detect_calibration_drift"]

FEWEST_MOMENTS = 100
"""Moments that are needed at least."""

_EVENTS_A_BIN = 10
_SKEWED = 0.08
"""Skewness of a number of events, beyond which the variance that is seen goes with the mean that is seen."""
_COSINES_A_BIN = 6  # with fewer a vector of means is tested with too little power


@dataclass(frozen=True)
class CalibrationDrift:
    """What :func:`detect_calibration_drift` found.

    Attributes
    ----------
    table : bins of equally many probabilities: what was said and what was observed.
    statistic : Hotelling's T squared of the bins' mean differences. p_value : of all bins being right.
    n_moments, n_cosines : what it rests on. drifted : whether the p-value is at most ``alpha``.
    """

    table: Calibration
    statistic: float
    p_value: float
    n_moments: int
    n_cosines: int
    alpha: float

    @property
    def drifted(self) -> bool:
        """Whether probabilities are shown not to say how often."""
        return self.p_value <= self.alpha

    @property
    def sentence(self) -> str:
        """What was found, with the bin that is furthest off."""
        off = np.abs(self.table.observed - self.table.mean_probability)
        worst = int(np.argmax(off))
        said, came = self.table.mean_probability[worst], self.table.observed[worst]
        verdict = "probabilities no longer say how often" if self.drifted else "probabilities are not shown to be off"
        worst_bin = f"where {said:.3f} was said, {came:.3f} came true, the furthest of {len(off)} bins"
        return f"{verdict} ({p_value_text(self.p_value)}, {self.n_moments} moments): {worst_bin}."

    def evidence(
        self, *, name: str, tick: int, symbol: str = "", regime: str = "", version_id: int | None = None
    ) -> tuple[Evidence, ...]:
        """One of kind ``calibration`` where they drifted; it informs, it is not strong."""
        if not self.drifted:
            return ()
        details: dict[str, Any] = {
            "said": self.table.mean_probability.tolist(),
            "observed": self.table.observed.tolist(),
            "n": self.table.n.tolist(),
        }
        scope: dict[str, Any] = {"name": name, "tick": tick, "symbol": symbol, "regime": regime, "version_id": version_id}
        seen: dict[str, Any] = {"statistic": self.statistic, "p_value": self.p_value, "details": details}
        return (Evidence.of(EvidenceKind.CALIBRATION, self.sentence, **seen, **scope),)


def detect_calibration_drift(
    probability: ArrayLike, hit: ArrayLike, *, time: ArrayLike | None = None, alpha: float = 0.01, n_bins: int = 10
) -> CalibrationDrift:
    """Test whether probabilities say how often, bin by bin and all bins together.

    In each bin of equally many probabilities, outcome less probability has the mean 0 as long as they are right, whatever the
    probabilities are. The vector of these means is tested by Hotelling's T squared with their long-run covariance by
    equal-weighted cosines, which counts labels that overlap and symbols that move together. Where the series remember long,
    fewer cosines are allowed, and then fewer bins.

    A bin expects 10 events and 10 non-events at least; where the number of events in it is skewed, its variance is at least
    that of right probabilities on independent moments, since a rare event that happens not to come leaves a bin that looks
    sure.

    Measured size at nominal 5 % (200 to 600 repetitions): 3.5 to 7 % at 250, 500 and 2,000 moments near .5, independent and
    with labels that overlap by 5 and 20; 0 to 5.5 % at 500 and 2,000 moments with events of mean .024, .05, .2 and from 0 to 1;
    at nominal 1 %, 0 to 2 %. Found at level 1 % on 500 and 2,000 moments: probabilities of .3 to .7 that say nothing in 78 %
    and 98 %, such that are all .1 too high in 82 % and 100 %, events of mean .05 that come twice as often in 89 % and 100 %.

    Parameters
    ----------
    probability : (n,) from 0 to 1, in order of time. hit : (n,) whether it came true, once that is known.
    time : of each row, never falling; rows of one time (symbols) are one observation. None where each row is a moment.
    alpha : level. n_bins : bins at most.

    Raises
    ------
    DataError : a probability is none, lengths differ, time falls, or outcomes do not vary.
    NotEnoughData : fewer than 100 moments, or than 10 events or non-events that are expected; how many moments it needs.

    References
    ----------
    Lazarus, Lewis, Stock and Watson (2018), JBES 36(4), section 3.3 (joint tests); Hosmer and Lemeshow (1980).

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> said = draw.uniform(0.3, 0.7, 2000)
    >>> right = detect_calibration_drift(said, draw.uniform(size=2000) < said)
    >>> wrong = detect_calibration_drift(said, draw.uniform(size=2000) < 0.5)
    >>> right.drifted, wrong.drifted
    (False, True)
    >>> wrong.sentence
    'probabilities no longer say how often (p = 1.06e-08, 2000 moments): where 0.680 was said, 0.485 came true, the furthest
    of 10 bins.'
    """
    check_open_unit(alpha, "alpha")
    if n_bins < 1:
        raise DataError(f"n_bins is {n_bins}; at least 1 was expected.")
    said, came = np.asarray(probability, dtype=np.float64), np.asarray(hit, dtype=np.float64)
    calibration_table(said, came, 1)  # refuses what is no probability or no outcome
    if time is not None and np.asarray(time).dtype.kind not in "iufM":
        raise DataError(f"times are {np.asarray(time).dtype}; datetimes, or numbers, were expected.")
    moments = Moments.each_row(len(said)) if time is None else Moments.of(time)
    if moments.n_rows != len(said):
        raise DataError(f"there are {moments.n_rows} times for {len(said)} probabilities; equally many were expected.")
    if moments.n < FEWEST_MOMENTS:
        raise NotEnoughData(f"calibration is to be judged on {moments.n} moments; at least {FEWEST_MOMENTS} are needed.")
    difference = came - said
    if np.ptp(difference) == 0.0:
        raise DataError("outcomes less probabilities are all the same; calibration cannot be judged.")
    whole = _means(difference, np.zeros(len(said), np.intp), 1, moments)
    cosines = int(choose_n_cosines(whole)[0][0])
    weight = np.ones(len(said)) if moments.of_row is None else 1.0 / np.bincount(moments.of_row)[moments.of_row]
    table, bins = _binned(said, came, weight, min(n_bins, max(1, cosines // _COSINES_A_BIN)), moments.n)
    floor = _as_drawn(difference, said, weight, bins, moments)
    statistic, p_value = _hotelling(_means(difference, bins, len(table.n), moments), cosines, floor)
    return CalibrationDrift(table, statistic, p_value, moments.n, cosines, alpha)


def _binned(
    said: NDArray[np.float64], came: NDArray[np.float64], weight: NDArray[np.float64], most: int, n: int
) -> tuple[Calibration, NDArray[np.intp]]:
    """Bins of equally many probabilities, as many as expect enough of both outcomes; and the bin of each row."""
    events, others = round(float(weight @ said), 6), round(float(weight @ (1.0 - said)), 6)  # sums of shares are not exact
    if min(events, others) < _EVENTS_A_BIN:
        what, few = ("events", events) if events < others else ("non-events", others)
        needed = (
            f"about {math.ceil(round(n * _EVENTS_A_BIN / few, 6)):,} moments" if few > 0.0 else "probabilities between 0 and 1"
        )
        raise NotEnoughData(
            f"calibration is to be judged where {few:.3g} {what} are expected in {n:,} moments; at least {_EVENTS_A_BIN} are "
            f"needed: {needed}."
        )
    for n_bins in range(most, 0, -1):
        table = calibration_table(said, came, n_bins)
        bins = np.clip(np.searchsorted(table.bin_high[:-1], said, side="right"), 0, len(table.n) - 1)
        expected = np.bincount(bins, weight * said, len(table.n)), np.bincount(bins, weight * (1.0 - said), len(table.n))
        if min(map(np.min, expected)) >= _EVENTS_A_BIN:
            break
    return table, bins


def _as_drawn(
    difference: NDArray[np.float64],
    said: NDArray[np.float64],
    weight: NDArray[np.float64],
    bins: NDArray[np.intp],
    moments: Moments,
) -> NDArray[np.float64]:
    """Variance of each bin's series were moments independent and probabilities right; 0 for bins that need no such floor.

    A bin needs it where its number of events is skewed: there the bin that happens to see few is steady as well.
    Rows of one moment hang together as much as their differences do on average over all moments.
    """
    variance, n_bins = said * (1.0 - said), int(bins.max()) + 1
    drawn = np.bincount(bins, weight * variance)
    skewed = np.abs(np.bincount(bins, weight * variance * (1.0 - 2.0 * said))) > _SKEWED * drawn**1.5
    if moments.of_row is None:
        return np.where(skewed, drawn / moments.n, 0.0)
    at = moments.of_row
    rows = np.bincount(at)
    squared = np.bincount(at, difference**2)
    pairs = float(((rows - 1) * squared).sum())
    alike = float((np.bincount(at, difference) ** 2 - squared).sum()) / pairs if pairs > 0.0 else 0.0
    together = min(max(alike, 0.0), 1.0)
    cells, size = bins * moments.n + at, n_bins * moments.n
    alone = np.bincount(cells, variance / rows[at] ** 2, size)
    as_one = np.bincount(cells, np.sqrt(variance) / rows[at], size) ** 2
    mean = ((1.0 - together) * alone + together * as_one).reshape(n_bins, moments.n).mean(axis=1)
    return np.where(skewed, mean, 0.0)


def _means(difference: NDArray[np.float64], bins: NDArray[np.intp], n_bins: int, moments: Moments) -> NDArray[np.float64]:
    """A row a bin: the difference of the moment's rows that are in the bin, over all rows of the moment."""
    at, weighted = np.arange(moments.n), difference
    if moments.of_row is not None:
        at, weighted = moments.of_row, difference / np.bincount(moments.of_row)[moments.of_row]
    cells = np.bincount(bins * moments.n + at, weighted, n_bins * moments.n)
    return np.asarray(cells, dtype=np.float64).reshape(n_bins, moments.n)


def _hotelling(series: NDArray[np.float64], cosines: int, floor: NDArray[np.float64]) -> tuple[float, float]:
    """T squared of the mean of a vector series (bins, moments), no bin steadier than ``floor`` says, and its p-value."""
    n_bins, n = series.shape
    projection = cosine_projections(series)[:, :cosines]
    mean, covariance = series.mean(axis=1), projection @ projection.T / cosines
    seen = np.diag(covariance)
    wider = np.sqrt(np.maximum(1.0, floor / np.maximum(seen, np.finfo(np.float64).tiny)))
    covariance = covariance * np.outer(wider, wider)
    statistic = float(n * mean @ np.linalg.solve(covariance, mean))
    degrees = cosines - n_bins + 1
    return statistic, float(never_zero(fdtrc(n_bins, degrees, statistic * degrees / (cosines * n_bins))))
