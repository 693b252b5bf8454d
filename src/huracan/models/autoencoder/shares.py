"""How often a score as high comes among usual windows, told as finely as the windows it is learned from allow."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from huracan.errors import ModelError
from huracan.statistics import average_by_time, effective_sample_size

__all__ = ["ToldShares", "independent_windows"]

_LEVELS = 512
_FIRST_LEVEL = 0.2
_FEWEST_BEYOND = 10.0
_FEWEST_MOMENTS = 50


class ToldShares(nn.Module):
    """Share of usual windows with a score at least as high, learned from windows that nothing else was learned from.

    Where ``m`` independent windows have a share ``p`` at or above a score, the share that is told is ``(1 + m p) / (1 + m)``:
    of ``m + 1`` exchangeable windows the new one is among the highest ``k`` with probability ``k / (m + 1)``. So usual windows
    are told a share of at most ``a`` in at most ``a`` of all cases, and never less than ``1 / (m + 1)`` is told.
    ``m`` is not the number of windows, see :func:`independent_windows`.

    References
    ----------
    Vovk, Gammerman and Shafer (2005), "Algorithmic Learning in a Random World", section 4.1: inductive conformal prediction.

    Examples
    --------
    >>> shares = ToldShares()
    >>> scores = np.random.default_rng(0).exponential(size=5_000)
    >>> shares.learn(scores, np.arange(5_000), window=1)
    >>> shares.of(np.array([np.log(100.0), 50.0])).round(3).tolist()  # in truth .01 and 0
    [0.012, 0.0]
    >>> shares.threshold(0.01) == float(np.sort(scores)[-49])
    True
    """

    scores: Tensor
    shares: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scores", torch.zeros(_LEVELS, dtype=torch.float64))
        self.register_buffer("shares", torch.ones(_LEVELS + 1, dtype=torch.float64))

    def learn(self, scores: NDArray[np.float64], moment: NDArray[np.int64], *, window: int, spacing: int = 1) -> None:
        """Take in scores (n,) of windows ending at ``moment`` (n,), of one symbol or several.

        Parameters
        ----------
        window : bars of a window. spacing : bars from one moment to the next.
        """
        n = len(scores)
        levels, independent = independent_windows(scores, moment, window=window, spacing=spacing)
        rank = np.unique(np.geomspace(1, n, _LEVELS).round().astype(np.int64))
        reached = np.concatenate((rank - 1, [n]))
        share = reached / n
        m = np.interp(-np.log(np.maximum(share, 1e-300)), -np.log(levels), independent)
        told = np.maximum.accumulate((1.0 + m * share) / (1.0 + m))
        lowest = np.full(_LEVELS - len(rank), scores.min())
        self.scores.copy_(torch.from_numpy(np.concatenate((np.sort(scores)[n - rank], lowest))))
        self.shares.copy_(torch.from_numpy(np.concatenate((told, np.ones(_LEVELS - len(rank))))))

    @property
    def least(self) -> float:
        """The least share that is told; 1 where nothing was learned."""
        return float(self.shares[0])

    def of(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share told of each score (n,)."""
        as_high = _LEVELS - np.searchsorted(self.scores.numpy()[::-1], score, side="left")
        return self.shares.numpy()[as_high]

    def threshold(self, share: float) -> float:
        """The score above which at most ``share`` is told.

        Raises
        ------
        ModelError : ``share`` is no share, or less than what can be told.
        """
        if not 0.0 < share < 1.0:
            raise ModelError(f"share is {share!r}; a number above 0 and below 1 was expected.")
        if share < self.least:
            raise ModelError(
                f"share is {share:g}; no less than {self.least:.2g} can be told of so few independent windows, and such an "
                "alarm would never ring. Fit on a longer history, or keep a larger calibration_share of it."
            )
        return float(self.scores[int(np.searchsorted(self.shares.numpy(), share, side="right")) - 1])


def independent_windows(
    scores: NDArray[np.float64], moment: NDArray[np.int64], *, window: int, spacing: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many independent windows say as much about the share of high scores as these do: levels, descending, and numbers.

    At each level, a share of the windows, it is the effective sample size of "how many symbols are at or above it now": what
    many symbols show at one moment counts once, and neighbours that are high together count as what they add. No more than
    the moments hold windows without a bar in common; and beyond the level that ten independent windows reach, the number
    found there.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal(10_007)
    >>> highest = np.lib.stride_tricks.sliding_window_view(noise, 8).max(axis=1)
    >>> levels, numbers = independent_windows(highest, np.arange(10_000), window=8)
    >>> float(levels[0]), bool(700 < numbers.min() <= numbers.max() <= 1_251)
    (0.2, True)
    """
    n_moments = len(np.unique(moment))
    most = ((n_moments - 1) * spacing + window) / window
    if n_moments < _FEWEST_MOMENTS:
        return np.array([_FIRST_LEVEL]), np.array([most])
    levels: list[float] = []
    numbers: list[float] = []
    level = _FIRST_LEVEL
    while not levels or level * numbers[-1] >= _FEWEST_BEYOND:
        high = average_by_time(scores >= np.quantile(scores, 1.0 - level), moment)[1]
        levels.append(level)
        numbers.append(min(most, effective_sample_size(high)) if np.ptp(high) > 0 else 1.0)
        level /= 2.0
    return np.array(levels), np.array(numbers)
