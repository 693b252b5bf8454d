"""The result of comparing models by their losses: every pair, the decision and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.statistics.confidence_set import ModelConfidenceSet, model_confidence_set
from huracan.statistics.simultaneous import SimultaneousIntervals, simultaneous_intervals

__all__ = ["Comparison", "Dependence", "PairResult"]

_NUMBERS = ("difference", "ci_low", "ci_high", "p_value", "p_adjusted", "effect_size", "n_eff", "p_independent")


@dataclass(frozen=True)
class PairResult:
    """One comparison: ``difference`` is the mean loss of ``model_a`` less that of ``model_b``; negative: a is better.

    ``ci_low`` and ``ci_high`` are for this pair alone; ``p_adjusted`` is corrected for all pairs of the comparison.
    ``effect_size`` is the difference in standard deviations of the differences over time (Cohen's d for pairs).
    ``n_eff`` is the number of independent differences that would be worth as much. ``p_independent`` is what a textbook
    paired t test says, which takes every moment for independent. ``note`` says why a pair could not be decided, where it
    could not.
    """

    model_a: str
    model_b: str
    difference: float
    ci_low: float
    ci_high: float
    p_value: float
    p_adjusted: float
    effect_size: float
    n_eff: float
    p_independent: float = 1.0
    note: str = ""

    @property
    def pair(self) -> str:
        """The two names in the order of the subtraction."""
        return f"{self.model_a} - {self.model_b}"


@dataclass(frozen=True)
class Dependence:
    """What was measured of the dependence over time, and the test it led to.

    Attributes
    ----------
    asked : "auto" or "independent". method : "equal-weighted cosines" or "paired t".
    autocorrelation : (pairs,) of the loss differences one moment apart. n_eff : (pairs,). n_cosines : (pairs,), 0 for the
        paired t test.
    sentence : what was found, chosen, and why.
    """

    asked: str
    method: str
    autocorrelation: NDArray[np.float64]
    n_eff: NDArray[np.float64]
    n_cosines: NDArray[np.int64]
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class Comparison:
    """Result of :func:`huracan.baselines.compare_models`.

    Attributes
    ----------
    pairs : every pair compared, in the order given.
    mean_loss : model -> its mean loss over time.
    decision : the winner, or None where nothing is shown. With a baseline: of the models shown to be better than it,
        the one with the lowest mean loss. Without: the model shown to be better than every other.
    sentence : the finding in one sentence.
    alpha, correction, baseline : as asked. dependence : what was measured of it, and the test it led to.
    n_times : points in time the inference rests on. n_rows : rows they were averaged from.
    dropped : model -> rows left out because another model has none at that time.
    losses : (n_times, models) as they were compared. times : (n_times,) or None.
    """

    pairs: tuple[PairResult, ...]
    mean_loss: Mapping[str, float]
    decision: str | None
    sentence: str
    alpha: float
    correction: str
    dependence: Dependence
    n_times: int
    n_rows: int
    baseline: str | None
    losses: NDArray[np.float64] = field(repr=False, compare=False)
    times: NDArray[Any] | None = field(repr=False, compare=False, default=None)
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        counted = f"{len(self.mean_loss)} models, {len(self.pairs)} pairs, {self.n_times:,} times"
        return shorten(f"<Comparison of {counted}: {self.sentence}", 290, placeholder=" ...") + ">"

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the order of the columns of ``losses``."""
        return tuple(self.mean_loss)

    def to_frame(self) -> pl.DataFrame:
        """The pairs as a polars frame, one row each."""
        return pl.DataFrame(
            {"pair": [item.pair for item in self.pairs]}
            | {name: [getattr(item, name) for item in self.pairs] for name in _NUMBERS[:-1]}
            | {name: [getattr(item, name) for item in self.pairs] for name in ("model_a", "model_b", "p_independent", "note")},
            schema_overrides=dict.fromkeys(_NUMBERS, pl.Float64),
        )

    def intervals(self, *, resamples: int = 1999, seed: int = 0) -> SimultaneousIntervals:
        """Intervals of all pairs that hold together with confidence ``1 - alpha``, for a forest plot."""
        position = None if self.baseline is None else self.models.index(self.baseline)
        return simultaneous_intervals(
            self.losses, names=self.models, baseline=position, confidence=1.0 - self.alpha, resamples=resamples, seed=seed
        )

    def confidence_set(self, *, resamples: int = 1999, seed: int = 0) -> ModelConfidenceSet:
        """The models that cannot be told from the best, with confidence ``1 - alpha``."""
        return model_confidence_set(self.losses, names=self.models, alpha=self.alpha, resamples=resamples, seed=seed)
