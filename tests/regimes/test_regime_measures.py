"""Measures and latches against slow loops and against theory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm, percentileofscore

from huracan.regimes.duration import confirmed, latch
from huracan.regimes.measures import drift_t_statistic, illiquidity, log_returns, past_rank, realised_volatility, rolling_sum

FEW_LEVELS = st.sampled_from([0.0, 1.0, 2.0, 3.0, float("nan"), float("inf")])


@settings(max_examples=80, deadline=None)
@given(values=arrays(np.float64, st.integers(0, 60), elements=FEW_LEVELS), lookback=st.integers(1, 70))
def test_past_rank_is_the_mean_percentile_among_the_last_defined_values(values: np.ndarray, lookback: int) -> None:
    rank = past_rank(values, lookback, minimum_history=2)
    seen: list[float] = []
    for value, found in zip(values, rank, strict=True):
        if np.isnan(value):
            assert np.isnan(found)
            continue
        if len(seen) < 2:
            assert np.isnan(found)
        else:
            assert found == pytest.approx(percentileofscore(seen[-lookback:], value, kind="mean") / 100)
        seen.append(float(value))


def test_past_rank_over_a_long_lookback_is_close_to_the_exact_one() -> None:
    rng = np.random.default_rng(0)
    values = np.convolve(rng.normal(size=6_059), np.ones(60), mode="valid")
    rank = past_rank(values, 2_000, minimum_history=500)
    exact = [percentileofscore(values[t - 2_000 : t], values[t]) / 100 for t in range(3_000, 6_000, 50)]
    # one sample in 20 of a moving average over 60: the rank is known to about a per cent
    assert np.max(np.abs(rank[3_000:6_000:50] - exact)) < 0.05
    assert np.mean(np.abs(rank[3_000:6_000:50] - exact)) < 0.015


def test_drift_of_a_random_walk_is_standard_normal_whatever_its_tails_and_volatility() -> None:
    rng = np.random.default_rng(1)
    returns = rng.standard_t(4, 400_000) * np.repeat(np.exp(rng.normal(size=4)), 100_000) * 0.01
    drift = drift_t_statistic(returns, 100, np.arange(400_000))[100::100]
    # 4,000 independent windows: standard errors 0.016 of the mean, 0.011 and 0.006 of the shares
    assert np.mean(drift) == pytest.approx(0.0, abs=0.05)
    for level in (1.1, 1.96):
        share = 2 * norm.sf(level)
        assert np.mean(np.abs(drift) > level) == pytest.approx(share, abs=0.025)


def test_drift_is_bounded_by_one_direction_and_by_one_jump() -> None:
    age = np.arange(50)
    assert drift_t_statistic(np.full(50, 0.01), 25, age)[-1] == pytest.approx(5.0)
    assert drift_t_statistic(np.eye(1, 50, 40)[0], 25, age)[-1] == 1.0
    assert drift_t_statistic(np.zeros(50), 25, age)[-1] == 0.0


def test_range_volatility_finds_sigma_of_a_brownian_motion() -> None:
    rng = np.random.default_rng(2)
    path = np.cumsum(rng.normal(0, 0.01 / np.sqrt(1_000), (2_000, 1_000)), axis=1)
    high, low = np.exp(np.maximum(path.max(axis=1), 0)), np.exp(np.minimum(path.min(axis=1), 0))
    found = realised_volatility(high, low, 2_000, np.arange(2_000))[-1]
    # Parkinson (1980); a path seen at 1,000 points misses about 3 % of its range, the estimate has standard error 0.8 %
    assert found == pytest.approx(0.01, rel=0.06)


def test_illiquidity_is_move_per_money_and_infinite_without_trade() -> None:
    age = np.arange(6)
    returns = np.array([0.0, 0.01, -0.02, 0.01, 0.0, 0.0])
    money = np.array([9.0, 1.0, 2.0, 3.0, 0.0, 0.0])
    np.testing.assert_allclose(illiquidity(returns, money, 2, age), [np.nan, np.nan, 0.01, 0.006, 0.01 / 3, np.inf])


@settings(max_examples=50, deadline=None)
@given(
    values=arrays(np.float64, st.integers(1, 50), elements=st.sampled_from([0.0, 0.1, 1e9, -3.7])),
    window=st.integers(1, 12),
    gap=st.integers(0, 49),
)
def test_rolling_sum_is_the_sum_and_exactly_zero_over_zeros(values: np.ndarray, window: int, gap: int) -> None:
    n = len(values)
    age = np.where(np.arange(n) < gap, np.arange(n), np.arange(n) - gap)
    found = rolling_sum(values, window, age)
    for t in range(n):
        if age[t] < window - 1:
            assert np.isnan(found[t])
        else:
            part = values[t - window + 1 : t + 1]
            assert found[t] == pytest.approx(part.sum(), abs=1e-4)
            assert part.any() or found[t] == 0.0


def test_return_over_a_gap_is_not_a_return() -> None:
    assert log_returns(np.array([1.0, 2.0, 50.0, 50.0]), np.array([0, 1, 0, 1])).tolist() == [0.0, np.log(2), 0.0, 0.0]


@settings(max_examples=80, deadline=None)
@given(flags=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_latch_equals_the_loop(flags: list[tuple[bool, bool]]) -> None:
    on, off = (np.array([f[k] for f in flags], dtype=bool) for k in (0, 1))
    state, states = False, []
    for turn_on, turn_off in flags:
        state = True if turn_on else (False if turn_off else state)
        states.append(state)
    assert latch(on, off).tolist() == states


@settings(max_examples=80, deadline=None)
@given(proposals=st.lists(st.integers(-1, 2), max_size=60), duration=st.integers(1, 6))
def test_confirmed_equals_the_loop(proposals: list[int], duration: int) -> None:
    state, run, before, states = -1, 0, None, []
    for proposal in proposals:
        run = run + 1 if proposal == before else 1
        before = proposal
        if proposal < 0:
            state = -1
        elif run >= duration:
            state = proposal
        states.append(state)
    assert confirmed(np.array(proposals, np.int8), duration).tolist() == states
