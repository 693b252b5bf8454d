"""What trading costs, in basis points, and what the venue allows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from huracan.errors import AccountingError, nearest_name

__all__ = ["CostModel"]

_BASIS_POINTS = 10_000.0


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Costs of one account: paid on every fill, or every bar a position is held.

    Parameters
    ----------
    fee_bps : exchange fee per side, basis points of the traded notional.
    half_spread_bps : half the quoted spread, paid on each side.
    slippage_bps : further price concession per side.
    borrow_bps_per_bar : paid on the notional of a short position for every bar it is held.
    lot_size : positions are whole multiples of this many units, rounded towards zero; 0 allows any fraction.
    minimum_notional : a fill worth less than this (in currency) is skipped; 0 allows any.
    max_volume_share : a fill takes at most this share of its bar's volume, the rest is tried on the next bars while the
        target stands; ``None`` sets no limit.
    initial_equity : capital at the start, in currency, divided equally among the symbols of a backtest.

    Raises
    ------
    AccountingError : a cost is negative, above 10 000 bps (100 %) or not a number; the message gives the value.

    Examples
    --------
    >>> costs = CostModel(fee_bps=5, half_spread_bps=1, slippage_bps=2)
    >>> costs.per_side_bps, costs.round_trip_bps
    (8.0, 16.0)
    >>> CostModel.from_dict(costs.to_dict()) == costs
    True
    """

    fee_bps: float = 5.0
    half_spread_bps: float = 1.0
    slippage_bps: float = 1.0
    borrow_bps_per_bar: float = 0.0
    lot_size: float = 0.0
    minimum_notional: float = 0.0
    max_volume_share: float | None = None
    initial_equity: float = 100_000.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None and item.name == "max_volume_share":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise AccountingError(f"{item.name} is {value!r}; a finite number was expected.")
            if value < 0:
                raise AccountingError(f"{item.name} is {value:g}; it cannot be negative.")
            if "_bps" in item.name and value > _BASIS_POINTS:
                raise AccountingError(f"{item.name} is {value:g}; a cost above 10000 basis points (100 %) is not possible.")
        if self.per_side_bps > _BASIS_POINTS:
            raise AccountingError(
                f"fee, half spread and slippage add to {self.per_side_bps:g} basis points per side; "
                "at most 10000 (100 %) is possible."
            )
        if self.max_volume_share is not None and not 0 < self.max_volume_share <= 1:
            raise AccountingError(f"max_volume_share is {self.max_volume_share:g}; a share above 0 and up to 1 was expected.")
        if self.initial_equity <= 0:
            raise AccountingError(f"initial_equity is {self.initial_equity:g}; an account starts with more than nothing.")

    @cached_property
    def per_side_bps(self) -> float:
        """Fee, half spread and slippage of one fill, in basis points of its notional."""
        return float(self.fee_bps + self.half_spread_bps + self.slippage_bps)

    @property
    def round_trip_bps(self) -> float:
        """Cost of entering and leaving, in basis points."""
        return 2.0 * self.per_side_bps

    @cached_property
    def per_side_rate(self) -> float:
        """:attr:`per_side_bps` as a fraction."""
        return self.per_side_bps / _BASIS_POINTS

    @cached_property
    def borrow_rate(self) -> float:
        """:attr:`borrow_bps_per_bar` as a fraction."""
        return self.borrow_bps_per_bar / _BASIS_POINTS

    @cached_property
    def terms(self) -> tuple[float, float | None, float | None, float | None, float | None]:
        """Cost per side, lot, minimum notional, volume share and borrow rate, for the step formula; None for no rule."""
        return (
            self.per_side_rate,
            self.lot_size or None,
            self.minimum_notional or None,
            self.max_volume_share,
            self.borrow_rate or None,
        )

    @property
    def scale_free(self) -> bool:
        """Whether results do not depend on the size of the account (no lots, minimum or volume limit)."""
        return self.lot_size == 0 and self.minimum_notional == 0 and self.max_volume_share is None

    def to_dict(self) -> dict[str, float | None]:
        """The parameters as plain numbers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CostModel:
        """The inverse of :meth:`to_dict`; an unknown key is refused with the nearest known one."""
        known = [item.name for item in fields(cls)]
        for key in values:
            if key not in known:
                raise nearest_name(key, known, kind="cost parameter")
        return cls(**values)

    @classmethod
    def free(cls, **changes: Any) -> CostModel:
        """No costs and no venue rules: what a position earns before reality.

        >>> CostModel.free().round_trip_bps
        0.0
        """
        return cls(**{"fee_bps": 0.0, "half_spread_bps": 0.0, "slippage_bps": 0.0, **changes})
