"""A position policy for one score at a time: the numbers of :class:`~huracan.accounting.PositionPolicy`, without arrays."""

from __future__ import annotations

import math
from collections import deque

from huracan.accounting import PositionPolicy

__all__ = ["RunningVolatility", "ScalarPolicy"]


class ScalarPolicy:
    """Decides one row at a time as ``policy.decisions`` does many.

    Parameters
    ----------
    policy : of the model. bars_per_year : of the bars it decides on; needed with a volatility target.

    Examples
    --------
    >>> decide = ScalarPolicy(PositionPolicy(mode="threshold", threshold=0.5), bars_per_year=8_760.0).decide
    >>> decide(0.6), decide(-0.4), decide(-0.7)
    (1.0, 0.0, -1.0)
    """

    def __init__(self, policy: PositionPolicy, bars_per_year: float) -> None:
        self.policy = policy
        self.horizon = 1 if policy.holding == "latest" else policy.horizon
        self.bars_per_year = bars_per_year
        self._year = math.sqrt(bars_per_year)

    def decide(self, score: float, volatility: float | None = None) -> float:
        """The weight a score asks for on its own; ``volatility`` is of one bar's return, a fraction."""
        policy = self.policy
        z = (score - policy.center) / policy.spread
        if policy.mode == "scaled":
            weight = policy.scale * z
        elif abs(z) > policy.threshold:
            weight = math.copysign(1.0, z) if z else 0.0
        else:
            weight = 0.0
        if policy.volatility_target is not None:
            annual = 0.0 if volatility is None else volatility * self._year
            weight = weight * policy.volatility_target / annual if annual > 0 else 0.0
        if weight != weight:
            return 0.0
        weight = min(max(weight, -policy.cap), policy.cap) + 0.0
        return weight if policy.allow_short else max(weight, 0.0)

    def held(self, decided: deque[float]) -> float:
        """The position after the decisions of one unbroken stretch, newest last, at most ``horizon`` of them."""
        if self.horizon == 1:
            return decided[-1]
        total = decided[-1]
        for back in range(2, len(decided) + 1):  # newest first, as the policy of many rows adds them
            total += decided[-back]
        return total / self.horizon


class RunningVolatility:
    """Root of the exponentially weighted mean of squared log returns, bar by bar, as labels have it.

    Weights are those of ``polars.Expr.ewm_mean(span=span, adjust=True)``; None until half a span of returns has been seen.
    :meth:`restart` begins anew, as behind a gap.

    >>> running = RunningVolatility(span=2)
    >>> running.update(1.0), round(running.update(math.exp(0.01)), 6)
    (None, 0.01)
    """

    def __init__(self, span: int) -> None:
        self._decay = 1.0 - 2.0 / (span + 1.0)
        self._least = (span + 1) // 2
        self.restart()

    def restart(self) -> None:
        """Forget everything."""
        self._last: float | None = None
        self._total = self._weight = 0.0
        self._seen = 0
        self.value: float | None = None

    def update(self, close: float) -> float | None:
        """Take the close of the next bar; the volatility as of then."""
        if self._last is not None:
            square = math.log(close / self._last) ** 2
            self._total = self._decay * self._total + square
            self._weight = self._decay * self._weight + 1.0
            self._seen += 1
            if self._seen >= self._least:
                self.value = math.sqrt(self._total / self._weight)
        self._last = close
        return self.value
