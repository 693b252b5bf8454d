"""What is read at a moment depends on the moment alone: not on who asks when, nor on what comes later."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from huracan.config import HuracanConfig, LabelConfig
from huracan.errors import DataError
from huracan.integration.feedback.candle_window import FrameWindow
from huracan.integration.feedback.chunks import Arrays, Chunks, Kind
from huracan.integration.feedback.feature_feed import FeatureFeed
from huracan.integration.preparation import labels_of, prepare, read_source
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe, feature, indicator
from huracan.preprocessing.indicators import Bars, registry
from huracan.regimes import RegimeClassifier

HOUR = 3_600_000
RECIPE = FeatureRecipe.minimal()
RULES = RegimeClassifier(trend_window=12, volatility_window=12, lookback=80, minimum_duration=3)
LABELS = LabelConfig(horizon=4, volatility_span=20)
BARRIERS = LabelConfig(kind="triple_barrier", horizon=4, volatility_span=20)


@pytest.fixture(scope="module")
def candles() -> pl.DataFrame:
    made = simulate_market(n_bars=700, n_symbols=3, seed=3).candles
    gone = (pl.col("symbol") == made["symbol"][0]) & pl.col("ts").is_in(made["ts"][400:409].implode())
    return made.filter(~gone)


@pytest.fixture(scope="module")
def opens(candles: pl.DataFrame) -> np.ndarray:
    return candles["ts"].unique().sort().dt.epoch("ms").to_numpy()


def feed_of(candles: pl.DataFrame, chunk: int = 200) -> FeatureFeed:
    return FeatureFeed(FrameWindow(candles, HOUR), symbols_of(candles), chunk=chunk * HOUR)


def symbols_of(candles: pl.DataFrame) -> list[str]:
    return candles["symbol"].unique().sort().to_list()


def bits(feed: FeatureFeed, first: int, until: int, labels: LabelConfig = LABELS) -> dict[str, np.ndarray]:
    """Everything that is told of a stretch, sorted by symbol and time."""
    rows = feed.at(RECIPE, feed.symbols, first, until, rules=RULES, volatility_span=20)
    told = feed.labels(labels, feed.symbols, first, until)
    names = ("code", "ts", "X", "regime", "volatility")
    both = {name: getattr(rows, name) for name in names}
    return both | {name: getattr(told, name) for name in ("label", "label_end", "execution_return", "bar_return", "bars")}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def changed_after(candles: pl.DataFrame, moment: int) -> pl.DataFrame:
    """The candles closed by a moment, and quite other ones after it."""
    later = pl.col("ts").dt.epoch("ms") + HOUR > moment
    factor = 1.0 + 0.5 * np.random.default_rng(0).random(candles.height)
    prices = [
        pl.when(later).then(pl.col(name) * pl.Series(factor)).otherwise(pl.col(name))
        for name in ("open", "high", "low", "close", "volume")
    ]
    return candles.with_columns(prices)


@pytest.mark.parametrize("labels", [LABELS, BARRIERS], ids=["forward", "barriers"])
def test_what_comes_later_changes_nothing(candles: pl.DataFrame, opens: np.ndarray, labels: LabelConfig) -> None:
    first, until = int(opens[330]), int(opens[470])
    lived = candles.filter(pl.col("ts").dt.epoch("ms") + HOUR <= until)
    told = bits(feed_of(candles), first, until, labels)
    same(told, bits(feed_of(lived), first, until, labels))
    same(told, bits(feed_of(changed_after(candles, until)), first, until, labels))
    assert np.isfinite(told["label"]).any() and np.isfinite(told["X"]).all(axis=1).any() and (told["regime"] >= 0).any()


def test_bar_by_bar_is_all_at_once(candles: pl.DataFrame, opens: np.ndarray) -> None:
    first, until = 380, 430  # over the edge of a chunk and over a gap
    at_once = bits(feed_of(candles), int(opens[first]), int(opens[until]))
    feed, pieces = feed_of(candles), []
    for i in range(first, until):
        rows = feed.at(RECIPE, feed.symbols, int(opens[i]), int(opens[i + 1]), rules=RULES, volatility_span=20)
        pieces += [(rows.ts[j], rows.code[j], rows.X[j], rows.regime[j], rows.volatility[j]) for j in range(len(rows))]
    pieces.sort(key=lambda row: (row[1], row[0]))
    same(
        {name: at_once[name] for name in ("ts", "code", "X", "regime", "volatility")},
        dict(zip(("ts", "code", "X", "regime", "volatility"), map(np.array, zip(*pieces)))),
    )


def test_features_are_those_of_the_recipe(candles: pl.DataFrame, opens: np.ndarray) -> None:
    """From the beginning of the chunk less the warm-up of the recipe, as its batch computes them."""
    chunk = 200 * HOUR
    start = int(opens[450]) // chunk * chunk
    past = candles.filter(pl.col("ts").dt.epoch("ms").is_between(start - RECIPE.warmup * HOUR, int(opens[460]), closed="both"))
    wanted = RECIPE.compute(past).filter(pl.col("ts").dt.epoch("ms") >= max(start, int(opens[450])))
    rows = feed_of(candles).at(RECIPE, symbols_of(candles), max(start, int(opens[450])), int(opens[461]))
    np.testing.assert_array_equal(rows.X, wanted.select(RECIPE.columns).fill_null(float("nan")).to_numpy())


def test_labels_are_those_of_the_label_functions(candles: pl.DataFrame, opens: np.ndarray) -> None:
    """What does not hang on where volatility began is equal to the last bit, the rest to 1e-4 of it."""
    frame = labels_of(LABELS, candles).filter(pl.col("ts").dt.epoch("ms").is_between(int(opens[300]), int(opens[500])))
    told = feed_of(candles).labels(LABELS, symbols_of(candles), int(opens[300]), int(opens[501]) + 10 * HOUR)
    rows = told.ts <= opens[500]
    np.testing.assert_array_equal(told.execution_return[rows], frame["execution_return"].fill_null(np.nan).to_numpy())
    np.testing.assert_array_equal(told.label_end[rows], frame["label_end"].dt.epoch("ms").fill_null(-1).to_numpy())
    np.testing.assert_allclose(told.label[rows], frame["label"].fill_null(np.nan).to_numpy(), rtol=1e-4)


def test_a_label_is_known_when_its_last_candle_has_closed(candles: pl.DataFrame, opens: np.ndarray) -> None:
    symbol = symbols_of(candles)[1]
    told = feed_of(candles).labels(LABELS, [symbol], int(opens[500]), int(opens[520]))
    known = np.isfinite(told.label)
    assert (told.label_end[known] + HOUR <= opens[520]).all()
    assert known.sum() == 20 - (LABELS.horizon + 1)
    assert np.isfinite(told.bar_return).sum() == 20 - 2


def test_no_label_over_a_gap_but_the_position_is_held(candles: pl.DataFrame, opens: np.ndarray) -> None:
    symbol = symbols_of(candles)[0]
    told = feed_of(candles).labels(LABELS, [symbol], int(opens[395]), int(opens[430]))
    last = np.flatnonzero(told.ts == opens[399])[0]  # the last bar before the gap
    assert np.isnan(told.label[last - LABELS.horizon : last + 1]).all()
    assert np.isfinite(told.label[last + 2 + LABELS.volatility_span // 2])  # volatility begins anew, too
    assert told.bars[last - 1] == 10.0 and told.bars[last] == 1.0
    rows = feed_of(candles).at(RECIPE, [symbol], int(opens[395]), int(opens[430]))
    begins = np.flatnonzero(np.diff(rows.segment)) + 1
    assert rows.ts[begins].tolist() == [opens[409]] and rows.age[begins].tolist() == [0]


def test_each_chunk_is_computed_once_and_anew_for_other_candles(candles: pl.DataFrame, opens: np.ndarray) -> None:
    asked: list[int] = []

    class Counting(FrameWindow):
        def bars(self, first: int, last: int, symbols: list[str] | None = None) -> pl.DataFrame:
            asked.append(first)
            return super().bars(first, last, symbols)

    window = Counting(candles, HOUR)
    feed = FeatureFeed(window, symbols_of(candles), chunk=200 * HOUR)
    for i in range(300, 600):
        feed.at(RECIPE, feed.symbols, int(opens[i - 5]), int(opens[i]), rules=RULES)
    chunks = int(opens[599] // (200 * HOUR)) - int(opens[295] // (200 * HOUR)) + 1
    assert len(asked) == 3 * chunks  # features, volatility, regimes
    window.revision += 1
    feed.at(RECIPE, feed.symbols, int(opens[599]), int(opens[600]), rules=RULES)
    assert len(asked) == 3 * chunks + 3


def test_what_nobody_asks_for_any_more_is_forgotten_and_told_the_same_again(candles: pl.DataFrame, opens: np.ndarray) -> None:
    """A model that is replaced takes what was computed for it along; what is asked for in every chunk is computed once."""
    computed: list[str] = []

    def kind(name: str) -> Kind:
        def close(bars: pl.DataFrame) -> Arrays:
            computed.append(name)
            return {"close": bars["close"].to_numpy()}

        return Kind((name,), close, lambda n: {"close": np.full(n, np.nan)}, history=2)

    symbols, day = symbols_of(candles), 24
    chunks = Chunks(FrameWindow(candles, HOUR), symbols, chunk=day * HOUR)
    gone, stays = kind("gone"), kind("stays")
    first, until = int(opens[0]), int(opens[day])
    told = chunks.gathered(gone, symbols, first, until)
    for n in range(day, 20 * day):
        chunks.begin()
        chunks.gathered(stays, symbols, int(opens[n - 1]), int(opens[n]))
    once = computed.count("gone")
    assert computed.count("stays") <= 21
    again = chunks.gathered(gone, symbols, first, until)
    assert computed.count("gone") > once
    np.testing.assert_array_equal(again.values["close"], told.values["close"])


def test_a_symbol_that_cannot_be_read_is_left_out_with_the_reason(candles: pl.DataFrame, opens: np.ndarray) -> None:
    name = symbols_of(candles)[2]
    other = (pl.col("symbol") == name) & (pl.col("ts").dt.hour() % 2 == 1)
    thinned = candles.filter(~other)
    feed = feed_of(thinned)
    first, until = int(opens[450]), int(opens[460])
    rows = feed.at(RECIPE, feed.symbols, first, until, rules=RULES)
    assert set(feed.refused) == {name} and "bars of 2h; bars of 1h were expected" in feed.refused[name]
    alone = feed_of(candles.filter(pl.col("symbol") != name)).at(RECIPE, feed.symbols, first, until, rules=RULES)
    np.testing.assert_array_equal(rows.X, alone.X)
    np.testing.assert_array_equal(rows.regime, alone.regime)


def test_a_candle_that_is_refused_changes_nothing_that_was_told_before_it(
    candles: pl.DataFrame, opens: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, at = symbols_of(candles)[1], int(opens[500])
    hit = (pl.col("symbol") == name) & (pl.col("ts").dt.epoch("ms") == at)
    broken = candles.with_columns(volume=pl.when(hit).then(0.0).otherwise("volume"))
    monkeypatch.setattr(registry, "_REGISTER", dict(registry._REGISTER))

    @indicator(family="test", lookback=lambda: 0, formula="1 / volume")
    def per_unit(bars: Bars) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return 1.0 / bars.volume

    recipe = FeatureRecipe([feature("per_unit"), *RECIPE.features])
    lived, knows = feed_of(broken.filter(pl.col("ts").dt.epoch("ms") < at)), feed_of(broken)
    first, second = (feed.at(recipe, feed.symbols, int(opens[450]), at) for feed in (lived, knows))
    np.testing.assert_array_equal(first.X, second.X)
    assert not lived.refused and not knows.refused
    after = knows.at(recipe, knows.symbols, at, at + 10 * HOUR, rules=RULES, volatility_span=20)
    others = [symbol for symbol in knows.symbols if symbol != name]
    alone = feed_of(candles.filter(pl.col("symbol") != name)).at(
        recipe, others, at, at + 10 * HOUR, rules=RULES, volatility_span=20
    )
    np.testing.assert_array_equal(after.volatility, alone.volatility)
    np.testing.assert_array_equal(after.regime, alone.regime)
    assert set(knows.refused) == {name} and "'per_unit' is infinite" in knows.refused[name]
    assert set(after.code) == {0, 2}


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_hardly_any_candles_give_rows_without_values(candles: pl.DataFrame, opens: np.ndarray, n: int) -> None:
    few = candles.filter(pl.col("ts").dt.epoch("ms").is_between(int(opens[0]), int(opens[0]) + (n - 1) * HOUR))
    feed = FeatureFeed(FrameWindow(few, HOUR), symbols_of(candles), chunk=200 * HOUR)
    rows = feed.at(RECIPE, feed.symbols, int(opens[0]), int(opens[20]), rules=RULES)
    told = feed.labels(LABELS, feed.symbols, int(opens[0]), int(opens[20]))
    assert len(rows) == len(told) == 3 * n and not feed.refused
    assert rows.X.shape == (3 * n, len(RECIPE.columns)) and np.isnan(rows.X).any(axis=1).all()


def test_unknown_symbols_and_empty_spans_have_no_rows(candles: pl.DataFrame, opens: np.ndarray) -> None:
    feed = feed_of(candles)
    assert len(feed.at(RECIPE, ["NOBODY"], int(opens[100]), int(opens[120]))) == 0
    assert len(feed.at(RECIPE, feed.symbols, int(opens[100]), int(opens[100]))) == 0
    assert len(feed.regimes(RULES, feed.symbols, int(opens[100]), int(opens[101]))) == 3


def test_a_chunk_is_whole_bars(candles: pl.DataFrame) -> None:
    with pytest.raises(DataError, match=r"chunk is 90m; a whole number of bars of 1h was expected"):
        FeatureFeed(FrameWindow(candles, HOUR), ["A"], chunk=HOUR * 3 // 2)


def test_what_is_read_live_is_what_is_learned_from(candles: pl.DataFrame, opens: np.ndarray) -> None:
    """No skew: the rows of a training on candles that begin elsewhere, but for what fading averages remember of that (1e-4)."""
    config = HuracanConfig.model_validate({"features": {"recipe": "minimal"}, "labels": LABELS.model_dump()})
    learned = prepare(config, read_source(config, candles.filter(pl.col("ts").dt.epoch("ms") >= int(opens[150])))).everything
    rows = feed_of(candles).at(RECIPE, symbols_of(candles), int(opens[300]), int(opens[600]))
    told = feed_of(candles).labels(LABELS, symbols_of(candles), int(opens[300]), int(opens[600]))
    whole = np.isfinite(rows.X).all(axis=1)
    mine = {(rows.symbols[c], int(ts)): i for i, (c, ts) in enumerate(zip(rows.code, rows.ts)) if whole[i]}
    theirs = {(s, int(ts)): i for i, (s, ts) in enumerate(zip(learned.symbol, learned.ts.astype(np.int64)))}
    both = sorted(mine.keys() & theirs.keys())
    assert len(both) == len(mine) > 800
    at, there = [mine[key] for key in both], [theirs[key] for key in both]
    scale = learned.X.std(axis=0)
    np.testing.assert_allclose(rows.X[at] / scale, learned.X[there] / scale, rtol=1e-4, atol=1e-4)
    known = np.isfinite(told.label[at])
    np.testing.assert_allclose(told.label[at][known], learned.y[there][known], rtol=1e-3)
