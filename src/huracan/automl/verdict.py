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
    crowned : the whole interval of ``skill`` lies above 0, and that of ``gain`` not below it. Positions are made of directions
        and convictions, so a forecast that is right in them may serve while its size is off; the sentence says so.
    skill, skill_interval, p_value : mean payoff of a position as large as what the model says beyond the constant (over its
        root mean square, clipped at 3) held on the label less the constant, in units of the label, a moment at a time. It asks
        for direction and conviction, not for the size of forecasts, and has power where the loss has little.
    gain, interval : mean loss of the constant forecast less the model's, in units of the constant's mean loss.
    n_moments, span : how many moments, from the first to the last. luck : of the search that chose the model, if it is told.

    Intervals (95 %) and the two-sided p-value of the skill allow for moments that depend on each other; with too few moments an
    interval is the whole line.
    """

    crowned: bool
    gain: float
    interval: tuple[float, float]
    skill: float
    skill_interval: tuple[float, float]
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
        low, high = self.skill_interval
        when = f"from {_day(self.span[0])} to {_day(self.span[1])} ({self.n_moments:,} moments the search never saw)"
        if not np.isfinite(low):
            return f"Nothing can be said {when}: too few moments, or nothing moved."
        shown = f"skill {self.skill:+.3f} ({low:+.3f} to {high:+.3f}); {self._loss_in_words}"
        if self.crowned and self.gain > 0.0:
            return f"Better than the constant forecast {when}: {shown}."
        if self.crowned:
            return f"Skilled in direction, though its loss is no lower than that of the constant forecast, {when}: {shown}."
        if self.interval[1] < 0.0 or high < 0.0:
            return f"Worse than the constant forecast {when}: {shown}."
        return f"Not shown to be better than the constant forecast {when}: {shown}."

    @property
    def _loss_in_words(self) -> str:
        low, high = self.interval
        if self.gain >= 0.0:
            return f"saves {_percent(self.gain)} of its loss ({_percent(low)} to {_percent(high)})"
        return f"adds {_percent(-self.gain)} to its loss ({_percent(-high)} to {_percent(-low)})"


def verdict_on(
    gain: NDArray[np.float64],
    payoff: NDArray[np.float64],
    moments: NDArray[np.datetime64],
    luck: LuckOfTheSearch | None = None,
) -> Verdict:
    """The verdict on gains and payoffs, one a moment, in time order.

    >>> days = np.arange("2024-01-01", "2024-04-10", dtype="M8[D]")
    >>> noise = np.random.default_rng(0).standard_normal(100)
    >>> verdict_on(noise, 0.5 + noise, days).crowned, verdict_on(noise, noise, days).crowned
    (True, False)
    """
    mean, interval, _ = _tested(gain)
    skill, skill_interval, p_value = _tested(payoff)
    crowned = skill_interval[0] > 0.0 and interval[1] > 0.0
    span = (moments.min(), moments.max())
    return Verdict(crowned, mean, interval, skill, skill_interval, p_value, len(gain), span, luck)


def _tested(series: NDArray[np.float64]) -> tuple[float, tuple[float, float], float]:
    """Mean, interval and p-value; too few moments, or no variation, decide nothing."""
    try:
        test = ewc_t_test(series)
    except DataError:
        return float(series.mean()), (-np.inf, np.inf), 1.0
    return float(test.mean), (float(test.ci_low), float(test.ci_high)), float(test.p_value)


def luck_of(trials: Sequence[Trial], best: Trial, *, n_earlier_trials: int = 0) -> LuckOfTheSearch:
    """Deflate the best of the trials by all of them.

    Parameters
    ----------
    trials : all of a search, in any state. best : the finished one that is judged. n_earlier_trials : of earlier searches on
        the same rows.
    """
    seen = [trial.payoff for trial in trials if trial.payoff is not None]
    n_trials = len(seen) + n_earlier_trials
    reasons = []
    deflated: DeflatedSharpe | None = None
    overfitting: OverfittingReport | None = None
    try:
        assert best.payoff is not None
        deflated = deflated_sharpe_ratio(best.payoff, trial_sharpe_ratios=[*map(_sharpe, seen)], n_trials=n_trials)
    except DataError as error:
        reasons.append(f"the Sharpe ratio of the best trial cannot be deflated: {error}")
    finished = [trial.payoff for trial in trials if trial.state is TrialState.FINISHED and trial.payoff is not None]
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


def _percent(share: float) -> str:
    return f"{100 * share:+.2f} %"
