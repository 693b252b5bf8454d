"""One row at a time, a policy and a volatility are those of arrays."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.accounting import PositionPolicy
from huracan.labels.grid import ewma_volatility
from huracan.serving.scalar_policy import RunningVolatility, ScalarPolicy

numbers = st.floats(-1e3, 1e3, allow_nan=False)
policies = st.builds(
    PositionPolicy,
    mode=st.sampled_from(["threshold", "scaled"]),
    threshold=st.floats(0, 3),
    scale=st.floats(0, 3),
    volatility_target=st.none() | st.floats(0.01, 2),
    cap=st.floats(0, 2),
    holding=st.sampled_from(["latest", "overlap"]),
    horizon=st.integers(1, 5),
    allow_short=st.booleans(),
    center=numbers,
    spread=st.floats(1e-3, 1e3),
)


@settings(max_examples=200, deadline=None)
@given(policies, st.lists(st.tuples(numbers, st.just(0.0) | st.floats(1e-6, 0.1)), min_size=1, max_size=12))
def test_decisions_and_positions_are_those_of_the_policy(policy: PositionPolicy, rows: list[tuple[float, float]]) -> None:
    score, volatility = (np.array(column) for column in zip(*rows))
    decided = policy.decisions(score, volatility=volatility, bars_per_year=8_760.0)
    scalar = ScalarPolicy(policy, 8_760.0)
    recent: deque[float] = deque(maxlen=scalar.horizon)
    held = []
    for one, size in rows:
        recent.append(scalar.decide(one, size))
        held.append(scalar.held(recent))
        assert recent[-1] == pytest.approx(decided[len(held) - 1], rel=1e-12, abs=1e-300)
    assert held == pytest.approx(policy.held(decided).tolist(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("span", [2, 7, 100])
def test_volatility_is_that_of_labels(span: int) -> None:
    close = np.exp(np.cumsum(np.random.default_rng(0).standard_normal(300) * 0.01))
    start = np.where(np.arange(300) < 120, 0, 120)
    running, found = RunningVolatility(span), []
    for i, price in enumerate(close):
        if i == 120:
            running.restart()
        value = running.update(float(price))
        found.append(np.nan if value is None else value)
    np.testing.assert_allclose(found, ewma_volatility(close, start, span), rtol=1e-9)
