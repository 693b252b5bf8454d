"""What ``OnlineFeatures`` takes and refuses, and what gaps, longer bars and many symbols do to it."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan.errors import CandleError, FeatureError, NotEnoughData, UnknownName
from huracan.preprocessing import FeatureRecipe, OnlineFeatures, feature
from huracan.preprocessing.indicators import Bars, indicator, known_indicators, registry
from huracan.preprocessing.spec import CROSS_SECTIONS

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
FINITE = 1e-9


def walk(n: int, seed: int = 0, symbol: str = "A", start: dt.datetime = START, minutes: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    opens = np.r_[close[:1], close[:-1]]
    stretch = rng.exponential(0.004, n)
    return pl.DataFrame(
        {
            "symbol": [symbol] * n,
            "ts": pl.Series([start + dt.timedelta(minutes=minutes * i) for i in range(n)], dtype=pl.Datetime("ms", "UTC")),
            "open": opens,
            "high": np.maximum(opens, close) * (1 + stretch),
            "low": np.minimum(opens, close) * (1 - stretch),
            "close": close,
            "volume": rng.lognormal(3, 1, n),
        }
    )


SMALL = FeatureRecipe([feature("log_return_scaled", horizon=2, volatility_window=5), feature("rsi_scaled", window=4)])


def opened(n: int = 40, recipe: FeatureRecipe = SMALL, **keywords: Any) -> tuple[OnlineFeatures, pl.DataFrame]:
    candles = walk(n + 60)
    return OnlineFeatures.open(recipe, candles[:n], dtype=pl.Float64, **keywords), candles[n:]


def assert_rows(rows: list[dict[str, float | None]], batch: pl.DataFrame) -> None:
    assert rows, "nothing to compare"
    for column in rows[0]:
        ours = np.array([math.nan if row[column] is None else row[column] for row in rows])
        theirs = batch[column].fill_null(math.nan).to_numpy()
        np.testing.assert_allclose(ours, theirs, rtol=FINITE, atol=FINITE, err_msg=column)


# What comes in


def test_a_candle_may_come_in_any_usual_form() -> None:
    candles = walk(50)
    batch = SMALL.compute(candles, dtype=pl.Float64)
    row = candles.row(40, named=True)
    stamp = int(row["ts"].timestamp() * 1000)
    forms: list[Any] = [
        row,
        candles[40],
        {**row, "ts": stamp},
        {**row, "ts": np.int64(stamp)},
        {**row, "ts": np.datetime64(stamp, "ms")},
        {**row, "ts": row["ts"].astimezone(dt.timezone(dt.timedelta(hours=9)))},
        {k: v for k, v in row.items() if k != "symbol"},
        {**row, "close": str(row["close"])},
        {**row, "close": np.float64(row["close"]), "trades": 7},
        {"ts": stamp, "close": row["close"]},
    ]
    for form in forms:
        online = OnlineFeatures.open(SMALL, candles[:40], dtype=pl.Float64)
        assert_rows([online.update(form)], batch[40:41])


def state(online: OnlineFeatures) -> tuple[Any, ...]:
    return tuple((s, online.status(s), online.last[s]) for s in online.symbols)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"ts": START + dt.timedelta(minutes=39)},
            "A: the bar of 2025-01-01 00:39 UTC has been taken already; each bar is taken",
        ),
        ({"ts": START}, "A: the bar of 2025-01-01 00:00 UTC comes after 2025-01-01 00:39 UTC, which is later"),
        (
            {"ts": START + dt.timedelta(minutes=40, seconds=7)},
            "A: .* 00:40:07 UTC is no whole number of bars of 1m after .* 00:39 UTC",
        ),
        ({"ts": dt.datetime(2025, 1, 1, 0, 40)}, "A: 'ts' is datetime.* a time with its zone, or milliseconds"),
        ({"ts": None}, "A: 'ts' is missing"),
        ({"ts": "2025-01-01"}, "A: 'ts' is '2025-01-01'"),
        ({"ts": math.nan}, "A: 'ts' is nan"),
        ({"ts": True}, "A: 'ts' is True"),
        ({"ts": 10**30, "closed": True}, "A: 'ts' is 1000000000000000000000000000000; a time with its zone"),
        ({"closed": False}, "A: the bar of 2025-01-01 00:40 UTC is marked as not closed"),
        ({"is_closed": False}, "marked as not closed; only closed bars are taken"),
        ({"close": 0.0}, "A, 2025-01-01 00:40 UTC: 'close' is 0.0; a positive number"),
        ({"close": -1.0}, "'close' is -1.0; a positive number"),
        ({"close": math.nan}, "'close' is nan; a positive number"),
        ({"close": math.inf}, "'close' is inf; a positive number"),
        ({"close": 1e300}, "'close' is 1e\\+300; a positive number"),
        ({"close": None}, "'close' is None; a positive number"),
        ({"close": "much"}, "'close' is 'much'; a positive number"),
        ({"close": True}, "'close' is True; a positive number"),
        ({"volume": -1.0}, "'volume' is -1.0; a number from 0 to"),
        ({"volume": math.nan}, "'volume' is nan; a number from 0 to"),
        ({"high": 10.0, "low": 11.0}, "A, 2025-01-01 00:40 UTC: high 10.0 is below low 11.0"),
        ({"high": 50.0, "close": 51.0}, "high 50.0 is below close 51.0; low <= open, close <= high was expected"),
        ({"low": 50.0, "close": 49.0}, "is below low 50.0; low <= open, close <= high was expected"),
        ({"close": 1e-200}, "'close' is 1e-200; a positive number .from 1e-100"),
        ({"closed": "false"}, "'closed' of the bar of 2025-01-01 00:40 UTC is 'false'; True or False was expected"),
    ],
)
def test_what_cannot_be_the_next_bar_is_refused_and_nothing_changes(change: dict[str, Any], said: str) -> None:
    recipe = FeatureRecipe(
        [*SMALL.features, feature("range_position", window=5), feature("volume_ratio", window=2, long_window=5)]
    )
    online, rest = opened(recipe=recipe)
    untouched, _ = opened(recipe=recipe)
    before = state(online)
    with pytest.raises(CandleError, match=said):
        online.update({**rest.row(0, named=True), **change})
    assert state(online) == before
    for row in rest.head(10).iter_rows(named=True):
        assert online.update(row) == untouched.update(row)


@pytest.mark.parametrize("price", ["open", "high", "low", "close"])
def test_online_refuses_every_price_that_batch_refuses(price: str) -> None:
    """A bar taken now must be one that a restart can replay from the store."""
    recipe = FeatureRecipe([feature("candle_shape")])
    for factor in (0.0, 0.5, 0.97, 1.03, 2.0, 1e-120, 1e120):
        online, _ = opened(recipe=recipe)
        candles = walk(41).with_columns(
            pl.when(pl.int_range(41) == 40).then(pl.col(price) * factor).otherwise(price).alias(price)
        )
        refused = []
        for take in (lambda given: recipe.compute(given), lambda given: online.update(given[40])):  # noqa: B023
            try:
                take(candles)
                refused.append(False)
            except CandleError:
                refused.append(True)
        assert refused[0] == refused[1], (price, factor)
        assert online.status().bars == (40 if refused[1] else 41)


def test_the_first_bar_of_a_segment_that_is_no_price_changes_nothing() -> None:
    online, rest = opened()
    before = state(online)
    with pytest.raises(CandleError, match="'close' is 1e-310; a positive number"):
        online.update({**rest.row(5, named=True), "close": 1e-310})
    assert state(online) == before


def test_pandas_rows_are_candles_too() -> None:
    pandas_rows, polars_rows = opened()[0], opened()[0]
    _, rest = opened()
    frame = rest.to_pandas()
    assert pandas_rows.update(frame.iloc[0]) == polars_rows.update(rest[0])
    assert pandas_rows.update(frame.iloc[1:2]) == polars_rows.update(rest[1])
    assert pandas_rows.update_all(frame.iloc[2:3]) == polars_rows.update_all(rest[2])
    with pytest.raises(CandleError, match="a frame of 2 rows was given as a candle; one row"):
        pandas_rows.update(frame.iloc[3:5])


def test_things_that_are_no_candles_are_refused() -> None:
    online, rest = opened()
    for thing, said in (
        (5.0, "a float was given as a candle; a mapping or a frame of one row"),
        (rest[:2], "a frame of 2 rows was given as a candle; one row"),
        (rest.row(0), "a tuple was given"),
        ({"ts": rest["ts"][0]}, "'close' is missing; a positive number"),
    ):
        with pytest.raises(CandleError, match=said):
            online.update(thing)  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match=r"unknown symbol 'B'.* Known: A"):
        online.update({**rest.row(0, named=True), "symbol": "B"})
    with pytest.raises(UnknownName, match="unknown symbol 'AA'; did you mean 'A'"):
        online.status("AA")


def test_a_bar_that_is_still_forming_is_refused_by_the_clock() -> None:
    candles = walk(60)
    now = [candles["ts"][40] + dt.timedelta(seconds=59)]
    online = OnlineFeatures.open(SMALL, candles[:40], clock=lambda: now[0])
    with pytest.raises(
        CandleError,
        match=r"A: the bar of 2025-01-01 00:40 UTC ends at 2025-01-01 00:41 UTC, and it is .* 00:40:59 UTC by this clock; "
        "give it again then, or with 'closed' as true where the exchange says that it has closed",
    ):
        online.update(candles[40])
    assert online.status().bars == 40
    now[0] += dt.timedelta(seconds=1)
    assert set(online.update(candles[40])) == set(SMALL.columns)
    assert set(online.update({**candles.row(41, named=True), "closed": True})) == set(SMALL.columns)  # the exchange says so


def test_a_history_that_ends_in_a_forming_bar_is_refused() -> None:
    candles = walk(60)
    said = r"A: the bar of 2025-01-01 00:59 UTC ends at 2025-01-01 01:00 UTC, and it is 2025-01-01 00:59 UTC"
    with pytest.raises(CandleError, match=said):
        OnlineFeatures.open(SMALL, candles, clock=lambda: candles["ts"][59])


def test_without_a_clock_it_is_the_computers() -> None:
    soon = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0) + dt.timedelta(minutes=5)
    candles = walk(20, start=soon - dt.timedelta(minutes=20))
    online = OnlineFeatures.open(SMALL, candles[:10])
    for row in candles[10:13].iter_rows(named=True):
        online.update(row)
    with pytest.raises(CandleError, match=r"ends at .* and it is"):
        online.update(candles[19].with_columns(pl.lit(soon).alias("ts")))


def test_opening_says_what_it_lacks() -> None:
    candles = walk(40)
    with pytest.raises(NotEnoughData, match="too few bars to tell how long one is; give bar='1m'"):
        OnlineFeatures.open(SMALL, candles[:1])
    with pytest.raises(CandleError, match="bar is 7m, and the bars of the history are 1m apart"):
        OnlineFeatures.open(SMALL, candles, bar="7m")
    with pytest.raises(CandleError, match="bar is 30s, and the bars of the history are 1m apart"):
        OnlineFeatures.open(SMALL, candles, bar="30s")  # each bar to come would begin a segment of its own
    with pytest.raises(FeatureError, match=r"symbols is the text 'ETH'; a list of names was expected, such as \['ETH'\]"):
        OnlineFeatures.open(SMALL, candles, symbols="ETH")
    with pytest.raises(FeatureError, match="recipe is None; a FeatureRecipe"):
        OnlineFeatures.open(None, candles)  # type: ignore[arg-type]
    nobody = OnlineFeatures.open(SMALL, candles[:0], bar="1m")
    with pytest.raises(
        CandleError, match=r"no symbol is open for the candle of A; open with a history, or with symbols=\['A'\]"
    ):
        nobody.update(candles[0])
    with pytest.raises(CandleError, match=r"row 3 .* does not come after row 2"):
        OnlineFeatures.open(SMALL, pl.concat([candles[:3], candles[2:]]))
    with pytest.raises(CandleError, match="column 'close' is missing"):
        OnlineFeatures.open(SMALL, candles.drop("close"))
    with pytest.raises(CandleError, match=r"'close' holds -1\.0 in row 5"):
        OnlineFeatures.open(
            SMALL, candles.with_columns(pl.when(pl.int_range(40) == 5).then(-1.0).otherwise("close").alias("close"))
        )
    with pytest.raises(FeatureError, match="dtype is Int64"):
        OnlineFeatures.open(SMALL, candles, dtype=pl.Int64)  # type: ignore[arg-type]


# Gaps


def test_a_gap_begins_a_segment_and_poisons_nothing() -> None:
    whole = walk(300)
    holed = pl.concat([whole[:120], whole[123:150], whole[151:]])
    recipe = FeatureRecipe([feature(name) for name in known_indicators()] + [feature("rsi_scaled", window=3).on(5)])
    batch = recipe.compute(holed, dtype=pl.Float64)
    online = OnlineFeatures.open(recipe, holed[:100], dtype=pl.Float64)
    rows, segments = [], []
    for row in holed[100:].iter_rows(named=True):
        rows.append(online.update(row))
        segments.append(online.status().segment)
    assert_rows(rows, batch[100:])
    assert segments == batch["segment"][100:].to_list()
    assert set(segments) == {0, 1, 2}


def test_only_the_last_stretch_of_history_counts() -> None:
    whole = walk(200)
    holed = pl.concat([whole[:100], whole[110:]])
    online = OnlineFeatures.open(SMALL, holed[:130], dtype=pl.Float64)
    assert (online.status().segment, online.status().bars) == (1, 30)
    rows = [online.update(row) for row in holed[130:].iter_rows(named=True)]
    assert_rows(rows, SMALL.compute(holed, dtype=pl.Float64)[130:])


def test_status_counts_down() -> None:
    candles = walk(300)
    online = OnlineFeatures.open(SMALL, candles[:1], bar="1m")
    assert (SMALL.lookback, SMALL.warmup) == (5, 69)
    seen = [online.status()]
    for row in candles[1:80].iter_rows(named=True):
        complete = None not in online.update(row).values()
        seen.append(online.status())
        assert complete == (seen[-1].missing_to_lookback == 0)
    assert [s.missing_to_lookback for s in seen[:7]] == [5, 4, 3, 2, 1, 0, 0]
    assert [s.missing_to_warmup for s in seen[67:71]] == [2, 1, 0, 0]
    assert seen[3].ts == candles["ts"][3]
    online.update({**candles.row(99, named=True)})
    assert (online.status().segment, online.status().bars, online.status().missing_to_lookback) == (1, 1, 5)


# Many symbols


def test_symbols_do_not_touch_each_other() -> None:
    parts = [walk(200, 1, "A"), walk(200, 2, "B"), walk(200, 3, "C")]
    recipe = FeatureRecipe.minimal()
    online = OnlineFeatures.open(recipe, pl.concat([p[:90] for p in parts]), dtype=pl.Float64)
    assert online.symbols == ("A", "B", "C")
    rows: dict[str, list[dict[str, float | None]]] = {"A": [], "B": [], "C": []}
    order = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 110))
    at = [90, 90, 90]
    for i in order:
        row = parts[i].row(at[i], named=True)
        at[i] += 1
        rows[row["symbol"]].append(online.update(row))
    for part in parts:
        assert_rows(rows[part["symbol"][0]], recipe.compute(part, dtype=pl.Float64)[90:])
    with pytest.raises(CandleError, match="the candle has no 'symbol', and 3 symbols are open"):
        online.update({"ts": 0, "close": 1.0})


def test_a_symbol_without_history_may_be_announced() -> None:
    candles = walk(100, 2, "NEW")
    online = OnlineFeatures.open(SMALL, walk(50), dtype=pl.Float64, symbols=["NEW"])
    rows = [online.update(row) for row in candles.iter_rows(named=True)]
    assert_rows(rows, SMALL.compute(candles, dtype=pl.Float64))
    assert online.status("NEW").bars == 100


@pytest.mark.parametrize("method", sorted(CROSS_SECTIONS))
def test_symbols_are_compared_as_in_batch(method: str) -> None:
    recipe = FeatureRecipe([*(spec.across(method) for spec in SMALL.features), feature("efficiency_ratio", window=3)])
    symbols = "ABCDE"
    frames = [walk(120, i, s) for i, s in enumerate(symbols)]
    frames[1] = frames[1].filter(pl.int_range(120) != 97)  # one bar is missing
    frames[4] = frames[4].with_columns(pl.lit(7.0).alias(c) for c in ("open", "high", "low", "close"))  # never moves
    candles = pl.concat(frames)
    batch = recipe.compute(candles, dtype=pl.Float64)
    cut = START + dt.timedelta(minutes=80)
    online = OnlineFeatures.open(recipe, candles.filter(pl.col("ts") < cut), dtype=pl.Float64)
    then = batch.filter(pl.col("ts") == cut - dt.timedelta(minutes=1))
    for symbol in symbols:
        assert_rows([online.last[symbol] or {}], then.filter(pl.col("symbol") == symbol))
    got: dict[str, list[dict[str, float | None]]] = {s: [] for s in symbols}
    for _, bars in candles.filter(pl.col("ts") >= cut).sort("ts", "symbol").group_by("ts", maintain_order=True):
        for symbol, features in online.update_all(bars).items():
            got[symbol].append(features)
    for symbol in symbols:
        assert_rows(got[symbol], batch.filter((pl.col("symbol") == symbol) & (pl.col("ts") >= cut)))
    with pytest.raises(
        FeatureError, match=f"'log_return_scaled_2_volatility_window5__cross_{method}' compares symbols: give update_all"
    ):
        online.update(frames[0][119:].with_columns(pl.col("ts") + dt.timedelta(minutes=1)))


def test_all_bars_or_none() -> None:
    parts = [walk(60, 1, "A"), walk(60, 2, "B")]
    online = OnlineFeatures.open(SMALL, pl.concat([p[:50] for p in parts]))
    before = state(online)
    good, other = (p.row(50, named=True) for p in parts)
    for bars, said in (
        ([good, {**other, "close": -1.0}], "B, .* 'close' is -1.0"),
        ([good, good], "A: two bars were given at once"),
        ([good, parts[1].row(51, named=True)], "B: its bar is of 2025-01-01 00:51 UTC and others of 2025-01-01 00:50 UTC"),
    ):
        with pytest.raises(CandleError, match=said):
            online.update_all(bars)
        assert state(online) == before
    assert set(online.update_all([other, good])) == {"A", "B"}
    assert online.update_all([]) == {}


# Longer bars


@pytest.mark.parametrize("offset", [0, 1, 3, 7])
@pytest.mark.parametrize("rows", [0, 1, 5, 40, 133])
def test_longer_bars_are_known_when_they_close(offset: int, rows: int) -> None:
    candles = walk(260, start=START + dt.timedelta(minutes=offset))
    specs = [
        feature("rsi_scaled", window=3),
        feature("log_return_scaled", horizon=1, volatility_window=4),
        feature("relative_volume", window=3),
    ]
    steps = [feature("efficiency_ratio", window=2).followed_by("lag", bars=1), feature("candle_shape"), feature("time_of_day")]
    recipe = FeatureRecipe([*(s.on(n) for n in (4, 5) for s in (*specs, *steps)), *SMALL.features, specs[2].on(60)])
    batch = recipe.compute(candles, dtype=pl.Float64)
    online = OnlineFeatures.open(recipe, candles[:rows], dtype=pl.Float64, bar="1m", symbols=["A"])
    assert_rows([online.update(row) for row in candles[rows:].iter_rows(named=True)], batch[rows:])


# Indicators of users


@pytest.fixture
def own_indicators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))

    @indicator(family="test", lookback=lambda: 5, formula="mean of log(close) over 6 bars")
    def sliced(bars: Bars) -> np.ndarray:
        """Loops, which has no bar-by-bar form."""
        x = np.log(bars.close)
        out = np.full(len(x), np.nan)
        for i in range(5, len(x)):
            out[i] = x[i - 5 : i + 1].mean()
        return out - np.log(bars.scale)

    @indicator(family="test", lookback=lambda: 1, formula="(close - close[t-1]) / close", columns=("close",))
    def traced(bars: Bars) -> np.ndarray:
        """Arithmetic, which is recorded."""
        return (bars.close - bars.close[0] * 0.0 - np.r_[np.nan, bars.close[:-1]]) / bars.close

    @indicator(family="test", lookback=lambda: 0, formula="running sum of volume", columns=("volume",), memory="cumulative")
    def volume_so_far(bars: Bars) -> np.ndarray:
        """Needs the whole segment."""
        return np.cumsum(bars.volume)


@pytest.mark.usefixtures("own_indicators")
@pytest.mark.parametrize("rows", [0, 3, 50, 300])
def test_what_cannot_be_recorded_is_computed_anew(rows: int) -> None:
    own = [feature("sliced"), feature("traced"), feature("volume_so_far"), feature("sliced").followed_by("zscore", window=9)]
    recipe = FeatureRecipe([own[0], *SMALL.features, *own[1:], feature("sliced").on(3)])
    candles = walk(420)
    batch = recipe.compute(candles, dtype=pl.Float64)
    online = OnlineFeatures.open(recipe, candles[:rows], dtype=pl.Float64, bar="1m", symbols=["A"])
    assert set(online.recomputed) == {c for spec in (*own, feature("sliced").on(3)) for c in spec.columns}
    assert "bar-by-bar" in online.recomputed["sliced"]
    assert_rows([online.update(row) for row in candles[rows:].iter_rows(named=True)], batch[rows:])


def test_a_bar_that_was_interrupted_leaves_no_state_to_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))

    @indicator(family="test", lookback=lambda: 0, formula="close, but not above 100")
    def fragile(bars: Bars) -> np.ndarray:
        """Fails in mid-bar, as Ctrl-C would."""
        if bars.close[-1] / bars.scale > 100.0:
            raise KeyboardInterrupt
        return bars.close * 1.0

    candles = walk(60)
    online = OnlineFeatures.open(FeatureRecipe([*SMALL.features, feature("fragile")]), candles[:40])
    with pytest.raises(KeyboardInterrupt):
        online.update({**candles.row(40, named=True), "close": 101.0})
    with pytest.raises(
        FeatureError, match=r"the bar of 2025-01-01 00:40 UTC was interrupted half-way; open the features again"
    ):
        online.update(candles[40])
    both = OnlineFeatures.open(online.recipe, pl.concat([candles[:40], walk(40, 1, "B")]))
    with pytest.raises(KeyboardInterrupt):
        both.update_all([walk(41, 1, "B").row(40, named=True), {**candles.row(40, named=True), "close": 101.0}])
    for symbol in ("A", "B"):  # the features of B are lost with those of A
        with pytest.raises(FeatureError, match="interrupted half-way"):
            both.update({**candles.row(41, named=True), "symbol": symbol})


def test_an_infinite_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))

    @indicator(family="test", lookback=lambda: 0, formula="1 / (close - 7)")
    def pole(bars: Bars) -> np.ndarray:
        """Infinite where the price is 7."""
        return 1.0 / (bars.close / bars.scale - 7.0)

    @indicator(family="test", lookback=lambda: 0, formula="close * 1e39")
    def enormous(bars: Bars) -> np.ndarray:
        """Beyond float32."""
        return bars.close / bars.scale * 1e39

    recipe, candles = FeatureRecipe([feature("pole")]), walk(20)
    online = OnlineFeatures.open(recipe, candles[:10])
    with pytest.raises(FeatureError, match="feature 'pole' of A is infinite at 2025-01-01 00:10 UTC"):
        online.update({**candles.row(10, named=True), "close": 7.0})
    assert online.last["A"] is None
    assert online.status().bars == 11
    assert online.update(candles[11])["pole"] is not None
    large = FeatureRecipe([feature("enormous")])
    assert OnlineFeatures.open(large, candles[:10], dtype=pl.Float64).update(candles[10])["enormous"] > 1e39  # type: ignore[operator]
    with pytest.raises(FeatureError, match="feature 'enormous' of A is infinite"):
        OnlineFeatures.open(large, candles[:10])
