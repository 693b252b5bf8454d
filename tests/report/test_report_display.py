"""What is made smaller for the screen keeps what matters; scales put values where they belong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.report.charts.curves import drawdown_chart, equity_chart
from huracan.report.charts.intervals import ForestScale, Interval
from huracan.report.charts.scales import Scale, nice_ticks, time_ticks
from huracan.report.display import REGIMES, most_traded, shown_candles, thinned

START = datetime(2025, 3, 30, 5, tzinfo=UTC)


def market(
    n_bars: int, *, missing: tuple[int, ...] = (), symbol: str = "A", seed: int = 1
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hourly candles with holes, and regimes drawn at random, some unknown."""
    rng = np.random.default_rng(seed)
    at = [i for i in range(n_bars) if i not in missing]
    close = 50.0 * np.exp(np.cumsum(rng.normal(0, 0.02, len(at))))
    opened = close * np.exp(rng.normal(0, 0.01, len(at)))
    candles = pl.DataFrame(
        {
            "symbol": [symbol] * len(at),
            "ts": [START + timedelta(hours=i) for i in at],
            "open": opened,
            "high": np.maximum(opened, close) + 1.0,
            "low": np.minimum(opened, close) - 1.0,
            "close": close,
            "volume": rng.gamma(2.0, 3.0, len(at)),
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))
    names = [*REGIMES, None]
    regimes = candles.select("symbol", "ts").with_columns(
        pl.Series("regime", [names[i] for i in rng.integers(0, 5, len(at))], dtype=pl.String)
    )
    return candles, regimes


@settings(max_examples=40, deadline=None)
@given(n_bars=st.integers(2, 900), most=st.integers(5, 300), hole=st.integers(0, 50), seed=st.integers(0, 5))
def test_longer_bars_keep_first_last_highest_lowest_and_all_volume(n_bars: int, most: int, hole: int, seed: int) -> None:
    missing = tuple(range(n_bars // 2, min(n_bars // 2 + hole, n_bars - 1)))
    candles, regimes = market(n_bars, missing=missing, seed=seed)
    shown = shown_candles(candles, regimes, "A", most=most)
    assert 1 <= len(shown) <= most + 1
    assert shown.bar % shown.source_bar == 0
    assert np.all(np.diff(shown.slot) > 0)
    assert shown.open[0] == candles["open"][0]
    assert shown.close[-1] == candles["close"][-1]
    assert shown.high.max() == candles["high"].max()
    assert shown.low.min() == candles["low"].min()
    assert shown.volume.sum() == pytest.approx(candles["volume"].sum())
    assert np.all(shown.high >= np.maximum(shown.open, shown.close))


def test_bars_that_fit_are_drawn_as_they_are_with_their_own_regimes() -> None:
    candles, regimes = market(60, missing=(20, 21))
    for shown in (shown_candles(candles, regimes, "A", most=60), shown_candles(candles, regimes, "A", most=60, tail=True)):
        assert shown.close.tolist() == candles["close"].to_list()
        assert [None if i < 0 else REGIMES[i] for i in shown.regime] == regimes["regime"].to_list()
        assert shown.slot.tolist() == [i for i in range(60) if i not in (20, 21)]


def test_the_latest_bars_are_the_last_ones_untouched() -> None:
    candles, regimes = market(500)
    shown = shown_candles(candles, regimes, "A", most=40, tail=True)
    assert shown.bar == shown.source_bar == 3_600_000
    assert shown.close.tolist() == candles["close"].tail(40).to_list()


def test_a_longer_bar_has_the_regime_that_held_longest_in_it() -> None:
    candles, regimes = market(96)
    held = ["trending"] * 15 + ["volatile"] * 9
    start = candles["ts"][0]
    regimes = regimes.with_columns(pl.Series("regime", [held[(start + timedelta(hours=i)).hour] for i in range(96)]))
    shown = shown_candles(candles, regimes, "A", most=6)
    assert shown.bar == 86_400_000
    assert {REGIMES[i] for i in shown.regime[1:-1]} == {"trending"}


def test_unknown_regimes_missing_prices_and_absent_symbols_draw_nothing_wrong() -> None:
    candles, regimes = market(30)
    strange = regimes.with_columns(regime=pl.lit("sideways"))
    assert set(shown_candles(candles, strange, "A", most=50).regime) == {-1}
    assert set(shown_candles(candles, regimes.clear(), "A", most=50).regime) == {-1}
    holed = candles.with_columns(pl.when(pl.int_range(pl.len()) == 3).then(float("nan")).otherwise("close").alias("close"))
    assert len(shown_candles(holed, regimes, "A", most=50)) == 29
    assert len(shown_candles(candles, regimes, "B", most=50)) == 0


def test_the_most_traded_symbols_come_first() -> None:
    frames = [market(20, symbol=name)[0].with_columns(volume=pl.lit(v)) for name, v in (("A", 1.0), ("B", 9.0), ("C", 4.0))]
    assert most_traded(pl.concat(frames), 2) == ["B", "C"]


@given(rows=st.integers(1, 2_000), most=st.integers(2, 300))
def test_thinning_keeps_both_ends_in_order(rows: int, most: int) -> None:
    kept = thinned(pl.DataFrame({"x": range(rows)}), most)["x"].to_list()
    assert len(kept) <= max(most, 2)
    assert kept[0] == 0
    assert kept[-1] == rows - 1
    assert kept == sorted(set(kept))


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-6, 1e6).filter(lambda s: s > 1e-6), about=st.integers(2, 8))
def test_ticks_are_round_evenly_spaced_and_inside(low: float, span: float, about: int) -> None:
    high = low + span
    if not high - low > 1e-9 * max(abs(low), abs(high), 1e-3):
        return
    ticks = nice_ticks(low, high, about)
    slack = 1e-6 * span + 1e-9 * max(abs(low), abs(high))
    assert 2 <= len(ticks) <= 2 * about + 3
    assert all(low - slack <= t <= high + slack for t in ticks)
    if len(ticks) > 2:
        steps = np.diff(ticks)
        assert np.allclose(steps, steps[0], rtol=1e-3, atol=slack)


