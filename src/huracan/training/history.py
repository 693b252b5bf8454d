"""What a training did: losses by epoch, throughput, and why it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["EpochRecord", "TrainingResult"]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Attributes
    ----------
    epoch, step : number of the epoch (from 1) and steps made by its end.
    losses : phase -> mean loss over the windows of the epoch, each as it was met.
    validation_loss : mean over the validation windows, None without any.
    learning_rate : at the last step. windows_per_second : seen by all devices together, validation left out.
    """

    epoch: int
    step: int
    losses: Mapping[str, float]
    validation_loss: float | None
    learning_rate: float
    windows_per_second: float


@dataclass
class TrainingResult:
    """How a training went.

    Attributes
    ----------
    history : its epochs. step_losses : the loss of every step, in order.
    best_epoch : the epoch whose parameters were kept; 0 where none was better on validation than the start.
    best_loss : its validation loss, or training loss without validation. start_loss : validation loss before the first step.
    stopped : why it ended, in words. exploded : whether it was stopped because losses left all bounds.
    resumed_from : step it went on from, None where it began anew.
    """

    history: list[EpochRecord] = field(default_factory=list)
    step_losses: list[float] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = float("inf")
    start_loss: float | None = None
    stopped: str = ""
    exploded: bool = False
    resumed_from: int | None = None

    @property
    def steps(self) -> int:
        """Optimizer steps made."""
        return len(self.step_losses)

    @property
    def losses(self) -> list[float]:
        """Mean training loss of each epoch, of the first phase that had a turn in it."""
        return [next(iter(record.losses.values())) for record in self.history]

    @property
    def validation_losses(self) -> list[float]:
        """Validation loss of each epoch; empty without validation windows."""
        return [record.validation_loss for record in self.history if record.validation_loss is not None]

    @property
    def lowest_epoch(self) -> int:
        """The epoch of the lowest validation loss, the start left out; the last one without validation."""
        losses = self.validation_losses
        return self.history[losses.index(min(losses))].epoch if losses else len(self.history)

    @property
    def windows_per_second(self) -> float:
        """Median throughput of the epochs."""
        rates = sorted(record.windows_per_second for record in self.history)
        return rates[len(rates) // 2] if rates else 0.0
