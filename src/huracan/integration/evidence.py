"""The evidence of a run: every learner trained, scored, judged and compared on the development span."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from huracan.accounting import CostModel, PositionPolicy
from huracan.baselines.ab_testing import ABTestResult, Comparison
from huracan.baselines.learner_identity import learner_identity
from huracan.catalogue import find_learner
from huracan.config import HuracanConfig, config_hash
from huracan.dataset import TrainingSet
from huracan.errors import ModelError
from huracan.integration import judging
from huracan.integration.candidates import candidates_of
from huracan.integration.judging import Judged, Skill
from huracan.integration.model_comparison import compare_payoffs, joint_skills
from huracan.integration.out_of_fold import LearnerRun, run_out_of_fold
from huracan.integration.plan import Plan
from huracan.integration.preparation import Prepared
from huracan.integration.run_folder import RunFolder
from huracan.logs import stage
from huracan.market import candles_hash
from huracan.model_info import RegimeSkill
from huracan.storage import library_versions
from huracan.version import source_hash

__all__ = ["Evidence", "Progress", "RunFacts", "gather_evidence", "run_key"]

Progress = Callable[[str, float], None]
"""Called with what was finished and the share of the whole run that it was (0 to 1, summing to 1)."""


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
    plan : how time was divided. runs : all learners. judged : those that could be trained. ab_test : all against the
        baseline, None when no learner said anything but a constant. champion : the crowned learner, or None. finalist : the
        champion, or the best-looking learner where none is crowned; None when there is none.
    skills : of every learner that says more than a constant; their 95 % intervals hold together, whichever of them one
        picks afterwards.
    """

    plan: Plan
    runs: Mapping[str, LearnerRun]
    judged: Mapping[str, Judged]
    ab_test: ABTestResult | None
    champion: str | None
    finalist: str | None
    skills: Mapping[str, Skill]
    skills_by_regime: Mapping[str, tuple[RegimeSkill, ...]]
    alpha: float

    @property
    def development(self) -> TrainingSet:
        """The labelled rows before the hold-out."""
        return self.plan.development

    @property
    def comparison(self) -> Comparison | None:
        """The pairwise tests of ``ab_test``."""
        return None if self.ab_test is None else self.ab_test.comparison

    @property
    def single_confidence(self) -> float:
        """Level of one interval, so that all learners' intervals hold together at 95 %."""
        return 1.0 - 0.05 / max(1, len(self.skills))


def run_key(config: HuracanConfig, prepared: Prepared, *, search: Sequence[str] | None = None) -> RunFacts:
    """Hash everything the result depends on: data, settings, recipe, learners, versions and this package's own code.

    Parameters
    ----------
    search : learners of a search instead of those of the profile.
    """
    data, settings = candles_hash(prepared.source.candles), config_hash(config, search=search is not None)
    versions = library_versions()
    learners = [
        learner_identity(find_learner(name)) for name in sorted(config.active_profile.learners if search is None else search)
    ]
    content = json.dumps([data, settings, prepared.recipe.hash, learners, config.seed, versions, source_hash()], sort_keys=True)
    return RunFacts(hashlib.sha256(content.encode()).hexdigest(), data, settings, config.seed, versions)


def gather_evidence(config: HuracanConfig, plan: Plan, folder: RunFolder | None, progress: Progress | None) -> Evidence:
    """Train and judge every learner of the profile, and every ensemble of them that is configured, on the development span.

    Raises
    ------
    ModelError : no learner of the profile could be trained; the first reason is given.
    """
    with stage("training"):
        runs = run_out_of_fold(
            plan,
            candidates_of(config),
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
        costs, template = CostModel(**config.costs.model_dump()), PositionPolicy(**config.policy.model_dump())
        judged = {
            name: judging.judge(plan, run, costs, template, horizon=config.labels.horizon) for name, run in trained.items()
        }
        speaking = {name: one for name, one in judged.items() if not one.run.constant}
        alpha = config.comparison.alpha
        skills: dict[str, Skill] = {}
        ab_test, champion, finalist = None, None, None
        if speaking:
            ab_test = compare_payoffs(config, plan, speaking)
            skills = joint_skills(config, ab_test)
            champion = ab_test.decision if ab_test.decision in speaking else None
            finalist = champion or max(skills, key=lambda name: skills[name].mean)
        by_regime = judging.regime_skills(plan, speaking)
    return Evidence(plan, runs, judged, ab_test, champion, finalist, skills, by_regime, alpha)
