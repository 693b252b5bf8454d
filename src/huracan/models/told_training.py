"""How a training went, as plain values that are stored with its model, and back.

What it came to is stored in the model's own files, which two equal trainings leave equal to the byte. How fast it went is no
part of them: a registry keeps that beside the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from huracan.training.history import EpochRecord, TrainingResult

__all__ = ["ToldTraining", "pace_of", "plain_training", "told_training", "with_pace"]


@dataclass
class ToldTraining(TrainingResult):
    """A training as its stored model tells of it: without losses of single steps; without pace, NaN, outside of a registry.

    Attributes
    ----------
    made_steps : optimizer steps made.
    """

    made_steps: int = 0

    @property
    def steps(self) -> int:
        """Optimizer steps made."""
        return self.made_steps


def plain_training(result: TrainingResult) -> dict[str, Any]:
    """What it came to, as plain JSON values, some hundred bytes an epoch.

    >>> record = EpochRecord(1, 40, {"train": 0.9}, 0.95, 1e-3, 5_000.0)
    >>> plain = plain_training(TrainingResult([record], best_epoch=1, best_loss=0.95, stopped="all 1 epochs done"))
    >>> told = told_training(plain)
    >>> told.best_epoch, told.losses, told.validation_losses, told.stopped, told.windows_per_second
    (1, [0.9], [0.95], 'all 1 epochs done', nan)
    """
    columns = ("epoch", "step", "losses", "validation_loss", "learning_rate")
    return {
        "history": [{name: getattr(record, name) for name in columns} for record in result.history],
        "best_epoch": result.best_epoch,
        "best_loss": result.best_loss if math.isfinite(result.best_loss) else None,
        "start_loss": result.start_loss,
        "stopped": result.stopped,
        "exploded": result.exploded,
        "steps": result.steps,
    }


def told_training(plain: Mapping[str, Any]) -> ToldTraining:
    """What :func:`plain_training` was made of; a ``KeyError``, ``TypeError`` or ``ValueError`` where it was damaged."""
    best = plain["best_loss"]
    return ToldTraining(
        history=[EpochRecord(**record, windows_per_second=math.nan) for record in plain["history"]],
        best_epoch=int(plain["best_epoch"]),
        best_loss=math.inf if best is None else float(best),
        start_loss=None if plain["start_loss"] is None else float(plain["start_loss"]),
        stopped=str(plain["stopped"]),
        exploded=bool(plain["exploded"]),
        made_steps=int(plain["steps"]),
    )


def pace_of(result: TrainingResult) -> dict[str, Any]:
    """How fast it went and where it began, which says nothing of the model.

    >>> pace_of(TrainingResult([EpochRecord(1, 40, {"train": 0.9}, None, 1e-3, 5_000.0)]))
    {'windows_per_second': [5000.0], 'resumed_from': None}
    """
    rates = [record.windows_per_second for record in result.history]
    return {
        "windows_per_second": [rate if math.isfinite(rate) else None for rate in rates],
        "resumed_from": result.resumed_from,
    }


def with_pace(result: TrainingResult, pace: Mapping[str, Any]) -> TrainingResult:
    """A told training with what :func:`pace_of` gave."""
    rates = [math.nan if rate is None else float(rate) for rate in pace["windows_per_second"]]
    history = [replace(record, windows_per_second=rate) for record, rate in zip(result.history, rates, strict=True)]
    return replace(result, history=history, resumed_from=pace["resumed_from"])
