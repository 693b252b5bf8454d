"""Six streams on which detectors are compared, and the settings they are compared with; standard library only.

Every stream has 12,000 numbers and changes at rows 4,000 and 8,000. They come from :class:`random.Random`, whose numbers are
the same in every version of Python, so that two environments make the same streams.
"""

from __future__ import annotations

import random
from statistics import NormalDist

__all__ = ["SETTINGS", "streams"]

_LENGTH, _CHANGES = 12_000, (4_000, 8_000)

SETTINGS: dict[str, list[dict[str, float | int | str]]] = {
    "PageHinkley": [
        {},
        {"threshold": 12.0, "delta": 0.05, "mode": "up"},
        {"threshold": 5.0, "delta": 0.2, "alpha": 0.99, "min_instances": 100, "mode": "down"},
        {"threshold": 20.0, "alpha": 1.0},
    ],
    "Adwin": [
        {},
        {"delta": 0.3, "clock": 1, "max_buckets": 3},
        {"delta": 0.05, "clock": 7, "min_window_length": 20, "grace_period": 300},
    ],
    "DDM": [{}, {"warm_start": 200, "warning_threshold": 1.0, "drift_threshold": 2.0}],
}
"""Detector -> settings; DDM is run on the streams of 0 and 1 alone."""


def streams() -> dict[str, list[float]]:
    """Name -> stream."""
    draw = random.Random(20_061)
    level = [0 if row < _CHANGES[0] else 1 if row < _CHANGES[1] else 2 for row in range(_LENGTH)]
    normal = [NormalDist().inv_cdf(min(max(draw.random(), 1e-12), 1 - 1e-12)) for _ in range(_LENGTH)]
    found = {"normal, mean moves": [shock + (0.0, 0.6, -0.2)[at] for shock, at in zip(normal, level)]}
    state, persistent = 0.0, []
    for row in range(_LENGTH):
        state = 0.9 * state + 0.4359 * normal[-row - 1]
        persistent.append(state + (0.0, 1.5, 0.0)[level[row]])
    found["AR(.9), mean moves"] = persistent
    found["heavy tails, spread doubles"] = [shock**3 * (1.0, 2.0, 1.0)[at] for shock, at in zip(normal, level)]
    found["slow rise"] = [shock + 2.0 * row / _LENGTH for row, shock in enumerate(normal)]
    found["errors, rate moves"] = [float(draw.random() < (0.1, 0.25, 0.15)[at]) for at in level]
    found["errors, rare, then many"] = [float(draw.random() < (0.01, 0.05, 0.4)[at]) for at in level]
    return found
