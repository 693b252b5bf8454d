"""Tests of mean loss differences, all pairs at once, and what was measured of their dependence over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from huracan.baselines.comparison import Dependence
from huracan.errors import NotEnoughData
from huracan.statistics import Alternative, default_n_cosines, ewc_t_test_pairs
from huracan.statistics.loss_table import same_losses
from huracan.statistics.romano_wolf import notes_of
from huracan.statistics.sample_checks import never_zero
from huracan.statistics.series import MINIMUM_OBSERVATIONS

__all__ = ["DependenceChoice", "PairTests", "check_times", "compare_pairs"]

DependenceChoice = Literal["auto", "independent"]


@dataclass(frozen=True)
class PairTests:
    """Tests of ``losses[:, a] - losses[:, b]``; arrays have one entry a pair. ``p_independent`` is of the paired t test."""

    difference: NDArray[np.float64]
    ci_low: NDArray[np.float64]
    ci_high: NDArray[np.float64]
    p_value: NDArray[np.float64]
    effect_size: NDArray[np.float64]
    n_eff: NDArray[np.float64]
    p_independent: NDArray[np.float64]
    notes: tuple[str, ...]
    dependence: Dependence


def check_times(n: int, dependence: DependenceChoice, what: str) -> None:
    """Refuse fewer moments than the test needs; ``what`` they are called."""
    fewest = MINIMUM_OBSERVATIONS if dependence == "auto" else 2
    if n < fewest:
        raise NotEnoughData(f"the losses cover {n} {what}; at least {fewest} are needed to compare models.")


def compare_pairs(
    losses: NDArray[np.float64],
    names: tuple[str, ...],
    pairs: NDArray[np.int64],
    *,
    dependence: DependenceChoice = "auto",
    alternative: Alternative = "two-sided",
    confidence: float = 0.95,
    n_rows: int | None = None,
) -> PairTests:
    """Test every pair, and say what was measured and chosen.

    Parameters
    ----------
    losses : (n, models) in time order, one row a moment. names : of the models. pairs : (k, 2) columns.
    dependence : "auto" for equal-weighted cosines, whose number follows the measured persistence; "independent" for the
        paired t test.
    alternative : of the first of a pair against the second. confidence : of the intervals, each alone.
    n_rows : rows that were averaged to these moments, for the sentence.

    Examples
    --------
    >>> from scipy.signal import lfilter
    >>> noise = np.random.default_rng(0).standard_normal((1000, 2))
    >>> found = compare_pairs(lfilter([1], [1, -0.8], noise, axis=0), ("a", "b"), np.array([[0, 1]]))
    >>> bool(found.p_independent[0] < found.p_value[0]), bool(50 < found.n_eff[0] < 200)  # AR(.8): 1000 / 9 = 111
    (True, True)
    """
    n = len(losses)
    first, second = pairs.T
    same = same_losses(losses, names, first, second)
    # what all models share is in no difference; without it nothing is lost to rounding
    relative = losses - losses.mean(axis=1, keepdims=True)
    level = relative.mean(axis=0)
    relative -= level
    variance = np.where(same, 1.0, _of_pairs(relative.T @ relative / n, pairs))
    correlation = _of_pairs(relative[1:].T @ relative[:-1] / n, pairs) / variance
    spread = np.sqrt(variance * n / (n - 1))
    mean = np.where(same, 0.0, level[first] - level[second])
    p_independent, low, high = _paired_t(mean / spread * np.sqrt(n), n - 1, alternative, confidence)
    p_independent = np.where(same, 1.0, never_zero(p_independent))
    if dependence == "independent":
        error = np.where(same, 0.0, spread / np.sqrt(n))
        ends = tuple(np.where(same, 0.0, mean + reach * np.where(same, 1.0, error)) for reach in (low, high))
        n_eff, cosines, p_value = np.where(same, 0.0, float(n)), np.zeros(len(pairs), dtype=np.int64), p_independent
        decidable = np.ones(len(pairs), dtype=bool)
    else:
        by_model = np.ascontiguousarray(losses.T)
        _, test = ewc_t_test_pairs(by_model, pairs=pairs, alternative=alternative, confidence=confidence, names=names)
        ends, p_value = (test.ci_low, test.ci_high), test.p_value
        n_eff, cosines = np.where(same, 0.0, test.n_effective), np.where(same, 0, test.n_cosines)
        decidable = test.decidable
    return PairTests(
        difference=mean,
        ci_low=ends[0],
        ci_high=ends[1],
        p_value=p_value,
        effect_size=mean / spread,
        n_eff=n_eff,
        p_independent=p_independent,
        notes=notes_of(same, decidable, n),
        dependence=_measured(dependence, correlation[~same], n_eff[~same], cosines[~same], n, n_rows or n),
    )


def _of_pairs(matrix: NDArray[np.float64], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Autocovariance of each pair's difference, from the cross-covariances (models, models) of the losses."""
    a, b = pairs.T
    return matrix[a, a] + matrix[b, b] - matrix[a, b] - matrix[b, a]


def _paired_t(
    t: NDArray[np.float64], degrees: int, alternative: Alternative, confidence: float
) -> tuple[NDArray[np.float64], float, float]:
    """p-values, and the ends of the interval in standard errors from the mean."""
    if alternative == "two-sided":
        half = float(stdtrit(degrees, 0.5 + confidence / 2))
        return 2 * stdtr(degrees, -np.abs(t)), -half, half
    reach = float(stdtrit(degrees, confidence))
    if alternative == "greater":
        return stdtr(degrees, -t), -reach, np.inf
    return stdtr(degrees, t), -np.inf, reach


def _measured(
    asked: DependenceChoice,
    correlation: NDArray[np.float64],
    n_eff: NDArray[np.float64],
    cosines: NDArray[np.int64],
    n: int,
    n_rows: int,
) -> Dependence:
    averaged = f"{n_rows:,} rows were averaged to {n:,} moments, as symbols of one moment are not independent. "
    before = averaged if n_rows > n else ""
    if asked == "independent":
        said = f"{before}Taken to be independent over time, as asked: paired t tests on {n:,} moments."
        return Dependence(asked, "paired t", correlation, n_eff, cosines, said)
    if not len(correlation):
        return Dependence(asked, "equal-weighted cosines", correlation, n_eff, cosines, f"{before}No two models differ.")
    near, worth, most = _span(correlation, ".2f"), np.minimum(n_eff, n), default_n_cosines(n)
    seen = np.abs(correlation).max() > 2.0 / np.sqrt(n)
    if seen:
        why = f"Neighbouring loss differences correlate by {near}"
    else:
        why = f"Neighbouring loss differences are not seen to correlate ({near})"
    counted = f"{n:,} moments are worth {_span(worth, ',.0f')} independent ones."
    if cosines.min() < most / 2:
        why += f"{';' if seen else ', but'} they move slowly: {counted}"
    elif seen:
        why += f": {counted}"
    else:
        why += (
            "; the test that allows for it is used all the same: it costs little, and to look first and choose then would "
            "break its level."
        )
    how = f" Tested with {_span(cosines, 'd')} equal-weighted cosines (at most {most}), as many as the persistence allows."
    return Dependence(asked, "equal-weighted cosines", correlation, n_eff, cosines, before + why + how)


def _span(values: NDArray[np.float64] | NDArray[np.int64], style: str) -> str:
    low, high = format(values.min().item(), style), format(values.max().item(), style)
    return low if low == high else f"{low} to {high}"
