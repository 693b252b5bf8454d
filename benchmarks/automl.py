"""Searches under a budget: against FLAML and learners nobody tuned, and what a longer budget brings.

Twenty simulated sets (20,000 rows, 60 features, three hidden regimes, overlapping labels) and four real ones; each is searched
on its first three quarters and judged on the last one, purged. Both searches have the same purged walk-forward folds, the same
metric, one thread, the same wall-clock budget, and begin together. Losses are paired by moment (dependence-robust) on each set,
and by set over all of them. ``automl_ablations.py`` takes parts away.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks import ShortOfBar, markdown_table
from benchmarks.automl_checks.comparison import gains_of, pair, pooled, pooled_table
from benchmarks.automl_checks.sets import SearchSet, real_sets, simulated_sets
from benchmarks.automl_checks.systems import FIXED, Answered, fixed, flaml, ours, side_by_side

__all__ = ["SHORT", "main", "searched"]

SECONDS, SHORT, LONG = 60.0, 20.0, 180.0
OVERRUN = 0.05


def searched(sets: Sequence[SearchSet], seconds: float, **settings: Any) -> list[Answered]:
    """Ours on all sets, two at a time."""
    found: list[Answered] = []
    for at in range(0, len(sets), 2):
        runs = {one.name: partial(ours, one, seconds, **settings) for one in sets[at : at + 2]}
        found += side_by_side(runs).values()
    return found


def against_others(sets: Sequence[SearchSet]) -> tuple[str, list[Answered], list[str]]:
    """FLAML and fixed learners: a page, our answers, and what falls short."""
    both = [side_by_side({"ours": partial(ours, one, SECONDS), "FLAML": partial(flaml, one, SECONDS)}) for one in sets]
    mine, theirs = [found["ours"] for found in both], [found["FLAML"] for found in both]
    answers = {"FLAML": theirs, **{name: [fixed(name, one) for one in sets] for name in FIXED}}
    pairs = {name: pair(name, sets, mine, other) for name, other in answers.items()}
    rows = []
    for i, one in enumerate(sets):
        told = [f"{gains_of(one, found[i].answer):+.3f}" for found in answers.values()]
        difference = f"{pairs['FLAML'].mean[i]:+.3f} ({pairs['FLAML'].error[i]:.3f})"
        cost = [f"{mine[i].wall:.1f} / {theirs[i].wall:.1f}", f"{mine[i].cpu:.0f} / {theirs[i].cpu:.0f}"]
        trials = f"{mine[i].note['trials']} / {theirs[i].note['trials']}"
        rows.append([one.name, f"{gains_of(one, mine[i].answer):+.3f}", *told, difference, *cost, trials])
    heads = ["set", "ours", *answers, "FLAML's loss less ours (se)", "wall, s", "CPU, s", "trials"]
    text = (
        f"Percent of the constant forecast's loss that each saves on later rows, {SECONDS:g} s; wall, CPU and trials are ours "
        f"/ FLAML's, refit included.\n\n{markdown_table(heads, rows)}\n\n{pooled_table(pairs)}"
    )
    short = []
    if pooled(pairs["FLAML"].mean)[1] <= 0.0:
        short.append("the interval of the improvement on FLAML is not above 0")
    for name, one_pair in pairs.items():
        if one_pair.lost:
            short.append(f"{one_pair.lost} set(s) lost against {name}")
        if name != "FLAML" and pooled(one_pair.mean)[0] < 0.0:
            short.append(f"{name} has less loss in the mean")
    return text, mine, short


def main() -> str:
    """Compare, give more and less time."""
    sets = [*simulated_sets(), *real_sets()]
    first, mine, short = against_others(sets)
    quick, long = searched(sets, SHORT), searched(sets, LONG)
    budgets, means = [], []
    for seconds, found in ((SHORT, quick), (SECONDS, mine), (LONG, long)):
        gains = np.array([gains_of(one, answered.answer) for one, answered in zip(sets, found, strict=True)])
        over = max(answered.wall / seconds - 1.0 for answered in found)
        means.append(float(gains.mean()))
        trials = sum(answered.note["trials"] for answered in found) / len(found)
        budgets.append([f"{seconds:g}", f"{gains.mean():+.3f}", f"{100 * over:+.1f} %", f"{trials:.0f}"])
        if over > OVERRUN:
            short.append(f"{seconds:g} s were overrun by {100 * over:.1f} %")
    if not means[0] <= means[1] <= means[2]:
        short.append("the mean score falls with the budget")
    text = "\n\n".join(
        [
            "# AutoML under a budget",
            first,
            "Budgets, mean over the sets.\n\n"
            + markdown_table(["budget, s", "saved, %", "largest overrun", "trials"], budgets),
        ]
    )
    if short:
        raise ShortOfBar(short, text)
    return text
