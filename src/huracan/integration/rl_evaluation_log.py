"""The line of an evaluation of agents in the log of runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from huracan.config import HuracanConfig, config_hash
from huracan.integration.preparation import load_recipe
from huracan.model_registry import ModelRegistry
from huracan.storage import RunLog, RunStatus
from huracan.storage.artifacts import library_versions
from huracan.storage.whole_files import put_file

if TYPE_CHECKING:
    from huracan.integration.rl_evaluation_job import EvaluatedAgent

__all__ = ["logged_evaluation"]

_JOB = "rl evaluate"
_UNFINISHED = "unfinished_run"


@contextmanager
def logged_evaluation(
    config: HuracanConfig, registry: ModelRegistry, folder: Path, data_hash: str
) -> Iterator[Callable[[EvaluatedAgent], None]]:
    """Begin a run of the log, or go on with the one that was stopped in this folder; write down how it ends.

    Gives what is to be called with the result; a run that ends without is failed, or interrupted by the user.
    """
    log, unfinished = RunLog(registry.database), folder / _UNFINISHED
    run_id = log.start_run(
        run_id=_stopped_run(log, unfinished, data_hash),
        config_hash=config_hash(config),
        data_hash=data_hash,
        recipe_hash=load_recipe(config).hash,
        seed=config.seed,
        versions=library_versions(),
    )
    put_file(unfinished, run_id.encode())

    def finish(found: EvaluatedAgent) -> None:
        summary = {
            "job": _JOB,
            "evaluation": folder.name,
            "verdict": found.verdict.sentence,
            "standing": str(found.verdict.standing),
            "tried": found.evaluation.tried,
        }
        result_hash = _result_hash(found.evaluation.bars)
        log.finish_run(run_id, result_hash=result_hash, report_path=str(found.report_path), summary=summary)
        unfinished.unlink()

    try:
        yield finish
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        reason = "stopped by the user" if stopped else f"{type(error).__name__}: {error}"
        status = RunStatus.INTERRUPTED if stopped else RunStatus.FAILED
        log.finish_run(run_id, status=status, summary={"job": _JOB, "evaluation": folder.name, "error": reason})
        raise


def _stopped_run(log: RunLog, unfinished: Path, data_hash: str) -> str | None:
    """Id of the run that was stopped in this folder, marked as such; None where there is none."""
    if not unfinished.exists():
        return None
    run_id = unfinished.read_text()
    log.mark_interrupted(run_id)
    finished = {run.run_id for run in log.find(status=RunStatus.FINISHED, data_hash=data_hash)}
    return None if run_id in finished else run_id


def _result_hash(bars: pl.DataFrame) -> str:
    """SHA-256 over what every strategy did and earned."""
    digest = hashlib.sha256()
    for name in ("action", "position", "log_return"):
        digest.update(bars[name].to_numpy().tobytes())
    return digest.hexdigest()
