"""A trial and how it is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.statistics import ewc_t_test

__all__ = ["LEAST_MOMENTS", "Trial", "TrialState", "careful_score", "mean_and_error", "rounded"]

LEAST_MOMENTS = 20
"""Moments below which no standard error is known."""


class TrialState(StrEnum):
    """What became of a trial."""

    FINISHED = "finished"
    PRUNED = "pruned"
    FAILED = "failed"
    CUT_SHORT = "cut short"


@dataclass
class Trial:
    """One setting and what its folds said.

    Attributes
    ----------
    number : of the study, from 0. learner, params : those that differ from the learner's defaults. seed : of its fits.
    source : "portfolio", "history" (of other studies) or "sampler".
    state : None while it runs.
    gains : fold -> gain over the constant of each moment, in the constant's loss; numbers that float32 can hold.
    answers : fold -> forecasts, or probabilities of up, on its test rows, float32; of the leaders only.
    seconds, wall_seconds : of its fits, by the processor and by the clock.
    score : mean gain less half a standard error; nan until it is finished. reason : why it failed or was stopped.
    notes : what the sampler remembers of it, and whether it was left to chance.
    attempts : how often it was begun, where processes ended that worked on it.
    values : of the objectives, where they are others than the gain. payoff : of positions as large as its answers, see
        ``StudyRows.payoff``, over the folds it answered, numbers that float32 can hold; None where it answered none.
    """

    number: int
    learner: str
    params: Mapping[str, Any]
    seed: int
    source: str
    state: TrialState | None = None
    gains: dict[int, NDArray[Any]] = field(default_factory=dict)
    answers: dict[int, NDArray[Any]] = field(default_factory=dict)
    seconds: float = 0.0
    wall_seconds: float = 0.0
    score: float = float("nan")
    reason: str = ""
    values: tuple[float, ...] = ()
    payoff: NDArray[np.float64] | None = None
    notes: Mapping[str, int] = field(default_factory=dict)
    attempts: int = 1

    def fold_means(self) -> dict[int, float]:
        """Fold -> mean gain."""
        return {fold: float(gain.mean(dtype=np.float64)) for fold, gain in sorted(self.gains.items())}

    def in_time_order(self, folds: Sequence[int]) -> NDArray[np.float64]:
        """Gains of folds given newest first, oldest moment first."""
        return np.concatenate([self.gains[fold] for fold in sorted(folds, reverse=True)]).astype(np.float64)


def mean_and_error(gain: NDArray[np.float64]) -> tuple[float, float]:
    """Mean of a series in time order, and its standard error where moments depend on each other; 0 where nothing varies.

    >>> mean_and_error(np.zeros(30))
    (0.0, 0.0)
    """
    mean = float(gain.mean())
    if len(gain) < LEAST_MOMENTS or np.ptp(gain) <= 1e-12 * (1.0 + abs(mean)):
        return mean, 0.0
    return mean, float(ewc_t_test(gain).standard_error)


def careful_score(gain: NDArray[np.float64]) -> float:
    """Mean gain less half its standard error: of many trials the luckiest is not the best.

    >>> rng = np.random.default_rng(0)
    >>> noise = rng.standard_normal(4000); noise -= noise.mean()
    >>> steady, wild = 0.010 + 0.1 * noise, 0.012 + 2.0 * noise
    >>> careful_score(steady) > careful_score(wild)
    True
    """
    mean, error = mean_and_error(gain)
    return mean - 0.5 * error


def rounded(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """To what is stored, before anything is computed from it: what is read back after a kill is what was there.

    Beyond the range of float32 a number becomes infinite, which no trial survives.
    """
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float32)
