"""One run of the main job, from reading candles to the report; any step can be killed and started again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import numpy as np

from huracan.accounting import CostModel
from huracan.config import HuracanConfig
from huracan.errors import HuracanError
from huracan.integration import closing as ending
from huracan.integration.closing import Accounts, HoldOutLook
from huracan.integration.evidence import Evidence, Progress, RunFacts, gather_evidence, run_key
from huracan.integration.preparation import Prepared, prepare, read_source
from huracan.integration.registration import learner_cards, register_outcome
from huracan.integration.reporting import leaderboard, report_content, verdict
from huracan.integration.results import PipelineResult, not_run
from huracan.integration.run_folder import RunFolder, write_aside
from huracan.logs import run_log, stage
from huracan.model_registry import ModelRegistry
from huracan.report import render_report
from huracan.storage import RunLog, RunStatus

__all__ = ["run_on_candles"]


def run_on_candles(
    config: HuracanConfig, open_registry: Callable[[], ModelRegistry], candles: Any, progress: Progress | None
) -> PipelineResult:
    """Run the main job; see :meth:`huracan.UnifiedMLPipeline.run`.

    Nothing is written before the candles have given training rows: bad input leaves no trace.
    """
    source = read_source(config, candles)
    prepared = prepare(config, source)
    facts = run_key(config, source)
    registry = open_registry()
    with closing(RunFolder.open(config.home, facts.key)) as folder:
        log = RunLog(registry.database)
        if folder.resumed:
            log.mark_interrupted(folder.run_id)
        log.start_run(
            run_id=folder.run_id,
            config_hash=facts.config_hash,
            data_hash=facts.data_hash,
            recipe_hash=prepared.recipe.hash,
            seed=facts.seed,
            versions=facts.versions,
        )
        try:
            with run_log(
                folder.path / "log.jsonl",
                run_id=folder.run_id,
                terminal_level=config.logging.terminal_level,
                file_level=config.logging.file_level,
            ):
                return _run(config, registry, log, prepared, facts, folder, progress)
        except KeyboardInterrupt:
            log.finish_run(folder.run_id, status=RunStatus.INTERRUPTED)
            raise
        except HuracanError as error:
            log.finish_run(folder.run_id, status=RunStatus.FAILED, summary={"error": str(error)})
            raise


def _run(
    config: HuracanConfig,
    registry: ModelRegistry,
    log: RunLog,
    prepared: Prepared,
    facts: RunFacts,
    folder: RunFolder,
    progress: Progress | None,
) -> PipelineResult:
    started = time.monotonic()
    evidence = gather_evidence(config, prepared, folder, progress)
    costs = CostModel(**config.costs.model_dump())
    candles = prepared.source.candles
    with stage("accounts"):
        accounts = ending.run_accounts(candles, evidence.development, evidence.judged, costs)
    finalist = evidence.judged[evidence.finalist] if evidence.finalist else None
    with stage("final fit", learner=evidence.finalist):
        models: dict[str | None, Any] = (
            ending.fit_final(config, evidence.development, evidence.finalist) if evidence.finalist else {}
        )
    look: HoldOutLook | None = None
    looked_before = 0
    if finalist is not None and evidence.hold_out is not None:
        with stage("hold-out"):
            looked_before = log.use_hold_out(
                facts.data_hash, why=f"report on {evidence.finalist}", config_hash=facts.config_hash, run_id=folder.run_id
            )
            look = ending.look_at_hold_out(candles, evidence, finalist, models, costs)
    champion = finalist if evidence.champion else None
    predictions = ending.latest_predictions(prepared, evidence, champion, models)
    outcome = verdict(evidence, accounts, look)
    table = leaderboard(evidence, accounts)
    cards = learner_cards(evidence, table)
    with stage("registration"):
        version = register_outcome(
            registry, config, prepared, evidence, models, cards, look, facts, run_id=folder.run_id, reason=outcome.sentence
        )
    content = report_content(
        config,
        prepared,
        evidence,
        accounts,
        look,
        outcome,
        table,
        facts,
        looked_before=looked_before,
        duration=time.monotonic() - started,
        created_at=datetime.now(UTC),
        run_id=folder.run_id,
        version=version,
    )
    report = folder.path / "report.html"
    with stage("report"):
        write_aside(report, render_report(content).encode())
    result_hash = _result_hash(evidence, accounts, look)
    summary = {
        "verdict": outcome.sentence,
        "champion": evidence.champion,
        "deserves_money": outcome.deserves_money,
        "model_version": version,
        "models": {name: card.model_dump(mode="json") for name, card in cards.items()},
    }
    log.finish_run(folder.run_id, result_hash=result_hash, report_path=str(report), summary=summary)
    folder.finish({"verdict": outcome.sentence, "result_hash": result_hash})
    not_built = "drift detection and the feedback loop are not part of this version"
    return PipelineResult(
        stages={
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
            "evaluation": {"leaderboard": table, "hold_out": look.result if look else not_run(_no_hold_out(evidence))},
            "ab_testing": evidence.comparison if evidence.comparison is not None else not_run("every learner said a constant"),
            "predictions": predictions,
            "drift_detection": not_run(not_built),
            "should_retrain": not_run(not_built),
            "feedback": not_run(not_built),
            "performance_report": {"path": report, "content": content},
        },
        verdict=outcome.sentence,
        champion=evidence.champion,
        deserves_money=outcome.deserves_money,
        result_hash=result_hash,
        run_id=folder.run_id,
        model_version=version,
        report_path=report,
    )


def _no_hold_out(evidence: Evidence) -> str:
    return "no hold-out was set aside" if evidence.hold_out is None else "no learner said anything but a constant"


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
