"""What the best of many backtests is worth: the deflated Sharpe ratio and the number of trials that goes into it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from huracan.errors import DataError, NotEnoughData
from huracan.statistics.sample_checks import LARGEST, SMALLEST, as_numbers, as_sample, check_open_unit
from huracan.validation.sharpe_inference import Dependence, minimum_track_record_length, sharpe_ratio_inference

__all__ = [
    "DeflatedSharpe",
    "EffectiveTrials",
    "deflated_sharpe_ratio",
    "effective_number_of_trials",
    "expected_maximum_sharpe",
]

_EULER = float(np.euler_gamma)


@dataclass(frozen=True)
class DeflatedSharpe:
    """Result of :func:`deflated_sharpe_ratio`; Sharpe ratios are per period, not annualised.

    Attributes
    ----------
    probability : confidence that the true Sharpe ratio exceeds ``expected_maximum``, the best that so many trials
        without any skill would show. Where the returns cannot be decided (``decidable``) it is 1/2.
    sharpe_ratio, standard_error, n_periods : of the strategy chosen.
    n_trials, trial_variance : what ``expected_maximum`` rests on. note : why it is not the variance of the Sharpe ratios
        that were told, where it is not.
    minimum_track_record_length : periods after which such a Sharpe ratio would exceed ``expected_maximum`` with 95 %
        confidence; infinite where it is not above it.
    dependence, reason : the standard error that was used and why, see :func:`sharpe_ratio_inference`.
    """

    probability: float
    sharpe_ratio: float
    expected_maximum: float
    n_trials: float
    n_periods: int
    trial_variance: float
    standard_error: float
    minimum_track_record_length: float
    dependence: str
    reason: str
    decidable: bool = True
    note: str = ""


@dataclass(frozen=True)
class EffectiveTrials:
    """Result of :func:`effective_number_of_trials`: what ``n_trials`` correlated trials may amount to, by two counts."""

    n_trials: int
    by_eigenvalues: float
    by_clusters: int


def deflated_sharpe_ratio(
    returns: ArrayLike,
    *,
    trial_sharpe_ratios: ArrayLike | None = None,
    n_trials: float | None = None,
    trial_variance: float | None = None,
    dependence: Dependence = "auto",
) -> DeflatedSharpe:
    """Probability that a strategy's Sharpe ratio is real, given how many strategies were tried.

    Parameters
    ----------
    returns : (n,) of the strategy chosen, one a period, fractions, in time order, at least 20.
    trial_sharpe_ratios : Sharpe ratios of everything tried, per period of ``returns`` (not annualised), the chosen one
        included; their number and variance are used where the next two are not given.
    n_trials : everything that was tried, also what was thrown away without a record. Where that is more than Sharpe ratios
        are told, these are survivors, and survivors are alike: the variance used is then at least that of the Sharpe
        ratio of a strategy without skill over these periods (about ``1 / n``, more where returns remember), by which
        what was thrown away varied at the least.
    trial_variance : variance of the Sharpe ratios of everything that was tried; used as it is.
    dependence : of the returns on their past: "independent" is the published formula; "robust" and "auto" allow for
        dependence, see :func:`sharpe_ratio_inference`.

    Raises
    ------
    NotEnoughData : fewer than 20 returns. DataError : returns do not vary (infinite Sharpe ratio) or are not finite, the
        trials are not told, fewer trials than Sharpe ratios are claimed, or a number is none or out of bounds.

    Notes
    -----
    With ``dependence="independent"``, and the Sharpe ratios of all trials, equal to skfolio's ``deflated_sharpe_ratio``,
    which drops NaN and answers NaN where this function refuses.

    References
    ----------
    Bailey and López de Prado (2014), "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> tried = rng.normal(0, 0.01, (1000, 50))
    >>> sharpes = tried.mean(0) / tried.std(0, ddof=1)
    >>> deflated_sharpe_ratio(tried[:, sharpes.argmax()], trial_sharpe_ratios=sharpes).probability < 0.9
    True
    """
    for name, value in {"n_trials": n_trials, "trial_variance": trial_variance}.items():
        if value is not None:
            _check_number(value, name)
    note = ""
    if trial_sharpe_ratios is not None:
        trials = as_sample(trial_sharpe_ratios, "trial_sharpe_ratios", minimum=1, row="trial", rows="trials")
        n_trials = len(trials) if n_trials is None else n_trials
        if n_trials < len(trials):
            raise DataError(
                f"n_trials is {n_trials} where {len(trials)} Sharpe ratios are told; everything that was tried, that many at "
                "least, was expected."
            )
        if trial_variance is None and (len(trials) > 1 or n_trials == 1):
            trial_variance = float(trials.var(ddof=1)) if len(trials) > 1 else 0.0
            if n_trials > len(trials):
                trial_variance, note = _with_luck(trial_variance, len(trials), n_trials, returns, dependence)
    if n_trials is None or trial_variance is None:
        raise DataError(
            "how much was tried is not told; trial_sharpe_ratios (two or more), or n_trials and trial_variance, were expected."
        )
    best = expected_maximum_sharpe(n_trials, trial_variance)
    found = sharpe_ratio_inference(returns, benchmark=best, dependence=dependence)
    needed = minimum_track_record_length(
        found.sharpe_ratio,
        benchmark=best,
        skewness=found.skewness,
        kurtosis=found.kurtosis,
        long_run_ratio=found.long_run_ratio,
    )
    return DeflatedSharpe(
        probability=found.probability,
        sharpe_ratio=found.sharpe_ratio,
        expected_maximum=best,
        n_trials=n_trials,
        n_periods=found.n_periods,
        trial_variance=trial_variance,
        standard_error=found.standard_error,
        minimum_track_record_length=needed,
        dependence=found.dependence,
        reason=found.reason,
        decidable=found.decidable,
        note=note,
    )


def expected_maximum_sharpe(n_trials: float, trial_variance: float) -> float:
    """Sharpe ratio that the best of ``n_trials`` independent strategies without skill is expected to show.

    Parameters
    ----------
    n_trials : at least 1 (then 0); need not be whole. trial_variance : variance of the trials' Sharpe ratios, per period.

    Raises
    ------
    DataError : fewer than one trial, a negative variance, or what is no finite number.

    References
    ----------
    Bailey and López de Prado (2014), equation 1. Their example: 100 trials, variance 1/2 a year of 250 days.

    Examples
    --------
    >>> round(expected_maximum_sharpe(100, 0.5 / 250), 4)
    0.1132
    """
    _check_number(n_trials, "n_trials")
    _check_number(trial_variance, "trial_variance")
    if n_trials == 1:
        return 0.0
    expected = -(1.0 - _EULER) * ndtri(1.0 / n_trials) - _EULER * ndtri(1.0 / (n_trials * np.e))
    return float(np.sqrt(trial_variance) * max(0.0, expected))


def _with_luck(measured: float, told: int, n_trials: float, returns: ArrayLike, dependence: Dependence) -> tuple[float, str]:
    """The variance of all trials where only ``told`` of them left a Sharpe ratio: at least that of luck; and what was done."""
    found = sharpe_ratio_inference(returns, dependence=dependence)
    # what was thrown away may have remembered less than what was kept
    luck = max(1.0, found.long_run_ratio) / (found.n_periods - 1)
    if measured >= luck:
        return measured, ""
    return luck, (
        f"{told} of {n_trials:g} trials left a Sharpe ratio, and these vary less (variance {measured:.3g}) than luck alone "
        f"makes Sharpe ratios vary over {found.n_periods} periods; that variance ({luck:.3g}) is used"
    )


def _check_number(value: float, name: str) -> None:
    least = 1 if name == "n_trials" else 0
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not least <= value < np.inf:
        raise DataError(f"{name} is {value if number else repr(value)}; a finite number, {least} or more, was expected.")


def effective_number_of_trials(returns: ArrayLike, *, same_above: float = 0.5) -> EffectiveTrials:
    """Count how many different things correlated trials amount to: a second opinion, not a way to a smaller number.

    Caution: where all trials are alike to one degree (correlation r between any two), their Sharpe ratios vary
    ``1 - r`` times as much, and :func:`deflated_sharpe_ratio` with the *true* number and the *measured* variance is already
    right; an effective number on top deflates too little. It is right where trials are near copies in groups; even there,
    take the larger count, and report the true number beside it.

    Parameters
    ----------
    returns : (periods, trials), at least 20 periods.
    same_above : mean correlation above which two clusters of trials (average linkage) are counted as one.

    Returns
    -------
    ``by_eigenvalues`` is ``(sum of eigenvalues)^2 / sum of squared eigenvalues`` of the correlation matrix, its squared
    correlations less what chance adds to them; ``by_clusters`` the number of clusters.

    Raises
    ------
    NotEnoughData : fewer than 20 periods or no trial. DataError : a value is not finite, a trial never varies, or
        ``same_above`` is out of bounds.

    References
    ----------
    Bretherton et al. (1999), "The effective number of spatial degrees of freedom of a time-varying field", J. Climate 12;
    López de Prado and Lewis (2019), "Detection of false investment strategies using unsupervised learning methods",
    Quantitative Finance 19.

    Examples
    --------
    >>> ideas = np.random.default_rng(0).normal(size=(2000, 4))
    >>> tried = np.repeat(ideas, 10, axis=1) + np.random.default_rng(1).normal(0, 0.2, (2000, 40))
    >>> found = effective_number_of_trials(tried)
    >>> found.n_trials, round(found.by_eigenvalues, 1), found.by_clusters
    (40, 4.3, 4)
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    check_open_unit(same_above, "same_above")
    table = as_numbers(returns, "returns", each="period and trial")
    if table.ndim != 2 or table.shape[0] < 20 or table.shape[1] < 1:
        raise NotEnoughData(f"returns has shape {table.shape}; at least 20 periods x 1 trial were expected.")
    if not np.isfinite(table).all():
        period, trial = map(int, np.argwhere(~np.isfinite(table))[0])
        raise DataError(
            f"returns holds {table[period, trial]} in period {period}, trial {trial}; finite numbers were expected."
        )
    largest, n = np.abs(table).max(axis=0), table.shape[1]
    strange = (largest > LARGEST) | ((largest > 0.0) & (largest < SMALLEST))
    if strange.any():
        where = int(np.argmax(strange))
        raise DataError(
            f"trial {where} returns up to {largest[where]:g} a period; fractions, of sizes with a square, were expected."
        )
    spread = table.std(axis=0)
    idle = spread <= 64 * np.finfo(np.float64).eps * largest
    if idle.any():
        raise DataError(f"trial {int(np.argmax(idle))} is the same in every period; leave it out, or count it as one more.")
    if n == 1:
        return EffectiveTrials(1, 1.0, 1)
    standard = (table - table.mean(axis=0)) / spread
    correlation = np.clip(standard.T @ standard / len(table), -1.0, 1.0)
    squared = correlation[~np.eye(n, dtype=bool)] ** 2
    beyond_chance = max(0.0, float(np.sum(squared - (1.0 - squared) ** 2 / (len(table) - 1))))
    distance = 1.0 - correlation
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="average")
    clusters = int(fcluster(tree, 1.0 - same_above, criterion="distance").max())
    return EffectiveTrials(n, n**2 / (n + beyond_chance), clusters)
