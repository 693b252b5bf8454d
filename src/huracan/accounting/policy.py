"""From scores to positions: the one place where a forecast becomes a target weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from huracan.accounting.costs import CostModel
from huracan.dataset import TrainingSet
from huracan.errors import AccountingError, nearest_name

__all__ = ["PositionPolicy", "targets_frame"]

Floats = NDArray[np.float64]
Mode = Literal["threshold", "scaled"]
Holding = Literal["latest", "overlap"]


@dataclass(frozen=True, kw_only=True)
class PositionPolicy:
    """How large a position to hold for a score.

    The raw score is standardised, ``z = (score - center) / spread``, turned into a weight, scaled to a volatility
    target, capped, and held. **Fit a policy on training rows only**: ``center``, ``spread`` and every choice of
    :meth:`tune` must come from scores that are older than the rows the policy is then applied to and were predicted out
    of fold; the caller answers for that.

    Parameters
    ----------
    mode : "threshold": the sign of z where ``abs(z) > threshold``, else no position. "scaled": ``scale * z``.
    threshold : in standard deviations of the score.
    scale : weight for a score of one standard deviation.
    volatility_target : annualised volatility, a fraction, that a full position is scaled to; ``None`` for off.
    cap : largest absolute weight; 0 never trades.
    holding : "latest": the newest target is the position. "overlap": the position is the mean of the last ``horizon``
        targets of the same symbol and segment (bars before the segment count as no position), so that each decision is
        held as long as its label runs.
    horizon : bars a decision is held with "overlap".
    allow_short : whether weights below zero are allowed; otherwise they become 0.
    center, spread : location and scale of the raw score.
    n_tried : how many policies were compared to find this one; 0 if it was not tuned.
    net_t : t statistic of the net mean return it was chosen by.

    Raises
    ------
    AccountingError : a parameter is out of bounds; the message gives name and value.

    Examples
    --------
    >>> PositionPolicy(mode="threshold", threshold=0.5, cap=1.0).targets([-2.0, 0.1, 0.6]).tolist()
    [-1.0, 0.0, 1.0]
    >>> PositionPolicy(mode="scaled", scale=0.5, cap=0.6, allow_short=False).targets([-2.0, 1.0, 3.0]).tolist()
    [0.0, 0.5, 0.6]
    >>> PositionPolicy(holding="overlap", horizon=2).targets([1.0, 1.0, -1.0, -1.0]).tolist()
    [0.5, 1.0, 0.0, -1.0]
    """

    mode: Mode = "threshold"
    threshold: float = 0.0
    scale: float = 1.0
    volatility_target: float | None = None
    cap: float = 1.0
    holding: Holding = "latest"
    horizon: int = 1
    allow_short: bool = True
    center: float = 0.0
    spread: float = 1.0
    n_tried: int = 0
    net_t: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("threshold", "scaled"):
            raise AccountingError(f"mode is '{self.mode}'; 'threshold' or 'scaled' was expected.")
        if self.holding not in ("latest", "overlap"):
            raise AccountingError(f"holding is '{self.holding}'; 'latest' or 'overlap' was expected.")
        for name in ("threshold", "scale", "cap", "center", "spread", "volatility_target"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise AccountingError(f"{name} is {value}; a finite number was expected.")
            if value is not None and name != "center" and value < 0:
                raise AccountingError(f"{name} is {value:g}; it cannot be negative.")
        if self.spread == 0:
            raise AccountingError("spread is 0; the scale of a score is above zero.")
        if self.horizon < 1 or self.horizon != int(self.horizon):
            raise AccountingError(f"horizon is {self.horizon}; a whole number of at least 1 bar was expected.")

    @classmethod
    def no_trading(cls, **changes: Any) -> PositionPolicy:
        """The policy that never holds anything.

        >>> PositionPolicy.no_trading().trades
        False
        """
        return cls(**{"cap": 0.0, **changes})

    @property
    def trades(self) -> bool:
        """Whether it can hold anything at all."""
        return self.cap > 0

    def targets(
        self,
        score: ArrayLike,
        *,
        volatility: ArrayLike | None = None,
        symbol_code: ArrayLike | None = None,
        segment: ArrayLike | None = None,
        bars_per_year: float | None = None,
    ) -> Floats:
        """Target weight of every row.

        Parameters
        ----------
        score : (n,) raw scores, larger meaning up, in time order within each symbol; nan gives no position.
        volatility : (n,) causal volatility of one bar's return, a fraction; needed with ``volatility_target``.
        symbol_code, segment : (n,) whose rows belong together with "overlap"; one series where omitted.
        bars_per_year : needed with ``volatility_target``.

        Returns
        -------
        float64 (n,), weights between ``-cap`` and ``cap``.

        Raises
        ------
        AccountingError : lengths differ, or a volatility target lacks volatility or ``bars_per_year``.
        """
        decided = self.decisions(score, volatility=volatility, bars_per_year=bars_per_year)
        return self.held(decided, symbol_code=symbol_code, segment=segment)

    def held(self, decided: ArrayLike, *, symbol_code: ArrayLike | None = None, segment: ArrayLike | None = None) -> Floats:
        """Apply the holding rule to decisions that may come from several policies of one kind, in time order.

        Parameters are those of :meth:`targets`; with "overlap" the position is the mean of the last ``horizon`` decisions.
        """
        decided = np.asarray(decided, dtype=np.float64)
        if self.holding == "latest" or self.horizon == 1 or not len(decided):
            return decided
        n = len(decided)
        code = _column(symbol_code, n, "symbol_code")
        part = _column(segment, n, "segment")
        order = np.lexsort((part, code))
        together = (code[order][1:] == code[order][:-1]) & (part[order][1:] == part[order][:-1])
        age = _run_length(together)
        ordered = decided[order]
        total = ordered.copy()
        for back in range(1, min(self.horizon, n)):
            total[back:] += np.where(age[back:] >= back, ordered[:-back], 0.0)
        held = np.empty(n)
        held[order] = total / self.horizon
        return held

    def decisions(self, score: ArrayLike, *, volatility: ArrayLike | None = None, bars_per_year: float | None = None) -> Floats:
        """The weight each row asks for on its own, before the holding rule; parameters as of :meth:`targets`."""
        raw = np.asarray(score, dtype=np.float64)
        if raw.ndim != 1:
            raise AccountingError(f"score has shape {raw.shape}; one value per row was expected.")
        z = (raw - self.center) / self.spread
        weight = np.where(np.abs(z) > self.threshold, np.sign(z), 0.0) if self.mode == "threshold" else self.scale * z
        if self.volatility_target is not None:
            if volatility is None or bars_per_year is None:
                lacking = "volatility" if volatility is None else "bars_per_year"
                raise AccountingError(f"volatility_target is {self.volatility_target:g}, and {lacking} was not given.")
            sigma = np.asarray(volatility, dtype=np.float64)
            if sigma.shape != raw.shape:
                raise AccountingError(f"volatility has shape {sigma.shape} where score has {raw.shape}.")
            annual = sigma * math.sqrt(bars_per_year)
            known = annual > 0
            weight = np.where(known, weight * self.volatility_target / np.where(known, annual, 1.0), 0.0)
        weight = np.nan_to_num(np.clip(weight, -self.cap, self.cap)) + 0.0
        return weight if self.allow_short else np.maximum(weight, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """The parameters as plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PositionPolicy:
        """The inverse of :meth:`to_dict`; an unknown key is refused with the nearest known one.

        >>> policy = PositionPolicy(mode="scaled", scale=0.5)
        >>> PositionPolicy.from_dict(policy.to_dict()) == policy
        True
        """
        known = [item.name for item in fields(cls)]
        for key in values:
            if key not in known:
                raise nearest_name(key, known, kind="policy parameter")
        return cls(**values)

    @classmethod
    def tune(
        cls,
        rows: TrainingSet,
        score: ArrayLike,
        costs: CostModel,
        *,
        grid: Sequence[PositionPolicy] | None = None,
        horizon: int = 1,
        base: PositionPolicy | None = None,
        minimum_t: float = 0.0,
    ) -> PositionPolicy:
        """Choose the policy with the best net mean return (as a t statistic) on training rows.

        See :func:`huracan.accounting.tuning.tune_policy` for the rule and its parameters. **Training rows only**: the
        rows and scores must be older than those the policy is then used on, and the scores out of fold.
        """
        from huracan.accounting.tuning import tune_policy

        return tune_policy(rows, score, costs, grid=grid, horizon=horizon, base=base, minimum_t=minimum_t)


