"""Leave out columns that say what another says, or nothing at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from huracan.preprocessing.column_state import ColumnState
from huracan.preprocessing.correlation import correlation_clusters
from huracan.preprocessing.frames import FeatureFrame

__all__ = ["select_columns"]

_ROWS = 25_000  # a rank correlation of .95 is then known to a thousandth


def select_columns(
    frame: FeatureFrame, names: Sequence[str], states: Sequence[ColumnState], threshold: float
) -> tuple[tuple[int, ...], dict[str, str]]:
    """One column a cluster of rank correlation.

    Correlations are those of the values as given, on at most 25,000 rows of the fit window drawn with a fixed seed. Where
    no column says anything the first is kept, so that a result has a column.

    Returns
    -------
    Positions that stay, in order, and why each other column was left out.
    """
    dropped = {name: state.note or "constant" for name, state in zip(names, states) if state.dead}
    alive = [i for i, state in enumerate(states) if not state.dead]
    if not alive:
        dropped.pop(names[0])
        return (0,), dropped
    rows = frame.shape[0]
    some: slice | np.ndarray = slice(None)
    if rows > _ROWS:
        some = np.sort(np.random.default_rng(0).choice(rows, _ROWS, replace=False))
    chosen = set(alive)
    sample = np.column_stack([values[some] for i, values in enumerate(frame.columns()) if i in chosen])
    clusters = correlation_clusters(sample, threshold, names=[names[i] for i in alive], max_rows=None)
    kept = []
    for i, representative in zip(alive, clusters["representative"].to_list()):
        if representative == names[i]:
            kept.append(i)
        else:
            dropped[names[i]] = f"says what '{representative}' says: their rank correlation is at least {threshold:g} in size"
    return tuple(kept), dropped
