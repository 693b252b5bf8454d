"""What a run gives back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["STAGES", "NotRun", "PipelineResult", "not_run"]

STAGES = (
    "preprocessing",
    "training",
    "evaluation",
    "ab_testing",
    "predictions",
    "drift_detection",
    "should_retrain",
    "feedback",
    "performance_report",
)
"""Keys of every result, in the order the stages run."""


class NotRun(dict[str, str]):
    """A stage that did not run: ``{"status": "not_run", "reason": ...}``; false in a condition.

    >>> bool(not_run("no prices were given")), not_run("no prices were given")["reason"]
    (False, 'no prices were given')
    """

    def __bool__(self) -> bool:
        return False


def not_run(reason: str) -> NotRun:
    """Say that a stage did not run, and why."""
    return NotRun(status="not_run", reason=reason)


@dataclass(frozen=True)
class PipelineResult(Mapping[str, Any]):
    """Result of a run: a mapping with one entry a stage (see ``STAGES``), and the main facts as attributes.

    Attributes
    ----------
    run_id : name of the run's folder; empty where nothing is kept. verdict : one sentence.
    champion : name of the learner crowned, or None for "keep the baseline". deserves_money : whether its net return is above
        zero beyond doubt as well. model_version : version in the registry, None where nothing was registered.
    report_path : the HTML file, None where none was written. result_hash : SHA-256 of scores, positions and evidence; the
        same data, configuration, seed and versions give the same hash.
    """

    stages: Mapping[str, Any]
    verdict: str
    champion: str | None
    deserves_money: bool
    result_hash: str
    run_id: str = ""
    model_version: int | None = None
    report_path: Path | None = None

    def __getitem__(self, key: str) -> Any:
        return self.stages[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.stages)

    def __len__(self) -> int:
        return len(self.stages)

    def __repr__(self) -> str:
        return f"PipelineResult({self.verdict!r}, champion={self.champion!r}, report={str(self.report_path)!r})"
