"""Properties of labels: where they begin, where they end, and what they must not see."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from huracan.dataset import TrainingSet
from huracan.errors import CandleError, DataError, NotEnoughData
from huracan.labels import forward_return_labels, meta_labels, triple_barrier_labels, uniqueness_weights
from huracan.market import read_candles, with_segments

HOUR = timedelta(hours=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def make_candles(seed: int, n: int, symbols: int = 2, gap_share: float = 0.03, tick: float = 0.01) -> pl.DataFrame:
    """Random hourly candles with gaps; coarse ticks make ties between prices and barriers common."""
    rng = np.random.default_rng(seed)
    frames = []
    for s in range(symbols):
        close = 100 * np.exp(np.cumsum(rng.standard_t(4, n) * 0.01))
        open_ = np.concatenate(([100.0], close[:-1])) * np.exp(rng.normal(0, 0.003, n))
        high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.006, n)))
        low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.006, n)))
        step = 1 + (rng.random(n) < gap_share) * rng.integers(1, 5, n)
        ts = [START + HOUR * int(k) for k in np.cumsum(step)]
        bars = np.maximum(np.round(np.stack([open_, high, low, close]) / tick), 1) * tick
        frames.append(
            pl.DataFrame(
                {"symbol": f"S{s}", "ts": ts, "open": bars[0], "high": bars[1], "low": bars[2], "close": bars[3]},
                schema_overrides={"ts": pl.Datetime("ms", "UTC")},
            ).with_columns(volume=pl.lit(1.0))
        )
    return pl.concat(frames)


def barrier(candles: pl.DataFrame) -> pl.DataFrame:
    return triple_barrier_labels(candles, horizon=6, take_profit=0.8, stop_loss=0.6, volatility_span=8)


def forward(candles: pl.DataFrame) -> pl.DataFrame:
    return forward_return_labels(candles, horizon=4, cost_bps=10, volatility_scaled=True, volatility_span=8)


MAKERS = pytest.mark.parametrize("make", [barrier, forward])


def with_prices(candles: pl.DataFrame, rows: np.ndarray, columns: tuple[str, ...], seed: int) -> pl.DataFrame:
    """Replace prices by arbitrary ones in some rows."""
    rng = np.random.default_rng(seed)
    new = {}
    for name in columns:
        values = candles[name].to_numpy().copy()
        values[rows] = np.exp(rng.normal(0, 4, len(rows)))
        new[name] = pl.Series(values)
    return candles.with_columns(**new)


@MAKERS
def test_frame_has_one_row_for_every_candle_and_the_columns_of_the_contract(
    make: Callable[[pl.DataFrame], pl.DataFrame],
) -> None:
    candles = make_candles(0, 150)
    labels = make(candles)
    assert_frame_equal(labels.select("symbol", "ts"), candles.select("symbol", "ts"))
    assert labels.schema == {
        "symbol": pl.String,
        "ts": pl.Datetime("ms", "UTC"),
        "label": pl.Float64,
        "label_end": pl.Datetime("ms", "UTC"),
        "execution_return": pl.Float64,
        "weight": pl.Float64,
        "volatility": pl.Float64,
    }
    absent = labels.select(pl.col("label", "label_end", "execution_return").is_null())
    assert (absent["label"] == absent["label_end"]).all()
    assert (absent["label"] == absent["execution_return"]).all()


@MAKERS
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_label_ends_after_the_decision_and_within_its_segment(make: Callable[[pl.DataFrame], pl.DataFrame], seed: int) -> None:
    candles = with_segments(make_candles(seed, 120, gap_share=0.1))
    labels = make(candles).with_columns(segment=candles["segment"]).drop_nulls("label")
    ends = labels.join(candles.select("symbol", label_end="ts", end_segment="segment"), on=["symbol", "label_end"], how="left")
    assert (ends["segment"] == ends["end_segment"]).all()
    assert (labels["label_end"] > labels["ts"] + HOUR).all()


@MAKERS
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_label_reads_nothing_after_its_end(
    make: Callable[[pl.DataFrame], pl.DataFrame], seed: int, data: st.DataObject
) -> None:
    candles = make_candles(seed, 90)
    labels = make(candles)
    row = data.draw(st.sampled_from(np.flatnonzero(labels["label"].is_not_null()).tolist()))
    symbol, end = labels["symbol"][row], labels["label_end"][row]
    later = np.flatnonzero(((candles["symbol"] != symbol) | (candles["ts"] > end)).to_numpy())
    at_end = np.flatnonzero(((candles["symbol"] == symbol) & (candles["ts"] == end)).to_numpy())
    altered = with_prices(candles, later, ("open", "high", "low", "close"), seed)
    altered = with_prices(altered, at_end, ("high", "low", "close"), seed + 1)  # its open is the exit at a vertical barrier
    if make is barrier and labels["label"][row] != 0:
        altered = with_prices(altered, at_end, ("open",), seed + 2)
    assert make(altered).row(row) == labels.row(row)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_forward_label_reads_the_opens_of_entry_and_exit_and_nothing_else(seed: int, data: st.DataObject) -> None:
    candles = make_candles(seed, 60, symbols=1, gap_share=0)
    row, h = data.draw(st.integers(0, 50)), data.draw(st.integers(1, 8))
    others = np.setdiff1d(np.arange(60), [row + 1, row + 1 + h])
    altered = with_prices(candles, others, ("open",), seed)
    altered = with_prices(altered, np.arange(60), ("high", "low", "close"), seed)
    before, after = (forward_return_labels(c, horizon=h, cost_bps=5).drop("volatility").row(row) for c in (candles, altered))
    assert before == after
    assert before[4] == candles["open"][row + 1 + h] / candles["open"][row + 1] - 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_barrier_label_knows_the_past_only_through_its_volatility(seed: int, data: st.DataObject) -> None:
    candles = make_candles(seed, 60, symbols=1, gap_share=0)
    row = data.draw(st.integers(10, 50))
    altered = with_prices(candles, np.arange(row + 1), ("open", "high", "low"), seed)  # volatility comes from closes
    assert barrier(altered).row(row) == barrier(candles).row(row)


@MAKERS
def test_price_level_does_not_matter(make: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    candles = make_candles(3, 200)
    doubled = candles.with_columns(pl.col("open", "high", "low", "close") * 2**-7)  # exact in binary
    assert_frame_equal(make(doubled), make(candles), check_exact=True)


def test_volatility_is_prefix_causal_bitwise_on_real_candles(market_data: Path) -> None:
    candles = read_candles(market_data / "candles" / "SOL-USDT_1m.parquet")[:20_000]
    whole = forward_return_labels(candles)["volatility"]
    for cut in np.linspace(60, candles.height, 50, dtype=int):
        part = forward_return_labels(candles[:cut])["volatility"]
        assert part.equals(whole[:cut], null_equal=True)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.integers(2, 99))
def test_volatility_is_prefix_causal_bitwise_across_gaps(seed: int, cut: int) -> None:
    candles = make_candles(seed, 100, symbols=1, gap_share=0.1)
    whole, part = forward(candles)["volatility"], forward(candles[:cut])["volatility"]
    assert part.equals(whole[:cut], null_equal=True)


def test_volatility_finds_the_standard_deviation_of_a_random_walk() -> None:
    rng = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, 40_000)))
    candles = flat_candles(close)
    found = forward_return_labels(candles, volatility_span=100)["volatility"].drop_nulls().to_numpy()
    # E[EWMA of r^2] = sigma^2; over 40,000 bars its mean has relative standard error sqrt(2 / 40_000) = 0.7 %
    assert np.mean(found**2) == pytest.approx(0.004**2, rel=0.03)


def flat_candles(price: np.ndarray) -> pl.DataFrame:
    """Bars that open where the last one closed and touch nothing beyond open and close."""
    open_ = np.concatenate((price[:1], price[:-1]))
    ts = pl.datetime_range(START, START + HOUR * (len(price) - 1), "1h", time_unit="ms", time_zone="UTC", eager=True)
    return pl.DataFrame(
        {
            "symbol": "A",
            "ts": ts,
            "open": open_,
            "high": np.maximum(open_, price),
            "low": np.minimum(open_, price),
            "close": price,
            "volume": 1.0,
        }
    )


def test_which_barrier_comes_first_on_a_random_walk_is_the_gamblers_ruin() -> None:
    rng = np.random.default_rng(11)
    candles = flat_candles(100 * np.exp(np.cumsum(rng.normal(0, 0.001, 200_000))))
    labels = triple_barrier_labels(candles, horizon=400, take_profit=0.25, stop_loss=0.5, volatility_span=2_000)
    shares = labels["label"].drop_nulls().value_counts(normalize=True).sort("label")
    up = dict(shares.iter_rows())[1.0]
    # 5 and 10 steps away, each reached with a mean overshoot of 0.583 steps (Siegmund, 1979): b / (a + b)
    theory = (10 + 0.583) / (15 + 2 * 0.583)
    # an exit takes about a * b = 50 bars: some 4,000 independent trials, standard error 0.008
    assert up == pytest.approx(theory, abs=0.025)


def test_costs_shrink_towards_zero_and_never_change_a_sign() -> None:
    candles = make_candles(8, 300, symbols=1)
    raw = forward_return_labels(candles, horizon=3, kind="simple")["label"].drop_nulls().to_numpy()
    net = forward_return_labels(candles, horizon=3, kind="simple", cost_bps=50)["label"].drop_nulls().to_numpy()
    assert np.all(net * raw >= 0)
    np.testing.assert_allclose(np.abs(net), np.maximum(np.abs(raw) - 0.005, 0), atol=1e-15)
    assert np.any(net == 0)
    assert np.any(net != 0)


def test_direction_is_one_exactly_where_buying_earned_money_after_costs() -> None:
    candles = make_candles(9, 300)
    labels = forward_return_labels(candles, horizon=2, kind="simple", cost_bps=20, direction=True).drop_nulls("label")
    assert (labels["label"].cast(pl.Boolean) == (labels["execution_return"] > 0.002)).all()
    assert labels["label"].is_in([0.0, 1.0]).all()


def test_scaled_label_of_a_random_walk_has_unit_variance_at_every_horizon() -> None:
    rng = np.random.default_rng(13)
    candles = flat_candles(100 * np.exp(np.cumsum(rng.normal(0, 0.002, 60_000))))
    for h in (1, 5, 20):
        label = forward_return_labels(candles, horizon=h, volatility_scaled=True)["label"].drop_nulls().to_numpy()
        # dividing by an estimate over about 100 returns inflates the variance by about 1 / 50
        assert np.var(label) == pytest.approx(1.0, abs=0.12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), cost=st.sampled_from([0.0, 10.0, 80.0]))
def test_meta_label_is_one_exactly_for_bets_that_made_money(seed: int, cost: float) -> None:
    rng = np.random.default_rng(seed)
    labels = barrier(make_candles(seed, 80))
    side = rng.integers(-1, 2, labels.height)
    meta = meta_labels(side, labels, cost_bps=cost)
    for s, made, known, label in zip(
        side, labels["execution_return"], labels["label"].is_not_null(), meta["label"], strict=True
    ):
        assert label == (None if s == 0 or not known else float(s * made > cost / 1e4))
    by_frame = meta_labels(labels.select("symbol", "ts", side=pl.Series(side)).sample(fraction=1, shuffle=True, seed=1), labels)
    assert_frame_equal(by_frame, meta_labels(pl.Series(side), labels))


def test_meta_weights_have_mean_one_over_the_bets() -> None:
    labels = triple_barrier_labels(make_candles(4, 200), horizon=5, volatility_span=8, weights="uniqueness")
    side = np.arange(labels.height) % 3 - 1
    meta = meta_labels(side, labels).filter(pl.col("label").is_not_null())
    assert meta.group_by("symbol").agg(pl.col("weight").mean())["weight"].to_list() == pytest.approx([1.0, 1.0])


def test_labels_that_do_not_overlap_weigh_the_same_and_copies_share_one_weight() -> None:
    alone = forward_return_labels(make_candles(1, 50, symbols=1, gap_share=0), horizon=1)
    assert uniqueness_weights(alone).to_list() == [1.0] * 48 + [0.0] * 2
    every_fourth = alone.with_columns(
        label_end=pl.when(pl.int_range(pl.len()) % 8 < 2).then(pl.col("ts").shift(-5)).otherwise(None)
    )
    # rows 0 and 1 of every eight: two labels of 4 bars that share 3, alone in 1: uniqueness (1 + 3/2) / 4 each
    weights = uniqueness_weights(every_fourth).to_numpy()
    assert set(np.round(weights, 12)) == {0.0, 1.0}


def test_weights_are_as_asked() -> None:
    candles = make_candles(6, 120)
    assert (forward_return_labels(candles, horizon=5)["weight"] == 1.0).all()
    weighted = forward_return_labels(candles, horizon=5, weights="uniqueness")
    assert weighted["weight"].equals(uniqueness_weights(weighted))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: forward_return_labels(c, horizon=0), "horizon is 0"),
        (lambda c: forward_return_labels(c, horizon=1.5), "horizon is 1.5"),
        (lambda c: forward_return_labels(c, kind="ln"), "kind is 'ln'"),
        (lambda c: forward_return_labels(c, cost_bps=math.nan), "cost_bps is nan"),
        (lambda c: forward_return_labels(c, cost_bps=-1), "cost_bps is -1"),
        (lambda c: forward_return_labels(c, weights="unique"), "weights is 'unique'"),
        (lambda c: forward_return_labels(c, volatility_span=1), "volatility_span is 1"),
        (lambda c: triple_barrier_labels(c, horizon=5, take_profit=0), "take_profit is 0"),
        (lambda c: triple_barrier_labels(c, horizon=5, stop_loss=-1.0), "stop_loss is -1.0"),
        (lambda c: triple_barrier_labels(c, horizon=5, vertical="nil"), "vertical is 'nil'"),
        (lambda c: triple_barrier_labels(c, horizon=5, side=[1, -1]), "side has 2 rows where there are 40"),
        (lambda c: meta_labels([1.0], forward_return_labels(c)), "side has 1 rows where there are 40"),
        (lambda c: meta_labels([1.0], c), "lack the column(s) label"),
        (lambda c: uniqueness_weights(c), "lack the column(s) label_end"),
    ],
)
def test_bad_parameters_get_one_sentence(call: Callable[[pl.DataFrame], object], words: str) -> None:
    with pytest.raises(DataError, match=words.replace("(", r"\(").replace(")", r"\)")):
        call(make_candles(0, 20))


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf, None])
def test_impossible_price_is_named_with_its_bar(price: float | None) -> None:
    candles = make_candles(0, 20, symbols=1, gap_share=0)
    candles = candles.with_columns(high=pl.when(pl.int_range(pl.len()) == 7).then(price).otherwise(pl.col("high")))
    with pytest.raises(CandleError, match="'high' of S0 at 2026-01-01 08:00 UTC"):
        forward_return_labels(candles)


def test_candles_out_of_order_are_refused() -> None:
    candles = make_candles(0, 20, symbols=1)
    for wrong in (candles.reverse(), pl.concat([candles, candles[-1:]])):
        with pytest.raises(CandleError, match="not after the row above it"):
            barrier(wrong)
    with pytest.raises(CandleError, match="'symbol' is empty in row 2"):
        barrier(candles.with_columns(symbol=pl.when(pl.int_range(pl.len()) != 2).then(pl.col("symbol"))))
    with pytest.raises(CandleError, match="candles are a list"):
        barrier([])  # type: ignore[arg-type]


class Close:
    """The smallest recipe there is."""

    hash = "close"

    def compute(self, candles: pl.DataFrame) -> pl.DataFrame:
        return with_segments(candles).select("symbol", "ts", "segment", pl.col("close").cast(pl.Float32))


def test_training_rows_end_where_their_labels_do() -> None:
    candles = make_candles(5, 200)
    rows = TrainingSet.from_candles(candles, recipe=Close(), labels=forward_return_labels(candles, horizon=3))
    assert np.all(rows.label_end == rows.decision_time + 3 * rows.bar_length)
    assert rows.execution_return is not None
    np.testing.assert_allclose(rows.y, np.log1p(rows.execution_return), atol=1e-14)
    held = triple_barrier_labels(candles, horizon=3, volatility_span=8)
    rows = TrainingSet.from_candles(candles, recipe=Close(), labels=held)
    assert np.all((rows.label_end > rows.decision_time) & (rows.label_end <= rows.decision_time + 3 * rows.bar_length))
    assert len(rows) == held["label"].drop_nulls().len()


@pytest.mark.parametrize("n", [2, 3, 7])
def test_too_few_candles_give_null_labels(n: int) -> None:
    candles = make_candles(0, 10, symbols=1, gap_share=0)[:n]
    for labels in (forward(candles), barrier(candles)):
        assert labels.height == n
        assert labels["label"].is_null().all()


@pytest.mark.parametrize("n", [0, 1])
def test_one_candle_has_no_bar_length(n: int) -> None:
    with pytest.raises(NotEnoughData, match="two bars of one symbol"):
        forward(make_candles(0, 10, symbols=1)[:n])


def test_constant_price_has_no_barriers_and_no_moves() -> None:
    candles = flat_candles(np.full(80, 42.0))
    assert barrier(candles)["label"].is_null().all()
    assert forward(candles)["label"].is_null().all()
    assert (forward_return_labels(candles)["label"].drop_nulls() == 0).all()
