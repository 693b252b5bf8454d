"""Whether most of what is said comes too late to act on, turn after turn: then a setting is not what it is taken for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.config import HuracanConfig
from huracan.mlops.alerts import AlertLevel

__all__ = ["LATENESS", "now_late", "why_late"]

LATENESS = "lateness"
"""Key under which is kept how many answers of each of the newest turns that answered were late, and how many there were."""
_TURNS = 3
"""Turns one after the other that have to be late before it is an alert: after one absence it is one."""


def now_late(state: Mapping[str, Any], late: NDArray[np.bool_], *, catches_up: bool = False) -> list[list[int]]:
    """``[late, all]`` of the newest turns that answered, this one included.

    Parameters
    ----------
    state : as it is kept. late : of each answer of this turn, whether it is. catches_up : whether it is one of several that
        work one absence off; where it is late it is not counted then, but the last of them is.

    Examples
    --------
    >>> now_late({LATENESS: [[0, 2], [0, 2], [4, 6]]}, np.array([True, True]))
    [[0, 2], [4, 6], [2, 2]]
    """
    before: list[list[int]] = state.get(LATENESS, [])
    counts = len(late) and not (catches_up and late.any())
    return [*before, [int(late.sum()), len(late)]][-_TURNS:] if counts else before


def why_late(turns: list[list[int]], config: HuracanConfig) -> dict[str, tuple[AlertLevel, str]]:
    """The alert that most answers of each of the newest turns were late, if they were: what it is about, level, sentence.

    >>> why_late([[2, 2], [5, 6], [4, 6]], HuracanConfig())["answers"][1].split(":")[0]
    'most answers of the last 3 turns came too late to act on (11 of 14)'
    >>> why_late([[0, 2], [5, 6], [4, 6]], HuracanConfig())
    {}
    """
    if len(turns) < _TURNS or any(2 * late <= n for late, n in turns):
        return {}
    counted = f"{sum(late for late, _ in turns)} of {sum(n for _, n in turns)}"
    wanted = config.mechanic
    said = (
        f"most answers of the last {_TURNS} turns came too late to act on ({counted}): they are in no figure of what was "
        f"lived. Begin turns sooner after bars have closed, or set mechanic.every ({wanted.every}) to the time between turns, "
        f"and mechanic.wait_for_bars ({wanted.wait_for_bars}) to how long after its close a bar may be answered."
    )
    return {"answers": (AlertLevel.WARNING, said)}
