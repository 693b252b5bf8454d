"""The latest part of the rows, kept back to say when a training is to stop; two rules for what may not reach across.

Where labels are learned, no label may be known only after the tail begins. Where windows themselves are learned, no bar may be
in windows of both.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from huracan.errors import ModelError
from huracan.validation.folds import purged_fold
from huracan.validation.row_times import Embargo, RowTimes

__all__ = ["FEWEST_VALIDATED", "disjoint_tail", "purged_tail"]

FEWEST_VALIDATED = 20
"""Fewer rows than these say nothing about when to stop."""

Rows = NDArray[np.int64]


def purged_tail(times: RowTimes, chosen: Rows, *, share: float, embargo: Embargo) -> tuple[Rows, Rows]:
    """Row numbers to learn from, and the last ``share`` of the times, purged of labels that reach across.

    All of ``chosen`` and none where the tail would have fewer than 20 rows.

    >>> train, late = purged_tail(RowTimes.of(np.zeros((200, 1)), label_horizon=3), np.arange(200), share=0.2, embargo=0)
    >>> int(train[-1]), int(late[0])
    (156, 160)
    """
    if not isinstance(share, int | float) or not 0.0 <= share < 0.9:
        raise ModelError(f"validation_share is {share!r}; a share from 0 to below 0.9 was expected.")
    together = len(chosen) > 0 and int(chosen[-1]) - int(chosen[0]) + 1 == len(chosen)  # then views serve, and take no memory
    span = slice(int(chosen[0]), int(chosen[-1]) + 1) if together else chosen
    mine = replace(times, decision=times.decision[span], label_end=times.label_end[span])
    edge = mine.first_rows[round((1.0 - share) * mine.n_times)] if share else len(chosen)
    if len(chosen) - edge < FEWEST_VALIDATED:
        return chosen, chosen[:0]
    gap = mine.embargo_length(embargo)
    fold = purged_fold(mine, [(int(edge), len(chosen))], gap_before=gap, name="early stopping")
    return chosen[fold.train], chosen[fold.test]


def disjoint_tail(times: RowTimes, chosen: Rows, *, share: float, window: int, fewest: int) -> tuple[Rows, Rows]:
    """Row numbers by time, and the last ``share`` of the times, with a window's length of times left out between them.

    All of ``chosen`` and none where one of the two would have fewer than ``fewest``.

    >>> train, late = disjoint_tail(RowTimes.of(np.zeros((200, 1))), np.arange(200), share=0.2, window=8, fewest=20)
    >>> int(train[-1]), int(late[0])
    (152, 160)
    """
    chosen = chosen[np.argsort(times.decision[chosen], kind="stable")]
    time = times.decision[chosen]
    moments = np.unique(time)
    edge = round((1.0 - share) * len(moments))
    late = time >= moments[edge] if edge < len(moments) else np.zeros(len(chosen), bool)
    early = time < moments[max(edge - window + 1, 0)] if late.any() else ~late
    train, tail = chosen[early], chosen[late]
    return (train, tail) if min(len(train), len(tail)) >= fewest else (chosen, chosen[:0])
