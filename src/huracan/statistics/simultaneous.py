"""Confidence intervals that hold for all comparisons together: what a forest plot must show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from huracan.statistics.joint_means import NullKind, joint_means, pairs_of
from huracan.statistics.loss_table import as_loss_table, check_level, same_losses
from huracan.statistics.romano_wolf import comparison_pairs, notes_of
from huracan.statistics.sample_checks import check_open_unit, check_seed

__all__ = ["SimultaneousIntervals", "simultaneous_intervals"]


@dataclass(frozen=True)
class SimultaneousIntervals:
    """Result of :func:`simultaneous_intervals`: arrays with one entry for each pair, ``difference`` = first less second.

    ``ci_low`` and ``ci_high`` cover all true differences at once with probability ``confidence``; ``alone_low`` and
    ``alone_high`` each cover their own. A pair that could not be decided has the whole line, with the reason in ``notes``.
    ``critical`` is how many standard normal deviations the joint interval reaches (1.96 for one pair at 95 %).
    """

    names: tuple[str, ...]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    difference: NDArray[np.float64]
    ci_low: NDArray[np.float64]
    ci_high: NDArray[np.float64]
    alone_low: NDArray[np.float64]
    alone_high: NDArray[np.float64]
    critical: float
    confidence: float
    notes: tuple[str, ...]


def simultaneous_intervals(
    losses: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    baseline: int | None = None,
    confidence: float = 0.95,
    null: NullKind = "cosines",
    block_length: float | Literal["auto"] = "auto",
    resamples: int = 1999,
    seed: int = 0,
) -> SimultaneousIntervals:
    """Intervals for the mean loss differences of all pairs of models, or of every model and a baseline.

    The half-width is the quantile of the largest statistic that equal models would show, on the scale of each pair's own
    degrees of freedom, so that every interval is equally likely to be the one that misses.

    Parameters
    ----------
    losses, names, baseline, null, block_length, resamples, seed : as of :func:`huracan.statistics.romano_wolf.romano_wolf`.
    confidence : that all intervals hold at once.

    Raises
    ------
    DataError, NotEnoughData : as there, and where ``confidence`` is not between 0 and 1 or out of reach of ``resamples``.

    References
    ----------
    Romano and Wolf (2005), Econometrica 73(4), section 3; Beran (1988), JASA 83 (balance).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> result = simultaneous_intervals(rng.normal([0, 0, -0.3], 1, (500, 3)))
    >>> (result.ci_low <= result.alone_low).all(), round(result.critical, 1)
    (np.True_, 2.3)
    """
    check_open_unit(confidence, "confidence")
    check_level(1 - confidence, resamples, what="1 - confidence")
    check_seed(seed)
    table, known = as_loss_table(losses, names)
    first, second = comparison_pairs(len(known), baseline)
    same = same_losses(table, known, first, second)
    joint = joint_means(table, pairs_of(len(known), first, second), same, null=null, block_length=block_length)
    alone = -float(ndtri((1 - confidence) / 2))
    critical = alone
    if joint.tested.sum() > 1:
        largest = np.concatenate([np.abs(scores).max(axis=1) for scores in joint.null_scores(resamples, seed=seed)])
        # an interval then leaves out zero exactly where the single-step p-value is at most 1 - confidence
        rank = int(np.floor((1 - confidence) * (resamples + 1) + 1e-9))
        critical = max(alone, float(np.sort(largest)[resamples - rank]))
    low, high = joint.interval(critical)
    alone_low, alone_high = joint.interval(alone)
    return SimultaneousIntervals(
        names=known,
        first=first,
        second=second,
        difference=joint.difference,
        ci_low=low,
        ci_high=high,
        alone_low=alone_low,
        alone_high=alone_high,
        critical=critical,
        confidence=confidence,
        notes=notes_of(joint.same, joint.decidable, joint.n),
    )
