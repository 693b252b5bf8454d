"""One run of the main job, from reading candles to the report; any step can be killed and started again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from huracan.accounting import CostModel
from huracan.config import HuracanConfig
from huracan.integration import closing as ending
from huracan.integration.candidates import check_candidates
from huracan.integration.closing import Accounts, HoldOutLook
from huracan.integration.drift_stage import drift_stages
from huracan.integration.evidence import Evidence, Progress, RunFacts, gather_evidence, run_key
from huracan.integration.expectations import live_expectation
from huracan.integration.kept_run import count_the_look, kept_run
from huracan.integration.model_comparison import add_accounts
from huracan.integration.out_of_fold import FittedLearner
from huracan.integration.plan import Plan, make_plan
from huracan.integration.preparation import Prepared, prepare, read_source
from huracan.integration.ready_models import service_extras
from huracan.integration.registration import Registered, learner_cards, register_outcome, registered_name, retain_after_run
from huracan.integration.reporting import Verdict, leaderboard, report_content, verdict
from huracan.integration.results import PipelineResult, not_run
from huracan.integration.run_folder import RunFolder
from huracan.integration.symbol_evidence import SymbolEvidence, evidence_by_symbol
from huracan.logs import kept_events, stage
from huracan.model_info import ModelInfo
from huracan.model_registry import ModelRegistry
from huracan.report import ReportContent, render_report
from huracan.storage import RunLog
from huracan.storage.whole_files import put_file

__all__ = ["run_on_candles"]


def run_on_candles(
    config: HuracanConfig, open_registry: Callable[[], ModelRegistry], candles: Any, progress: Progress | None
) -> PipelineResult:
    """Run the main job; see :meth:`huracan.UnifiedMLPipeline.run`.

    Nothing is written before the candles have given training rows and folds: bad input leaves no trace.
    """
    started = time.monotonic()
    with kept_events() as earlier:
        check_candidates(config)
        prepared = prepare(config, read_source(config, candles))
        plan = make_plan(config, prepared.everything)
        facts = run_key(config, prepared)
    registry = open_registry()
    with kept_run(config, registry, prepared, facts, earlier=earlier) as (folder, log):
        return _Run(config, registry, log, prepared, plan, facts, folder, started).to_the_end(progress)


@dataclass(frozen=True)
class _Run:
    """Everything one run works with, from the moment it may write."""

    config: HuracanConfig
    registry: ModelRegistry
    log: RunLog
    prepared: Prepared
    plan: Plan
    facts: RunFacts
    folder: RunFolder
    started: float

    def to_the_end(self, progress: Progress | None) -> PipelineResult:
        """Gather the evidence, draw the conclusions, keep them."""
        config, prepared, horizon = self.config, self.prepared, self.config.labels.horizon
        evidence = gather_evidence(config, self.plan, self.folder, progress)
        costs = CostModel(**config.costs.model_dump())
        with stage("accounts"):
            accounts = ending.run_accounts(prepared.source.candles, evidence, costs)
            ab_test = evidence.ab_test and add_accounts(config, evidence.ab_test, accounts.by_learner)
        fitted: FittedLearner | None = None
        look: HoldOutLook | None = None
        if evidence.finalist is not None:
            with stage("final fit", learner=evidence.finalist):
                fitted = ending.fit_final(config, evidence.development, evidence.finalist)
            if self.plan.hold_out is not None:
                with stage("hold-out"):
                    look = ending.look_at_hold_out(
                        prepared.source.candles,
                        evidence,
                        fitted,
                        costs,
                        horizon=horizon,
                        looked_before=count_the_look(
                            self.log, self.facts, self.plan, self.plan.hold_out, self.folder.run_id, evidence.finalist
                        ),
                    )
        predictions = ending.latest_predictions(prepared, evidence, fitted, horizon=horizon)
        outcome = verdict(evidence, accounts, look)
        table = leaderboard(evidence, accounts)
        cards = learner_cards(config, evidence, table)
        with stage("registration"):
            registered = self._register(evidence, accounts, fitted, cards, look, outcome)
        with stage("drift"):
            name = registered_name(config, prepared)
            split = int(self.plan.where[-1]) + 1
            since = drift_stages(config, self.registry, name, self.plan.rows, split)
        content = report_content(
            config,
            prepared,
            evidence,
            accounts,
            ab_test,
            look,
            outcome,
            table,
            self.facts,
            duration=time.monotonic() - self.started,
            created_at=datetime.now(UTC),
            run_id=self.folder.run_id,
            registered=registered.sentence,
            since=since,
        )
        report = self.folder.path / "report.html"
        with stage("report"):
            put_file(report, render_report(content).encode())
        result_hash = _result_hash(evidence, accounts, look)
        summary = {
            "verdict": outcome.sentence,
            "champion": evidence.champion,
            "deserves_money": outcome.deserves_money,
            "registered": registered.sentence,
            "models": {name: card.model_dump(mode="json") for name, card in cards.items()},
        }
        self.log.finish_run(self.folder.run_id, result_hash=result_hash, report_path=str(report), summary=summary)
        self.folder.finish({"verdict": outcome.sentence, "result_hash": result_hash})
        retain_after_run(self.registry, config)
        return PipelineResult(
            stages=_stages(prepared, evidence, look, table, predictions, content, report, since),
            verdict=outcome.sentence,
            champion=evidence.champion,
            deserves_money=outcome.deserves_money,
            result_hash=result_hash,
            run_id=self.folder.run_id,
            model_version=registered.version,
            report_path=report,
        )

    def _register(
        self,
        evidence: Evidence,
        accounts: Accounts,
        fitted: FittedLearner | None,
        cards: Mapping[str, ModelInfo],
        look: HoldOutLook | None,
        outcome: Verdict,
    ) -> Registered:
        extras: dict[str, Any] = {}
        by_symbol: dict[str, SymbolEvidence] = {}
        if evidence.champion is not None and self.config.training.pooling == "per_symbol":
            crowned = evidence.judged[evidence.champion]
            by_symbol = {
                symbol: replace(own, expected=live_expectation(evidence.plan, crowned, symbol=symbol))
                for symbol, own in evidence_by_symbol(evidence, accounts.by_learner[evidence.champion]).items()
            }
        if fitted is not None and evidence.champion is not None:
            champion = evidence.judged[evidence.champion]
            earned = accounts.by_learner[evidence.champion].returns
            extras = service_extras(self.config, evidence.plan, champion, fitted, net=earned)
        return register_outcome(
            self.registry,
            self.config,
            self.prepared,
            evidence,
            fitted.models if fitted is not None else {},
            cards,
            look,
            self.facts,
            run_id=self.folder.run_id,
            reason=outcome.sentence,
            deserves_money=outcome.deserves_money,
            finalist_extras=extras,
            by_symbol=by_symbol,
        )


def _stages(
    prepared: Prepared,
    evidence: Evidence,
    look: HoldOutLook | None,
    table: pl.DataFrame,
    predictions: pl.DataFrame,
    content: ReportContent,
    report: Path,
    since: Mapping[str, Any],
) -> dict[str, Any]:
    no_look = "no hold-out was set aside" if evidence.plan.hold_out is None else "no learner said anything but a constant"
    return {
        "preprocessing": {
            "rows": len(prepared.rows),
            "columns": list(prepared.rows.feature_names),
            "recipe_hash": prepared.recipe.hash,
            "dropped": dict(prepared.rows.dropped),
            "time_source": prepared.rows.time_source.value,
            "quality": prepared.quality,
        },
        "training": {
            name: {"task": run.task, "train_rows": run.train_rows, "seconds": run.fit_seconds, "failure": run.failure}
            for name, run in evidence.runs.items()
        },
        "evaluation": {
            "leaderboard": table,
            "hold_out": look.result if look else not_run(no_look),
            "forecast_intervals": content.intervals
            if content.intervals is not None and content.intervals.height
            else not_run(f"{content.calibration_of} forecasts no label, or too few were known"),
        },
        "ab_testing": content.ab_test or not_run("every learner said a constant"),
        "predictions": predictions,
        **since,
        "performance_report": {"verdict": content.verdict, "leaderboard": table, "path": report, "content": content},
    }


def _result_hash(evidence: Evidence, accounts: Accounts, look: HoldOutLook | None) -> str:
    """SHA-256 over every score, payoff, position and return, and the decision."""
    digest = hashlib.sha256(str(evidence.champion).encode())
    for name in sorted(evidence.judged):
        one = evidence.judged[name]
        digest.update(name.encode())
        for array in (one.z, one.payoff, one.target, one.probability, accounts.by_learner[name].returns):
            digest.update(np.ascontiguousarray(array).tobytes())
    if evidence.comparison is not None:
        pairs = evidence.comparison.pairs
        digest.update(np.array([[pair.difference, pair.p_value, pair.p_adjusted] for pair in pairs]).tobytes())
    if look is not None:
        digest.update(np.ascontiguousarray(look.account.returns).tobytes())
    return digest.hexdigest()
