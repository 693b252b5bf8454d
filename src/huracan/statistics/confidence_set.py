"""Model confidence set: the models that cannot be told from the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.statistics.bootstrap import Blocks, draw_blocks, resampled_means
from huracan.statistics.joint_means import NullKind, joint_means, means_of_runs, pairs_of
from huracan.statistics.loss_table import as_loss_table, check_level, same_losses
from huracan.statistics.sample_checks import check_seed
from huracan.statistics.superior_ability import widest_block_length

__all__ = ["ModelConfidenceSet", "model_confidence_set"]

Statistic = Literal["range", "max"]

Step = Callable[[NDArray[np.int64]], tuple[int, float, NDArray[np.float64]]]
"""From the models still in to the one to leave, its statistic, and that statistic's null distribution."""


@dataclass(frozen=True)
class ModelConfidenceSet:
    """Result of :func:`model_confidence_set`.

    Attributes
    ----------
    names : of the models. p_value : (k,) the smallest level at which each is outside the set; 1 for the last one left.
    included : the models inside at ``alpha``, best p-value first. eliminated : all others, first to leave first.
    notes : for each model, which other has the same losses, or (statistic "max") that its difference from the mean of all
        remembers too long to be tested, so that it does not count as different; else "".
    undecidable : pairs of names whose difference remembers too long to be tested; they never count as different.
    """

    names: tuple[str, ...]
    p_value: NDArray[np.float64]
    included: tuple[str, ...]
    eliminated: tuple[str, ...]
    notes: tuple[str, ...]
    undecidable: tuple[tuple[str, str], ...]
    alpha: float
    statistic: Statistic
    null: NullKind


def model_confidence_set(
    losses: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    alpha: float = 0.05,
    statistic: Statistic = "range",
    null: NullKind = "cosines",
    block_length: float | Literal["auto"] = "auto",
    blocks: Blocks | None = None,
    resamples: int = 1999,
    seed: int = 0,
) -> ModelConfidenceSet:
    """Find the set that holds the best model with probability ``1 - alpha``, without a baseline.

    As long as the models left are not equally good, the worst is taken out. Models with the same losses enter once.

    Parameters
    ----------
    losses : (n, k), rows in time order, smaller is better.
    names : of the models. alpha : chance that the best model is not in the set.
    statistic : "range" (T_R: the largest t of all pairs) or "max" (T_max: the largest t of a model against the mean of
        those left).
    null : "cosines" studentises with equal-weighted cosines and draws from the multivariate t distribution; it holds its
        level on strongly autocorrelated losses. "bootstrap" is the procedure as published: resampled means, and their
        variance as the studentiser.
    block_length, blocks, resamples, seed : of the bootstrap, as in
        :func:`huracan.statistics.superior_ability.superior_ability`.

    Raises
    ------
    DataError : a loss is not finite, one model only, a difference is constant, or a setting is out of bounds.
    NotEnoughData : fewer than 20 rows.

    References
    ----------
    Hansen, Lunde and Nason (2011), "The Model Confidence Set", Econometrica 79(2).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> losses = rng.standard_normal((600, 1)) + rng.normal([0, 0, 0.3], 0.5, (600, 3))
    >>> result = model_confidence_set(losses, names=["ridge", "forest", "knn"])
    >>> sorted(result.included), result.eliminated
    (['forest', 'ridge'], ('knn',))
    """
    if statistic not in get_args(Statistic):
        raise DataError(f"statistic is '{statistic}'; 'range' or 'max' was expected.")
    if null not in get_args(NullKind):
        raise DataError(f"null is '{null}'; 'cosines' or 'bootstrap' was expected.")
    if null == "cosines" and (blocks is not None or block_length != "auto"):
        raise DataError("blocks and block_length go with null='bootstrap' only.")
    check_level(alpha, resamples if blocks is None else len(blocks))
    check_seed(seed)
    table, known = as_loss_table(losses, names)
    twin = _twins(table, known)
    unique = np.flatnonzero(twin == np.arange(len(known)))
    relative = table[:, unique] - table[:, unique].mean(axis=1, keepdims=True)
    undecidable: list[tuple[int, int]] = []
    unjudged = np.zeros(len(unique), dtype=bool)
    if len(unique) == 1:
        p_value, order = np.ones(1), [0]
    else:
        if null == "bootstrap":
            rows = widest_block_length(relative) if block_length == "auto" else block_length
            drawn = draw_blocks(len(table), rows, resamples, kind="stationary", seed=seed) if blocks is None else blocks
            means = resampled_means(relative - relative.mean(axis=0), drawn)
            step = (_bootstrapped_range if statistic == "range" else _bootstrapped_max)(relative.mean(axis=0), means)
        elif statistic == "range":
            step, undecidable = _cosine_range(relative, resamples, seed)
        else:
            step, unjudged = _cosine_max(relative, resamples, seed)
        p_value, order = _eliminate(len(unique), step)
    place = np.searchsorted(unique, twin)
    long = f"its difference from the mean of all remembers too long to be tested on {len(table)} points in time"
    p_all = p_value[place]
    leaving = np.argsort(np.argsort(order)[place], kind="stable")
    return ModelConfidenceSet(
        names=known,
        p_value=p_all,
        included=tuple(known[i] for i in leaving[::-1] if p_all[i] > alpha),
        eliminated=tuple(known[i] for i in leaving if p_all[i] <= alpha),
        notes=tuple(
            f"the same losses as '{known[t]}' on every row" if t != i else long if late else ""
            for i, (t, late) in enumerate(zip(twin, unjudged[place]))
        ),
        undecidable=tuple((known[unique[a]], known[unique[b]]) for a, b in undecidable),
        alpha=alpha,
        statistic=statistic,
        null=null,
    )


