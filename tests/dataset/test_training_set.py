"""``TrainingSet``: rows go by time, times belong together, nothing is dropped without a reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from huracan import TrainingSet
from huracan.dataset import TimeSource
from huracan.errors import DataError, NotEnoughData
from huracan.labels import forward_return_labels
from huracan.market import simulate_market
from huracan.preprocessing import FeatureRecipe
from huracan.regimes import RegimeClassifier


@pytest.fixture(scope="module")
def market() -> pl.DataFrame:
    return simulate_market(n_bars=700, n_symbols=3, seed=1, gap_share=0.002).candles


@pytest.fixture(scope="module")
def rows(market: pl.DataFrame) -> TrainingSet:
    regimes = RegimeClassifier().classify(market)
    labels = forward_return_labels(market, horizon=3)
    return TrainingSet.from_candles(market, recipe=FeatureRecipe.minimal(), labels=labels, regimes=regimes)


def test_rows_are_ordered_by_decision_time_then_symbol(rows: TrainingSet) -> None:
    keys = list(zip(rows.decision_time.astype(np.int64), rows.symbol_code))
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_times_belong_together(rows: TrainingSet) -> None:
    assert np.all(rows.decision_time == rows.ts + rows.bar_length)
    assert np.all(rows.label_end == rows.decision_time + 3 * rows.bar_length)
    assert np.isfinite(rows.X).all() and rows.X.dtype == np.float32 and rows.y.dtype == np.float64


def test_values_are_those_of_the_candles(market: pl.DataFrame, rows: TrainingSet) -> None:
    opens = {(s, t): o for s, t, o in market.select("symbol", pl.col("ts").dt.epoch("ms"), "open").iter_rows()}
    bar = int(rows.bar_length.astype("timedelta64[ms]").astype(np.int64))
    for i in np.random.default_rng(0).choice(len(rows), 50, replace=False):
        t = int(rows.ts[i].astype(np.int64))
        entry, leave = opens[rows.symbol[i], t + bar], opens[rows.symbol[i], t + 4 * bar]
        assert rows.execution_return[i] == pytest.approx(leave / entry - 1, rel=1e-12)
        assert rows.y[i] == pytest.approx(np.log(leave / entry), rel=1e-9)


def test_every_candle_is_a_row_or_has_a_reason(market: pl.DataFrame, rows: TrainingSet) -> None:
    assert len(rows) + sum(rows.dropped.values()) == market.height


def test_row_order_of_the_candles_does_not_matter(market: pl.DataFrame, rows: TrainingSet) -> None:
    symbols = market["symbol"].unique().sort(descending=True).to_list()
    turned = pl.concat([market.filter(pl.col("symbol") == s) for s in symbols]).sort("symbol", "ts")
    again = TrainingSet.from_candles(turned, recipe=FeatureRecipe.minimal(), labels=forward_return_labels(turned, horizon=3))
    assert again.data_hash() == rows.data_hash()


def test_slices_are_views_and_caps_keep_the_latest(rows: TrainingSet) -> None:
    assert np.shares_memory(rows.take(slice(10, 20)).X, rows.X)
    latest = rows.most_recent(100)
    assert len(latest) == 100 and latest.decision_time[0] >= rows.decision_time[-101]


@pytest.mark.parametrize("source", [TimeSource.GIVEN, TimeSource.CANDLES])
def test_the_history_of_a_span_holds_the_last_rows_of_every_symbol(source: TimeSource) -> None:
    """Also of one that is seldom traded; of candles, those that an unbroken window can hold."""
    hours, bars = np.arange(60), 4
    ts = np.datetime64("2024-01-01", "ms") + np.sort(np.concatenate([hours, hours[::5]])) * np.timedelta64(1, "h")
    code = np.zeros(len(ts), np.int32)
    code[1:][np.diff(ts) == np.timedelta64(0, "ms")] = 1
    n = len(ts)
    rows = TrainingSet(
        X=np.arange(n, dtype=np.float32)[:, None],
        y=np.zeros(n),
        ts=ts,
        decision_time=ts + np.timedelta64(1, "h"),
        label_end=ts + np.timedelta64(2, "h"),
        feature_names=("number",),
        symbol_code=code,
        segment=np.zeros(n, np.int32),
        regime_code=np.full(n, -1, np.int8),
        weight=np.ones(n),
        symbols=("often", "seldom"),
        bar_length=np.timedelta64(3_600_000, "ms"),
        time_source=source,
    )
    for start in range(1, n):
        behind, earlier = rows.with_history(slice(start, start + 12), bars)
        np.testing.assert_array_equal(behind.X[earlier:, 0], np.arange(start, min(start + 12, n)))
        np.testing.assert_array_equal(behind.X[:, 0], np.arange(start - earlier, min(start + 12, n)))
        held = set(range(start - earlier, start))
        for symbol in np.unique(behind.symbol_code[earlier:]):
            before = np.flatnonzero(code[:start] == symbol)[-bars:]
            if source is TimeSource.CANDLES:
                before = before[rows.decision_time[before] >= rows.decision_time[start] - bars * rows.bar_length]
            assert set(before) <= held


def test_select_and_symbol(rows: TrainingSet) -> None:
    two = rows.select(rows.feature_names[2:0:-1])
    assert two.feature_names == rows.feature_names[2:0:-1]
    assert np.array_equal(two.X[:, 0], rows.X[:, 2])
    one = rows.of_symbol(rows.symbols[1])
    assert set(one.symbol) == {rows.symbols[1]}
    with pytest.raises(DataError, match="'NOPE' is not among"):
        rows.of_symbol("NOPE")


def test_too_little_history_says_how_much_is_needed(market: pl.DataFrame) -> None:
    short = market.group_by("symbol", maintain_order=True).head(20)
    with pytest.raises(NotEnoughData, match=r"none of 60 candles .* needs more than \d+ bars in one segment"):
        TrainingSet.from_candles(short, recipe=FeatureRecipe.default(), labels=forward_return_labels(short))


@pytest.mark.parametrize("kind", ["numpy", "pandas", "polars"])
def test_arrays_of_every_kind_give_the_same_rows(kind: str) -> None:
    values = np.random.default_rng(0).normal(size=(30, 2))
    X = {
        "numpy": values,
        "pandas": pd.DataFrame(values, columns=["x0", "x1"]),
        "polars": pl.DataFrame(values, schema=["x0", "x1"]),
    }[kind]
    built = TrainingSet.from_arrays(X, values[:, 0], label_horizon=2)
    assert built.data_hash() == TrainingSet.from_arrays(values, values[:, 0], label_horizon=2).data_hash()
    assert built.time_source is TimeSource.ROW_ORDER


def test_a_time_index_is_used_and_converted_to_utc() -> None:
    index = pd.date_range("2024-01-01", periods=10, freq="1h", tz="Europe/Berlin")
    built = TrainingSet.from_arrays(pd.DataFrame({"a": range(10)}, index=index), np.arange(10.0))
    assert built.time_source is TimeSource.INDEX
    assert built.ts[0] == np.datetime64("2023-12-31T23:00")
    assert built.bar_length == np.timedelta64(1, "h")


def test_labels_end_at_the_open_of_their_exit_bar_also_over_weekends() -> None:
    days = np.datetime64("2024-01-01", "ms") + np.timedelta64(1, "D") * np.arange(60)
    business = days[np.is_busday(days.astype("M8[D]"))]
    for horizon in (1, 3, 7):
        built = TrainingSet.from_arrays(
            np.zeros((len(business), 1)), np.zeros(len(business)), ts=business, label_horizon=horizon
        )
        known = len(business) - 1 - horizon
        assert np.array_equal(built.label_end[:known], business[1 + horizon :])
        assert np.array_equal(np.diff(built.label_end[known - 1 :]), np.full(1 + horizon, np.timedelta64(1, "D")))
        assert np.all(np.diff(built.label_end) > np.timedelta64(0)) and np.all(built.label_end >= built.decision_time)


def test_a_label_never_ends_before_its_decision_however_irregular_the_times() -> None:
    steps = np.random.default_rng(0).choice([1, 2, 600, 86_400], size=300)
    ts = np.datetime64("2024-01-01", "ms") + np.cumsum(steps) * np.timedelta64(1000, "ms")
    built = TrainingSet.from_arrays(np.zeros((300, 1)), np.zeros(300), ts=ts)
    assert np.all(built.label_end >= built.decision_time)
    assert np.all(np.diff(built.label_end) >= np.timedelta64(0))


def test_given_times_are_converted_to_utc() -> None:
    index = pd.date_range("2024-01-01", periods=5, freq="1h", tz="Europe/Berlin")
    for ts in (index, pd.Series(index), pl.Series(index)):
        built = TrainingSet.from_arrays(np.zeros((5, 1)), np.zeros(5), ts=ts)
        assert built.ts[0] == np.datetime64("2023-12-31T23:00")


@pytest.mark.parametrize(
    ("X", "y", "options", "said"),
    [
        ([[1.0], [np.nan]], [0, 1], {}, "column 'x0' holds nan in row 1"),
        ([[1.0], [2.0]], [0, np.inf], {}, "column 'y' holds inf in row 1"),
        ([[1.0], [2.0]], [0, 1, 2], {}, "y has 3 rows where X has 2"),
        ([["a"], ["b"]], [0, 1], {}, "not a number"),
        ([[1.0], [2.0]], [0, 1], {"ts": np.array(["2024-01-02", "2024-01-01"], "M8[D]")}, "times must increase"),
        ([[1.0], [2.0]], [0, 1], {"ts": np.array(["2024-01-02", "NaT"], "M8[D]")}, "ts is missing in row 1"),
        ([[1.0], [2.0]], [0, 1], {"ts": ["then", "now"]}, "ts holds a value that is not a time"),
        ([[1.0], [2.0]], [0, 1], {"label_end": ["2024-01-02"]}, "label_end has 1 rows where X has 2"),
        ([[1.0], [2.0]], [0, 1], {"prices": [1.0, 0.0]}, "prices holds 0.0 in row 1; a price above zero"),
        ([[1.0], [2.0]], [0, 1], {"label_horizon": 0}, "at least 1 bar"),
        ([[1.0], [2.0]], [0, 1], {"prices": [1.0]}, "prices has 1 rows where X has 2"),
    ],
)
def test_bad_arrays_are_refused_with_the_place(X: object, y: object, options: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said.replace("(", r"\(")):
        TrainingSet.from_arrays(X, y, **options)
