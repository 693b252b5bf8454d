"""The learners of a run against the baseline: by the payoff of their scores, which crowns, and by their accounts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from huracan.accounting import BacktestResult
from huracan.baselines.ab_testing import ABTestingFramework, ABTestResult
from huracan.config import HuracanConfig
from huracan.integration.judging import BASELINE, Judged, Skill
from huracan.integration.plan import Plan
from huracan.statistics import simultaneous_intervals

__all__ = ["MEASURE", "ab_testing_framework", "add_accounts", "compare_payoffs", "joint_skills"]

MEASURE = "negative payoff of the standardised score, before costs"
"""What the losses of the main job are."""


def ab_testing_framework(config: HuracanConfig) -> ABTestingFramework:
    """As configured under ``comparison``."""
    return ABTestingFramework(alpha=config.comparison.alpha, correction=config.comparison.correction, seed=config.seed)


def compare_payoffs(config: HuracanConfig, plan: Plan, judged: Mapping[str, Judged]) -> ABTestResult:
    """Compare every learner that says anything with the baseline, whose payoff is 0 by definition."""
    at = plan.judged
    losses = {name: -one.payoff for name, one in judged.items()}
    losses[BASELINE] = np.zeros(len(at))
    times = plan.rows.decision_time[at]
    return ab_testing_framework(config).compare_losses(losses, baseline=BASELINE, times=times, measure=MEASURE)


def joint_skills(config: HuracanConfig, result: ABTestResult) -> dict[str, Skill]:
    """Mean payoff of each learner, with 95 % intervals that hold for all of them together."""
    comparison, framework = result.comparison, ab_testing_framework(config)
    joint = simultaneous_intervals(
        comparison.losses,
        names=comparison.models,
        baseline=comparison.models.index(BASELINE),
        resamples=framework.resamples,
        seed=framework.seed,
    )
    ends = zip(joint.first, joint.ci_low.tolist(), joint.ci_high.tolist())
    interval = {joint.names[i]: (-high, -low) for i, low, high in ends}
    return {p.model_a: Skill(-p.difference, *interval[p.model_a], p.p_value, p.n_eff) for p in comparison.pairs}


def add_accounts(config: HuracanConfig, result: ABTestResult, accounts: Mapping[str, BacktestResult]) -> ABTestResult:
    """Add the Sharpe ratios of the learners' accounts, deflated for as many trials as there are learners.

    A learner that never trades counts as a trial too. The position policies that were looked at are no further trials: they
    were chosen on earlier folds than those whose returns these are.
    """
    returns = {name: account.returns for name, account in accounts.items() if name in result.comparison.models}
    returns[BASELINE] = np.zeros(len(next(iter(returns.values()))))
    return ab_testing_framework(config).add_returns(result, returns, baseline=BASELINE, n_trials=len(accounts))
