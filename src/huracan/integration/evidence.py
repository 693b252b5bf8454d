"""The evidence of a run: every learner trained, scored, judged and compared on the development span."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import huracan
from huracan.accounting import CostModel, PositionPolicy
from huracan.baselines.ab_testing import Comparison
from huracan.config import HuracanConfig, config_hash
from huracan.dataset import TrainingSet
from huracan.errors import ModelError
from huracan.integration import judging
from huracan.integration.judging import Judged, Skill
from huracan.integration.out_of_fold import LearnerRun, run_out_of_fold
from huracan.integration.preparation import Prepared, Source
from huracan.integration.run_folder import RunFolder
from huracan.logs import stage
from huracan.market import candles_hash
from huracan.model_info import RegimeSkill
from huracan.validation import Fold, HoldOut, PurgedWalkForward, lock_hold_out

__all__ = ["Evidence", "Progress", "RunFacts", "gather_evidence", "library_versions", "run_key"]

Progress = Callable[[str, float], None]
"""Called with what was finished and the share of the whole run that it was (0 to 1, summing to 1)."""

_LIBRARIES = ("huracan", "numpy", "polars", "scikit-learn", "scipy", "lightgbm", "xgboost-cpu", "TA-Lib", "bottleneck")


@dataclass(frozen=True)
class RunFacts:
    """What identifies a run: with these equal, so is the result."""

    key: str
    data_hash: str
    config_hash: str
    seed: int
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Evidence:
    """Everything that was found out of fold.

    Attributes
    ----------
    folds : fold 0 tunes only. runs : all learners. judged : those that could be trained. comparison : against the baseline,
        None when no learner said anything but a constant. champion : the crowned learner, or None. finalist : the champion, or
        the best-looking learner where none is crowned; None when there is none. skills : of every learner that says more than
        a constant, with 95 % intervals.
    """

    development: TrainingSet
    hold_out: HoldOut | None
    folds: list[Fold]
    runs: Mapping[str, LearnerRun]
    judged: Mapping[str, Judged]
    comparison: Comparison | None
    champion: str | None
    finalist: str | None
    skills: Mapping[str, Skill]
    skills_by_regime: Mapping[str, tuple[RegimeSkill, ...]]


def run_key(config: HuracanConfig, source: Source) -> RunFacts:
    """Hash everything the result depends on."""
    data, settings, versions = candles_hash(source.candles), config_hash(config), library_versions()
    content = json.dumps([data, settings, config.seed, versions], sort_keys=True)
    return RunFacts(hashlib.sha256(content.encode()).hexdigest(), data, settings, config.seed, versions)


def library_versions() -> dict[str, str]:
    """Versions of everything a result depends on."""
    found = {"python": platform.python_version(), "huracan": huracan.__version__}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found.setdefault(name, "not installed")
    return found


def gather_evidence(config: HuracanConfig, prepared: Prepared, folder: RunFolder | None, progress: Progress | None) -> Evidence:
    """Train and judge every learner of the profile on the development span.

    Raises
    ------
    ModelError : no learner of the profile could be trained; the first reason is given.
    """
    profile = config.active_profile
    rows, hold_out = prepared.rows, None
    if config.validation.hold_out_share > 0:
        rows, hold_out = lock_hold_out(rows, share=config.validation.hold_out_share, embargo=config.validation.embargo_bars)
    splitter = PurgedWalkForward(
        n_splits=profile.n_splits + 1,
        embargo=config.validation.embargo_bars,
        min_train_share=config.validation.min_train_share,
    )
    folds = list(splitter.folds(rows))
    with stage("training"):
        runs = run_out_of_fold(
            rows,
            folds,
            profile.learners,
            per_symbol=config.training.pooling == "per_symbol",
            seed=config.seed,
            n_jobs=config.training.n_jobs,
            folder=folder,
            tick=progress,
        )
    trained = {name: run for name, run in runs.items() if run.failure is None}
    if not trained:
        name, run = next(iter(runs.items()))
        raise ModelError(f"none of {len(runs)} learners could be trained; {name}: {run.failure}")
    with stage("judging"):
        costs = CostModel(**config.costs.model_dump())
        template = PositionPolicy(**config.policy.model_dump())
        judged = {
            name: judging.judge(rows, run, folds, costs, template, horizon=config.labels.horizon)
            for name, run in trained.items()
        }
        speaking = {name: one for name, one in judged.items() if not one.run.is_constant}
        comparison, champion, finalist = None, None, None
        if speaking:
            comparison = judging.compare(rows, speaking, alpha=config.comparison.alpha, correction=config.comparison.correction)
            champion = comparison.decision if comparison.decision in speaking else None
            finalist = champion or judging.best_learner(speaking)
        skills = {name: judging.skill_of(one.payoff, rows.decision_time[one.at]) for name, one in speaking.items()}
        by_regime = judging.regime_skills(rows, speaking)
    return Evidence(rows, hold_out, folds, runs, judged, comparison, champion, finalist, skills, by_regime)
