"""Structured logs: run id, stage, symbol and duration with every event; quiet on the terminal, complete in a file.

Nothing is configured at import: events go to the standard library's logger ``huracan``, which stays silent until
:func:`run_log` (or the application's own logging set-up) gives it a handler.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

__all__ = ["kept_events", "logger", "run_log", "stage"]

_shared: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def logger(**context: Any) -> structlog.stdlib.BoundLogger:
    """Make a logger whose events carry ``context``.

    >>> logger(symbol="BTC-USD").info("candles read", rows=3)
    """
    return structlog.wrap_logger(
        _standard_logger(),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        **context,
    )


@contextmanager
def stage(name: str, **context: Any) -> Iterator[structlog.stdlib.BoundLogger]:
    """Log the start, end and duration in seconds of a stage; events inside carry its name.

    >>> with stage("features") as log:
    ...     log.debug("computed", columns=40)
    """
    log = logger()
    with structlog.contextvars.bound_contextvars(stage=name, **context):
        started = time.perf_counter()
        log.debug("stage started")
        try:
            yield log
        except BaseException as error:
            log.info("stage failed", error=str(error), kind=type(error).__name__, duration=_since(started))
            raise
        log.info("stage finished", duration=_since(started))


@contextmanager
def kept_events() -> Iterator[list[logging.LogRecord]]:
    """Keep events in memory while no run has a file yet; hand them to :func:`run_log` as ``earlier``."""
    kept: list[logging.LogRecord] = []
    handler = _Keeper(kept)
    standard = _standard_logger()
    before = standard.level
    standard.addHandler(handler)
    standard.setLevel(logging.DEBUG)
    try:
        yield kept
    finally:
        standard.setLevel(before)
        standard.removeHandler(handler)


@contextmanager
def run_log(
    file: Path,
    *,
    run_id: str,
    terminal_level: str = "warning",
    file_level: str = "debug",
    earlier: Sequence[logging.LogRecord] = (),
) -> Iterator[None]:
    """Write every event of one run as JSON lines to ``file``, appended, and the important ones to standard error.

    Warnings of other libraries go to the file as well, not to the terminal.
    """
    standard, warned = _standard_logger(), logging.getLogger("py.warnings")
    file.parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(file, encoding="utf-8")
    to_file.setFormatter(_formatter(structlog.processors.JSONRenderer()))
    to_terminal = logging.StreamHandler()
    to_terminal.setFormatter(_formatter(structlog.dev.ConsoleRenderer(colors=False)))
    for handler, level in ((to_file, file_level), (to_terminal, terminal_level)):
        handler.setLevel(level.upper())
        standard.addHandler(handler)
    for record in earlier:
        if record.levelno >= to_file.level:
            if isinstance(record.msg, dict):
                record.msg["run_id"] = run_id
            to_file.handle(record)
    before = standard.level
    standard.setLevel(logging.DEBUG)
    warned.addHandler(to_file)
    propagated, warned.propagate = warned.propagate, False
    logging.captureWarnings(True)
    try:
        with structlog.contextvars.bound_contextvars(run_id=run_id):
            yield
    finally:
        logging.captureWarnings(False)
        warned.removeHandler(to_file)
        warned.propagate = propagated
        standard.setLevel(before)
        for handler in (to_file, to_terminal):
            standard.removeHandler(handler)
            handler.close()


class _Keeper(logging.Handler):
    """Appends every record to a list."""

    def __init__(self, kept: list[logging.LogRecord]) -> None:
        super().__init__()
        self._kept = kept

    def emit(self, record: logging.LogRecord) -> None:
        self._kept.append(record)


def _standard_logger() -> logging.Logger:
    standard = logging.getLogger("huracan")
    if not standard.handlers:
        standard.addHandler(logging.NullHandler())
    return standard


def _formatter(renderer: Any) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    )


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 4)
