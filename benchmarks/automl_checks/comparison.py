"""Losses on later rows, paired: ours against others, set by set and over all sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks import markdown_table
from benchmarks.automl_checks.sets import SearchSet
from benchmarks.automl_checks.systems import Answered
from huracan.statistics import adjust_p_values, average_by_time, ewc_t_test
from huracan.validation.row_losses import row_losses

__all__ = ["Pair", "gains_of", "pair", "pooled", "pooled_table"]


@dataclass(frozen=True)
class Pair:
    """How much less ours loses than another on each set, in percent of the constant forecast's loss.

    Attributes
    ----------
    mean, error, p_value : of each set, over its moments (EWC); p_adjusted : by Holm over the sets.
    """

    other: str
    mean: NDArray[np.float64]
    error: NDArray[np.float64]
    p_value: NDArray[np.float64]
    p_adjusted: NDArray[np.float64]

    @property
    def lost(self) -> int:
        """Sets on which ours is significantly worse after Holm."""
        return int(np.sum((self.mean < 0.0) & (self.p_adjusted < 0.05)))


def losses(one: SearchSet, answer: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of every moment of the test rows, in percent of the constant forecast's mean loss."""
    if one.task == "regression":
        y, constant, metric = one.test.y, float(one.train.y.mean()), "squared_error"
    else:
        y, constant, metric = one.test.direction().astype(np.float64), float(one.train.direction().mean()), "log_loss"
    unit = float(row_losses(metric, y, np.full(len(y), constant)).mean())  # type: ignore[arg-type]
    return average_by_time(100.0 * row_losses(metric, y, answer) / unit, one.test.decision_time)[1]  # type: ignore[arg-type]


def gains_of(one: SearchSet, answer: NDArray[np.float64]) -> float:
    """Percent that answers lose less than the constant forecast."""
    return 100.0 - float(losses(one, answer).mean())


def pair(other: str, sets: Sequence[SearchSet], ours: Sequence[Answered], theirs: Sequence[Answered]) -> Pair:
    """Test the difference of losses on each set."""
    mean, error, p_value = [], [], []
    for one, a, b in zip(sets, ours, theirs, strict=True):
        difference = losses(one, b.answer) - losses(one, a.answer)
        if np.ptp(difference) == 0.0:
            mean, error, p_value = [*mean, 0.0], [*error, 0.0], [*p_value, 1.0]
            continue
        test = ewc_t_test(difference)
        mean, error, p_value = [*mean, test.mean], [*error, test.standard_error], [*p_value, test.p_value]
    p = np.array(p_value, np.float64)
    return Pair(other, np.array(mean), np.array(error), p, adjust_p_values(p, method="holm"))


def pooled(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean over sets and its 95 % interval (t)."""
    mean, n = float(values.mean()), len(values)
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half


def pooled_table(pairs: Mapping[str, Pair]) -> str:
    """One line a pair: mean over sets, interval, sets won and lost after Holm."""
    lines = []
    for name, one in pairs.items():
        mean, low, high = pooled(one.mean)
        better = int(np.sum((one.mean > 0.0) & (one.p_adjusted < 0.05)))
        lines.append([name, f"{mean:+.3f}", f"{low:+.3f} to {high:+.3f}", better, one.lost, int(np.sum(one.mean > 0.0))])
    return markdown_table(
        ["against", "less loss, %", "95 % interval", "better (Holm)", "worse (Holm)", "sets with less loss"], lines
    )
