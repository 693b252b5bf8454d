"""``compare_models``: every pair of models, or each against a baseline, by losses of the same moments."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.aligned_losses import AlignedLosses, Keys, align_losses
from huracan.baselines.comparison import Comparison, PairResult
from huracan.baselines.measured_dependence import DependenceChoice, PairTests, check_times, compare_pairs
from huracan.errors import DataError, nearest_name
from huracan.statistics import CORRECTIONS, Alternative, Correction, adjust_p_values, romano_wolf
from huracan.statistics.sample_checks import check_alternative, check_open_unit

__all__ = ["PAIR_CORRECTIONS", "PairCorrection", "check_comparison", "compare_aligned", "compare_models", "written_p"]

PairCorrection = Correction | Literal["romano_wolf"]

PAIR_CORRECTIONS = (*CORRECTIONS, "romano_wolf")
"""Corrections for the number of pairs."""


def compare_models(
    losses: Mapping[str, Any] | Any,
    *,
    baseline: str | None = None,
    times: Keys = None,
    symbols: Keys = None,
    correction: PairCorrection = "holm",
    dependence: DependenceChoice = "auto",
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    resamples: int = 1999,
    seed: int = 0,
) -> Comparison:
    """Compare models by their losses on the same rows, out of fold.

    Losses of overlapping labels, or of neighbouring bars, are autocorrelated; a plain t test on them calls 39 to 65 % of
    equal models different. The mean of each difference is tested with equal-weighted cosines instead
    (:func:`huracan.statistics.ewc_t_test`, the robust form of the Diebold-Mariano test) and the p-values are corrected
    for the number of pairs. What this holds is measured in ``benchmarks/results/ab_testing.md``.

    The question is which loss is lower on average over the whole span. A model that takes the lead midway makes a difference
    whose level moves, which cannot be told from slow memory: such a pair may stay undecided, and its note says so.

    Parameters
    ----------
    losses : model -> losses (n,), smaller is better; or a pandas or polars frame with a column for each model. Rows are
        in time order unless times are known.
    baseline : compare every other model with this one only (``difference = model - baseline``); by default all pairs.
    times : (n,) time of every row, or model -> times of its own, on which the models are then joined; rows without a
        partner are dropped and counted. By default a column ``ts``, ``decision_time`` or ``time`` of a frame, or a pandas
        index. Rows of one time (many symbols) are averaged into one observation.
    symbols : (n,), or model -> symbols of its own: what rows are joined on beside their time.
    correction : for the number of pairs, see :func:`huracan.statistics.adjust_p_values`; or "romano_wolf", which measures
        how the comparisons depend on each other (:func:`huracan.statistics.romano_wolf`).
    dependence : "auto" measures how losses depend on each other over time and tests accordingly (``.dependence`` says what
        was found); "independent" for the classical paired t test, which is only right where the rows are known to be
        independent.
    alternative : "two-sided"; "less" asks whether the first of each pair has the lower loss, "greater" the higher.
    alpha : level of the decision; intervals have level ``1 - alpha``.
    resamples, seed : of "romano_wolf".

    Raises
    ------
    DataError : fewer than two models, lengths differ and there are no times to join on, nothing in common, a loss is not
        finite (model and row are named), or a difference that is the same on every row and not zero. Identical losses are
        no error: the pair gets p = 1 and a note.
    NotEnoughData : fewer than 20 points in time.
    UnknownName : ``baseline`` is not among the models.

    References
    ----------
    Diebold and Mariano (1995), JBES 13; Lazarus, Lewis, Stock and Watson (2018), JBES 36; Holm (1979).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> market = rng.standard_normal(500) ** 2
    >>> losses = {"constant": market, "ridge": market + rng.normal(-0.1, 0.3, 500), "knn": market + rng.normal(0, 0.3, 500)}
    >>> result = compare_models(losses, baseline="constant")
    >>> result.decision, result.to_frame()["pair"].to_list()
    ('ridge', ['ridge - constant', 'knn - constant'])
    """
    check_comparison(correction, dependence, alternative, alpha)
    return compare_aligned(
        align_losses(losses, times, symbols),
        baseline=baseline,
        correction=correction,
        dependence=dependence,
        alternative=alternative,
        alpha=alpha,
        resamples=resamples,
        seed=seed,
    )


def check_comparison(correction: str, dependence: str, alternative: str, alpha: float) -> None:
    """Refuse settings that do not exist or do not go together.

    >>> check_comparison("holm", "auto", "two-sided", 0.05)
    """
    if correction not in PAIR_CORRECTIONS:
        raise DataError(f"correction is '{correction}'; one of {', '.join(PAIR_CORRECTIONS)} was expected.")
    if dependence not in get_args(DependenceChoice):
        raise DataError(f"dependence is '{dependence}'; 'auto' or 'independent' was expected.")
    check_open_unit(alpha, "alpha")
    check_alternative(alternative)
    if correction == "romano_wolf" and dependence == "independent":
        raise DataError("correction='romano_wolf' measures dependence; it does not go with dependence='independent'.")


def compare_aligned(
    aligned: AlignedLosses,
    *,
    baseline: str | None,
    correction: PairCorrection = "holm",
    dependence: DependenceChoice = "auto",
    alternative: Alternative = "two-sided",
    alpha: float = 0.05,
    resamples: int = 1999,
    seed: int = 0,
) -> Comparison:
    """:func:`compare_models` of losses that were aligned before.

    >>> aligned = align_losses(dict(zip("ab", np.random.default_rng(0).standard_normal((2, 100)))))
    >>> compare_aligned(aligned, baseline="a").n_times
    100
    """
    names = aligned.names
    if baseline is not None and baseline not in names:
        raise nearest_name(baseline, names, kind="baseline")
    table = aligned.losses
    check_times(len(table), dependence, "rows" if aligned.times is None else "different times")
    every = combinations(range(len(names)), 2)
    at = None if baseline is None else names.index(baseline)
    chosen = np.array([(i, at) for i in range(len(names)) if i != at] if at is not None else list(every), dtype=np.int64)
    n_rows = len(aligned.row_losses)
    tests = compare_pairs(
        table, names, chosen, dependence=dependence, alternative=alternative, confidence=1.0 - alpha, n_rows=n_rows
    )
    if correction == "romano_wolf":
        found = romano_wolf(table, names=names, baseline=at, alternative=alternative, resamples=resamples, seed=seed)
        adjusted = np.maximum(found.p_adjusted, tests.p_value)
    else:
        adjusted = adjust_p_values(tests.p_value, correction)
    pairs = _pair_results(names, chosen, tests, adjusted)
    mean_loss = dict(zip(names, table.mean(axis=0).tolist()))
    decision = _winner(pairs, mean_loss, baseline, alpha)
    return Comparison(
        pairs=pairs,
        mean_loss=mean_loss,
        decision=decision,
        sentence=_sentence(pairs, decision, baseline, alpha, correction, len(table), aligned.dropped),
        alpha=alpha,
        correction=correction,
        dependence=tests.dependence,
        n_times=len(table),
        n_rows=n_rows,
        baseline=baseline,
        losses=table,
        times=aligned.times,
        dropped=aligned.dropped,
    )


def _pair_results(
    names: tuple[str, ...], chosen: NDArray[np.int64], tests: PairTests, adjusted: NDArray[np.float64]
) -> tuple[PairResult, ...]:
    columns = (
        *(tests.difference, tests.ci_low, tests.ci_high, tests.p_value, adjusted),
        *(tests.effect_size, tests.n_eff, tests.p_independent),
    )
    rows = zip(chosen.tolist(), *(column.tolist() for column in columns), tests.notes)
    return tuple(PairResult(names[a], names[b], *rest) for (a, b), *rest in rows)


def _winner(pairs: tuple[PairResult, ...], mean_loss: Mapping[str, float], baseline: str | None, alpha: float) -> str | None:
    shown: dict[str, int] = {}
    for item in pairs:
        if item.p_adjusted <= alpha and item.difference != 0.0:
            better = item.model_a if item.difference < 0 else item.model_b
            shown[better] = shown.get(better, 0) + 1
    shown.pop(baseline or "", None)
    needed = 1 if baseline is not None else len(mean_loss) - 1
    able = [name for name, count in shown.items() if count >= needed]
    return min(able, key=lambda name: mean_loss[name], default=None)


def _sentence(
    pairs: tuple[PairResult, ...],
    decision: str | None,
    baseline: str | None,
    alpha: float,
    correction: str,
    n: int,
    dropped: Mapping[str, int],
) -> str:
    rest = f"{len(pairs)} pair{'s' if len(pairs) != 1 else ''}, {correction} correction, {n} points in time"
    undecided = [item for item in pairs if item.note]
    tail = f" {undecided[0].pair}: {undecided[0].note}." if undecided else ""
    lost = [f"{count:,} of '{name}'" for name, count in dropped.items() if count]
    tail += f" Rows left out because another model has none at their time: {', '.join(lost)}." if lost else ""
    if decision is None:
        decidable = [item for item in pairs if not item.note]
        if not decidable:
            return f"It cannot be decided which model is better ({rest}).{tail}"
        if len(pairs) == 1 and baseline is None:
            who = f"neither '{pairs[0].model_a}' nor '{pairs[0].model_b}' is shown to be better"
        else:
            who = f"no model is shown to be better than {f'{baseline!r}' if baseline else 'all others'}"
        ahead = [item for item in decidable if baseline is None or item.difference < 0]
        best = min(ahead, key=lambda item: item.p_adjusted, default=None)
        closest = (
            f"smallest adjusted p {written_p(best.p_adjusted)} ({best.pair}; {rest})" if best else f"none loses less ({rest})"
        )
        worse = [item.model_a for item in pairs if baseline and item.difference > 0 and item.p_adjusted <= alpha]
        tail = f" Shown to be worse: {', '.join(worse)}.{tail}" if worse else tail
        return f"At the {alpha:.3g} level {who}: {closest}.{tail}"
    decisive = [item for item in pairs if decision in (item.model_a, item.model_b)]
    worst = max(decisive, key=lambda item: item.p_adjusted)
    other = worst.model_b if worst.model_a == decision else worst.model_a
    over = f"'{other}'" if baseline or len(pairs) == 1 else "every other model"
    gain = f"mean loss lower by {abs(worst.difference):.4g}, adjusted p {written_p(worst.p_adjusted)}"
    return f"'{decision}' is better than {over}: {gain} ({rest}).{tail}"


def written_p(p: float, digits: int = 3) -> str:
    """A p-value as one would write it.

    >>> written_p(0.0321), written_p(1e-9)
    ('= 0.0321', '< 0.0001')
    """
    return f"= {p:.{digits}g}" if p >= 1e-4 else "< 0.0001"
