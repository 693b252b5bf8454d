"""Whether what a search found is better than the constant forecast, on a span it never saw; and how much of it may be luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huracan.automl.trials import Trial, TrialState
from huracan.errors import DataError, NotEnoughData
from huracan.statistics import ewc_t_test
from huracan.validation import (
    DeflatedSharpe,
    OverfittingReport,
    deflated_sharpe_ratio,
    probability_of_backtest_overfitting,
)

__all__ = ["LuckOfTheSearch", "Verdict", "luck_of", "verdict_on"]

_BLOCKS = 16


@dataclass(frozen=True)
class LuckOfTheSearch:
    """How much of the best trial may be the luck of having tried many.

    Attributes
    ----------
    deflated_sharpe : of the best trial's payoff over all folds, given everything that was tried; None where it cannot be told.
    overfitting : of choosing among the finished trials by their payoff; None where it cannot be told.
    n_trials : trials that saw any fold, here and in ``n_earlier_trials`` of earlier studies of the same data.
    reasons : why something cannot be told.
    """

    deflated_sharpe: DeflatedSharpe | None
    overfitting: OverfittingReport | None
    n_trials: int
    n_earlier_trials: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What the model chosen was worth on rows the search never saw.

    Attributes
    ----------
    crowned : the whole interval of ``gain`` lies above 0.
    gain, interval, p_value : mean loss of the constant forecast less the model's, in units of the constant's mean loss, a
        moment at a time; 95 % interval and two-sided p-value allow for moments that depend on each other. Where there are too
        few moments the interval is the whole line.
    n_moments, span : how many, from the first to the last. luck : of the search that chose the model, if it is told.
    """

    crowned: bool
    gain: float
    interval: tuple[float, float]
    p_value: float
    n_moments: int
    span: tuple[np.datetime64, np.datetime64]
    luck: LuckOfTheSearch | None = None

    @property
    def deflated_sharpe(self) -> DeflatedSharpe | None:
        """See :class:`LuckOfTheSearch`."""
        return None if self.luck is None else self.luck.deflated_sharpe

    @property
    def overfitting(self) -> OverfittingReport | None:
        """See :class:`LuckOfTheSearch`."""
        return None if self.luck is None else self.luck.overfitting

    @property
    def n_trials(self) -> int:
        """Trials that saw any fold, those of earlier studies included; 0 where they are not told."""
        return 0 if self.luck is None else self.luck.n_trials

    @property
    def n_earlier_trials(self) -> int:
        """Those of earlier studies of the same data."""
        return 0 if self.luck is None else self.luck.n_earlier_trials

    @property
    def sentence(self) -> str:
        """In words."""
        low, high = self.interval
        when = f"from {_day(self.span[0])} to {_day(self.span[1])} ({self.n_moments:,} moments the search never saw)"
        if not np.isfinite(low):
            return f"Nothing can be said {when}: too few moments, or nothing moved."
        figures = f"it lost {100 * self.gain:.2f} % less than the constant forecast ({100 * low:.2f} to {100 * high:.2f} %)"
        if self.gain < 0.0:
            figures = (
                f"it lost {-100 * self.gain:.2f} % more than the constant forecast ({-100 * high:.2f} to {-100 * low:.2f} %)"
            )
        end = "better" if self.crowned else "worse" if high < 0.0 else "not shown to be better"
        return f"{end[0].upper()}{end[1:]} than the constant forecast {when}: {figures}."


def verdict_on(gain: NDArray[np.float64], moments: NDArray[np.datetime64], luck: LuckOfTheSearch | None = None) -> Verdict:
    """The verdict on a series of gains, one a moment, in time order.

    >>> days = np.arange("2024-01-01", "2024-04-10", dtype="M8[D]")
    >>> noise = np.random.default_rng(0).standard_normal(100)
    >>> verdict_on(0.5 + noise, days).crowned, verdict_on(noise, days).crowned
    (True, False)
    """
    span = (moments.min(), moments.max())
    try:
        test = ewc_t_test(gain)
    except DataError:
        return Verdict(False, float(gain.mean()), (-np.inf, np.inf), 1.0, len(gain), span, luck)
    low, high = float(test.ci_low), float(test.ci_high)
    return Verdict(low > 0.0, float(test.mean), (low, high), float(test.p_value), len(gain), span, luck)


def luck_of(trials: Sequence[Trial], best: Trial, *, n_earlier_trials: int = 0) -> LuckOfTheSearch:
    """Deflate the best of the trials by all of them.

    Parameters
    ----------
    trials : all of a search, in any state. best : the finished one that is judged. n_earlier_trials : of earlier searches on
        the same rows.
    """
    seen = [trial.payoff.astype(np.float64) for trial in trials if trial.payoff is not None]
    n_trials = len(seen) + n_earlier_trials
    reasons = []
    deflated: DeflatedSharpe | None = None
    overfitting: OverfittingReport | None = None
    try:
        assert best.payoff is not None
        deflated = deflated_sharpe_ratio(
            best.payoff.astype(np.float64), trial_sharpe_ratios=[*map(_sharpe, seen)], n_trials=n_trials
        )
    except DataError as error:
        reasons.append(f"the Sharpe ratio of the best trial cannot be deflated: {error}")
    finished = [
        trial.payoff.astype(np.float64) for trial in trials if trial.state is TrialState.FINISHED and trial.payoff is not None
    ]
    moving = [payoff for payoff in finished if np.ptp(payoff) > 0.0]
    try:
        if len(moving) < 2:
            raise NotEnoughData(f"{len(moving)} finished trial(s) took a position; two at least are needed.")
        overfitting = probability_of_backtest_overfitting(np.column_stack(moving), n_blocks=_BLOCKS)
    except DataError as error:
        reasons.append(f"the probability of overfitting cannot be told: {error}")
    return LuckOfTheSearch(deflated, overfitting, n_trials, n_earlier_trials, tuple(reasons))


def _sharpe(payoff: NDArray[np.float64]) -> float:
    spread = float(payoff.std(ddof=1))
    return float(payoff.mean()) / spread if spread > 0.0 else 0.0


def _day(moment: np.datetime64) -> str:
    return str(moment.astype("M8[m]")).replace("T", " ")
