"""Triple barrier and uniqueness against loops that follow the book bar by bar, and by hand where order matters."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.labels import forward_return_labels, triple_barrier_labels, uniqueness_weights
from huracan.labels.first_touch import first_outside
from huracan.market import with_segments

HOUR = timedelta(hours=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def candles_of(bars: list[tuple[float, float, float, float]], ts: list[int] | None = None, symbol: str = "A") -> pl.DataFrame:
    hours = list(range(len(bars))) if ts is None else ts
    return pl.DataFrame(
        [(symbol, START + HOUR * h, *bar, 1.0) for h, bar in zip(hours, bars, strict=True)],
        schema={
            "symbol": pl.String,
            "ts": pl.Datetime("ms", "UTC"),
            **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64),
        },
        orient="row",
    )


@st.composite
def coarse_candles(draw: st.DrawFn) -> pl.DataFrame:
    """Prices on a grid of a few levels, so that gaps, ties and bars that touch both barriers are common."""
    frames = []
    for symbol in ("A", "B")[: draw(st.integers(1, 2))]:
        n = draw(st.integers(6, 45))
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        level = 100 + np.cumsum(rng.integers(-2, 3, n))
        bars = []
        for centre in level:
            o, c = centre + rng.integers(-1, 2, 2)
            bars.append((o, max(o, c) + rng.integers(0, 3), min(o, c) - rng.integers(0, 3), c))
        hours = np.cumsum(1 + (rng.random(n) < 0.05)).tolist()
        frames.append(candles_of(bars, hours, symbol))
    return pl.concat(frames)


def slow_triple_barrier(
    candles: pl.DataFrame, volatility: pl.Series, horizon: int, profit: float, loss: float, side: list[int]
) -> list[tuple[Any, Any, Any]]:
    """Chapter 3 of the book as a loop: one row, one bar, one question at a time."""
    rows = with_segments(candles).to_dicts()
    answers: list[tuple[Any, Any, Any]] = []
    for i in range(len(rows)):
        path = rows[i + 1 : i + 2 + horizon]
        whole = len(path) == horizon + 1 and all(
            (bar["symbol"], bar["segment"]) == (rows[i]["symbol"], rows[i]["segment"]) for bar in path
        )
        sigma = volatility[i]
        if not whole or sigma is None or sigma == 0 or side[i] == 0:
            answers.append((None, None, None))
            continue
        entry = path[0]["open"]
        unit = sigma * math.sqrt(horizon)
        if side[i] > 0:
            upper, lower = entry * math.exp(profit * unit), entry * math.exp(-loss * unit)
        else:
            upper, lower = entry * math.exp(loss * unit), entry * math.exp(-profit * unit)
        answer = (0.0, path[horizon]["ts"], path[horizon]["open"] / entry - 1)
        for bar in path[:horizon]:
            if bar["open"] >= upper:
                found = (1.0, bar["open"])
            elif bar["open"] <= lower:
                found = (-1.0, bar["open"])
            elif bar["high"] >= upper and bar["low"] <= lower:
                found = (-1.0, lower) if side[i] > 0 else (1.0, upper)
            elif bar["high"] >= upper:
                found = (1.0, upper)
            elif bar["low"] <= lower:
                found = (-1.0, lower)
            else:
                continue
            answer = (found[0], bar["ts"] + HOUR, found[1] / entry - 1)
            break
        answers.append(answer)
    return answers


@settings(max_examples=120, deadline=None)
@given(
    candles=coarse_candles(),
    horizon=st.integers(1, 9),
    profit=st.sampled_from([0.2, 0.5, 1.0, 2.0, math.inf]),
    loss=st.sampled_from([0.2, 0.5, 1.0, 2.0, math.inf]),
    sided=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_triple_barrier_equals_the_loop(
    candles: pl.DataFrame, horizon: int, profit: float, loss: float, sided: bool, seed: int
) -> None:
    n = candles.height
    side = np.random.default_rng(seed).integers(-1, 2, n).tolist() if sided else [1] * n
    labels = triple_barrier_labels(
        candles,
        horizon=horizon,
        take_profit=None if profit == math.inf else profit,
        stop_loss=None if loss == math.inf else loss,
        side=side if sided else None,
        volatility_span=4,
    )
    expected = slow_triple_barrier(candles, labels["volatility"], horizon, profit, loss, side)
    found = labels.select("label", "label_end", "execution_return").rows()
    for row, (got, want) in enumerate(zip(found, expected, strict=True)):
        assert got[:2] == want[:2], f"row {row}"
        assert (got[2] is None) == (want[2] is None)
        if want[2] is not None:
            assert got[2] == pytest.approx(want[2], abs=1e-14)


def slow_uniqueness(labels: pl.DataFrame) -> list[float]:
    """Section 4.3 and 4.4: count who is alive in each bar, then average one over the count."""
    weights = [0.0] * labels.height
    for symbol in labels["symbol"].unique():
        rows = [i for i in range(labels.height) if labels["symbol"][i] == symbol]
        lives = {}
        for place, i in enumerate(rows):
            end = labels["label_end"][i]
            if end is not None:
                lives[i] = {j for j in rows[place + 1 :] if labels["ts"][j] < end}
        average = {
            i: sum(1 / sum(bar in other for other in lives.values()) for bar in life) / len(life) for i, life in lives.items()
        }
        for i, value in average.items():
            weights[i] = value / (sum(average.values()) / len(average))
    return weights


@settings(max_examples=60, deadline=None)
@given(candles=coarse_candles(), horizon=st.integers(1, 9), barrier=st.booleans())
def test_uniqueness_equals_the_loop(candles: pl.DataFrame, horizon: int, barrier: bool) -> None:
    if barrier:
        labels = triple_barrier_labels(candles, horizon=horizon, take_profit=0.5, stop_loss=0.5, volatility_span=4)
    else:
        labels = forward_return_labels(candles, horizon=horizon)
    np.testing.assert_allclose(uniqueness_weights(labels).to_numpy(), slow_uniqueness(labels), rtol=1e-12, atol=1e-15)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), horizon=st.integers(1, 40), chunk=st.sampled_from([1, 7, 1000]))
def test_first_outside_equals_the_walk_whatever_the_chunks(seed: int, horizon: int, chunk: int) -> None:
    rng = np.random.default_rng(seed)
    middle = np.cumsum(rng.integers(-2, 3, 150)).astype(float)
    high, low = middle + rng.integers(0, 3, 150), middle - rng.integers(0, 3, 150)
    start = np.flatnonzero(rng.random(150 - horizon) < 0.7)
    upper, lower = middle[start] + rng.integers(1, 12, len(start)), middle[start] - rng.integers(1, 12, len(start))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huracan.labels.first_touch._CHUNK", chunk)
        found = first_outside(high, low, start, upper, lower, horizon)
    for i, first in enumerate(start):
        outside = [k for k in range(first, first + horizon) if high[k] >= upper[i] or low[k] <= lower[i]]
        assert found[i] == (outside[0] if outside else first + horizon)


QUIET = [(100.0, 100.0, 100.0, 100.0), (100.0, 102.0, 100.0, 102.0), (102.0, 102.0, 100.0, 100.0)]
"""Three bars that leave a volatility of about 2 %: barriers of one unit at horizon 1 lie near 98 and 102."""


@pytest.mark.parametrize(
    ("bar", "side", "label", "exit_price"),
    [
        ((100.0, 101.0, 99.0, 100.0), 1, 0.0, 100.0),  # neither: the next open
        ((100.0, 105.0, 99.0, 100.0), 1, 1.0, "upper"),
        ((100.0, 101.0, 95.0, 100.0), 1, -1.0, "lower"),
        ((100.0, 105.0, 95.0, 100.0), 1, -1.0, "lower"),  # both, long: the stop below
        ((100.0, 105.0, 95.0, 100.0), -1, 1.0, "upper"),  # both, short: the stop above
    ],
)
def test_one_bar_by_hand(bar: tuple[float, float, float, float], side: int, label: float, exit_price: float | str) -> None:
    candles = candles_of([*QUIET, bar, (100.0,) * 4])
    labels = triple_barrier_labels(candles, horizon=1, take_profit=1.0, stop_loss=1.0, side=[side] * 5, volatility_span=4)
    sigma = labels["volatility"][2]
    price = {"upper": 100 * math.exp(sigma), "lower": 100 * math.exp(-sigma)}.get(str(exit_price), exit_price)
    assert labels["label"][2] == label
    assert labels["execution_return"][2] == pytest.approx(float(price) / 100 - 1, abs=1e-14)
    assert labels["label_end"][2] == candles["ts"][4]


@pytest.mark.parametrize(("gap", "label"), [(90.0, -1.0), (115.0, 1.0)])
def test_gap_beyond_a_barrier_leaves_at_the_open_even_if_the_bar_comes_back(gap: float, label: float) -> None:
    wild = (gap, 120.0, 80.0, 100.0)
    candles = candles_of([*QUIET, (100.0, 100.5, 99.5, 100.0), wild, (100.0,) * 4, (100.0,) * 4])
    labels = triple_barrier_labels(candles, horizon=2, take_profit=1.0, stop_loss=1.0, volatility_span=4)
    assert labels["label"][2] == label
    assert labels["execution_return"][2] == pytest.approx(gap / 100 - 1)
    assert labels["label_end"][2] == candles["ts"][5]  # the close of the wild bar


def test_vertical_sign_and_minimum_return() -> None:
    candles = candles_of([*QUIET, (100.0, 101.0, 99.0, 101.0), (101.0,) * 4])
    options: dict[str, Any] = {"horizon": 1, "take_profit": 1.0, "stop_loss": 1.0, "volatility_span": 4}
    assert triple_barrier_labels(candles, **options)["label"][2] == 0.0
    assert triple_barrier_labels(candles, vertical="sign", **options)["label"][2] == 1.0
    assert triple_barrier_labels(candles, minimum_return=0.5, **options)["label"][2] is None
