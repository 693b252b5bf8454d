"""``huracan automl``, from reading candles to the report: search, judge once on the hold-out, keep what was judged.

1. Candles become rows exactly as in the main job (``preparation.py``, ``plan.py``).
2. ``AutoMLEngine`` searches everything before the hold-out. Its trials are in the run's database under the run's own id, so a
   run that was killed goes on with them.
3. The hold-out is opened once and the look is counted; there the engine judges its choice against the constant. That decides.
4. A position policy is chosen from what the chosen settings, fitted on earlier rows alone, said of the last two folds; the
   account on the hold-out is net of costs.
5. What was judged is registered by the rules of the main job (``registration.py``); ``search_reporting.py`` fills the page.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from huracan.accounting import CostModel, PositionPolicy
from huracan.automl import AutoMLEngine
from huracan.config import HuracanConfig
from huracan.dataset import TrainingSet
from huracan.errors import ConfigError, ModelError, UnknownName
from huracan.integration import closing as ending
from huracan.integration.closing import HoldOutLook
from huracan.integration.evidence import Evidence, Progress, RunFacts, run_key
from huracan.integration.kept_run import count_the_look, kept_run
from huracan.integration.out_of_fold import FittedLearner, training_level
from huracan.integration.plan import Plan, make_plan
from huracan.integration.preparation import Prepared, prepare, read_source
from huracan.integration.ready_models import judged_alone, service_extras
from huracan.integration.refitting import Refitting
from huracan.integration.registration import Registered, register_outcome
from huracan.integration.run_folder import RunFolder
from huracan.integration.search_progress import SearchTold
from huracan.integration.search_reporting import Found, earned, search_content
from huracan.logs import kept_events, stage
from huracan.model_registry import ModelRegistry
from huracan.report import SearchContent, render_search_page
from huracan.storage import RunLog
from huracan.storage.whole_files import put_file
from huracan.validation import PurgedWalkForward

if TYPE_CHECKING:
    from huracan.report import HoldOutResult

__all__ = ["AutoMLResult", "check_learners_of_search", "check_search", "search_on_candles"]

NAME = "automl"
"""What the chosen model is called in verdicts and cards."""


@dataclass(frozen=True)
class AutoMLResult:
    """Result of a search.

    Attributes
    ----------
    verdict : one sentence. champion : "automl" where what was found is crowned, else None for "keep the baseline".
    deserves_money : whether its positions on the hold-out earned their costs beyond doubt as well.
    engine : the fitted :class:`~huracan.automl.AutoMLEngine`; ``judgement`` its verdict on the hold-out.
    hold_out : what the positions made of it, None where there are none. predictions : what is said now, one row a symbol.
    registered : what is in the registry now, in words. model_version : in the registry, None where nothing was registered.
    result_hash : SHA-256 of trials, weights and judgement; the same for the same data, configuration, seed and versions, where
        ``engine.reproducible_`` is true.
    """

    verdict: str
    champion: str | None
    deserves_money: bool
    engine: AutoMLEngine
    judgement: Any
    hold_out: HoldOutResult | None
    predictions: pl.DataFrame
    content: SearchContent
    registered: str
    result_hash: str
    run_id: str
    model_version: int | None
    report_path: Path

    @property
    def leaderboard(self) -> pl.DataFrame:
        """All trials, best first."""
        return self.engine.leaderboard_

    def __repr__(self) -> str:
        return f"AutoMLResult({self.verdict!r}, champion={self.champion!r}, report={str(self.report_path)!r})"


def search_on_candles(
    config: HuracanConfig,
    open_registry: Callable[[], ModelRegistry],
    candles: Any,
    progress: Progress | None,
    *,
    study: str | None = None,
) -> AutoMLResult:
    """Search, judge and keep; see :meth:`huracan.UnifiedMLPipeline.run_automl`.

    Nothing is written before the candles have given training rows and folds: bad input leaves no trace.
    """
    started = time.monotonic()
    with kept_events() as earlier:
        check_search(config)
        prepared = prepare(config, read_source(config, candles))
        plan = make_plan(config, prepared.everything, n_splits=config.automl.n_splits)
        facts = run_key(config, prepared, search=_engine(config).learners)
    registry = open_registry()
    with kept_run(config, registry, prepared, facts, earlier=earlier, always_kept=True) as (folder, log):
        return _Search(config, registry, log, prepared, plan, facts, folder, started).to_the_end(progress, study)


def check_search(config: HuracanConfig) -> None:
    """Refuse a search that cannot be, before anything is computed.

    Raises
    ------
    UnknownName, ModelError, ConfigError : a learner or setting that there is not, models by symbol, or no hold-out.
    """
    check_learners_of_search(config)
    if config.training.pooling != "pooled":
        raise ConfigError(
            f"training.pooling is {config.training.pooling}; a search makes one model for all symbols, pooled was expected."
        )
    if not config.validation.hold_out_share > 0:
        raise ConfigError(
            "validation.hold_out_share is 0; a search is judged on rows it has not seen, so a share above 0 was expected."
        )


def check_learners_of_search(config: HuracanConfig) -> None:
    """Refuse learners that cannot be searched as the configuration asks.

    Raises
    ------
    UnknownName, ModelError, ConfigError : which one, and what was expected.
    """
    try:
        _engine(config)
    except (UnknownName, ModelError, ConfigError) as error:
        raise type(error)(f"automl: {error}") from None


def _engine(config: HuracanConfig, **where: Any) -> AutoMLEngine:
    """The engine as configured; the hold-out judges what it finds, so none of its own rows does."""
    wanted, validation = config.automl, config.validation
    return AutoMLEngine(
        time_budget=wanted.time_budget,
        max_trials=wanted.most_trials,
        task=wanted.task,
        learners=wanted.learners or None,
        sampler=wanted.sampler,
        splitter=PurgedWalkForward(
            wanted.n_splits, embargo=validation.embargo_bars, min_train_share=validation.min_train_share
        ),
        ensemble=wanted.ensemble,
        max_members=wanted.max_members,
        portfolio=wanted.portfolio,
        shared_bins=wanted.shared_bins,
        pruning=wanted.pruning,
        trial_timeout=wanted.trial_timeout,
        n_workers=wanted.n_workers,
        random_state=config.seed,
        judged_share=0.0,
        objectives=wanted.objectives,
        costs=CostModel(**config.costs.model_dump()),
        policy=PositionPolicy(**config.policy.model_dump()),
        feature_selection=wanted.feature_selection,
        warm_start=wanted.warm_start,
        **where,
    )


@dataclass(frozen=True)
class _Search:
    """Everything one search works with, from the moment it may write."""

    config: HuracanConfig
    registry: ModelRegistry
    log: RunLog
    prepared: Prepared
    plan: Plan
    facts: RunFacts
    folder: RunFolder
    started: float

    def to_the_end(self, progress: Progress | None, study: str | None) -> AutoMLResult:
        """Search, judge, keep."""
        plan, alpha = self.plan, self.config.comparison.alpha
        assert plan.hold_out is not None
        told = SearchTold(progress, self.config.automl)
        engine = _engine(self.config, database=self.registry.database, study=study or self.folder.run_id, progress=told)
        with stage("search"):
            engine.fit(plan.development)
        with stage("hold-out"):
            looked_before = count_the_look(self.log, self.facts, plan, plan.hold_out, self.folder.run_id, NAME)
            held = plan.hold_out.open("what the search chose is judged")
            judgement = engine.judge(held)
        champion = NAME if judgement.crowned else None
        model = engine.best_model_
        fitted = FittedLearner({None: model}, {None: training_level(model, plan.development)})
        with stage("positions"):
            evidence, look, why_none = self._positions(fitted, held, champion, looked_before)
        found = Found(engine, judgement, champion, look, why_none, earned(look, champion, alpha), looked_before)
        with stage("registration"):
            registered = self._register(found, evidence, fitted)
        content = search_content(
            self.config,
            self.prepared,
            plan,
            found,
            self.facts,
            duration=time.monotonic() - self.started,
            created_at=datetime.now(UTC),
            run_id=self.folder.run_id,
            registered=registered.sentence,
        )
        report = self.folder.path / "report.html"
        with stage("report"):
            put_file(report, render_search_page(content).encode())
        told.finished()
        return self._finished(found, evidence, fitted, content, registered, report)

    def _positions(
        self, fitted: FittedLearner, held: TrainingSet, champion: str | None, looked_before: int
    ) -> tuple[Evidence, HoldOutLook | None, str]:
        """A policy from the last two folds, and the account of the hold-out; or why there is none."""
        config, plan = self.config, self.plan
        costs = CostModel(**config.costs.model_dump())
        recent = replace(plan, folds=plan.folds[-2:], spans=plan.spans[-2:])
        refitted = {NAME: Refitting(NAME, fitted.models[None])}
        entrant = judged_alone(config, recent, refitted, seed=config.seed, n_jobs=config.training.n_jobs)[NAME]
        evidence = Evidence(recent, {NAME: entrant.run}, {}, None, champion, NAME, {}, {}, config.comparison.alpha)
        judged = entrant.judged
        if judged is None:
            return evidence, None, f"what was chosen {entrant.why}"
        evidence = replace(evidence, judged={NAME: judged})
        look = ending.account_of_hold_out(
            self.prepared.source.candles,
            evidence,
            fitted,
            costs,
            held.without_features(),
            horizon=config.labels.horizon,
            looked_before=looked_before,
        )
        return evidence, look, ""

    def _register(self, found: Found, evidence: Evidence, fitted: FittedLearner) -> Registered:
        extras: dict[str, Any] = {
            "levels": {"all": fitted.levels[None]},
            "automl": {
                "weights": dict(found.engine.weights_),
                "n_trials": found.judgement.n_trials,
                "n_earlier_trials": found.judgement.n_earlier_trials,
                "reproducible": found.engine.reproducible_,
            },
        }
        if evidence.judged:
            extras |= service_extras(self.config, evidence.plan, evidence.judged[NAME], fitted)
        return register_outcome(
            self.registry,
            self.config,
            self.prepared,
            evidence,
            fitted.models,
            {NAME: found.card()},
            found.look,
            self.facts,
            run_id=self.folder.run_id,
            reason=found.sentence,
            deserves_money=found.deserves_money,
            finalist_extras=extras,
        )

    def _finished(
        self,
        found: Found,
        evidence: Evidence,
        fitted: FittedLearner,
        content: SearchContent,
        registered: Registered,
        report: Path,
    ) -> AutoMLResult:
        """Write down that the search is done, and what it found."""
        horizon = self.config.labels.horizon
        acting = bool(evidence.judged)
        predictions = ending.latest_predictions(self.prepared, evidence, fitted if acting else None, horizon=horizon)
        result_hash = _result_hash(found)
        summary = {
            "job": NAME,
            "verdict": content.verdict,
            "champion": found.champion,
            "deserves_money": found.deserves_money,
            "registered": registered.sentence,
        }
        self.log.finish_run(self.folder.run_id, result_hash=result_hash, report_path=str(report), summary=summary)
        self.folder.finish({"verdict": content.verdict, "result_hash": result_hash})
        return AutoMLResult(
            verdict=content.verdict,
            champion=found.champion,
            deserves_money=found.deserves_money,
            engine=found.engine,
            judgement=found.judgement,
            hold_out=None if found.look is None else found.look.result,
            predictions=predictions,
            content=content,
            registered=registered.sentence,
            result_hash=result_hash,
            run_id=self.folder.run_id,
            model_version=registered.version,
            report_path=report,
        )


def _result_hash(found: Found) -> str:
    """SHA-256 over every trial, the weights, and what became of the choice on the hold-out."""
    judgement = found.judgement
    digest = hashlib.sha256(str(found.champion).encode())
    for trial in found.engine.history_:
        digest.update(repr((trial.number, trial.learner, sorted(trial.params.items()), trial.seed, trial.score)).encode())
    digest.update(repr(sorted(found.engine.weights_.items())).encode())
    digest.update(repr((float(judgement.gain), float(judgement.p_value), judgement.n_moments)).encode())
    if found.look is not None:
        digest.update(np.ascontiguousarray(found.look.account.returns).tobytes())
    return digest.hexdigest()
