"""How the inputs of a network are scaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.inputs import InputScaler
from huracan.models.neural_inputs import require_same_size, symbols_of
from huracan.models.windowed_rows import WindowedRows
from huracan.statistics.spread_rows import spread_rows

__all__ = ["window_scaler"]

_MOVES = 100_000


def window_scaler(
    X: Any, rows: WindowedRows, train: NDArray[np.int64], *, scaling: str, window: int, clip: float, names: Sequence[str]
) -> InputScaler:
    """Of rows; where a window is told from its own last bar, of moves within windows, and levels are not cut.

    A price may leave the range it was trained in, and moves far less within a window than over the years. Where a window
    is told in its own deviation, the unit only must not round: one price may be a billion times another.

    Parameters
    ----------
    X, rows : as given, and in order. train : numbers of those that are learned from, each with a whole window.
    scaling, window, clip : the learner's settings. names : of the features.

    Raises
    ------
    DataError : moves of one symbol could not be seen beside those of another.
    """
    if scaling == "none":
        return InputScaler.fit(rows.values, clip=clip, rows=rows.numbers(train))
    sample = spread_rows(len(train), _MOVES)
    train = train if sample is None else train[sample]
    place = rows.place[train]
    earlier = place - np.random.default_rng(0).integers(1, window, len(place)).astype(place.dtype)
    now, then = (at if rows.order is None else rows.order[at] for at in (place, earlier))
    moves = InputScaler.fit(rows.values, clip=np.inf, rows=now, since=then)
    if scaling == "standard":
        unit = np.exp2(np.round(np.log2(moves.scale)))
        return replace(moves, center=np.zeros_like(unit), scale=unit)
    code, symbols = symbols_of(X, len(rows.place))
    if len(symbols) > 1:
        require_same_size(rows.values[now] - rows.values[then], code[train], symbols, names)
    levels = [np.median(rows.values[now, column]) for column in range(rows.values.shape[1])]
    return replace(moves, center=np.asarray(levels, np.float64))