def _twins(table: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.int64]:
    """For each model the first that has the same losses, itself where there is none."""
    k = table.shape[1]
    first, second = np.triu_indices(k, 1)
    same = same_losses(table, names, first, second)
    twin = np.arange(k)
    for a, b in zip(first[same], second[same]):
        twin[b] = min(twin[b], twin[a])
    return twin


def _eliminate(k: int, step: Step) -> tuple[NDArray[np.float64], list[int]]:
    """Take out the worst model again and again: p-values made monotone, and the order of leaving."""
    left, order, highest = np.arange(k), [], 0.0
    p_value = np.ones(k)
    while len(left) > 1:
        worst, observed, null = step(left)
        highest = max(highest, (1 + int(np.sum(null >= observed))) / (len(null) + 1))
        p_value[worst] = highest
        order.append(worst)
        left = left[left != worst]
    return p_value, [*order, int(left[0])]


def _range_step(k: int, score: NDArray[np.float64], null: NDArray[np.float64]) -> Step:
    """Range statistic from signed scores (pairs,) and absolute null scores (resamples, pairs)."""
    first, second = np.triu_indices(k, 1)

    def step(left: NDArray[np.int64]) -> tuple[int, float, NDArray[np.float64]]:
        inside = np.isin(first, left) & np.isin(second, left)
        which = np.flatnonzero(inside)
        top = which[int(np.argmax(np.abs(score[which])))]
        worst = first[top] if score[top] > 0 else second[top]
        return int(worst), float(abs(score[top])), null[:, which].max(axis=1)

    return step


def _bootstrapped_range(mean: NDArray[np.float64], means: NDArray[np.float64]) -> Step:
    first, second = np.triu_indices(len(mean), 1)
    null = means[:, first] - means[:, second]
    deviation = np.sqrt((null**2).mean(axis=0))
    return _range_step(len(mean), (mean[first] - mean[second]) / deviation, np.abs(null) / deviation)


def _cosine_range(relative: NDArray[np.float64], resamples: int, seed: int) -> tuple[Step, list[tuple[int, int]]]:
    k = relative.shape[1]
    first, second = np.triu_indices(k, 1)
    joint = joint_means(relative, pairs_of(k, first, second))
    null = np.concatenate([np.abs(scores) for scores in joint.null_scores(resamples, seed=seed)])
    undecidable = [(int(a), int(b)) for a, b in zip(first[~joint.decidable], second[~joint.decidable])]
    return _range_step(k, joint.score, null), undecidable


def _bootstrapped_max(mean: NDArray[np.float64], means: NDArray[np.float64]) -> Step:
    def step(left: NDArray[np.int64]) -> tuple[int, float, NDArray[np.float64]]:
        null = means[:, left] - means[:, left].mean(axis=1, keepdims=True)
        deviation = np.sqrt((null**2).mean(axis=0))
        score = (mean[left] - mean[left].mean()) / deviation
        worst = int(np.argmax(score))
        return int(left[worst]), float(score[worst]), (null / deviation).max(axis=1)

    return step


def _cosine_max(relative: NDArray[np.float64], resamples: int, seed: int) -> tuple[Step, NDArray[np.bool_]]:
    coarse = means_of_runs(relative)
    k = relative.shape[1]
    unjudged = ~joint_means(coarse, np.eye(k) - 1.0 / k).decidable

    def step(left: NDArray[np.int64]) -> tuple[int, float, NDArray[np.float64]]:
        m = len(left)
        joint = joint_means(coarse[:, left], np.eye(m) - 1.0 / m)
        worst = int(np.argmax(joint.score))
        null = np.concatenate([scores.max(axis=1) for scores in joint.null_scores(resamples, seed=seed)])
        return int(left[worst]), float(joint.score[worst]), null

    return step, unjudged
