"""Features of one's own: one symbol or many, however they are keyed, with gaps where bars are missing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from huracan.dataset import RowKeys, TimeSource, TrainingSet, split_keys
from huracan.errors import DataError

N = 30
HOURS = pd.date_range("2024-01-01", periods=N, freq="h")
TS = np.tile(HOURS.to_numpy(), 2)
COIN = np.repeat(["ETH", "BTC"], N)  # one after the other, and not by the alphabet
X = np.random.default_rng(0).standard_normal((2 * N, 2))
Y = np.arange(2 * N, dtype=float)
OPEN = 100.0 + np.random.default_rng(1).standard_normal(2 * N)
FRAME = pd.DataFrame(X, columns=["a", "b"])
BY_TIME = np.lexsort((COIN, TS))
LEVELS = {"ts": TS, "coin": COIN}

WAYS: dict[str, Callable[[np.ndarray], dict[str, Any]]] = {
    "beside": lambda r: {"X": X[r], "ts": TS[r], "symbol": COIN[r]},
    "columns": lambda r: {"X": FRAME.assign(symbol=COIN, ts=TS).iloc[r]},
    "polars": lambda r: {"X": pl.DataFrame(FRAME.assign(symbol=COIN, ts=TS))[r]},
    "categories": lambda r: {"X": FRAME.assign(symbol=pd.Categorical(COIN), ts=TS).iloc[r]},
    "named columns": lambda r: {"X": FRAME.assign(coin=COIN, at=TS).iloc[r], "ts": "at", "symbol": "coin"},
    "index": lambda r: {"X": FRAME.set_index([pd.Index(COIN), pd.Index(TS)]).iloc[r]},
    "index, turned": lambda r: {"X": FRAME.set_index([pd.Index(TS), pd.Index(COIN)]).iloc[r]},
    "index in UTC": lambda r: {"X": FRAME.set_index([pd.Index(COIN), pd.DatetimeIndex(TS, tz="UTC")]).iloc[r]},
    "index and times": lambda r: {"X": FRAME.set_index([pd.Index(COIN), pd.Index(TS)]).iloc[r], "ts": TS[r]},
    "segments in a column": lambda r: {"X": FRAME.assign(segment=3, symbol=COIN).set_index(pd.Index(TS)).iloc[r], "ts": TS[r]},
    "time index and column": lambda r: {"X": FRAME.assign(symbol=COIN).set_index(pd.Index(TS)).iloc[r]},
    "time index": lambda r: {"X": FRAME.set_index(pd.Index(TS)).iloc[r], "symbol": pd.Series(COIN[r])},
}  # fmt: skip


@pytest.mark.parametrize("order", [np.arange(2 * N), BY_TIME], ids=["by symbol", "by time"])
@pytest.mark.parametrize("way", WAYS)
def test_a_panel_is_the_rows_of_each_symbol_however_it_is_given(way: str, order: np.ndarray) -> None:
    """Purging, windows and returns see what they would see of each symbol alone."""
    weight = 1.0 + Y
    rows = TrainingSet.from_arrays(y=Y[order], prices=OPEN[order], weight=weight[order], label_horizon=3, **WAYS[way](order))
    assert rows.symbols == ("BTC", "ETH") and rows.bar_length == np.timedelta64(1, "h")
    assert (np.diff(rows.decision_time) >= np.timedelta64(0)).all()
    keys = list(zip(rows.ts, rows.symbol_code))
    assert keys == sorted(keys)
    for symbol in rows.symbols:
        mine, at = rows.of_symbol(symbol), symbol == COIN
        alone = TrainingSet.from_arrays(X[at], Y[at], ts=HOURS, prices=OPEN[at], weight=weight[at], label_horizon=3)
        for name in ("X", "y", "ts", "decision_time", "label_end", "execution_return", "weight", "segment"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(alone, name), err_msg=name)


def test_keys_in_columns_are_no_features() -> None:
    given = FRAME.assign(symbol=COIN, ts=TS, segment=np.repeat([0, 1, 0, 4], N // 2))
    rows = TrainingSet.from_arrays(given, Y)
    assert rows.feature_names == ("a", "b") and rows.time_source is TimeSource.GIVEN
    assert rows.of_symbol("BTC").segment.tolist() == rows.of_symbol("ETH").segment.tolist() == [0] * 15 + [1] * 15
    same, keys = split_keys(X)
    assert same is X and not keys.found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"X": X, "ts": TS}, "row 30 of X is at 2024-01-01T00.*, not after the row above it, .*must increase.*give symbol="),
        ({"X": X[::-1], "ts": TS[::-1], "symbol": COIN[::-1]},
         r"row 1 of X \(BTC\) is at 2024-01-02T04.*not after row 0 of that symbol"),
        ({"X": X, "symbol": COIN}, "X has rows of 2 symbols and no times; give ts"),
        ({"X": FRAME.assign(ts=TS, symbol=COIN), "ts": TS}, "X has a column 'ts', and ts= was given too"),
        ({"X": FRAME.assign(ts=np.arange(60))}, "column 'ts' of X, which is read as the time of each row, holds int64"),
        ({"X": FRAME.assign(ts=TS, symbol=COIN).set_index(pd.Index(TS))}, "X has an index of times and the column 'ts'"),
        ({"X": FRAME.assign(symbol=COIN).set_index([pd.Index(COIN), pd.Index(TS)])},
         "X has an index of times and the column 'symbol'"),
        ({"X": FRAME.set_index([pd.Index(COIN), pd.Index(Y)])},
         r"X has an index of levels no name \(.*\), no name \(float64\); one level of times"),
        ({"X": FRAME.set_index([pd.Index(TS), pd.Index(TS)])}, "X has an index of levels .*; one level of times"),
        ({"X": FRAME, "ts": "when"}, "ts is 'when', which is no column of X"),
        ({"X": X, "ts": TS, "symbol": COIN[1:]}, r"symbol has shape \(59,\) where X has 60 rows"),
        ({"X": X, "ts": TS, "symbol": [None, *COIN[1:]]}, "symbol is missing in row 0"),
        ({"X": X, "ts": TS, "symbol": pd.Series(["A", pd.NA] * N, dtype="string")}, "symbol is missing in row 1"),
        ({"X": FRAME.assign(ts=TS, symbol=pd.Categorical([*COIN[:-1], None]))}, "symbol is missing in row 59"),
        ({"X": X, "ts": TS, "symbol": Y}, "symbol holds Float64; a name for each row"),
        ({"X": X, "ts": TS, "symbol": COIN, "weight": [1.0]}, "weight has 1 rows where X has 60"),
        ({"X": pl.DataFrame({"a": Y, "born": TS})}, r"column 'born' of X holds times \(Datetime"),
        ({"X": pd.DataFrame({"a": Y, "born": TS})}, r"column 'born' of X holds times \(datetime64"),
        ({"X": X, "ts": TS, "symbol": COIN, "longest_step": 0}, "longest_step is 0; bars"),
        ({"X": X, "ts": TS, "symbol": COIN, "longest_step": True}, "longest_step is True; bars"),
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        TrainingSet.from_arrays(y=Y, **given)
    assert len(str(refused.value)) < 220 and "\n" not in str(refused.value)


def test_labels_of_other_rows_are_refused() -> None:
    index = pd.MultiIndex.from_arrays([COIN, TS])
    label = pd.Series(Y, index)
    with pytest.raises(DataError, match=r"row 0 of X is of .*ETH.* and that of y of .*BTC"):
        TrainingSet.from_arrays(FRAME.set_index(index), label.iloc[BY_TIME])


def test_symbols_of_other_bar_lengths_are_refused() -> None:
    """A day's features are known a day after it began, not an hour."""
    days = pd.date_range("2024-01-01", periods=N, freq="D")
    with pytest.raises(DataError, match="bar lengths are mixed: rows of BTC are 1 day, 0:00:00 apart, others 1:00:00"):
        TrainingSet.from_arrays(
            np.zeros((3 * N, 1)),
            np.zeros(3 * N),
            ts=np.concatenate([TS, days]),
            symbol=[*["ETH"] * N, *["SOL"] * N, *["BTC"] * N],
        )


