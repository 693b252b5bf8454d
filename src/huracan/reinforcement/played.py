"""What a strategy earned when it was played: bars, figures, equity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.accounting import performance_metrics
from huracan.reinforcement.rewards import RUIN

__all__ = ["Played"]

_BASIS_POINTS = 10_000.0


@dataclass(frozen=True, eq=False)
class Played:
    """What a strategy earned, bar by bar.

    Attributes
    ----------
    name : of the strategy.
    bars : one row per bar, ``[symbol, ts, row, stretch, decided, level, action, target, position, turnover, cost,
        log_return, equity, stop]``: ``ts`` is the open of the bar that decides (null where the market has no times),
        ``decided`` is false where nothing could be and the target stood; ``stretch`` counts stretches of prices that follow
        each other, each of which begins without a position; ``level`` stood before the decision; ``position`` is the
        notional held after the fill, signed, ``turnover`` the notional traded and ``cost`` what that cost, fractions of equity
        before the bar (what was paid to close at the bar's mark is in it); ``log_return`` is net of all costs; ``equity`` is
        what 1 in this symbol has become at the bar's mark; ``stop`` says why the account ended there ("ruin", "liquidation",
        "drawdown") and is null elsewhere. After a stop the account stays as it is, without a position.
    bars_per_year : by which ratios are annualised; 1 where the market has no times.
    """

    name: str
    bars: pl.DataFrame
    bars_per_year: float

    def __repr__(self) -> str:
        t = self.totals
        return (
            f"<Played {self.name!r}: {self.bars.height:,} bars, {self.per_symbol.height} symbols, {t['trades']:,.0f} trades; "
            f"net log return {t['net_log_return']:+.4f}, Sharpe {t['sharpe']:.2f}, max drawdown {t['max_drawdown']:.2%}"
            + "".join(f"; {row['symbol']} ended by {row['stop']}" for row in self.stops.iter_rows(named=True))
            + ">"
        )

    @cached_property
    def stops(self) -> pl.DataFrame:
        """Accounts that ended before the data did: ``[symbol, ts, row, stop, equity]``."""
        return self.bars.filter(pl.col("stop").is_not_null()).select("symbol", "ts", "row", "stop", "equity")

    @cached_property
    def per_symbol(self) -> pl.DataFrame:
        """One row per symbol: ``[symbol, n_bars, net_log_return, total_return, sharpe, max_drawdown, turnover, exposure,
        trades, cost_bps, stops]``.

        ``turnover`` is a mean per bar, ``exposure`` the share of bars with a position, ``trades`` counts completed round trips,
        ``cost_bps`` is the sum of what trading cost; ``max_drawdown`` is 0 or negative, as everywhere in accounting; ``stops``
        counts accounts that ended early.
        """
        parts = self.bars.partition_by("symbol", maintain_order=True)
        return pl.DataFrame([{"symbol": part["symbol"][0], **self._figures(part, _growth(part["equity"]))} for part in parts])

    @cached_property
    def totals(self) -> dict[str, float]:
        """The same figures of all symbols together, which begin with equal shares of the capital."""
        equity = self.equity()["equity"]
        return {**self._figures(self.bars, _growth(equity)), "net_log_return": math.log(max(float(equity[-1]), RUIN))}

    def equity(self) -> pl.DataFrame:
        """``[ts, equity]``, what 1 spread equally over the symbols has become; ``row`` instead of ``ts`` without times."""
        time = "row" if self.bars["ts"].null_count() else "ts"
        grid = self.bars.pivot(on="symbol", index=time, values="equity").sort(time)
        whole = grid.select(time, pl.exclude(time).forward_fill().fill_null(1.0))
        return whole.select(time, equity=pl.mean_horizontal(pl.exclude(time)))

    def _figures(self, bars: pl.DataFrame, growth: NDArray[np.float64]) -> dict[str, float]:
        figures = performance_metrics(growth - 1.0, bars_per_year=self.bars_per_year, confidence=None)
        side = np.sign(bars["position"].to_numpy())
        last = np.append(np.diff(bars["stretch"].to_numpy()) != 0, True)  # what is open there is closed
        return {
            "n_bars": float(bars.height),
            "net_log_return": float(bars["log_return"].sum()),
            "total_return": figures["total_return"],
            "sharpe": figures["sharpe"],
            "max_drawdown": figures["max_drawdown"],
            "turnover": float(bars["turnover"].to_numpy().mean()),
            "exposure": float((side != 0).mean()),
            "trades": float(np.count_nonzero((side != 0) & (last | (np.append(side[1:], 0.0) != side)))),
            "cost_bps": float(bars["cost"].sum()) * _BASIS_POINTS,
            "stops": float(bars["stop"].count()),
        }


def _growth(equity: pl.Series) -> NDArray[np.float64]:
    """Growth of each bar, from what 1 had become at the end of each; 1 after ruin."""
    values = equity.to_numpy()
    before = np.concatenate(([1.0], values[:-1]))
    return np.divide(values, before, out=np.ones(len(values)), where=before > 0)
