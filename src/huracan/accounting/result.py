"""What a backtest found: equity, returns and figures of one strategy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.accounting.costs import CostModel
from huracan.accounting.lanes import Lanes
from huracan.accounting.metrics import Convention, performance_metrics
from huracan.accounting.round_trips import RoundTrips, find_round_trips, trade_metrics

__all__ = ["BacktestResult", "Walk", "summarise"]

Floats = NDArray[np.float64]
_BASIS_POINTS = 10_000.0


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """One strategy's account over time.

    Attributes
    ----------
    name : of the strategy.
    equity : one row per valuation: ``ts`` (time of the valuation, UTC), ``equity_net`` and ``equity_gross`` (growth of 1,
        which is the value before the first row), ``return_net``, ``return_gross``, ``cost`` (fees, spread and slippage),
        ``holding_cost`` (funding and borrow), ``turnover`` (traded notional) and ``exposure`` (absolute notional), the
        last four as fractions of equity before the bar.
    per_symbol : one row per symbol with the figures of its sub-account.
    metrics : figures of the whole portfolio, see :func:`huracan.accounting.backtest`.
    round_trips : completed trades of all symbols.
    bars : per symbol and step ``[symbol, ts, fill, mark, target, units, equity, cost, holding_cost]``, in currency;
        ``None`` unless asked for.
    costs, bars_per_year : what the run was made with.
    """

    name: str
    equity: pl.DataFrame
    per_symbol: pl.DataFrame
    metrics: dict[str, float]
    round_trips: RoundTrips
    costs: CostModel
    bars_per_year: float
    bars: pl.DataFrame | None = None

    @property
    def returns(self) -> Floats:
        """Net portfolio return of every bar, float64, one per row of ``equity``."""
        return self.equity["return_net"].to_numpy()

    @property
    def gross_returns(self) -> Floats:
        """Portfolio return of every bar before costs, of the same positions."""
        return self.equity["return_gross"].to_numpy()

    @property
    def trades(self) -> int:
        """Number of completed round-trip trades."""
        return len(self.round_trips)


@dataclass(frozen=True, eq=False)
class Walk:
    """What the loop over time recorded, (steps, strategies, symbols); ``final_units`` is the position after the end."""

    equity: Floats
    units: Floats
    traded: Floats
    holding_cost: Floats | None
    final_units: Floats
    final_price: Floats
    initial: float


def summarise(
    lanes: Lanes,
    walk: Walk,
    strategy: int,
    name: str,
    costs: CostModel,
    *,
    bars_per_year: float,
    convention: Convention,
    keep_bars: bool,
) -> BacktestResult:
    """Turn one strategy's recorded lanes into portfolio and per-symbol figures."""
    grid = lanes.mark_ts[0] if _shared(lanes) else np.unique(np.concatenate(lanes.mark_ts))
    portfolio = _Portfolio(grid, lanes, walk.initial)
    trips: list[RoundTrips] = []
    rows, kept = [], []
    hits = moved = invested = 0
    for s, symbol in enumerate(lanes.symbols):
        at = lanes.of(s)
        equity, units, traded = (a[at, strategy, s] for a in (walk.equity, walk.units, walk.traded))
        holding = walk.holding_cost[at, strategy, s] if walk.holding_cost is not None else np.zeros(len(equity))
        cost = traded * costs.per_side_rate
        before = np.concatenate(([walk.initial], equity[:-1]))
        gross = equity - before + cost + holding
        notional = np.abs(units) * lanes.fill[at, s]
        portfolio.add(s, equity, gross, cost, holding, traded, notional)
        mine = find_round_trips(
            np.append(units, walk.final_units[strategy, s]),
            np.append(lanes.fill[at, s], walk.final_price[s]),
            np.append(holding, 0.0),
            costs.per_side_rate,
        )
        trips.append(mine)
        inside = units != 0
        hits += int(((gross > 0) & inside).sum())
        moved += int(((gross != 0) & inside).sum())
        invested += int(inside.sum())
        rows.append(
            {"symbol": symbol, **_symbol_figures(equity, before, cost, traded, inside, mine, bars_per_year, convention)}
        )
        if keep_bars:
            kept.append(
                pl.DataFrame(
                    {
                        "symbol": [symbol] * len(equity),
                        "ts": lanes.mark_ts[s].astype("datetime64[ms]"),
                        "fill": lanes.fill[at, s],
                        "mark": lanes.mark[at, s],
                        "target": lanes.target[at, strategy, s],
                        "units": units,
                        "equity": equity,
                        "cost": cost,
                        "holding_cost": holding,
                    }
                )
            )
    equity_frame = portfolio.frame()
    all_trips = RoundTrips.join(trips)
    metrics = performance_metrics(equity_frame["return_net"].to_numpy(), bars_per_year=bars_per_year, convention=convention)
    metrics |= _portfolio_figures(equity_frame, bars_per_year)
    metrics |= {"exposure": invested / int(lanes.n_steps.sum()), "hit_rate": hits / moved if moved else math.nan}
    metrics |= trade_metrics(all_trips)
    return BacktestResult(
        name=name,
        equity=equity_frame,
        per_symbol=pl.DataFrame(rows),
        metrics=metrics,
        round_trips=all_trips,
        costs=costs,
        bars_per_year=bars_per_year,
        bars=pl.concat(kept).with_columns(pl.col("ts").dt.replace_time_zone("UTC")) if keep_bars else None,
    )