# --- gaps ------------------------------------------------------------------------------------------------------------


def segments(times: Any, **options: Any) -> list[int]:
    n = len(times)
    return TrainingSet.from_arrays(np.zeros((n, 1)), np.zeros(n), ts=times, **options).segment.tolist()


def test_where_a_bar_is_missing_a_segment_begins() -> None:
    """As in candles; the times given, or those of an index."""
    year = HOURS[:10].append(HOURS[10:] + dt.timedelta(days=365))
    assert segments(year) == [0] * 10 + [1] * 20
    indexed = pd.DataFrame({"a": np.zeros(N)}, index=year)
    assert TrainingSet.from_arrays(indexed, np.zeros(N)).segment.tolist() == [0] * 10 + [1] * 20
    assert segments(np.delete(HOURS, 20)) == [0] * 20 + [1] * 9
    both = TrainingSet.from_arrays(X, Y, ts=np.concatenate([HOURS, year]), symbol=COIN)
    assert set(both.of_symbol("ETH").segment) == {0} and set(both.of_symbol("BTC").segment) == {0, 1}


def test_closed_markets_go_on_where_that_is_said() -> None:
    business = pd.bdate_range("2024-01-01", periods=60)
    assert max(segments(business)) == 11  # twelve weeks
    assert max(segments(business, longest_step=dt.timedelta(days=4))) == 0
    assert max(segments(business, longest_step=3)) == 0 == max(segments(business, longest_step=None))
    hole = business[:30].append(business[30:] + dt.timedelta(days=14))
    assert segments(hole, longest_step=np.timedelta64(4, "D")) == [0] * 30 + [1] * 30


def test_a_leap_day_a_longer_month_and_daylight_saving_are_no_gaps() -> None:
    for times in (
        pd.date_range("2023-12-01", periods=40, freq="YS"),
        pd.date_range("2023-12-01", periods=40, freq="MS"),
        pd.date_range("2024-01-01", periods=366, freq="D", tz="Europe/Berlin"),
    ):
        assert max(segments(times)) == 0


def test_rows_by_event_have_no_bars_that_could_be_missing() -> None:
    steps = np.random.default_rng(0).integers(1, 10_000, 300)
    times = np.datetime64("2024-01-01", "ms") + np.cumsum(steps) * np.timedelta64(1, "s")
    assert max(segments(times)) == 0
    longest = np.timedelta64(9_000, "s")
    assert max(segments(times, longest_step=longest)) == (steps[1:] > 9_000).sum()


def test_segments_of_candles_and_of_their_times_are_the_same() -> None:
    from huracan.market import simulate_market, with_segments

    candles = with_segments(simulate_market(n_bars=900, n_symbols=3, seed=1, gap_share=0.01).candles)
    assert candles["segment"].max() > 2
    _, given = split_keys(candles.select("symbol", "ts", "close"))
    np.testing.assert_array_equal(RowKeys.read(given, candles.height).segment, candles["segment"].to_numpy())
