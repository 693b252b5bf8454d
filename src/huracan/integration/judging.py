"""From out-of-fold scores to positions, evidence and a champion.

The *skill* of a learner is the mean payoff of its standardised score: at each decision a position z = (score - centre) /
spread, clipped at 3, is held on the label. Centre, spread and position policy come from earlier folds only. A constant
prediction earns 0 by construction, so "better than the baseline" is "mean payoff above 0". Symbols decided at one moment
are averaged before inference (they are not independent), and the inference is robust to autocorrelation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huracan.accounting import CostModel, PositionPolicy
from huracan.baselines.ab_testing import Comparison, compare_models
from huracan.dataset import REGIME_ORDER, TrainingSet
from huracan.errors import DataError
from huracan.integration.out_of_fold import LearnerRun
from huracan.model_info import RegimeSkill
from huracan.statistics import Correction, adjust_p_values, average_by_time, ewc_t_test
from huracan.validation import Fold
from huracan.validation.metrics import directional_payoff

__all__ = ["BASELINE", "Judged", "Scale", "Skill", "best_learner", "compare", "judge", "regime_skills", "skill_of", "targets"]

BASELINE = "baseline"
"""Constant prediction, no position."""

_TUNING_ROWS = 200_000
_YEAR = np.timedelta64(365 * 86_400_000, "ms")
_REGIME_MINIMUM = 100


@dataclass(frozen=True)
class Scale:
    """Where scores lie and how wide, and the log-odds of a positive label as a line in the standardised score."""

    center: float
    spread: float
    intercept: float
    slope: float

    @classmethod
    def learn(cls, score: NDArray[np.float64], positive: NDArray[np.bool_]) -> Scale:
        """From out-of-fold scores and what became of them (Platt 1999 for the probability)."""
        from sklearn.linear_model import LogisticRegression

        center, spread = float(np.mean(score)), float(np.std(score))
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
    """What the scores of one learner are worth on the rows judged, in time order.

    Attributes
    ----------
    at : indices of the rows judged. z : the standardised score, not clipped. payoff, target, probability : float64, one a
        row judged.
    scale, policy : learned from all its out-of-fold scores, for use on later data. n_policies : policies looked at.
    """

    run: LearnerRun
    at: NDArray[np.intp]
    z: NDArray[np.float64]
    payoff: NDArray[np.float64]
    target: NDArray[np.float64]
    probability: NDArray[np.float64]
    scale: Scale
    policy: PositionPolicy
    n_policies: int


def judge(
    rows: TrainingSet, run: LearnerRun, folds: Sequence[Fold], costs: CostModel, template: PositionPolicy, *, horizon: int
) -> Judged:
    """Judge one learner on folds 1, 2, ..., each with what the folds before it taught."""
    z, payoff, target, probability = (np.zeros(len(rows)) for _ in range(4))
    n_policies = 0
    for k in range(1, len(folds) + 1):
        before = np.flatnonzero((run.fold >= 0) & (run.fold < k))
        scale = Scale.learn(run.score[before], rows.y[before] > 0)
        policy = tune(rows.take(before), run.score[before], costs, template, horizon=horizon)
        n_policies += policy.n_tried
        if k == len(folds):
            break
        now = np.flatnonzero(run.fold == k)
        mean_label = float(np.mean(rows.y[folds[k].train]))
        payoff[now] = directional_payoff(run.score[now], rows.y[now] - mean_label, center=scale.center, spread=scale.spread)
        z[now] = (run.score[now] - scale.center) / (scale.spread or 1.0)
        probability[now] = scale.probability(run.score[now])
        target[now] = targets(policy, rows.take(now), run.score[now])
    at = np.flatnonzero(run.fold >= 1)
    return Judged(run, at, z[at], payoff[at], target[at], probability[at], scale, policy, n_policies)


def tune(
    rows: TrainingSet, score: NDArray[np.float64], costs: CostModel, template: PositionPolicy, *, horizon: int
) -> PositionPolicy:
    """Choose a position policy on past scores, the most recent 200,000 at most."""
    first = max(0, len(rows) - _TUNING_ROWS)
    return PositionPolicy.tune(rows.take(slice(first, None)), score[first:], costs, horizon=horizon, base=template)


def targets(policy: PositionPolicy, rows: TrainingSet, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions for the rows, decided at their decision times."""
    return policy.targets(
        score,
        volatility=rows.volatility,
        symbol_code=rows.symbol_code,
        segment=rows.segment,
        bars_per_year=float(_YEAR / rows.bar_length),
    )


def compare(rows: TrainingSet, judged: Mapping[str, Judged], *, alpha: float, correction: Correction) -> Comparison:
    """Compare every learner that says anything with the baseline; losses are negative payoffs."""
    at = next(iter(judged.values())).at
    losses = {name: -one.payoff for name, one in judged.items()}
    losses[BASELINE] = np.zeros(len(at))
    return compare_models(losses, baseline=BASELINE, times=rows.decision_time[at], alpha=alpha, correction=correction)


def best_learner(judged: Mapping[str, Judged]) -> str:
    """Name of the learner with the largest mean payoff."""
    return max(judged, key=lambda name: float(np.mean(judged[name].payoff)))


@dataclass(frozen=True)
class Skill:
    """Mean payoff a moment with its dependence-robust 95 % interval; the whole line where nothing can be said."""

    mean: float
    ci_low: float
    ci_high: float
    p_value: float
    n_effective: float


def skill_of(payoff: NDArray[np.float64], times: NDArray[np.datetime64]) -> Skill:
    """Average the symbols of a moment, then test the mean over time; too few moments, or no variation, decide nothing."""
    series = average_by_time(payoff, times)[1]
    try:
        test = ewc_t_test(series)
    except DataError:
        return Skill(float(np.mean(series)), -np.inf, np.inf, 1.0, 0.0)
    return Skill(test.mean, test.ci_low, test.ci_high, test.p_value, test.n_effective)


def regime_skills(rows: TrainingSet, judged: Mapping[str, Judged]) -> dict[str, tuple[RegimeSkill, ...]]:
    """Skill within each regime, out of fold, with p-values corrected over every pair of learner and regime (Holm).

    Regimes seen at fewer than 100 moments are left out: nothing can be said of them.
    """
    found: list[tuple[str, RegimeSkill]] = []
    for name, one in judged.items():
        for code, regime in enumerate(REGIME_ORDER):
            inside = rows.regime_code[one.at] == code
            times = rows.decision_time[one.at][inside]
            if len(np.unique(times)) < _REGIME_MINIMUM or np.ptp(one.payoff[inside]) == 0.0:
                continue
            test = skill_of(one.payoff[inside], times)
            found.append(
                (
                    name,
                    RegimeSkill(
                        regime=regime,
                        skill=test.mean,
                        ci_low=test.ci_low,
                        ci_high=test.ci_high,
                        p_adjusted=test.p_value,
                        n_effective=test.n_effective,
                        n_rows=int(inside.sum()),
                    ),
                )
            )
    skills: dict[str, list[RegimeSkill]] = {name: [] for name in judged}
    if not found:
        return dict.fromkeys(judged, ())
    adjusted = adjust_p_values([skill.p_adjusted for _, skill in found], method="holm")
    for (name, skill), p in zip(found, adjusted):
        skills[name].append(skill.model_copy(update={"p_adjusted": float(p)}))
    return {name: tuple(entries) for name, entries in skills.items()}


def _clipped(score: NDArray[np.float64], center: float, spread: float) -> NDArray[np.float64]:
    return np.clip((score - center) / spread, -3.0, 3.0)
