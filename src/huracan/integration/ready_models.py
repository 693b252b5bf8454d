"""A learner that is judged on the newest folds, fitted on all rows and ready to be registered and served.

The main job and the search bring their models here when these are chosen; a challenger of the Mechanic comes this way alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from huracan.accounting import CostModel, PositionPolicy, backtest, targets_frame
from huracan.config import HuracanConfig
from huracan.dataset import TrainingSet
from huracan.errors import ModelError, NotEnoughData
from huracan.integration.candidates import Candidate
from huracan.integration.closing import fit_baseline
from huracan.integration.expectations import attached_scores, live_expectation
from huracan.integration.judging import BASELINE, Judged, Scale, Skill, judge, skill_of
from huracan.integration.out_of_fold import FittedLearner, LearnerRun, fit_learner, run_out_of_fold
from huracan.integration.plan import Plan, make_plan
from huracan.integration.preparation import Prepared
from huracan.integration.registration import provenance_of
from huracan.integration.serving_facts import attached_files, outlook_facts, probe_rows, serving_signature
from huracan.mlops.live_expectation import EXPECTATION
from huracan.model_info import ModelInfo
from huracan.model_registry import ModelRegistry
from huracan.registry.records import ModelKind, Provenance
from huracan.statistics import adjust_p_values
from huracan.validation.metrics import directional_payoff

__all__ = [
    "Entrant",
    "ReadyModel",
    "baseline_for_service",
    "fit_for_service",
    "judged_alone",
    "service_extras",
]

PolicyOf = Callable[[Scale], PositionPolicy]
_JUDGED_FOLDS = 2


@dataclass(frozen=True)
class Entrant:
    """One learner on the newest folds.

    Attributes
    ----------
    run : its scores out of fold. judged : what they are worth; None where that cannot be said, and ``why``: what it does.
    skill : its mean payoff a moment.
    """

    name: str
    run: LearnerRun
    judged: Judged | None
    skill: Skill | None
    why: str = ""


@dataclass(frozen=True, eq=False)
class ReadyModel:
    """A fitted model with all that is registered of it.

    Attributes
    ----------
    model : fitted on ``rows``. extras, attachments : JSON and files kept with it. probe : rows to check on that the stored
        model is the model. skill : out of fold; None for the constant prediction. p_adjusted : of its skill, corrected (Holm)
        for all that were judged beside it. passed_over : name -> why another candidate could not be judged.
    """

    name: str
    model: Any
    info: ModelInfo
    kind: ModelKind
    metrics: Mapping[str, float]
    provenance: Provenance
    extras: Mapping[str, Any]
    attachments: Mapping[str, bytes]
    probe: TrainingSet
    rows: TrainingSet
    skill: Skill | None = None
    p_adjusted: float = 1.0
    passed_over: Mapping[str, str] = field(default_factory=dict)

    @property
    def expected(self) -> Mapping[str, Any]:
        """What it promises, see :func:`~huracan.integration.expectations.live_expectation`; empty where it promises nothing."""
        return self.extras.get(EXPECTATION, {})

    def register(self, registry: ModelRegistry, name: str, *, parent: int | None = None) -> int:
        """Store it as the next version of ``name``; no alias moves. See :meth:`~huracan.ModelRegistry.register`."""
        return registry.register(
            self.model,
            self.info,
            name=name,
            metrics=self.metrics,
            provenance=self.provenance,
            parent=parent,
            kind=self.kind,
            extras=self.extras,
            attachments=self.attachments,
            probe=self.probe,
        )


def service_extras(
    config: HuracanConfig, plan: Plan, judged: Judged, fitted: FittedLearner, *, net: ArrayLike | None = None
) -> dict[str, Any]:
    """``{policy, scale, levels, forecast, intervals, live_expectation}``: what serving and the feedback loop read."""
    return {
        "policy": judged.policy.to_dict(),
        "scale": vars(judged.scale),
        "levels": {symbol or "all": level for symbol, level in fitted.levels.items()},
        **outlook_facts(config, plan, judged),
        **live_expectation(plan, judged, net=net),
    }


def judged_alone(
    config: HuracanConfig,
    plan: Plan,
    candidates: Mapping[str, Candidate],
    *,
    seed: int,
    n_jobs: int = 1,
    policy_of: PolicyOf | None = None,
) -> dict[str, Entrant]:
    """Judge each candidate on a plan's folds but the first, which teaches its scale and its positions.

    Parameters
    ----------
    policy_of : the position policy of scores that lie so; where None, one is tuned.
    """
    runs = run_out_of_fold(plan, candidates, per_symbol=False, seed=seed, n_jobs=n_jobs)
    costs, template = CostModel(**config.costs.model_dump()), PositionPolicy(**config.policy.model_dump())
    entrants = {}
    for name, run in runs.items():
        if run.failure is not None:
            entrants[name] = Entrant(name, run, None, None, f"cannot be fitted on earlier rows alone: {run.failure}")
        elif run.constant:
            entrants[name] = Entrant(name, run, None, None, "says the same about every bar")
        else:
            try:
                judged = judge(plan, run, costs, template, horizon=config.labels.horizon, policy_of=policy_of)
            except NotEnoughData as error:
                entrants[name] = Entrant(name, run, None, None, f"gives no position policy: {error}")
            else:
                entrants[name] = Entrant(name, run, judged, skill_of(judged.payoff, plan.times.decision_time[plan.judged]))
    return entrants


def fit_for_service(
    config: HuracanConfig,
    prepared: Prepared,
    candidates: Mapping[str, Candidate],
    *,
    origin: Mapping[str, Any],
    seed: int,
    rows: TrainingSet | None = None,
    policy_of: PolicyOf | None = None,
    final: Mapping[str, Candidate] | None = None,
) -> ReadyModel:
    """Judge candidates on the newest rows out of fold, and fit the one with the largest skill on all of them.

    Three folds are cut from the rows, nothing is held out: what follows is life itself. Every fit runs on one core, several of
    them side by side (``training.n_jobs``), so the same rows and seed give the same bits.

    Parameters
    ----------
    config : labels, costs, policy and validation. prepared : candles made into rows.
    rows : some of ``prepared.everything``, in time order; all where None.
    origin : of the provenance: ``run_id, data_hash, config_hash, recipe_hash, seed, versions, simulated``.
    policy_of : the position policy of scores that lie so; where None, one is tuned.
    final : by name, what is fitted on all rows instead of the candidate that was judged.

    Raises
    ------
    NotEnoughData : too few rows for three folds. DataError : every label points the same way.
    ModelError : no candidate could be judged; the reason of each is given.
    """
    everything = prepared.everything if rows is None else rows
    settings = config.model_copy(update={"validation": config.validation.model_copy(update={"hold_out_share": 0.0})})
    plan = make_plan(settings, everything, n_splits=_JUDGED_FOLDS)
    entrants = judged_alone(settings, plan, candidates, seed=seed, n_jobs=config.training.n_jobs, policy_of=policy_of)
    able = {name: _in_units_of_each_fold(plan, one.judged) for name, one in entrants.items() if one.judged is not None}
    if not able:
        raise ModelError("; ".join(f"{name} {one.why}" for name, one in entrants.items()))
    adjusted = dict(zip(able, adjust_p_values([skill.p_value for _, skill in able.values()], method="holm").tolist()))
    best = max(able, key=lambda name: able[name][1].mean)
    judged, skill = able[best]
    chosen = (final or {}).get(best, candidates[best])
    with threadpool_limits(limits=1):
        fitted = fit_learner(chosen, plan.development, seed=seed)
    model = fitted.models[None]
    judged = _in_final_units(plan, judged, fitted)
    span = plan.times.take(plan.judged_span)
    account = backtest(prepared.source.candles, targets_frame(span, judged.target), CostModel(**config.costs.model_dump()))
    measured = {"skill": skill.mean, "ci_low": skill.ci_low, "ci_high": skill.ci_high}
    measured |= {"p_adjusted": adjusted[best], "net_return": account.metrics["total_return"]}
    metrics = {name: float(value) for name, value in measured.items() if math.isfinite(value)}
    signature = serving_signature(model, plan.development, prepared.recipe.hash)
    extras = {
        "config": config.told(),
        "recipe": prepared.recipe.to_json(),
        **service_extras(config, plan, judged, fitted, net=account.returns),
    }
    return ReadyModel(
        name=best,
        model=model,
        info=model.model_info().model_copy(update={"signature": signature, "performance_metrics": metrics}),
        kind="challenger",
        metrics=metrics,
        provenance=provenance_of(model, plan.development, origin),
        extras=extras,
        attachments={**attached_files(config, model, plan.development), **attached_scores(plan, judged)},
        probe=probe_rows(model, plan.development),
        rows=plan.development,
        skill=skill,
        p_adjusted=adjusted[best],
        passed_over={name: one.why for name, one in entrants.items() if name not in able},
    )


def _in_units_of_each_fold(plan: Plan, judged: Judged) -> tuple[Judged, Skill]:
    """Payoffs of each fold in units of the spread of its own scores, and the skill of these; see :func:`_in_final_units`."""
    rows, run = plan.times, judged.run
    payoff = np.zeros(len(rows))
    for k in range(1, len(plan.folds)):
        tested = plan.tested(k)
        label = rows.y[tested] - plan.mean_label(k)[rows.symbol_code[tested]]
        spread = float(np.std(run.score[tested]))
        payoff[tested] = directional_payoff(run.score[tested], label, center=0.0, spread=spread)
    judged = replace(judged, payoff=payoff[plan.judged])
    return judged, skill_of(judged.payoff, rows.decision_time[plan.judged])


def _in_final_units(plan: Plan, judged: Judged, fitted: FittedLearner) -> Judged:
    """Scale and positions for scores that are as wide as those of the final fit.

    The fewer rows a model learned from, the more it is shrunk: scores of the first folds may be a fraction as wide as those of
    the final fit. By their spread it would hold positions several times as large as another model of equal skill, and be called
    better for it. How wide scores out of fold are beside those on the rows each fold learned from tells how wide those of the
    final fit will be beside those on its own.
    """
    run, scale, policy = judged.run, judged.scale, judged.policy
    spreads = run.train_spread
    if len(spreads) < len(plan.folds) or min(spreads.values()) == 0.0:
        return judged
    ratio = float(np.median([np.std(run.score[plan.tested(k)]) / spreads[k] for k in range(len(plan.folds))]))
    final = ratio * fitted.spreads[None]
    if not (final > 0.0 and scale.spread > 0.0):
        return judged
    wider = final / scale.spread
    return replace(
        judged,
        scale=replace(scale, spread=final, slope=scale.slope * wider),
        policy=replace(policy, center=policy.center * wider, spread=policy.spread * wider),
    )


def baseline_for_service(
    config: HuracanConfig, prepared: Prepared, *, origin: Mapping[str, Any], seed: int, rows: TrainingSet | None = None
) -> ReadyModel:
    """The constant prediction, which holds nothing, of the same rows; see :func:`fit_for_service`."""
    learned = (prepared.everything if rows is None else rows).labelled_only()
    model = fit_baseline(learned, seed)
    signature = serving_signature(model, learned, prepared.recipe.hash)
    extras = {"config": config.told(), "recipe": prepared.recipe.to_json(), "deserves_money": False}
    return ReadyModel(
        name=BASELINE,
        model=model,
        info=model.model_info().model_copy(update={"signature": signature}),
        kind="baseline",
        metrics={},
        provenance=provenance_of(model, learned, origin),
        extras=extras,
        attachments=attached_files(config, model, learned),
        probe=probe_rows(model, learned),
        rows=learned,
    )