@given(hours=st.integers(1, 400_000), start=st.integers(0, 60_000))
def test_time_ticks_are_inside_and_few(hours: int, start: int) -> None:
    begin = 1_000_000_000.0 + 3600.0 * start
    ticks = time_ticks(begin, begin + 3600.0 * hours)
    assert len(ticks) <= 10
    assert all(begin <= at <= begin + 3600.0 * hours for at, _ in ticks)
    assert len({label for _, label in ticks}) == len(ticks) or hours <= 108, "hours of the day come again"


def test_log_scale_places_equal_ratios_at_equal_distances() -> None:
    scale = Scale(1.0, 16.0, log=True)
    assert scale(4.0) - scale(2.0) == pytest.approx(scale(8.0) - scale(4.0))
    assert all(1.0 <= t <= 16.0 for t in scale.ticks())


def test_one_wild_interval_does_not_squeeze_the_others() -> None:
    usual = [Interval(0.01 * i, 0.01 * i - 0.05, 0.01 * i + 0.05) for i in range(9)]
    wild = Interval(0.0, -50.0, 50.0)
    scale = ForestScale.of([*usual, wild])
    assert scale.scale(0.05) - scale.scale(-0.05) > 0.2
    assert "beyond" in scale.cell(wild, "wild")
    assert "beyond" not in scale.cell(usual[4], "usual")
    assert 0.0 < scale.scale(0.0) < 1.0


def test_deepest_drawdown_is_the_one_of_the_whole_curve_not_of_what_is_drawn() -> None:
    n = 20_000
    net = np.ones(n)
    net[12_345] = 0.4
    ts = pl.datetime_range(START, START + timedelta(minutes=n - 1), "1m", time_unit="ms", eager=True)
    equity = pl.DataFrame({"ts": ts, "net": net, "gross": np.ones(n), "buy_and_hold": np.ones(n)})
    assert "deepest net −60.0%" in drawdown_chart(equity, None)
    assert len(drawdown_chart(equity, None)) < 200_000


def test_the_hold_out_is_shaded_from_its_first_bar() -> None:
    ts = pl.datetime_range(START, START + timedelta(hours=100), "1h", time_unit="ms", eager=True)
    equity = pl.DataFrame({"ts": ts, "net": 1.0, "gross": 1.0, "buy_and_hold": 1.0})
    chart = equity_chart(equity, START + timedelta(hours=75))
    assert 'class="held-out" d="M1500 0H2000' in chart, "three quarters of the 2,000 units of width"
    assert ">hold-out<" in chart
    assert "held-out" not in equity_chart(equity, None)
