"""Scores become positions: no row sees another's future, and nothing trades that does not earn its cost."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.accounting import CostModel, PositionPolicy, backtest, targets_frame
from huracan.accounting.tuning import default_grid
from huracan.dataset import TrainingSet
from huracan.errors import AccountingError, NotEnoughData


def rows_of(earned: np.ndarray, n_symbols: int = 1, *, horizon: int = 1, volatility: float = 0.01) -> TrainingSet:
    """A panel: ``earned`` is (times * symbols,), row by row in time order."""
    n = len(earned)
    when = np.datetime64("2024-01-01", "ms") + (np.arange(n) // n_symbols) * np.timedelta64(3_600_000, "ms")
    bar = np.timedelta64(3_600_000, "ms")
    return TrainingSet(
        X=np.zeros((n, 1), np.float32),
        y=earned,
        ts=when,
        decision_time=when + bar,
        label_end=when + bar * (1 + horizon),
        feature_names=("x",),
        symbol_code=(np.arange(n) % n_symbols).astype(np.int32),
        segment=np.zeros(n, np.int32),
        regime_code=np.full(n, -1, np.int8),
        weight=np.ones(n),
        execution_return=earned,
        volatility=np.full(n, volatility),
        symbols=tuple(f"S{i}" for i in range(n_symbols)),
        bar_length=bar,
    )


def test_threshold_and_scaled_modes_standardise_first() -> None:
    policy = PositionPolicy(threshold=1.0, center=10.0, spread=2.0, cap=0.5)
    np.testing.assert_allclose(policy.targets([6.0, 8.0, 10.0, 12.5]), [-0.5, 0, 0, 0.5])
    scaled = PositionPolicy(mode="scaled", scale=0.25, center=10.0, spread=2.0)
    np.testing.assert_allclose(scaled.targets([6.0, 8.0, 10.0, 13.0]), [-0.5, -0.25, 0, 0.375])


def test_volatility_target_scales_to_the_annual_figure_and_the_cap_holds() -> None:
    policy = PositionPolicy(volatility_target=0.5, cap=2.0)
    bars = 365.0
    found = policy.targets([1.0, 1.0, -1.0, 1.0], volatility=[0.05, 0.001, 0.02, np.nan], bars_per_year=bars)
    np.testing.assert_allclose(found, [0.5 / (0.05 * bars**0.5), 2.0, -0.5 / (0.02 * bars**0.5), 0.0])
    with pytest.raises(AccountingError, match="volatility was not given"):
        policy.targets([1.0])
    with pytest.raises(AccountingError, match="bars_per_year was not given"):
        policy.targets([1.0], volatility=[0.1])


def test_a_score_that_is_not_there_holds_nothing() -> None:
    assert PositionPolicy(holding="overlap", horizon=2).targets([np.nan, 1.0]).tolist() == [0.0, 0.5]


@given(
    seed=st.integers(0, 10**6),
    n_symbols=st.integers(1, 4),
    horizon=st.integers(1, 12),
    mode=st.sampled_from(["threshold", "scaled"]),
)
@settings(max_examples=40, deadline=None)
def test_overlap_is_the_mean_of_the_last_targets_of_the_same_symbol_and_segment(
    seed: int, n_symbols: int, horizon: int, mode: str
) -> None:
    rng = np.random.default_rng(seed)
    n = 60
    code = rng.integers(0, n_symbols, n)
    segment = np.sort(rng.integers(0, 3, n))
    score = rng.normal(size=n)
    latest = PositionPolicy(mode=mode, cap=0.8, threshold=0.3)  # type: ignore[arg-type]
    decided = latest.targets(score)
    expected = np.zeros(n)
    for i in range(n):
        same = [j for j in range(i + 1) if code[j] == code[i] and segment[j] == segment[i]][-horizon:]
        expected[i] = decided[same].sum() / horizon
    overlap = replace(latest, holding="overlap", horizon=horizon)
    found = overlap.targets(score, symbol_code=code, segment=segment)
    np.testing.assert_allclose(found, expected, atol=1e-15)
    prefix = overlap.targets(score[:37], symbol_code=code[:37], segment=segment[:37])
    assert np.array_equal(prefix, found[:37])  # causal, bitwise


def test_a_policy_survives_json() -> None:
    for policy in (PositionPolicy(mode="scaled", volatility_target=0.3), PositionPolicy.no_trading(n_tried=12, net_t=0.0)):
        assert PositionPolicy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy
    with pytest.raises(KeyError, match="did you mean 'threshold'"):
        PositionPolicy.from_dict({"treshold": 1.0})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"mode": "sometimes"}, "mode is 'sometimes'"),
        ({"holding": "forever"}, "holding is 'forever'"),
        ({"threshold": -1.0}, "threshold is -1"),
        ({"spread": 0.0}, "spread is 0"),
        ({"cap": float("inf")}, "cap is inf"),
        ({"horizon": 0}, "horizon is 0"),
    ],
)
def test_impossible_policies_are_refused_with_their_value(values, sentence: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AccountingError, match=sentence):
        PositionPolicy(**values)


def test_tuning_finds_an_edge_that_pays_and_refuses_one_that_does_not() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=20_000)
    earned = 0.0005 * score + rng.normal(0, 0.01, 20_000)  # 5 bps a bar at one standard deviation
    rows = rows_of(earned, 4)
    cheap = PositionPolicy.tune(rows, score, CostModel.free(fee_bps=1))
    assert cheap.trades
    assert cheap.net_t is not None
    assert cheap.net_t > 2
    dear = PositionPolicy.tune(rows, score, CostModel.free(fee_bps=50))
    assert not dear.trades
    assert dear.n_tried == len(default_grid()) + 1
    assert not dear.targets(score).any()


def test_tuning_rarely_trades_on_noise_that_costs() -> None:
    """One side costs 7 bps, bars move 1 %: with nothing to find, no policy should look profitable."""
    traded = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = rows_of(rng.normal(0, 0.01, 3_000), 2)
        traded += PositionPolicy.tune(rows, rng.normal(size=3_000), CostModel()).trades
    assert traded <= 6


def test_the_tuned_location_and_scale_are_those_of_the_scores() -> None:
    rng = np.random.default_rng(1)
    score = 0.7 + 3e-4 * rng.normal(size=2_000)
    rows = rows_of(0.02 * (score - 0.7) / 3e-4 + rng.normal(0, 0.01, 2_000))
    policy = PositionPolicy.tune(rows, score, CostModel())
    assert policy.center == pytest.approx(np.median(score))
    assert policy.spread == pytest.approx(score.std())
    assert policy.trades


def test_a_constant_score_keeps_its_sign() -> None:
    rng = np.random.default_rng(2)
    rows = rows_of(0.004 + rng.normal(0, 0.01, 1_000))
    policy = PositionPolicy.tune(rows, np.full(1_000, 0.3), CostModel())
    assert np.all(policy.targets(np.full(5, 0.3)) > 0)


@pytest.mark.parametrize("horizon", [1, 6])
def test_what_tuning_counts_is_what_the_backtest_earns(horizon: int) -> None:
    """First-order account against the real one: same total within the compounding and drift it leaves out."""
    rng = np.random.default_rng(3)
    n = 4_000
    moves = rng.normal(0, 0.002, n + horizon + 2)
    opens = 100 * np.cumprod(1 + moves)
    earned = opens[1 + horizon : 1 + horizon + n] / opens[1 : 1 + n] - 1
    score = earned + rng.normal(0, 0.004, n)
    rows = rows_of(earned, horizon=horizon)
    costs = CostModel(fee_bps=1, half_spread_bps=0, slippage_bps=0)
    policy = PositionPolicy.tune(rows, score, costs, horizon=horizon, grid=[PositionPolicy(mode="scaled", scale=0.5)])
    assert policy.holding == ("overlap" if horizon > 1 else "latest")
    bar = np.timedelta64(3_600_000, "ms")
    ts = rows.ts[0] + np.arange(len(opens)) * bar
    candles = pl.DataFrame({"symbol": "S0", "ts": ts, "open": opens, "close": opens}).with_columns(
        pl.col("ts").dt.replace_time_zone("UTC")
    )
    targets = policy.targets(score, symbol_code=rows.symbol_code, segment=rows.segment)
    real = backtest(candles, targets_frame(rows, targets), costs)
    from huracan.accounting.tuning import _Account

    counted = _Account(rows, earned / horizon, costs).net(policy.decisions(score), targets)
    assert counted.sum() == pytest.approx(np.log1p(real.returns).sum(), rel=0.05)


def test_tuning_says_what_it_lacks() -> None:
    rows = rows_of(np.zeros(100))
    with pytest.raises(AccountingError, match="no execution_return"):
        PositionPolicy.tune(replace(rows, execution_return=None), np.zeros(100), CostModel())
    with pytest.raises(AccountingError, match=r"shape \(3,\)"):
        PositionPolicy.tune(rows, np.zeros(3), CostModel())
    with pytest.raises(AccountingError, match=r"score of S0 at .* is nan"):
        PositionPolicy.tune(rows, np.full(100, np.nan), CostModel())
    short = rows_of(np.random.default_rng(0).normal(size=10))
    with pytest.raises(NotEnoughData, match="10 "):
        PositionPolicy.tune(short, np.arange(10.0), CostModel())


def test_targets_frame_names_every_bar() -> None:
    rows = rows_of(np.zeros(6), 2)
    frame = targets_frame(rows, np.arange(6.0))
    assert frame["symbol"].to_list() == ["S0", "S1"] * 3
    assert frame.schema["ts"] == pl.Datetime("ms", "UTC")
    assert frame["ts"].dt.replace_time_zone(None).to_numpy().tolist() == rows.ts.tolist()


@pytest.mark.slow
def test_speed_of_tuning_a_hundred_thousand_rows() -> None:
    rng = np.random.default_rng(0)
    rows = rows_of(rng.normal(0, 0.01, 100_000), 8)
    started = time.process_time()
    PositionPolicy.tune(rows, rng.normal(size=100_000), CostModel())
    assert time.process_time() - started < 1.0
