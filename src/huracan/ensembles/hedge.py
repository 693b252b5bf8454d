"""Weights that follow losses as they arrive, with a bound on what hindsight could have done better."""

from __future__ import annotations

from collections import deque
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.statistics import average_by_time

__all__ = ["Hedge", "hedge_weights"]

_WIDEST = 0.99
"""Share of the differences between members that lie inside the range of losses; those beyond are cut."""


class Hedge:
    """Weigh members by their losses so far; no sequence of losses, adversarial ones included, defeats it by much.

    In round t the weights are proportional to ``exp(-rate_t * total loss)`` over the losses known by then, with
    ``rate_t = 2 sqrt(ln m / ((1 + 2 delay) t))``, which needs no horizon. After T rounds the total loss under the weights
    exceeds that of the best member in hindsight by at most ``bound``, ``sqrt((1 + 2 delay) T ln m)`` times the width of
    ``loss_range``, whatever the losses were.

    With a delay the weights of a round do not know the last ``delay`` rounds. They are then within a total variation of
    ``delay * rate / 4`` of those that know them, since the logarithms of their ratios span at most ``delay * rate``; adding
    this to the sum behind the undelayed bound, and choosing the best rate for the total, gives the figures above.

    Parameters
    ----------
    n_members : m, at least 1.
    delay : rounds between a decision and the moment its losses are known: for a label of h bars h, or h + 1 where what ends at
        the moment of a decision is not yet known to it.
    loss_range : smallest and largest loss there can be. Losses beyond are refused, or with ``clip`` cut: the bound then holds
        for the losses as cut.
    clip : whether to cut losses at ``loss_range``; ``n_clipped`` counts them.

    Attributes
    ----------
    weights : float64 (m,), >= 0, sum 1: those of the next decision. n_rounds : rounds whose losses are known.
    regret : total loss of the weights played less that of the best member, in the unit of the losses. bound : what it cannot
        exceed.

    References
    ----------
    Freund and Schapire (1997), JCSS 55; Bubeck (2011), "Introduction to Online Optimization", section 2.5 (the rate that needs
    no horizon); Weinberger and Ordentlich (2002), IEEE Trans. Inf. Theory 48 (delay).

    Examples
    --------
    >>> hedge = Hedge(3)
    >>> for losses in ([0.2, 0.9, 0.5], [0.1, 0.8, 0.6], [0.3, 1.0, 0.4]):
    ...     hedge.update(losses)
    >>> int(hedge.weights.argmax()), bool(hedge.regret <= hedge.bound)
    (0, True)
    """

    def __init__(
        self, n_members: int, *, delay: int = 0, loss_range: tuple[float, float] = (0.0, 1.0), clip: bool = False
    ) -> None:
        if n_members < 1:
            raise DataError(f"n_members is {n_members}; at least 1 was expected.")
        if delay < 0:
            raise DataError(f"delay is {delay}; 0 or more rounds were expected.")
        low, high = map(float, loss_range)
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise DataError(f"loss_range is {loss_range}; two finite numbers, the smaller first, were expected.")
        self.n_members, self.delay, self.loss_range, self.clip = int(n_members), int(delay), (low, high), bool(clip)
        self.n_rounds = self.n_clipped = 0
        self._played_loss = 0.0
        self._loss = np.zeros(self.n_members)
        self._weights = deque([np.full(self.n_members, 1.0 / self.n_members) for _ in range(self.delay + 1)])

    def __repr__(self) -> str:
        return (
            f"<Hedge: {self.n_members} members, {self.n_rounds} rounds, regret {self.regret:.4g} of at most {self.bound:.4g}>"
        )

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weights of the next decision (m,)."""
        return self._weights[-1].copy()

    @property
    def total_losses(self) -> NDArray[np.float64]:
        """Sum of each member's losses so far (m,), in the unit of the losses."""
        return self._loss * self._width + self.loss_range[0] * self.n_rounds

    @property
    def regret(self) -> float:
        """Loss of the weights that were played, less the loss of the best member, over the rounds that are known."""
        return float((self._played_loss - self._loss.min()) * self._width)

    @property
    def bound(self) -> float:
        """What the regret of so many rounds cannot exceed, for any losses."""
        return sqrt((1 + 2 * self.delay) * self.n_rounds * log(self.n_members)) * self._width

    @property
    def _width(self) -> float:
        return self.loss_range[1] - self.loss_range[0]

    def update(self, losses: ArrayLike) -> None:
        """Take in the losses (m,) of the oldest round whose losses are not known yet.

        Raises
        ------
        DataError : not m numbers, not finite, or beyond ``loss_range`` (and ``clip`` is not set).
        """
        loss = self._scaled(losses)
        played = self._weights.popleft()
        self._played_loss += float(played @ loss)
        self._loss += loss
        self.n_rounds += 1
        next_round = self.n_rounds + self.delay + 1
        rate = 2.0 * sqrt(log(max(self.n_members, 2)) / ((1 + 2 * self.delay) * next_round))
        weight = np.exp(-rate * (self._loss - self._loss.min()))
        self._weights.append(weight / weight.sum())

    def run(self, losses: ArrayLike) -> NDArray[np.float64]:
        """Play the rounds of a table (rounds, m), in order; the weights (rounds, m) that each was played with.

        >>> Hedge(2, delay=1).run([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]).round(2).tolist()
        [[0.5, 0.5], [0.5, 0.5], [0.64, 0.36]]
        """
        table = np.asarray(losses, dtype=np.float64)
        if table.ndim != 2 or table.shape[1] != self.n_members:
            raise DataError(f"losses have shape {table.shape}; (rounds, {self.n_members}) was expected.")
        played = np.empty_like(table)
        for i, row in enumerate(table):
            played[i] = self._weights[0]
            self.update(row)
        return played

    def _scaled(self, losses: Any) -> NDArray[np.float64]:
        loss = np.asarray(losses, dtype=np.float64)
        if loss.shape != (self.n_members,):
            raise DataError(f"losses have shape {loss.shape}; one for each of {self.n_members} members was expected.")
        bad = ~np.isfinite(loss)
        if bad.any():
            at = int(np.argmax(bad))
            raise DataError(
                f"the loss of member {at} in round {self.n_rounds + 1} is {loss[at]}; a finite number was expected."
            )
        low, high = self.loss_range
        beyond = (loss < low) | (loss > high)
        if beyond.any() and not self.clip:
            at = int(np.argmax(beyond))
            raise DataError(
                f"the loss of member {at} in round {self.n_rounds + 1} is {loss[at]:g}; {low:g} to {high:g} was expected. Give "
                "the loss_range, or clip=True."
            )
        self.n_clipped += int(beyond.sum())
        return (np.clip(loss, low, high) - low) / self._width


