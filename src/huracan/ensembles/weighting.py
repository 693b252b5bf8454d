"""Weights of members without a search: equal, by inverse loss, and by market regime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.dataset import REGIME_ORDER
from huracan.errors import DataError, ModelError
from huracan.model_info import MarketRegime
from huracan.statistics import average_by_time, effective_sample_size

__all__ = ["RegimeWeights", "checked_weights", "equal_weights", "inverse_loss_weights"]

_FEWEST_TIMES = 20
"""Times in a regime below which nothing is known of how its losses depend on each other."""

Weigher = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Row numbers -> weights (m,) learned from those rows."""


def equal_weights(n_members: int) -> NDArray[np.float64]:
    """The same weight for each of m members: hard to beat where members are about as good as each other.

    References
    ----------
    Smith and Wallis (2009), "A Simple Explanation of the Forecast Combination Puzzle", Oxford Bulletin 71.

    Examples
    --------
    >>> equal_weights(4).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    if n_members < 1:
        raise DataError(f"n_members is {n_members}; at least 1 was expected.")
    return np.full(n_members, 1.0 / n_members)


def inverse_loss_weights(losses: ArrayLike, power: float = 1.0) -> NDArray[np.float64]:
    """Weights proportional to ``loss ** -power``.

    Parameters
    ----------
    losses : (m,) mean losses, or (n, m) losses by row, which are averaged; above zero.
    power : 0 gives equal weights; 1 with squared errors is the best combination of unbiased members with independent errors.

    Returns
    -------
    float64 (m,), above 0, sum 1.

    References
    ----------
    Bates and Granger (1969), "The Combination of Forecasts", Operational Research Quarterly 20.

    Examples
    --------
    >>> inverse_loss_weights([1.0, 3.0]).tolist()
    [0.75, 0.25]
    """
    table = np.asarray(losses, dtype=np.float64)
    if table.ndim not in (1, 2) or not table.size:
        raise DataError(f"losses have shape {table.shape}; (members,) or (rows, members) was expected.")
    loss = table if table.ndim == 1 else table.mean(axis=0)
    bad = ~(np.isfinite(loss) & (loss > 0))
    if bad.any():
        raise DataError(f"the loss of member {int(np.argmax(bad))} is {loss[bad][0]:g}; a finite number above 0 was expected.")
    if not (np.isfinite(power) and power >= 0):
        raise DataError(f"power is {power}; a finite number, 0 or more, was expected.")
    weight = (loss / loss.min()) ** -power
    return weight / weight.sum()


def checked_weights(weights: Any, n_members: int) -> NDArray[np.float64]:
    """Weights as float64 (m,) that sum to 1; refused where negative, not finite, all zero or of another number."""
    weight = np.asarray(weights, dtype=np.float64)
    if weight.shape != (n_members,):
        raise ModelError(f"weights have shape {weight.shape}; one for each of {n_members} members was expected.")
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        raise ModelError(f"the weight of member {int(np.argmax(bad))} is {weight[bad][0]}; a finite number >= 0 was expected.")
    if not weight.sum() > 0:
        raise ModelError(f"all {n_members} weights are 0; at least one above 0 was expected.")
    return weight / weight.sum()


@dataclass(frozen=True, eq=False)
class RegimeWeights:
    """Weights by market regime, each drawn towards the pooled ones as far as the regime has little evidence of its own.

    With ``n`` effective observations in a regime its weights are ``n / (n + prior)`` of its own and the rest of the pooled
    ones. Observations are times, not rows, and as many as their dependence leaves: 300 overlapping labels of 24 bars are about
    12. A regime that is not known, or had fewer than 20 times, gets the pooled weights.

    Attributes
    ----------
    pooled : (m,), >= 0, sum 1. by_regime : regime -> (m,), shrunk already. n_effective : regime -> effective observations.

    Examples
    --------
    >>> weights = RegimeWeights(np.array([0.5, 0.5]), {MarketRegime.TRENDING: np.array([0.9, 0.1])})
    >>> weights.of_rows(np.array([0, 1, -1])).tolist()  # codes as in TrainingSet.regime_code: trending, ranging, unknown
    [[0.9, 0.1], [0.5, 0.5], [0.5, 0.5]]
    """

    pooled: NDArray[np.float64]
    by_regime: Mapping[MarketRegime, NDArray[np.float64]]
    n_effective: Mapping[MarketRegime, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "pooled", checked_weights(self.pooled, len(np.atleast_1d(self.pooled))))
        named = {MarketRegime(r): checked_weights(w, len(self.pooled)) for r, w in self.by_regime.items()}
        object.__setattr__(self, "by_regime", named)

    def __len__(self) -> int:
        return len(self.pooled)

    @classmethod
    def fit(
        cls,
        losses: ArrayLike,
        regime_code: ArrayLike,
        times: ArrayLike,
        *,
        weigher: Weigher | None = None,
        prior: float = 250.0,
    ) -> Self:
        """Learn the weights from out-of-fold losses.

        Parameters
        ----------
        losses : (n, m) of each row and member, finite. regime_code : (n,) as in ``TrainingSet``, -1 for unknown.
        times : (n,) decision times; rows of one time are one observation.
        weigher : row numbers -> weights (m,), such as a call of :func:`~huracan.ensembles.greedy.greedy_weights` on those rows;
            without one weights are by inverse loss.
        prior : effective observations at which a regime's own weights count half; 0 for no shrinking.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> code = np.arange(4_000) // 1_000 % 2
        >>> losses = rng.chisquare(1, (4_000, 2)) * np.where(code[:, None] == [[0, 1]], 1.0, 3.0)
        >>> fitted = RegimeWeights.fit(losses, code, np.arange(4_000))
        >>> [fitted.by_regime[regime].argmax().item() for regime in ("trending", "ranging")]
        [0, 1]
        """
        table, code, time = np.asarray(losses, dtype=np.float64), np.asarray(regime_code), np.asarray(times)
        if table.ndim != 2 or code.shape != table.shape[:1] or time.shape != table.shape[:1]:
            raise DataError(
                f"losses {table.shape}, regime_code {code.shape}, times {time.shape}: (n, members), (n,), (n,) were expected."
            )
        if not (np.isfinite(prior) and prior >= 0):
            raise DataError(f"prior is {prior}; a finite number of observations, 0 or more, was expected.")
        weigh = weigher or (lambda rows: inverse_loss_weights(table[rows]))
        pooled = checked_weights(weigh(np.arange(len(table))), table.shape[1])
        by_regime, effective = {}, {}
        for i, regime in enumerate(REGIME_ORDER):
            rows = np.flatnonzero(code == i)
            known = _observations(table[rows], time[rows])
            if known is None:
                continue
            share = known / (known + prior) if known else 0.0
            by_regime[regime] = share * checked_weights(weigh(rows), table.shape[1]) + (1.0 - share) * pooled
            effective[regime] = known
        return cls(pooled, by_regime, effective)

    def of_rows(self, regime_code: ArrayLike) -> NDArray[np.float64]:
        """Weights (n, m) of rows by their regime code."""
        table = np.tile(self.pooled, (len(REGIME_ORDER) + 1, 1))
        for regime, weight in self.by_regime.items():
            table[REGIME_ORDER.index(regime)] = weight
        return table[np.asarray(regime_code, dtype=np.int64)]  # -1, unknown, is the last row: pooled

    def take(self, members: NDArray[np.int64]) -> RegimeWeights:
        """The weights of some members only, made to sum to 1 again where any is left in a regime."""
        kept = {r: w[members] for r, w in self.by_regime.items() if w[members].sum() > 0}
        return RegimeWeights(self.pooled[members], kept, self.n_effective)

    def to_state(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "pooled": self.pooled.tolist(),
            "by_regime": {str(r): w.tolist() for r, w in self.by_regime.items()},
            "n_effective": None if self.n_effective is None else {str(r): n for r, n in self.n_effective.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """What :meth:`to_state` gave, put together again."""
        n = state["n_effective"]
        return cls(
            np.asarray(state["pooled"], np.float64),
            {MarketRegime(r): np.asarray(w, np.float64) for r, w in state["by_regime"].items()},
            None if n is None else {MarketRegime(r): float(v) for r, v in n.items()},
        )


def _observations(losses: NDArray[np.float64], times: NDArray[Any]) -> float | None:
    """The fewest effective observations of any member's loss against the mean of all; None for fewer than 20 times."""
    if len(losses) < _FEWEST_TIMES:
        return None
    _, mean = average_by_time(losses - losses.mean(axis=1, keepdims=True), times)
    if len(mean) < _FEWEST_TIMES:
        return None
    moving = [series for series in mean.T if np.ptp(series) > 0]
    return min((min(effective_sample_size(series), float(len(mean))) for series in moving), default=float(len(mean)))
