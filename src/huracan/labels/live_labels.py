"""Labels of a stream from its own candles: the return of the next bars, as soon as the candle is there that ends it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = ["ForwardReturn"]


@dataclass(frozen=True, slots=True)
class ForwardReturn:
    """The rule of :func:`huracan.labels.forward_return_labels`, one label at a time.

    Attributes
    ----------
    horizon : bars from ``open[t+1]`` to ``open[t+1+horizon]``; the candle of the latter tells the label of bar t.
    cost : of the round trip, a fraction. volatility_scaled : whether in units of bar t's volatility over the horizon.

    Examples
    --------
    >>> rule = ForwardReturn.of({"kind": "forward_return", "horizon": 4, "volatility_scaled": True, "cost_bps": 0.0})
    >>> round(rule.label(100.0, 102.0, 0.01), 6)
    0.990131
    >>> ForwardReturn.of({"kind": "triple_barrier", "horizon": 4}) is None
    True
    """

    horizon: int
    cost: float
    volatility_scaled: bool

    @classmethod
    def of(cls, labels: Mapping[str, Any]) -> Self | None:
        """From the section ``labels`` of a run's configuration; None where they are of another kind.

        Raises
        ------
        ValueError : a parameter is none.
        """
        if labels.get("kind") != "forward_return":
            return None
        horizon, cost = labels.get("horizon"), labels.get("cost_bps", 0.0)
        if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1:
            raise ValueError(f"'horizon' of its labels is {horizon!r:.60}, and a whole number of bars from 1 was expected")
        if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0.0 <= cost < math.inf:
            raise ValueError(f"'cost_bps' of its labels is {cost!r:.60}, and a number from 0 was expected")
        return cls(horizon, cost * 1e-4, bool(labels.get("volatility_scaled", False)))

    def label(self, entry: float, exit: float, volatility: float | None) -> float:
        """Of a bar with this volatility, whose next open is ``entry``; NaN where there is none."""
        if not (entry > 0 and exit > 0):
            return math.nan
        moved = math.log(exit / entry)
        if self.cost:
            moved = math.copysign(max(abs(moved) - self.cost, 0.0), moved)
        if not self.volatility_scaled:
            return moved
        return moved / (volatility * math.sqrt(self.horizon)) if volatility else math.nan
