"""The classifier: causal, calm, blind to scale, and right where the truth is known."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from huracan.errors import CandleError, DataError, UnknownName
from huracan.market import read_candles, simulate_market
from huracan.model_info import MarketRegime
from huracan.regimes import RegimeClassifier, classify_regimes, current_regime

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SMALL = RegimeClassifier(trend_window=8, volatility_window=6, lookback=40, minimum_duration=3)


def make_candles(
    returns: np.ndarray,
    volume: np.ndarray | float = 1_000.0,
    wick: float = 0.001,
    gaps: tuple[int, ...] = (),
    symbol: str = "A",
) -> pl.DataFrame:
    """Hourly candles with these close-to-close returns; a gap of three hours before each bar in ``gaps``."""
    n = len(returns)
    close = 100 * np.exp(np.cumsum(returns))
    open_ = np.concatenate(([100.0], close[:-1]))
    step = np.ones(n, dtype=int)
    step[list(gaps)] = 4
    return pl.DataFrame(
        {
            "symbol": symbol,
            "ts": [START + HOUR * int(k) for k in np.cumsum(step)],
            "open": open_,
            "high": np.maximum(open_, close) * (1 + wick),
            "low": np.minimum(open_, close) / (1 + wick),
            "close": close,
            "volume": np.broadcast_to(np.asarray(volume, dtype=np.float64), (n,)),
        },
        schema_overrides={"ts": pl.Datetime("ms", "UTC")},
    )


def random_candles(seed: int, n: int, gaps: tuple[int, ...] = (), symbol: str = "A") -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    scale = np.exp(np.cumsum(rng.normal(0, 0.1, n)) / 3)
    volume = np.exp(rng.normal(5, 1, n)) * (rng.random(n) > 0.1)
    return make_candles(rng.normal(0, 0.004, n) * scale, volume, gaps=gaps, symbol=symbol)


def said(frame: pl.DataFrame, first: int, last: int | None = None) -> set[str | None]:
    return set(frame["regime"][first:last].to_list())


@pytest.mark.parametrize("name", ["SOL-USDT_1m", "LINK-USDT_1m", "BTC-USDT_USDT_1m"])
def test_prefix_gives_the_same_to_the_bit_on_real_candles(market_data: Path, name: str) -> None:
    candles = read_candles(market_data / "candles" / f"{name}.parquet")[:15_000]
    classifier = RegimeClassifier()
    whole = classifier.classify(candles)
    assert whole["regime"].drop_nulls().n_unique() == 4
    for cut in np.linspace(2, candles.height, 50, dtype=int):
        assert_frame_equal(classifier.classify(candles[:cut]), whole[:cut], check_exact=True)


def test_prefix_gives_the_same_on_daily_candles_of_many_symbols(market_data: Path) -> None:
    candles = read_candles(market_data / "candles" / "daily_40.parquet")
    whole = classify_regimes(candles)
    for day in candles["ts"].unique().sort()[200::150]:
        part = classify_regimes(candles.filter(pl.col("ts") <= day))
        assert_frame_equal(part, whole.filter(pl.col("ts") <= day), check_exact=True)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.integers(2, 200), gap=st.integers(1, 199))
def test_prefix_gives_the_same_across_gaps(seed: int, cut: int, gap: int) -> None:
    candles = random_candles(seed, 200, gaps=(gap,))
    assert_frame_equal(SMALL.classify(candles[:cut]), SMALL.classify(candles)[:cut], check_exact=True)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), duration=st.integers(1, 12))
def test_no_regime_is_shorter_than_the_minimum_duration(seed: int, duration: int) -> None:
    classifier = RegimeClassifier(trend_window=8, volatility_window=6, lookback=40, minimum_duration=duration)
    regimes = classifier.classify(random_candles(seed, 400))["regime"].drop_nulls()
    lengths = regimes.rle().struct.field("len")
    assert (lengths[:-1] >= duration).all()


def test_scales_of_price_and_volume_do_not_matter() -> None:
    candles = random_candles(2, 400)
    scaled = candles.with_columns(pl.col("open", "high", "low", "close") * 2**9, pl.col("volume") * 2**-6)  # exact in binary
    assert_frame_equal(SMALL.classify(scaled), SMALL.classify(candles), check_exact=True)


def test_symbols_do_not_touch_each_other() -> None:
    one, two = random_candles(3, 300, symbol="A"), random_candles(4, 250, gaps=(90,), symbol="B")
    together = SMALL.classify(pl.concat([one, two]))
    assert_frame_equal(together, pl.concat([SMALL.classify(one), SMALL.classify(two)]), check_exact=True)


def test_no_window_reaches_across_a_gap() -> None:
    gap = 200
    candles = random_candles(5, 400, gaps=(gap,))
    regimes = SMALL.classify(candles)
    assert regimes["trend_strength"][gap : gap + 8].is_null().all()
    assert regimes["trend_strength"][gap + 8 :].is_not_null().all()
    assert regimes["regime"][gap : gap + 8 + 2].is_null().all()  # the trend window, then two of three confirmations
    before = pl.int_range(pl.len()) < gap
    altered = candles.with_columns(
        [pl.when(before).then(pl.col(c) * 3).otherwise(pl.col(c)) for c in ("open", "high", "low", "close", "volume")]
    )
    found, other = (SMALL.classify(c)["trend_strength"][gap:].to_numpy() for c in (candles, altered))
    np.testing.assert_allclose(found, other, atol=1e-9)


def test_first_regime_comes_after_the_warm_up_and_not_later_where_nothing_changes() -> None:
    windows = SMALL.windows(HOUR)
    drift = make_candles(np.full(100, 0.002))
    regimes = SMALL.classify(drift)["regime"]
    assert int(regimes.is_not_null().arg_max() or 0) == windows.warmup == 18
    assert SMALL.classify(drift[: windows.warmup])["regime"].is_null().all()


@pytest.mark.parametrize("sign", [1, -1])
def test_steady_drift_is_a_trend(sign: int) -> None:
    rng = np.random.default_rng(6)
    returns = rng.normal(0, 0.004, 900)
    returns[600:] = np.abs(returns[600:]) * sign
    money = rng.lognormal(12, 0.3, 900)
    regimes = classify_regimes(make_candles(returns, money / np.exp(np.cumsum(returns))))
    assert (regimes["trend_strength"][680:] * sign > 4).all()
    assert "ranging" not in said(regimes, 680)
    assert (regimes["regime"][680:] == "trending").mean() > 0.6  # the rest ranks as volatile or illiquid


def test_alternating_price_ranges() -> None:
    returns = 0.004 * np.where(np.arange(900) % 2, 1, -1)
    volume = np.random.default_rng(7).lognormal(5, 0.5, 900)
    regimes = classify_regimes(make_candles(returns, volume))
    assert (np.abs(regimes["trend_strength"].drop_nulls().to_numpy()) < 0.2).all()
    assert said(regimes, 300) <= {"ranging", "illiquid"}
    assert (regimes["regime"][300:] == "ranging").mean() > 0.6


def test_larger_moves_are_volatile_and_thinner_trade_is_illiquid_even_if_volatile() -> None:
    rng = np.random.default_rng(8)
    returns = rng.normal(0, 0.004, 1_000)
    returns[700:] *= 4
    volume = rng.lognormal(5, 0.3, 1_000)
    volume[700:] *= 3
    assert said(classify_regimes(make_candles(returns, volume)), 740, 900) == {"volatile"}
    volume[700:] *= 0.02
    assert said(classify_regimes(make_candles(returns, volume)), 740, 900) == {"illiquid"}


def test_one_jump_is_no_trend() -> None:
    returns = np.random.default_rng(9).normal(0, 1e-5, 400)
    returns[300] = 0.4
    strength = np.abs(classify_regimes(make_candles(returns))["trend_strength"].to_numpy()[300:340])
    assert np.all(strength < 1.01)


def test_dead_coin_is_illiquid_however_long_it_is_dead() -> None:
    regimes = classify_regimes(make_candles(np.zeros(2_000), 0.0, wick=0.0))
    assert said(regimes, 300) == {"illiquid"}


def test_constant_price_that_trades_is_ranging() -> None:
    rng = np.random.default_rng(10)
    regimes = classify_regimes(make_candles(np.zeros(1_000), rng.lognormal(5, 0.2, 1_000), wick=0.0))
    assert (regimes["trend_strength"].drop_nulls() == 0).all()
    assert (regimes["volatility_rank"].drop_nulls() == 0.5).all()
    assert said(regimes, 300) == {"ranging"}


@pytest.mark.parametrize("n", [0, 1, 2, 5, 100])
def test_fewer_candles_than_the_warm_up_have_no_regime(n: int) -> None:
    regimes = classify_regimes(random_candles(0, 100)[:n])
    assert regimes.height == n
    assert regimes["regime"].is_null().all()
    assert regimes.schema["regime"] == pl.String


def test_current_regime_names_every_symbol() -> None:
    candles = pl.concat(
        [random_candles(1, 300, symbol="A"), random_candles(2, 5, symbol="B"), random_candles(3, 1, symbol="C")]
    )
    now = current_regime(candles, **SMALL.to_dict())
    assert now == {"A": MarketRegime(str(SMALL.classify(candles)["regime"][299])), "B": None, "C": None}


def test_settings_survive_json_and_the_hash_knows_them() -> None:
    classifier = RegimeClassifier(trend_window=np.int64(50), volatile_enter=1)
    again = RegimeClassifier.from_dict(json.loads(json.dumps(classifier.to_dict())))
    assert again == classifier
    assert again.hash == classifier.hash
    assert len(classifier.hash) == 16
    others = [RegimeClassifier(), RegimeClassifier(trend_window=51), RegimeClassifier(volatile_enter=0.99)]
    assert len({classifier.hash, *(c.hash for c in others)}) == 4


@pytest.mark.parametrize(
    ("bar", "trend_window"), [(timedelta(minutes=1), 240), (HOUR, 48), (timedelta(hours=4), 48), (timedelta(days=1), 30)]
)
def test_default_windows_follow_the_bar_length(bar: timedelta, trend_window: int) -> None:
    assert RegimeClassifier().windows(bar).trend_window == trend_window
    assert RegimeClassifier(lookback=77).windows(bar).lookback == 77


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"trend_window": 1}, "trend_window is 1"),
        ({"lookback": 2.5}, "lookback is 2.5"),
        ({"minimum_duration": True}, "minimum_duration is True"),
        ({"trend_exit": 9.0}, "trend_exit is 9.0; a number from 0.0 to 1.1"),
        ({"volatile_enter": 1.5}, "volatile_enter is 1.5"),
        ({"illiquid_enter": float("nan")}, "illiquid_enter is nan"),
        ({"zero_volume_share": "half"}, "zero_volume_share is 'half'"),
    ],
)
def test_settings_out_of_bounds_are_named(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        RegimeClassifier(**bad)


def test_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'trend_window'"):
        classify_regimes(random_candles(0, 10), trend_windows=5)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("close", 0.0, "close is not a finite price"),
        ("high", float("nan"), "high is not a finite price"),
        ("low", None, "low is not a finite price"),
        ("volume", -1.0, "volume is not a finite number"),
        ("volume", None, "volume is not a finite number"),
    ],
)
def test_impossible_candle_is_named(column: str, value: float | None, words: str) -> None:
    candles = random_candles(0, 20).with_columns(
        pl.when(pl.int_range(pl.len()) == 3).then(value).otherwise(pl.col(column)).alias(column)
    )
    with pytest.raises(CandleError, match=f"A at 2026-01-01 04:00 UTC cannot be used: {words}"):
        classify_regimes(candles)


def test_unsorted_candles_and_missing_columns_are_refused() -> None:
    candles = random_candles(0, 20)
    with pytest.raises(CandleError, match="not after the row above"):
        classify_regimes(candles.reverse())
    with pytest.raises(CandleError, match=r"lack the column\(s\) volume"):
        classify_regimes(candles.drop("volume"))
    with pytest.raises(CandleError, match="'ts' is empty in row 2"):
        classify_regimes(candles.with_columns(ts=pl.when(pl.int_range(pl.len()) != 2).then(pl.col("ts"))))
    with pytest.raises(CandleError, match="candles are a dict"):
        classify_regimes({})  # type: ignore[arg-type]


def test_history_of_lookback_and_warm_up_is_enough(market_data: Path) -> None:
    candles = read_candles(market_data / "candles" / "LTC-USDT_1m.parquet")[:40_000]
    windows = RegimeClassifier().windows(timedelta(minutes=1))
    whole = classify_regimes(candles)[-10_000:]
    recent = classify_regimes(candles[-(10_000 + windows.lookback + windows.warmup) :])[-10_000:]
    assert (whole["regime"] == recent["regime"]).mean() > 0.99


def test_regimes_of_a_simulated_market_are_found_better_than_by_chance() -> None:
    market = simulate_market(n_bars=6_000, n_symbols=3, seed=1, signal_strength=1.0)
    found = classify_regimes(market.candles).join(
        market.regimes.select("symbol", "ts", truth=pl.col("regime").cast(pl.String)), on=["symbol", "ts"]
    )
    found = found.drop_nulls("regime")
    lanes = [(one["truth"].to_numpy(), one["regime"].to_numpy()) for one in found.partition_by("symbol")]
    truth, guess = (np.concatenate(column) for column in zip(*lanes))
    # chance, autocorrelation included: the same guesses, turned by a random stretch of time
    rng = np.random.default_rng(0)
    turned = [np.mean(np.concatenate([t == np.roll(g, rng.integers(500, len(g) - 500)) for t, g in lanes])) for _ in range(100)]
    assert np.mean(truth == guess) - np.mean(turned) > 4 * np.std(turned)  # measured on eight markets: 6 to 12
    for regime in ("trending", "volatile", "illiquid"):  # ranging is what is left over
        assert np.mean(guess[truth == regime] == regime) > np.mean(guess[truth != regime] == regime)


def test_no_regime_is_degenerate_on_real_days(market_data: Path) -> None:
    regimes = classify_regimes(read_candles(market_data / "candles" / "daily_40.parquet"))["regime"].drop_nulls()
    shares = dict(regimes.value_counts(normalize=True).iter_rows())
    assert set(shares) == {str(r) for r in MarketRegime}
    assert all(0.05 <= share <= 0.6 for share in shares.values()), shares


@pytest.mark.slow
def test_no_regime_is_degenerate_on_real_minutes(market_data: Path) -> None:
    for path in sorted((market_data / "candles").glob("*_1m.parquet")):
        regimes = classify_regimes(read_candles(path))["regime"].drop_nulls()
        shares = dict(regimes.value_counts(normalize=True).iter_rows())
        assert len(shares) == 4
        assert all(0.05 <= share <= 0.6 for share in shares.values()), (path.name, shares)
