"""Learners trained on one part, calibrated on the next, judged on the last: forecasts, leaderboard, comparison, accounts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from huracan.accounting import BacktestResult, CostModel, PositionPolicy, backtest_many, targets_frame
from huracan.baselines.ab_testing import ABTestResult, Comparison, compare_models
from huracan.catalogue import find_learner, score_rows
from huracan.config import HuracanConfig
from huracan.errors import HuracanError, ModelError, NotEnoughData
from huracan.integration.array_rows import ArrayRows, Task
from huracan.integration.candidates import LearnerCandidate
from huracan.integration.ensemble_candidates import ensembles_of
from huracan.integration.judging import BASELINE, Scale, tune
from huracan.integration.model_comparison import ab_testing_framework
from huracan.integration.results import NotRun, not_run
from huracan.validation import classification_metrics, rank_information_coefficient, regression_metrics

__all__ = ["ArrayAccounts", "Forecasts", "calibrated", "compare_forecasts", "forecast_leaderboard", "run_accounts", "train"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Forecasts:
    """A fitted model, its score on validation and test, and its test forecast in the unit of the label."""

    model: Any
    val_score: Floats
    test_score: Floats
    test: Floats


@dataclass(frozen=True)
class ArrayAccounts:
    """Positions on every row of test, and what each learner's account made of them, by learner."""

    positions: Mapping[str, Floats]
    results: Mapping[str, BacktestResult]

    def table(self) -> pl.DataFrame:
        """One row a learner, best net Sharpe ratio first."""
        kept = ("total_return", "sharpe", "sharpe_ci_low", "sharpe_ci_high", "max_drawdown", "turnover")
        entries = [{"learner": name, **{k: one.metrics[k] for k in kept}} for name, one in self.results.items()]
        return (
            pl.DataFrame(entries)
            .with_columns(pl.col(pl.Float64).fill_nan(None))
            .sort("sharpe", "learner", descending=[True, False], nulls_last=True)
        )


def train(config: HuracanConfig, rows: ArrayRows, task: Task) -> tuple[dict[str, Forecasts], dict[str, str]]:
    """Fit every learner of the profile, and every configured ensemble of them, and let it forecast; and why some could not.

    Raises
    ------
    ModelError : none could.
    """

    ensembles = ensembles_of(config, task=task)

    def attempt(name: str) -> Forecasts | str:
        if name not in ensembles and task not in find_learner(name).tasks:
            return f"{name} does no {task}"
        try:
            if name in ensembles:
                model = ensembles[name].fit(rows.train, seed=config.seed)
            else:
                learner = LearnerCandidate(name, config.active_profile.learners[name])
                model = learner.unfitted(config.seed, task=task).fit(rows.train)
            before, now = (score_rows(model, rows.whole, rows.at[part]) for part in ("val", "test"))
        except HuracanError as error:
            return str(error)
        if not (np.isfinite(before).all() and np.isfinite(now).all()):
            return f"{name} predicts values that are not finite"
        return Forecasts(model, before, now, calibrated(before, rows.val.y, now, task))

    names = [*config.active_profile.learners, *ensembles]
    with warnings.catch_warnings(), threadpool_limits(limits=1), ThreadPoolExecutor(config.training.n_jobs) as pool:
        warnings.simplefilter("ignore")  # a library's remarks on a fit; what matters is in the result
        futures = {name: pool.submit(copy_context().run, attempt, name) for name in names}
        results = {name: future.result() for name, future in futures.items()}
    trained = {name: one for name, one in results.items() if isinstance(one, Forecasts)}
    failures = {name: one for name, one in results.items() if isinstance(one, str)}
    if not trained:
        name, reason = next(iter(failures.items()))
        raise ModelError(f"none of {len(names)} learners could be trained; {name}: {reason}")
    return trained, failures


def calibrated(before: Floats, outcome: Floats, now: Floats, task: Task) -> Floats:
    """What scores forecast, in the label's unit: a line (for classes a logistic one) fitted on validation.

    Its level is the mean label of validation at the mean score of validation. A constant score therefore forecasts what
    the baseline forecasts, and a learner can be better only by what moves its score. Scores whose own level drifts move
    the forecast too: that is part of what they say.

    >>> calibrated(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 2.0]), np.array([2.0, 4.0]), "regression").tolist()
    [1.0, 3.0]
    """
    mean, spread = float(np.mean(outcome)), float(np.std(before))
    if spread <= 64 * np.finfo(np.float64).eps * float(np.abs(before).max()):
        return np.full(len(now), mean)
    if task == "classification":
        return Scale.learn(before, outcome > 0).probability(now)
    center = float(np.mean(before))
    slope = float(np.mean((before - center) * (outcome - mean))) / spread**2
    return mean + slope * (now - center)


