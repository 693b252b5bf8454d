"""The account against a slow, plain loop in Python, written from the rules and not from the code."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.accounting import CostModel, backtest, backtest_many

BAR = 3_600_000


def make_candles(
    seed: int, n: int, symbol: str = "X", *, gaps: bool = False, funding: bool = False, start: int = 0
) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    price = 50 * np.exp(np.cumsum(rng.normal(0, 0.03, n)))
    steps = np.where(rng.random(n) < 0.15, rng.integers(2, 9, n), 1) if gaps else np.ones(n, dtype=int)
    frame = pl.DataFrame(
        {
            "symbol": [symbol] * n,
            "ts": (start + np.cumsum(steps)) * BAR,
            "open": price,
            "close": price * np.exp(rng.normal(0, 0.01, n)),
            "volume": np.where(rng.random(n) < 0.1, 0.0, rng.lognormal(3, 2, n)),
        }
    ).with_columns(pl.from_epoch("ts", time_unit="ms").dt.replace_time_zone("UTC").cast(pl.Datetime("ms", "UTC")))
    return frame.with_columns(pl.Series("funding_rate", rng.normal(0, 1e-3, n))) if funding else frame


def make_targets(seed: int, n: int, *, sticky: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed + 10_000)
    target = rng.choice([0.0, 1.0, -1.0, 0.5, 1.7, np.nan, *rng.uniform(-1, 1, 3)], n)
    for t in range(1, n):
        if rng.random() < sticky:
            target[t] = target[t - 1]
    return target


def oracle(
    candles: pl.DataFrame, target: np.ndarray, costs: CostModel, initial: float, *, close_at_end: bool
) -> list[dict[str, float]]:
    """One symbol, one bar after the other, with the trade worked out separately for buying and for selling."""
    o, c, v = (candles[name].to_list() for name in ("open", "close", "volume"))
    ts = (candles["ts"].dt.epoch("ms") // BAR).to_list()
    f = candles["funding_rate"].to_list() if "funding_rate" in candles.columns else [0.0] * len(o)
    rate = (costs.fee_bps + costs.half_spread_bps + costs.slippage_bps) / 1e4
    cash, units, standing, waiting, ruined = initial, 0.0, 0.0, 0.0, False

    def lots(x: float) -> float:
        return math.trunc(x / costs.lot_size * (1 + 1e-12)) * costs.lot_size if costs.lot_size else x

    rows = []
    for k in range(len(o) - 1):
        wish = 0.0 if math.isnan(target[k]) else float(target[k])
        price = o[k + 1]
        last = k + 2 == len(o)
        mark = c[k + 1] if last else o[k + 2]
        elapsed = 1 if last else ts[k + 2] - ts[k + 1]
        order = 0.0 if ruined else waiting
        if wish != standing and not ruined:
            equity, notional = cash + units * price, units * price
            if wish * equity >= notional:  # buy: (notional + b) = wish * (equity - rate * b)
                b = (wish * equity - notional) / (1 + rate * wish)
            else:  # sell: (notional + b) = wish * (equity + rate * b)
                b = (wish * equity - notional) / (1 - rate * wish)
            order = lots((notional + b) / price) - units
        standing = wish
        fill = order
        if costs.max_volume_share is not None:
            most = lots(costs.max_volume_share * v[k + 1])
            fill = max(-most, min(most, order))
        waiting = order - fill
        if abs(fill) * price < costs.minimum_notional:
            fill = 0.0
        if abs(order) * price < costs.minimum_notional:
            waiting = 0.0
        units += fill
        cost = abs(fill) * price * rate
        holding = units * price * f[k + 1] + max(-units * price, 0.0) * costs.borrow_bps_per_bar / 1e4 * elapsed
        cash -= fill * price + cost + holding
        equity = cash + units * mark
        if last and close_at_end and equity > 0 and not ruined:
            leave = abs(units) * mark * rate
            cash, cost, equity = cash - leave, cost + leave, max(equity - leave, 0.0)
        row_units = units
        if equity <= 0 or ruined:
            cash, units, waiting, equity, ruined, row_units = 0.0, 0.0, 0.0, 0.0, True, 0.0
        rows.append({"equity": equity, "units": row_units, "cost": cost, "holding_cost": holding})
    return rows


def assert_same(found: pl.DataFrame, wanted: list[dict[str, float]], scale: float) -> None:
    for name in ("equity", "units", "cost", "holding_cost"):
        theirs = np.array([row[name] for row in wanted])
        unit = scale if name != "units" else max(1.0, np.abs(theirs).max())
        np.testing.assert_allclose(found[name].to_numpy(), theirs, rtol=1e-12, atol=1e-12 * unit, err_msg=name)


every_rule = st.builds(
    CostModel,
    fee_bps=st.floats(0, 80),
    half_spread_bps=st.floats(0, 20),
    slippage_bps=st.floats(0, 20),
    borrow_bps_per_bar=st.sampled_from([0.0, 3.7]),
    lot_size=st.sampled_from([0.0, 0.1, 0.001, 3.0]),
    minimum_notional=st.sampled_from([0.0, 11.3, 150.0]),
    max_volume_share=st.sampled_from([None, 0.1, 0.013]),
    initial_equity=st.sampled_from([1_003.7, 250_000.0]),
)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(3, 60),
    costs=every_rule,
    gaps=st.booleans(),
    funding=st.booleans(),
    close_at_end=st.booleans(),
)
def test_every_rule_gives_what_the_plain_loop_gives(
    seed: int, n: int, costs: CostModel, gaps: bool, funding: bool, close_at_end: bool
) -> None:
    candles = make_candles(seed, n, gaps=gaps, funding=funding)
    target = make_targets(seed, n)
    wanted = oracle(candles, target, costs, costs.initial_equity, close_at_end=close_at_end)
    for stepwise in (True, False):
        result = backtest(candles, target, costs, close_at_end=close_at_end, keep_bars=True, stepwise=stepwise)
        assert result.bars is not None
        assert_same(result.bars, wanted, costs.initial_equity)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(3, 400),
    rate=st.floats(0, 100),
    borrow=st.sampled_from([0.0, 2.0]),
    mark=st.sampled_from(["open", "close"]),
    rebalance=st.booleans(),
)
def test_closed_form_between_trades_equals_the_steps(
    seed: int, n: int, rate: float, borrow: float, mark: str, rebalance: bool
) -> None:
    candles = pl.concat(
        [make_candles(seed, n, "A", gaps=True, funding=True), make_candles(seed + 1, max(n // 2, 3), "B", funding=True)]
    )
    targets = {f"s{k}": make_targets(seed + k, candles.height, sticky=k / 3) for k in range(3)}
    costs = CostModel(fee_bps=rate, borrow_bps_per_bar=borrow)
    quick, slow = (
        backtest_many(candles, targets, costs, mark=mark, rebalance=rebalance, stepwise=stepwise)  # type: ignore[arg-type]
        for stepwise in (False, True)
    )
    for name, result in quick.items():
        other = slow[name]
        assert result.equity["ts"].equals(other.equity["ts"])
        for column in ("equity_net", "equity_gross", "return_net", "cost", "holding_cost", "turnover", "exposure"):
            np.testing.assert_allclose(
                result.equity[column].to_numpy(), other.equity[column].to_numpy(), rtol=1e-12, atol=1e-12, err_msg=column
            )
        assert result.trades == other.trades
        np.testing.assert_allclose(result.round_trips.pnl, other.round_trips.pnl, rtol=1e-9, atol=1e-7)


def test_closed_form_equals_the_steps_on_real_minutes(market_data) -> None:  # type: ignore[no-untyped-def]
    files = sorted((market_data / "candles").glob("*_1m.parquet"))[:3]
    candles = pl.concat([pl.read_parquet(file).sort("ts").tail(3_000) for file in files]).sort("symbol", "ts")
    target = np.sign(np.random.default_rng(0).normal(size=candles.height)).repeat(7)[: candles.height]
    costs = CostModel(borrow_bps_per_bar=0.01)
    quick, slow = (backtest(candles, target, costs, stepwise=stepwise) for stepwise in (False, True))
    np.testing.assert_allclose(quick.returns, slow.returns, rtol=0, atol=1e-12)
    np.testing.assert_allclose(quick.equity["equity_net"].to_numpy(), slow.equity["equity_net"].to_numpy(), rtol=1e-12)


@pytest.mark.slow
def test_speed_of_sixteen_strategies_on_eight_symbols_of_minutes() -> None:
    import time

    n = 216_000
    candles = pl.concat([make_candles(s, n, f"S{s}") for s in range(8)])
    targets = {f"s{k}": make_targets(k, 1_000).repeat(1 + candles.height // 1_000)[: candles.height] for k in range(16)}
    started = time.process_time()
    backtest_many(candles, targets, CostModel())
    assert time.process_time() - started < 15


@pytest.mark.parametrize(("rebalance", "spread"), [(False, 0.08), (True, 0.16)])  # a weight that is restored is ruined less
def test_ruined_accounts_are_the_same_by_runs_and_by_steps(rebalance: bool, spread: float) -> None:
    ruined = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        candles = make_candles(seed, 300, gaps=seed % 2 == 0, funding=seed % 3 == 0)
        wild = pl.col("open") * pl.Series(np.exp(np.cumsum(rng.normal(0, spread, 300))))
        candles = candles.with_columns(open=wild, close=wild)
        target = rng.choice([-2.5, -1.5, 2.5, 3.0, 0.0], 50).repeat(6)
        costs = CostModel(borrow_bps_per_bar=float(seed % 4))
        runs, steps = (
            backtest(candles, target, costs, rebalance=rebalance, stepwise=stepwise, keep_bars=True).bars
            for stepwise in (False, True)
        )
        assert runs is not None and steps is not None
        for column in ("equity", "units", "cost", "holding_cost"):
            np.testing.assert_allclose(runs[column].to_numpy(), steps[column].to_numpy(), rtol=1e-11, atol=1e-9)
        ruined += steps["equity"][-1] == 0.0
    assert ruined >= 10