def hedge_weights(
    losses: ArrayLike, times: NDArray[np.datetime64], known: NDArray[np.datetime64] | None = None
) -> NDArray[np.float64]:
    """Weights of the next decision after a past: losses arrive one moment after the other, rows of a moment averaged.

    What all members lose at a moment says nothing about any of them, so losses count less their mean over the members, and are
    cut where 99 % of these differences lie.

    Parameters
    ----------
    losses : (n, m) losses by row. times : (n,) of the decisions. known : (n,) when each loss was known; at once by default.

    Returns
    -------
    float64 (m,), >= 0, sum 1.

    Examples
    --------
    >>> losses = np.random.default_rng(0).uniform(size=(400, 2)) + [0.0, 0.2]
    >>> hedge_weights(losses, np.datetime64("2024-01-01") + np.arange(400)).round(2).tolist()
    [0.99, 0.01]
    """
    table = np.asarray(losses, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise DataError(f"losses have shape {table.shape}; (rows, members) was expected.")
    moments, by_moment = average_by_time(table, times)
    by_moment = by_moment - by_moment.mean(axis=1, keepdims=True)
    width = float(np.quantile(np.abs(by_moment), _WIDEST))
    if not width > 0.0:
        return np.full(table.shape[1], 1.0 / table.shape[1])
    delay = 0
    if known is not None:
        delay = max(0, int(np.median(np.searchsorted(moments, known) - np.searchsorted(moments, times))))
    hedge = Hedge(table.shape[1], delay=delay, loss_range=(-width, width), clip=True)
    hedge.run(by_moment)
    return hedge.weights
