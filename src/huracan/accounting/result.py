"""What a backtest found: equity, returns and figures of one strategy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import shorten

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.accounting.costs import CostModel
from huracan.accounting.lanes import Lanes
from huracan.accounting.metrics import Convention, performance_metrics
from huracan.accounting.round_trips import RoundTrips, find_round_trips, trade_metrics
from huracan.accounting.walks import LaneRecord

__all__ = ["BacktestResult", "summarise"]

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

    def __repr__(self) -> str:
        figure = self.metrics.get
        return (
            f"<BacktestResult {shorten(self.name, 60, placeholder=' ...')!r}: {self.equity.height:,} bars, "
            f"{self.per_symbol.height} symbols, {self.trades:,} trades; net return {figure('total_return', math.nan):+.2%}, "
            f"Sharpe {figure('sharpe', math.nan):.2f}, max drawdown {figure('max_drawdown', math.nan):.2%}>"
        )

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


def summarise(
    name: str,
    lanes: Lanes,
    strategy: int,
    records: Iterable[LaneRecord],
    costs: CostModel,
    *,
    exit_costs: CostModel | None = None,
    bars_per_year: float,
    convention: Convention,
    keep_bars: bool,
) -> BacktestResult:
    """Turn the accounts of one strategy, one record per symbol, into portfolio and per-symbol figures."""
    portfolio = _Portfolio(lanes, costs.initial_equity / len(lanes.symbols))
    trips: list[RoundTrips] = []
    rows, kept = [], []
    hits = moved = invested = 0
    for s, (symbol, record) in enumerate(zip(lanes.symbols, records, strict=True)):
        fill = lanes.fill[lanes.of(s), s]
        units = record.units[:-1]
        before = np.concatenate(([record.initial], record.equity[:-1]))
        gross = record.equity - before + record.cost + record.holding_cost
        portfolio.add(s, record, gross, np.abs(units) * fill)
        mine = find_round_trips(
            record.units,
            np.append(fill, lanes.mark[-1, s]),
            np.append(record.holding_cost, 0.0),
            costs.per_side_rate,
            (exit_costs or costs).per_side_rate,
        )
        trips.append(mine)
        inside = units != 0
        earned = gross[inside]
        hits += int(np.count_nonzero(earned > 0))
        moved += int(np.count_nonzero(earned))
        invested += len(earned)
        rows.append({"symbol": symbol, **_symbol_figures(record, before, inside, mine, bars_per_year, convention)})
        if keep_bars:
            kept.append(_bars(symbol, lanes, strategy, s, record))
    equity = portfolio.frame()
    all_trips = RoundTrips.join(trips)
    metrics = performance_metrics(equity["return_net"].to_numpy(), bars_per_year=bars_per_year, convention=convention)
    metrics |= _portfolio_figures(equity, bars_per_year)
    metrics |= {"exposure": invested / int(lanes.n_steps.sum()), "hit_rate": hits / moved if moved else math.nan}
    metrics |= trade_metrics(all_trips)
    return BacktestResult(
        name=name,
        equity=equity,
        per_symbol=pl.DataFrame(rows),
        metrics=metrics,
        round_trips=all_trips,
        costs=costs,
        bars_per_year=bars_per_year,
        bars=pl.concat(kept) if keep_bars else None,
    )


class _Portfolio:
    """Adds sub-accounts up on one time grid; a symbol without a bar at a time counts with its last value."""

    def __init__(self, lanes: Lanes, initial: float) -> None:
        self.lanes, self.initial = lanes, initial
        self.grid = grid = lanes.grid
        self.equity, self.notional = np.zeros(len(grid)), np.zeros(len(grid))
        self.gross, self.cost, self.holding, self.traded = (np.zeros(len(grid)) for _ in range(4))

    def add(self, s: int, record: LaneRecord, gross: Floats, notional: Floats) -> None:
        """Add the account of symbol ``s``."""
        times = self.lanes.mark_ts[s]
        at: NDArray[np.int64] | slice = slice(None)
        if self.grid is self.lanes.mark_ts[0] or np.array_equal(times, self.grid):
            self.equity += record.equity
            self.notional += notional
        else:
            latest = np.searchsorted(times, self.grid, side="right") - 1
            self.equity += np.where(latest >= 0, record.equity[latest], self.initial)
            self.notional += np.where((latest >= 0) & (self.grid <= times[-1]), notional[latest], 0.0)
            at = np.searchsorted(self.grid, times)
        self.gross[at] += gross
        self.cost[at] += record.cost
        self.holding[at] += record.holding_cost
        self.traded[at] += record.traded

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
    record: LaneRecord,
    before: Floats,
    inside: NDArray[np.bool_],
    trips: RoundTrips,
    bars_per_year: float,
    convention: Convention,
) -> dict[str, float | int]:
    alive = before > 0
    over = 1.0 / np.where(alive, before, np.inf)
    figures = performance_metrics(
        (record.equity - before) * over, bars_per_year=bars_per_year, convention=convention, confidence=None
    )
    wanted = ("total_return", "annualised_volatility", "sharpe", "max_drawdown")
    return {
        "n_bars": len(before),
        **{key: figures[key] for key in wanted},
        "trades": len(trips),
        "win_rate": float((trips.pnl > 0).mean()) if len(trips) else math.nan,
        "exposure": float(inside.mean()),
        "turnover": float((record.traded * over).mean()),
        "cost_bps": float((record.cost * over).sum()) * _BASIS_POINTS,
    }


def _bars(symbol: str, lanes: Lanes, strategy: int, s: int, record: LaneRecord) -> pl.DataFrame:
    at = lanes.of(s)
    columns = {
        "ts": lanes.mark_ts[s].astype("datetime64[ms]"),
        "fill": lanes.fill[at, s],
        "mark": lanes.mark[at, s],
        "target": lanes.target[at, strategy, s],
        "units": record.units[:-1],
        "equity": record.equity,
        "cost": record.cost,
        "holding_cost": record.holding_cost,
    }
    return pl.DataFrame(columns).select(
        pl.lit(symbol).alias("symbol"), pl.col("ts").dt.replace_time_zone("UTC"), pl.exclude("ts")
    )