def forecast_leaderboard(judged: Mapping[str, Forecasts], rows: ArrayRows, task: Task, constant: float) -> pl.DataFrame:
    """``[learner, loss, rank_ic, ...]``, lowest loss first, then the metrics of the task; the baseline is a row of its own."""
    test, entries = rows.test, []
    for name, one in {**judged, BASELINE: None}.items():
        forecast = np.full(len(test), constant) if one is None else one.test
        scored = (
            classification_metrics(test.y, forecast)
            if task == "classification"
            else regression_metrics(test.y, forecast, constant=constant)
        )
        rank = 0.0 if one is None else rank_information_coefficient(one.test_score, test.y)
        entries.append({"learner": name, "loss": float(np.mean((test.y - forecast) ** 2)), "rank_ic": rank, **scored})
    return pl.DataFrame(entries).with_columns(pl.col(pl.Float64).fill_nan(None)).sort("loss", "learner")


def compare_forecasts(
    config: HuracanConfig, judged: Mapping[str, Forecasts], rows: ArrayRows, constant: float
) -> ABTestResult | NotRun:
    """Squared error (for classes the Brier score) of every learner that is no constant, against the constant.

    The winner must also be shown better when labels and forecasts are each taken less their mean over test. Where the
    label's level moves once and a slow feature happens to lie on the right side, that is one coincidence, which counts as
    many rows; this second condition can only take a crown away, so the mean it looks at gives nothing away.
    """
    speaking = {name: one.test for name, one in judged.items() if np.ptp(one.test) > 0}
    if not speaking:
        return not_run("every learner forecasts the same for every row")
    y, times = rows.test.y, rows.test.decision_time
    framework = ab_testing_framework(config)
    try:
        forecasts = {**speaking, BASELINE: np.full(len(y), constant)}
        found = framework.compare_predictions(y, forecasts, baseline=BASELINE, times=times)
        if found.decision is None:
            return found
        level_free = {name: (y - y.mean() - one + one.mean()) ** 2 for name, one in speaking.items()}
        level_free[BASELINE] = (y - y.mean()) ** 2
        moving = compare_models(
            level_free, baseline=BASELINE, times=times, alpha=framework.alpha, correction=framework.correction
        )
    except NotEnoughData as error:
        return not_run(str(error))
    both = [name for name in _better(found.comparison) if name in _better(moving)]
    if found.decision in both:
        return found
    p = next(pair.p_adjusted for pair in moving.pairs if pair.model_a == found.decision)
    sentence = (
        f"'{found.decision}' has a lower loss than '{BASELINE}' only by its level: with the mean over test taken out of labels "
        f"and forecasts the adjusted p is {p:.3g}."
    )
    mean_loss = found.comparison.mean_loss
    decision = min(both, key=lambda name: mean_loss[name], default=None)
    if decision is not None:
        pair = next(pair for pair in found.comparison.pairs if pair.model_a == decision)
        sentence = (
            f"'{decision}' is better than '{BASELINE}': mean loss lower by {-pair.difference:.4g}, adjusted p = "
            f"{pair.p_adjusted:.3g}. {sentence}"
        )
    return replace(found, decision=decision, sentence=sentence)


def _better(comparison: Comparison) -> list[str]:
    """Models shown to be better than the baseline."""
    return [pair.model_a for pair in comparison.pairs if pair.p_adjusted <= comparison.alpha and pair.difference < 0]


def run_accounts(
    config: HuracanConfig, judged: Mapping[str, Forecasts], rows: ArrayRows, horizon: int
) -> ArrayAccounts | NotRun:
    """Backtest every learner on test with all costs; its policy is chosen on validation.

    The prices are the opens of consecutive bars, which is all the step formula needs. Volumes are not known, so a cap on
    the share of a bar's volume never binds. The last two rows cannot be entered and left within the data: they are not traded.
    """
    costs, template = CostModel(**config.costs.model_dump()), PositionPolicy(**config.policy.model_dump())
    test = rows.test
    if rows.test_prices is None:
        return not_run("no prices were given: no net result")
    if template.volatility_target is not None:
        return not_run("a volatility target needs candles; prices alone carry no volatility of each bar")
    if len(test) < 3:
        return not_run(f"test has {len(test)} row(s); an account needs at least 3, to decide, enter and leave")
    positions = {}
    for name, one in judged.items():
        try:
            policy = tune(rows.val, one.val_score, costs, template, horizon=horizon)
        except NotEnoughData as error:
            return not_run(f"no position policy could be chosen on validation: {error}")
        positions[name] = np.where(np.arange(len(test)) < len(test) - 2, policy.targets(one.test_score), 0.0)
    price = rows.test_prices
    candles = targets_frame(test, price).select("symbol", "ts", open="target", close="target")
    frames = {name: targets_frame(test, position).head(len(test) - 2) for name, position in positions.items()}
    return ArrayAccounts(positions, backtest_many(candles, frames, costs))
