"""Where the generator starts: the stochastic volatility process whose simple moments are those of the training windows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls

from huracan.models.networks.generator import HALF_LIVES, ReturnGenerator

__all__ = ["start_generator", "window_kurtosis"]

_SMALL = 0.01
_TRIED_TAILS = np.linspace(0.0, 0.12, 9)
_TRIED_WINDOWS = 4_000


def start_generator(generator: ReturnGenerator, windows: NDArray[np.float64], regime: NDArray[np.int64], *, seed: int) -> None:
    """Set level, shift, components and tail of a generator, in place.

    Levels are those of log sizes by regime; the variance of the window's shift and of each component is the non-negative fit
    to the autocovariance of log sizes; the tail is the one with which simulated windows have the kurtosis of real ones.

    Parameters
    ----------
    windows : scaled returns (n, window). regime : (n,), whole numbers.
    """
    log_size = np.log(np.abs(windows) + _SMALL)
    mean = np.array([log_size[regime == r].mean() for r in range(len(generator.level))])
    apart = log_size - mean[regime][:, None]
    lags = np.arange(1, max(4, 3 * windows.shape[1] // 4))
    covariance = np.array([(apart[:, lag:] * apart[:, :-lag]).mean() for lag in lags])
    shapes = np.column_stack([np.ones(len(lags)), *(0.5 ** (lags / half_life) for half_life in HALF_LIVES)])
    variance, _ = nnls(shapes, covariance)
    gauss = np.log(np.abs(np.random.default_rng(seed).standard_normal(200_000)) + _SMALL).mean()
    with torch.no_grad():
        generator.shift.fill_(float(np.sqrt(max(variance[0], 0.01))))
        generator.components.copy_(torch.from_numpy(np.sqrt(np.maximum(variance[1:], 0.0025))))
        target = window_kurtosis(windows)
        noise = torch.randn(_TRIED_WINDOWS, generator.noise_size, generator=torch.Generator().manual_seed(seed))
        codes = torch.from_numpy(np.random.default_rng(seed).choice(regime, _TRIED_WINDOWS))
        level, found = torch.from_numpy(mean - gauss), []
        for tail in _TRIED_TAILS:
            generator.tail.fill_(float(tail))
            generator.level.copy_(level - 0.5 * float(tail))  # a heavy tail adds tail * e**2 / 2 to the log size
            found.append(window_kurtosis(generator(noise, codes).numpy().astype(np.float64)))
        best = float(_TRIED_TAILS[int(np.argmin(np.abs(np.array(found) - target)))])
        generator.tail.fill_(best)
        generator.level.copy_(level - 0.5 * best)


def window_kurtosis(windows: NDArray[np.float64]) -> float:
    """Mean over windows (n, bars) of each one's own kurtosis; 3 for long windows of Gaussian noise.

    >>> round(window_kurtosis(np.random.default_rng(0).standard_normal((500, 400))), 1)
    3.0
    """
    apart = windows - windows.mean(axis=1, keepdims=True)
    square = (apart**2).mean(axis=1)
    return float(((apart**4).mean(axis=1)[square > 0] / square[square > 0] ** 2).mean())
