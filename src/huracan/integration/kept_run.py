"""A run from its first to its last moment: its folder, its line in the database, its log file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime

from huracan.config import HuracanConfig
from huracan.integration.evidence import RunFacts
from huracan.integration.plan import Plan
from huracan.integration.preparation import Prepared
from huracan.integration.run_folder import RunFolder
from huracan.logs import run_log
from huracan.model_registry import ModelRegistry
from huracan.storage import RunLog, RunStatus
from huracan.validation import HoldOut

__all__ = ["count_the_look", "kept_run"]


@contextmanager
def kept_run(
    config: HuracanConfig,
    registry: ModelRegistry,
    prepared: Prepared,
    facts: RunFacts,
    *,
    earlier: Sequence[logging.LogRecord] = (),
    always_kept: bool = False,
) -> Iterator[tuple[RunFolder, RunLog]]:
    """Begin a run, or take over the unfinished one of the same key; write down how it ends if it ends before its time.

    Parameters
    ----------
    earlier : events from before the run had a log file. always_kept : keep the folder of a run that stops, also where it holds
        no finished piece, so that the run goes on under the same id.
    """
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
        levels = {"terminal_level": config.logging.terminal_level, "file_level": config.logging.file_level}
        try:
            with run_log(folder.path / "log.jsonl", run_id=folder.run_id, earlier=earlier, **levels):
                yield folder, log
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            reason = "stopped by the user" if stopped else f"{type(error).__name__}: {error}"
            folder.fail(reason, keep=always_kept)
            log.finish_run(
                folder.run_id, status=RunStatus.INTERRUPTED if stopped else RunStatus.FAILED, summary={"error": reason}
            )
            raise


def count_the_look(log: RunLog, facts: RunFacts, plan: Plan, hold_out: HoldOut, run_id: str, finalist: str) -> int:
    """How many other runs have looked at this span of these symbols before; this look is written down."""
    first, last = (
        moment.astype("datetime64[ms]").astype(datetime).replace(tzinfo=UTC) for moment in (hold_out.start, hold_out.end)
    )
    return log.use_hold_out(
        data_hash=facts.data_hash,
        symbols=plan.rows.symbols,
        start=first,
        end=last,
        why=f"report on {finalist}",
        config_hash=facts.config_hash,
        run_id=run_id,
    )
