"""From out-of-fold scores to positions, evidence and a champion.

The *skill* of a learner is the mean payoff of its standardised score: at each decision a position z = score / spread,
clipped at 3, is held on the label less its symbol's mean label in training. Scores are less their model's own mean on
its training rows, so neither a market that drifts nor a model whose level moves earns skill; a constant prediction earns
exactly 0, and "better than the baseline" is "mean payoff above 0". Spread, calibration and position policy come from
the scores of earlier folds whose labels were known, so no row is judged with anything its own fold taught. Symbols
decided at one moment are averaged before inference (they are not independent), and the inference is robust to
autocorrelation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huracan.accounting import CostModel, PositionPolicy, bars_in_a_year
from huracan.dataset import TrainingSet
from huracan.errors import DataError
from huracan.integration.out_of_fold import LearnerRun
from huracan.integration.plan import Plan
from huracan.integration.regime_evidence import skills_within_regimes
from huracan.model_info import RegimeSkill
from huracan.statistics import average_by_time, ewc_t_test
from huracan.validation.metrics import directional_payoff

__all__ = [
    "BASELINE",
    "Judged",
    "Scale",
    "Skill",
    "decisions",
    "judge",
    "mean_with_interval",
    "regime_skills",
    "skill_of",
    "tune",
]

BASELINE = "baseline"
"""Constant prediction, no position."""

_TUNING_ROWS = 200_000
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Scale:
    """Where scores lie and how wide they are, and the log-odds of a positive label as a line in the standardised score."""

    center: float
    spread: float
    intercept: float
    slope: float

    @classmethod
    def learn(cls, score: NDArray[np.float64], positive: NDArray[np.bool_], *, center: float | None = None) -> Scale:
        """From scores and what became of them (Platt 1999 for the probability); ``center`` is their mean unless given."""
        from sklearn.linear_model import LogisticRegression

        center = float(np.mean(score)) if center is None else center
        spread = float(np.std(score))
        if spread <= _ROUNDING * float(np.abs(score).max()):
            spread = 0.0
        share = float(np.clip(np.mean(positive), 1e-6, 1 - 1e-6))
        if spread == 0.0 or positive.all() or not positive.any():
            return cls(center, 0.0, float(np.log(share / (1 - share))), 0.0)
        z = _clipped(score, center, spread)[:, None]
        line = LogisticRegression(C=100.0).fit(z, positive)
        return cls(center, spread, float(line.intercept_[0]), float(line.coef_[0, 0]))

    def probability(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of a positive label."""
        if self.spread == 0.0:
            return np.full(len(score), 1.0 / (1.0 + np.exp(-self.intercept)))
        return 1.0 / (1.0 + np.exp(-(self.intercept + self.slope * _clipped(score, self.center, self.spread))))


@dataclass(frozen=True)
class Judged:
    """What the scores of one learner are worth.

    Attributes
    ----------
    z, payoff, probability : float64, one a row of ``plan.judged``; z is not clipped.
    target : float64, position on each row of ``plan.judged_span``, labelled or not.
    scale, policy : learned from all its out-of-fold scores, for use on later data. n_policies : policies looked at.
    """

    run: LearnerRun
    z: NDArray[np.float64]
    payoff: NDArray[np.float64]
    probability: NDArray[np.float64]
    target: NDArray[np.float64]
    scale: Scale
    policy: PositionPolicy
    n_policies: int


def judge(
    plan: Plan,
    run: LearnerRun,
    costs: CostModel,
    template: PositionPolicy,
    *,
    horizon: int,
    policy_of: Callable[[Scale], PositionPolicy] | None = None,
) -> Judged:
    """Judge one learner on folds 1, 2, ..., each with what the folds before it taught.

    Parameters
    ----------
    policy_of : gives the position policy of scores that lie so, where none shall be tuned.

    Raises
    ------
    NotEnoughData : too few moments to tune a policy on.
    """
    rows = plan.times
    z, payoff, probability, decided = (np.zeros(len(rows)) for _ in range(4))
    n_policies = 0
    for k in range(1, len(plan.folds) + 1):
        before = plan.known_before(k)
        scale = Scale.learn(run.score[before], rows.y[before] > 0, center=0.0)
        if policy_of is None:
            policy = tune(rows.take(before), run.score[before], costs, template, horizon=horizon)
        else:
            policy = policy_of(scale)
        n_policies += policy.n_tried
        if k == len(plan.folds):
            break
        tested, span = plan.tested(k), plan.spans[k]
        score, label = run.score[tested], rows.y[tested] - plan.mean_label(k)[rows.symbol_code[tested]]
        if scale.spread > 0.0:
            z[tested] = score / scale.spread
            payoff[tested] = directional_payoff(score, label, center=0.0, spread=scale.spread)
        probability[tested] = scale.probability(score)
        decided[span] = decisions(policy, rows.take(span), run.score[span])
    span = plan.judged_span
    if run.constant:
        target = run.stance[span].astype(np.float64)
    else:
        target = policy.held(decided[span], symbol_code=rows.symbol_code[span], segment=rows.segment[span])
    at = plan.judged
    return Judged(run, z[at], payoff[at], probability[at], target, scale, policy, n_policies)


def tune(
    rows: TrainingSet, score: NDArray[np.float64], costs: CostModel, template: PositionPolicy, *, horizon: int
) -> PositionPolicy:
    """Choose a position policy on past scores, the most recent 200,000 at most."""
    first = max(0, len(rows) - _TUNING_ROWS)
    return PositionPolicy.tune(rows.take(slice(first, None)), score[first:], costs, horizon=horizon, base=template)


def decisions(policy: PositionPolicy, rows: TrainingSet, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each row asks for on its own, before the holding rule."""
    return policy.decisions(score, volatility=rows.volatility, bars_per_year=bars_in_a_year(rows.bar_length))


@dataclass(frozen=True)
class Skill:
    """Mean payoff a moment with its dependence-robust interval; the whole line where nothing can be said."""

    mean: float
    ci_low: float
    ci_high: float
    p_value: float
    n_effective: float


def skill_of(payoff: NDArray[np.float64], times: NDArray[np.datetime64], *, confidence: float = 0.95) -> Skill:
    """Average the symbols of a moment, then test the mean over time; too few moments, or no variation, decide nothing."""
    return mean_with_interval(average_by_time(payoff, times)[1], confidence=confidence)


def mean_with_interval(series: NDArray[np.float64], *, confidence: float) -> Skill:
    """The mean of a series in time order and what can be said of it."""
    try:
        test = ewc_t_test(series, confidence=confidence)
    except DataError:
        return Skill(float(np.mean(series)), -np.inf, np.inf, 1.0, 0.0)
    return Skill(test.mean, test.ci_low, test.ci_high, test.p_value, test.n_effective)


def regime_skills(plan: Plan, judged: Mapping[str, Judged]) -> dict[str, tuple[RegimeSkill, ...]]:
    """Skill within each regime, out of fold; see :func:`~huracan.integration.regime_evidence.skills_within_regimes`."""
    return skills_within_regimes({name: one.payoff for name, one in judged.items()}, plan.rows.take(plan.judged))


def _clipped(score: NDArray[np.float64], center: float, spread: float) -> NDArray[np.float64]:
    return np.clip((score - center) / spread, -3.0, 3.0)