def targets_frame(rows: TrainingSet, targets: ArrayLike) -> pl.DataFrame:
    """Name the bar of every target: ``[symbol, ts, target]``, as :func:`huracan.accounting.backtest` takes it.

    >>> rows = TrainingSet.from_arrays([[0.0], [1.0]], [0, 1], ts=np.array(["2024-01-01", "2024-01-02"], "M8[D]"))
    >>> targets_frame(rows, [0.5, 1.0]).columns
    ['symbol', 'ts', 'target']
    """
    weight = np.asarray(targets, dtype=np.float64)
    if weight.shape != (len(rows),):
        raise AccountingError(f"targets have shape {weight.shape} where there are {len(rows)} rows.")
    return pl.DataFrame(
        {
            "symbol": pl.Series(list(rows.symbols), dtype=pl.String).gather(rows.symbol_code),
            "ts": pl.Series(rows.ts.astype("datetime64[ms]")).dt.replace_time_zone("UTC"),
            "target": weight,
        }
    )


def _column(values: ArrayLike | None, n: int, name: str) -> NDArray[Any]:
    out = np.zeros(n, np.int32) if values is None else np.asarray(values)
    if out.shape != (n,):
        raise AccountingError(f"{name} has shape {out.shape} where score has ({n},).")
    return out


def _run_length(together: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many rows of the same run stand directly above each row."""
    at = np.arange(len(together) + 1)
    first = np.concatenate(([0], np.where(together, 0, at[1:])))
    return at - np.maximum.accumulate(first)