class _Portfolio:
    """Adds sub-accounts up on one time grid; a symbol without a bar at a time counts with its last value."""

    def __init__(self, grid: NDArray[np.datetime64], lanes: Lanes, initial: float) -> None:
        self.grid, self.lanes, self.initial = grid, lanes, initial
        self.equity, self.notional = np.zeros(len(grid)), np.zeros(len(grid))
        self.gross, self.cost, self.holding, self.traded = (np.zeros(len(grid)) for _ in range(4))

    def add(
        self, s: int, equity: Floats, gross: Floats, cost: Floats, holding: Floats, traded: Floats, notional: Floats
    ) -> None:
        """Add the sub-account of symbol ``s``."""
        times = self.lanes.mark_ts[s]
        if times is self.grid or np.array_equal(times, self.grid):
            self.equity += equity
            self.notional += notional
            at: NDArray[np.int64] | slice = slice(None)
        else:
            latest = np.searchsorted(times, self.grid, side="right") - 1
            self.equity += np.where(latest >= 0, equity[latest], self.initial)
            self.notional += np.where(latest >= 0, notional[latest], 0.0) * (self.grid <= times[-1])
            at = np.searchsorted(self.grid, times)
        for total, part in ((self.gross, gross), (self.cost, cost), (self.holding, holding), (self.traded, traded)):
            total[at] += part

    def frame(self) -> pl.DataFrame:
        """The portfolio, as growth of one unit of capital."""
        start = self.initial * len(self.lanes.symbols)
        before = np.concatenate(([start], self.equity[:-1]))
        share = {
            "return_net": self.equity - before,
            "return_gross": self.gross,
            "cost": self.cost,
            "holding_cost": self.holding,
            "turnover": self.traded,
            "exposure": self.notional,
        }
        over = {k: np.divide(v, before, out=np.zeros(len(v)), where=before > 0) for k, v in share.items()}
        frame = pl.DataFrame(
            {
                "ts": self.grid.astype("datetime64[ms]"),
                "equity_net": self.equity / start,
                "equity_gross": np.cumprod(1.0 + over["return_gross"]),
                **over,
            }
        )
        return frame.with_columns(pl.col("ts").dt.replace_time_zone("UTC"))


def _portfolio_figures(equity: pl.DataFrame, bars_per_year: float) -> dict[str, float]:
    traded, cost, holding = (float(equity[c].mean()) for c in ("turnover", "cost", "holding_cost"))  # type: ignore[arg-type]
    gross = float(equity["return_gross"].mean())  # type: ignore[arg-type]
    n = equity.height
    return {
        "total_return_gross": float(equity["equity_gross"][-1]) - 1.0,
        "gross_exposure": float(equity["exposure"].mean()),  # type: ignore[arg-type]
        "turnover": traded,
        "turnover_per_year": traded * bars_per_year,
        "cost_bps": cost * n * _BASIS_POINTS,
        "holding_cost_bps": holding * n * _BASIS_POINTS,
        "cost_bps_per_year": (cost + holding) * bars_per_year * _BASIS_POINTS,
        "cost_fraction_of_gross": (cost + holding) / gross if gross > 0 else math.nan,
        "break_even_cost_bps": (gross - holding) / traded * _BASIS_POINTS if traded > 0 else math.nan,
    }


def _symbol_figures(
    equity: Floats,
    before: Floats,
    cost: Floats,
    traded: Floats,
    inside: NDArray[np.bool_],
    trips: RoundTrips,
    bars_per_year: float,
    convention: Convention,
) -> dict[str, float | int]:
    alive = before > 0
    returns = np.divide(equity - before, before, out=np.zeros(len(before)), where=alive)
    paid = np.divide(cost, before, out=np.zeros(len(before)), where=alive)
    turned = np.divide(traded, before, out=np.zeros(len(before)), where=alive)
    figures = performance_metrics(returns, bars_per_year=bars_per_year, convention=convention)
    wanted = ("total_return", "annualised_volatility", "sharpe", "sharpe_ci_low", "sharpe_ci_high", "max_drawdown")
    return {
        "n_bars": len(equity),
        **{key: figures[key] for key in wanted},
        "trades": len(trips),
        "win_rate": float((trips.pnl > 0).mean()) if len(trips) else math.nan,
        "exposure": float(inside.mean()),
        "turnover": float(turned.mean()),
        "cost_bps": float(paid.sum()) * _BASIS_POINTS,
    }


def _shared(lanes: Lanes) -> bool:
    return all(np.array_equal(lanes.mark_ts[0], other) for other in lanes.mark_ts[1:])
