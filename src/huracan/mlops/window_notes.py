"""What a reader of a drift report must know of the two tables, beside what was tested."""

from __future__ import annotations

from huracan.mlops.drift_rows import DriftRows
from huracan.mlops.reference import Reference
from huracan.mlops.time_spans import said_of_spans
from huracan.mlops.time_steps import said_of_steps

__all__ = ["said_of_window"]


def said_of_window(reference: Reference, rows: DriftRows) -> list[str]:
    """Sentences on lengths, times and numbers; none where a window is what the tests suppose.

    Examples
    --------
    >>> import numpy as np
    >>> from huracan.mlops import DriftDetector
    >>> from huracan.mlops.drift_rows import read_rows
    >>> learned = DriftDetector().fit(np.zeros((200, 1))).reference_
    >>> said_of_window(learned, read_rows(np.zeros((201, 1))))
    ['the window (201 moments) is longer than the reference (200), whose memory is less certain']
    """
    said = []
    if rows.moments.n > reference.n_moments:
        said.append(
            f"the window ({rows.moments.n:,} moments) is longer than the reference ({reference.n_moments:,}), whose memory is "
            "less certain"
        )
    if (told := said_of_spans(reference.span, rows.span)) is not None:
        said.append(told)
    said += said_of_steps(reference.steps, rows.steps)
    said += [
        f"whole numbers of '{name}' are too large to be told apart one by one: those less than {apart:,} apart count as equal"
        for name, apart in rows.rounded.items()
        if name in reference.columns
    ]
    return said
