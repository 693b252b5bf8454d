"""How noisy is a series around its level? The local-level model fitted to a window, kept as one number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from huracan.errors import DataError, NotEnoughData
from huracan.preprocessing.decomposition_gains import local_level_gains
from huracan.preprocessing.rolling import Array

__all__ = ["LocalLevelFit", "fit_local_level"]

LOWEST, HIGHEST = 1e-6, 1e6
"""Bounds of the ratio: an average over 2,000 values, and a level that is the series itself."""


@dataclass(frozen=True)
class LocalLevelFit:
    """A fitted local-level model; ``signal_to_noise`` is what :func:`local_level_trend` and the indicator take.

    Attributes
    ----------
    signal_to_noise : variance of the level's step over variance of the noise.
    noise_variance, level_variance : both, in squared units of the series.
    log_likelihood : at the maximum. n : values it was fitted to.
    at_bound : ``"no signal"`` where the level did not move (the ratio is at its lowest), ``"no noise"`` where the series is
        a plain random walk (at its highest), else ``""``.
    """

    signal_to_noise: float
    noise_variance: float
    level_variance: float
    log_likelihood: float
    n: int
    at_bound: str = ""


def fit_local_level(x: Any) -> LocalLevelFit:
    """Fit the signal-to-noise ratio of the local-level model by maximum likelihood.

    It looks at all of ``x``: fit it on a window that ends before the first value it is used on, and keep the number.

    Parameters
    ----------
    x : shape (n,), finite, at least 20 values, not all equal.

    Raises
    ------
    NotEnoughData : fewer than 20 values. DataError : a value is not finite, or all are equal.

    References
    ----------
    Durbin & Koopman, Time Series Analysis by State Space Methods, 2nd edition (2012), section 2.10: likelihood with the noise
    variance concentrated out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> level = np.cumsum(rng.normal(0, 0.5, 2_000))
    >>> round(fit_local_level(level + rng.normal(0, 1.0, 2_000)).signal_to_noise, 2)
    0.25
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 1:
        raise DataError(f"an array of shape {values.shape} was given; one series of shape (n,) was expected.")
    if len(values) < 20:
        raise NotEnoughData(f"{len(values)} values were given; at least 20 are needed to tell a level from noise.")
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise DataError(f"value {values[row]} in row {row}; finite numbers were expected.")
    moves = np.diff(values, prepend=values[0])
    if not moves.any():
        raise DataError(
            f"all {len(values)} values are {values[0]:g}; a level and noise can be told apart only where they move."
        )
    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = minimize_scalar(lambda log_ratio: -_log_likelihood(moves, math.exp(log_ratio))[0], bounds=bounds, method="bounded")
    ratio = min((math.exp(q) for q in (*bounds, float(found.x))), key=lambda q: -_log_likelihood(moves, q)[0])
    log_likelihood, noise = _log_likelihood(moves, ratio)
    at_bound = "no signal" if ratio < LOWEST * 1.01 else "no noise" if ratio > HIGHEST / 1.01 else ""
    return LocalLevelFit(ratio, noise, ratio * noise, log_likelihood, len(values), at_bound)


def _log_likelihood(moves: Array, signal_to_noise: float) -> tuple[float, float]:
    """Log likelihood of all values but the first, and the noise variance at which it is largest."""
    gains = local_level_gains.__wrapped__(signal_to_noise)  # a search tries many ratios once: none is worth remembering
    surprises = gains.surprises_of(moves)[1:]
    shares = np.full(len(moves), gains.r[-1])
    early = min(len(moves), len(gains.r))
    shares[:early] = gains.r[:early]
    spread = 1.0 / shares[1:]
    noise = float(np.mean(surprises**2 / spread))
    n = len(surprises)
    return -0.5 * (n * (math.log(2.0 * math.pi * noise) + 1.0) + float(np.log(spread).sum())), noise
