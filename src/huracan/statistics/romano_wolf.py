"""Romano-Wolf stepdown: many comparisons corrected together, with the power that their dependence allows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.statistics.ewc import Alternative
from huracan.statistics.joint_means import NullKind, joint_means, pairs_of
from huracan.statistics.loss_table import as_loss_table, check_level, same_losses
from huracan.statistics.sample_checks import check_seed

__all__ = ["RomanoWolf", "comparison_pairs", "notes_of", "romano_wolf", "stepdown_p_values"]


@dataclass(frozen=True)
class RomanoWolf:
    """Result of :func:`romano_wolf`: arrays with one entry for each pair, ``difference`` = first less second.

    Attributes
    ----------
    names : of the models. first, second : the models of each pair, as positions in ``names``.
    difference, standard_error, t, degrees_of_freedom : mean loss difference and its EWC t statistic.
    p_value, p_adjusted : of the pair alone, and corrected for all pairs.
    notes : why a pair could not be decided, else "".
    null, resamples, seed : how the joint null distribution was drawn.
    """

    names: tuple[str, ...]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    difference: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    t: NDArray[np.float64]
    degrees_of_freedom: NDArray[np.int64]
    p_value: NDArray[np.float64]
    p_adjusted: NDArray[np.float64]
    notes: tuple[str, ...]
    null: NullKind
    resamples: int
    seed: int


def romano_wolf(
    losses: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    baseline: int | None = None,
    alternative: Alternative = "two-sided",
    null: NullKind = "cosines",
    block_length: float | Literal["auto"] = "auto",
    resamples: int = 1999,
    seed: int = 0,
) -> RomanoWolf:
    """Compare all pairs of models, or every model with a baseline, and hold the chance of any false claim.

    Holm must assume the worst about how the comparisons depend on each other; the stepdown of Romano and Wolf measures
    it: the largest statistic is compared with the largest that equal models would show, the second with the largest
    among the rest, and so on. Measured family-wise error at 5 % on 20 equal models against a baseline
    (``tests/statistics/test_many_models_sizes.py``) stands beside that of Holm there.

    Parameters
    ----------
    losses : (n, k), rows in time order, smaller is better; symbols of one time averaged first
        (:func:`huracan.statistics.average_by_time`).
    names : of the models.
    baseline : position of the model that all others are compared with (``difference = model - baseline``); by default
        all pairs.
    alternative : "two-sided", "less" (the first of a pair has the lower loss) or "greater".
    null : "cosines" draws from the multivariate t distribution that has the long-run covariance of the losses;
        "bootstrap" resamples circular blocks (:func:`joint_means`).
    block_length : of the bootstrap.
    resamples, seed : an adjusted p-value is never below ``1 / (resamples + 1)``.

    Raises
    ------
    DataError : a loss is not finite, fewer than two models, a pair differs by a constant, or a setting is out of bounds.
    NotEnoughData : fewer than 20 rows.

    References
    ----------
    Romano and Wolf (2005), Econometrica 73(4); (2016), Statistics & Probability Letters 113.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> losses = rng.standard_normal((500, 1)) + rng.normal([0, 0, -0.3], 0.5, (500, 3))
    >>> result = romano_wolf(losses, names=["constant", "knn", "ridge"], baseline=0)
    >>> [result.names[i] for i in result.first[result.p_adjusted <= 0.05]]
    ['ridge']
    """
    check_level(0.5, resamples)
    check_seed(seed)
    if alternative not in ("two-sided", "less", "greater"):
        raise DataError(f"alternative is '{alternative}'; 'two-sided', 'less' or 'greater' was expected.")
    table, known = as_loss_table(losses, names)
    first, second = comparison_pairs(len(known), baseline)
    same = same_losses(table, known, first, second)
    joint = joint_means(table, pairs_of(len(known), first, second), same, null=null, block_length=block_length)
    side = {"two-sided": np.abs, "less": np.negative, "greater": np.positive}[alternative]
    nulls = (side(scores) for scores in joint.null_scores(resamples, seed=seed))
    one_sided = joint.p_value / 2
    towards = side(joint.t) > 0
    return RomanoWolf(
        names=known,
        first=first,
        second=second,
        difference=joint.difference,
        standard_error=joint.standard_error,
        t=joint.t,
        degrees_of_freedom=joint.degrees_of_freedom,
        p_value=joint.p_value
        if alternative == "two-sided"
        else np.where(joint.tested, np.where(towards, one_sided, 1 - one_sided), 1.0),
        p_adjusted=stepdown_p_values(np.where(joint.tested, side(joint.score), -np.inf), nulls),
        notes=notes_of(joint.same, joint.decidable, joint.n),
        null=null,
        resamples=resamples,
        seed=seed,
    )


def stepdown_p_values(
    statistics: ArrayLike, null_statistics: NDArray[np.float64] | Iterable[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Adjusted p-values from statistics and their joint distribution under the null hypothesis.

    ``p_(s) = (1 + number of resamples whose largest statistic among those ranked s and below reaches the s-th) /
    (resamples + 1)``, made monotone.

    Parameters
    ----------
    statistics : (m,); larger speaks against the null hypothesis, ``-inf`` is not tested and gets 1.
    null_statistics : (resamples, m), or chunks of it.

    References
    ----------
    Romano and Wolf (2016), Statistics & Probability Letters 113, algorithm 4.2.

    Examples
    --------
    >>> stepdown_p_values([3.0, 1.0], np.array([[0.0, 2.0], [4.0, 0.5], [1.0, 1.5]])).tolist()
    [0.5, 0.75]
    """
    observed = np.asarray(statistics, dtype=np.float64)
    if observed.ndim != 1 or np.isnan(observed).any():
        raise DataError(f"statistics have shape {observed.shape}; one number, not NaN, for each comparison was expected.")
    tested = np.flatnonzero(observed > -np.inf)
    order = tested[np.argsort(-observed[tested], kind="stable")]
    count, resamples = np.zeros(len(order), dtype=np.int64), 0
    for chunk in [null_statistics] if isinstance(null_statistics, np.ndarray) else null_statistics:
        if chunk.ndim != 2 or chunk.shape[1] != len(observed):
            raise DataError(f"null statistics have shape {chunk.shape}; (resamples, {len(observed)}) was expected.")
        largest = np.maximum.accumulate(chunk[:, order[::-1]], axis=1)[:, ::-1]
        count += np.sum(~(largest < observed[order]), axis=0)
        resamples += len(chunk)
    adjusted = np.ones(len(observed))
    adjusted[order] = np.maximum.accumulate((1 + count) / (resamples + 1))
    return adjusted


def comparison_pairs(k: int, baseline: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of ``k`` models, or every other model with the baseline.

    Examples
    --------
    >>> [pair.tolist() for pair in comparison_pairs(3, baseline=1)]
    [[0, 2], [1, 1]]
    """
    if baseline is None:
        first, second = np.triu_indices(k, 1)
        return first, second
    if isinstance(baseline, bool) or not isinstance(baseline, (int, np.integer)) or not 0 <= baseline < k:
        raise DataError(f"baseline is {baseline}; the position of one of {k} models, 0 to {k - 1}, was expected.")
    first = np.delete(np.arange(k), baseline)
    return first, np.full(k - 1, baseline)


def notes_of(same: NDArray[np.bool_], decidable: NDArray[np.bool_], n: int) -> tuple[str, ...]:
    """Why each pair could not be decided, in the words of :func:`huracan.baselines.compare_models`."""
    long = f"the difference remembers too long to be tested on {n} points in time"
    return tuple("the losses are the same on every row" if s else "" if d else long for s, d in zip(same, decidable))
