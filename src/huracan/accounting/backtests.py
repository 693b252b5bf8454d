"""Backtest: targets and candles through the one step formula, many strategies and symbols at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.accounting.costs import CostModel
from huracan.accounting.lanes import Lanes, PriceKind, make_lanes
from huracan.accounting.metrics import Convention, bars_in_a_year
from huracan.accounting.result import BacktestResult, summarise
from huracan.accounting.walks import LaneRecord, Steps, walk_runs, walk_steps
from huracan.errors import AccountingError

__all__ = ["backtest", "backtest_many", "buy_and_hold"]

_CELLS_AT_ONCE = 30_000_000


def backtest(
    candles: pl.DataFrame,
    targets: pl.DataFrame | NDArray[np.float64],
    costs: CostModel,
    *,
    name: str = "strategy",
    fill: PriceKind = "open",
    mark: PriceKind = "open",
    close_at_end: bool = True,
    annualisation: float | None = None,
    convention: Convention = "arithmetic",
    exit_costs: CostModel | None = None,
    keep_bars: bool = False,
    rebalance: bool = False,
    stepwise: bool = False,
) -> BacktestResult:
    """Run one strategy over all its symbols, net of costs.

    A target weight decided at the close of bar t is filled at the open of the symbol's next bar and valued at the open
    after that. Capital is divided equally among the symbols named in ``targets``; each sub-account runs on its own and
    is never topped up. Targets are weights of the sub-account.

    Parameters
    ----------
    candles : sorted by (symbol, ts); ``open`` and ``close`` above zero; ``volume`` and ``funding_rate`` (a fraction of
        notional, paid by a long position held over that bar) are used where they are there.
    targets : frame ``[symbol, ts, target]``, at most one row per candle, or one weight per candle row. A null, and a
        bar without a row, is "not in the market". The run spans the first to the last row of the frame.
    costs : what is paid and what the venue allows.
    fill, mark : "open": as above. ``mark="close"`` values at the close of the bar of the fill, ``fill="close"`` fills at
        the next bar's close: other libraries' conventions.
    close_at_end : close at the last price (paying for it, outside lot and volume rules); else the position stays open
        and does not count as a trade.
    annualisation : bars per year; by default 365 days over the bar length.
    convention : of volatility and ratios, see :func:`performance_metrics`.
    exit_costs : what closing a position costs, where it differs from opening one; then every change of a target is two
        fills, out of the old position and into the new one.
    keep_bars : keep every symbol's bars in ``.bars``.
    rebalance : trade back to the target weight at every bar, paying for it, as agents do that were trained so; else units are
        held while the target stands, and the weight drifts with the price.
    stepwise : apply the step formula bar by bar even where the closed form between trades gives the same, faster.

    Returns
    -------
    BacktestResult, with ``.metrics``: those of :func:`performance_metrics`, and ``total_return_gross``, ``turnover``
    (traded notional per bar over equity), ``turnover_per_year``, ``exposure`` (share of bars with a position),
    ``gross_exposure`` (mean absolute notional over equity), ``cost_bps`` and ``holding_cost_bps`` (sums over the run, of
    equity), ``cost_bps_per_year``, ``cost_fraction_of_gross``, ``break_even_cost_bps`` (cost per side at which the mean
    return is zero, positions unchanged), ``hit_rate`` (share of bars with a position that earned before costs),
    ``n_trades``, ``win_rate``, ``profit_factor``, ``profit_factor_of_returns``, ``average_holding_bars``,
    ``average_trade_return``. Undefined figures are nan.

    Notes
    -----
    Over a gap a position is held and valued at the next available open; an order waits for it. Borrow is paid for the
    bars the gap is long, funding only where a rate is given.

    Raises
    ------
    AccountingError : candles unsorted or with impossible prices, targets that are infinite, doubled or without a candle.
    NotEnoughData : no symbol has a bar after its first target.

    Examples
    --------
    >>> import datetime as dt
    >>> ts = pl.datetime_range(dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 4), "1d", eager=True, time_zone="UTC")
    >>> candles = pl.DataFrame({"symbol": "X", "ts": ts, "open": [9.0, 10, 11, 12], "close": [10.0, 11, 12, 12]})
    >>> result = backtest(candles, np.ones(4), CostModel.free())
    >>> result.returns.round(4).tolist(), round(result.metrics["total_return"], 4), result.trades
    ([0.1, 0.0909, 0.0], 0.2, 1)
    """
    return backtest_many(
        candles,
        {name: targets},
        costs,
        fill=fill,
        mark=mark,
        close_at_end=close_at_end,
        annualisation=annualisation,
        convention=convention,
        exit_costs=exit_costs,
        keep_bars=keep_bars,
        rebalance=rebalance,
        stepwise=stepwise,
    )[name]


def backtest_many(
    candles: pl.DataFrame,
    targets: Mapping[str, Any],
    costs: CostModel,
    *,
    fill: PriceKind = "open",
    mark: PriceKind = "open",
    close_at_end: bool = True,
    annualisation: float | None = None,
    convention: Convention = "arithmetic",
    exit_costs: CostModel | None = None,
    keep_bars: bool = False,
    rebalance: bool = False,
    stepwise: bool = False,
) -> dict[str, BacktestResult]:
    """Run many strategies over the same symbols and the same span in one loop over time.

    Parameters are those of :func:`backtest`; ``targets`` is name -> targets. All results share symbols, capital and time
    grid (the union over the strategies), so they can be compared bar by bar.

    Examples
    --------
    >>> import datetime as dt
    >>> ts = pl.datetime_range(dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 4), "1d", eager=True, time_zone="UTC")
    >>> candles = pl.DataFrame({"symbol": "X", "ts": ts, "open": [9.0, 10, 11, 12], "close": [10.0, 11, 12, 12]})
    >>> both = backtest_many(candles, {"long": np.ones(4), "short": -np.ones(4)}, CostModel.free())
    >>> {name: round(result.metrics["total_return"], 4) for name, result in both.items()}
    {'long': 0.2, 'short': -0.2}
    """
    if annualisation is not None and not annualisation > 0:
        raise AccountingError(f"annualisation is {annualisation}; a positive number of bars per year was expected.")
    if rebalance and exit_costs is not None:
        raise AccountingError(
            "rebalance=True was given with exit_costs: a trade back to the target is neither an entry nor an exit; one or the "
            "other was expected."
        )
    lanes = make_lanes(candles, targets, fill=fill, mark=mark)
    _require_payable(lanes, costs)
    bars_per_year = float(annualisation or bars_in_a_year(lanes.bar_length))
    initial = costs.initial_equity / len(lanes.symbols)
    closed_form = costs.scale_free and exit_costs is None and not stepwise
    at_once = len(targets) if closed_form else max(1, _CELLS_AT_ONCE // lanes.fill.size)

    def records(k: int, walked: Steps | None) -> Iterator[LaneRecord]:
        for s in range(len(lanes.symbols)):
            if walked is not None:
                yield walked.lane(lanes, k % at_once, s)
                continue
            own = np.ascontiguousarray(lanes.target[lanes.of(s), k, s])
            record = walk_runs(lanes, own, s, initial, costs, close_at_end=close_at_end, rebalance=rebalance)
            if record is None:
                alone, mine = lanes.only(s), lanes.target[:, [k]][:, :, [s]]
                steps = walk_steps(alone, mine, initial, costs, close_at_end=close_at_end, rebalance=rebalance)
                record = steps.lane(alone, 0, 0)
            yield record

    results = {}
    walked: Steps | None = None
    for k, name in enumerate(lanes.strategies):
        if not closed_form and k % at_once == 0:
            part = lanes.target[:, k : k + at_once]
            walked = walk_steps(
                lanes, part, initial, costs, exit_costs=exit_costs, close_at_end=close_at_end, rebalance=rebalance
            )
        results[name] = summarise(
            name,
            lanes,
            k,
            records(k, walked),
            costs,
            exit_costs=exit_costs,
            bars_per_year=bars_per_year,
            convention=convention,
            keep_bars=keep_bars,
        )
    return results


def buy_and_hold(candles: pl.DataFrame, costs: CostModel, **options: Any) -> BacktestResult:
    """Buy every symbol with equal capital after its first bar and hold to the end; options as of :func:`backtest`.

    Examples
    --------
    >>> import datetime as dt
    >>> ts = pl.datetime_range(dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 3), "1d", eager=True, time_zone="UTC")
    >>> candles = pl.DataFrame({"symbol": "X", "ts": ts, "open": [9.0, 10, 11], "close": [10.0, 11, 12]})
    >>> round(buy_and_hold(candles, CostModel.free()).metrics["total_return"], 4)
    0.2
    """
    return backtest(candles, np.ones(candles.height), costs, **{"name": "buy_and_hold", **options})


def _require_payable(lanes: Lanes, costs: CostModel) -> None:
    largest = float(np.abs(lanes.target).max())
    if largest * costs.per_side_rate >= 1.0:
        raise AccountingError(
            f"a target of {largest:g} at {costs.per_side_bps:g} basis points per side costs the whole account to trade; "
            "smaller targets or costs were expected."
        )
