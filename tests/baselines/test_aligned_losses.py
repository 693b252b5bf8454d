"""Models are compared on the same moments: what is joined, what is dropped and counted, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest

from huracan.baselines import compare_models
from huracan.baselines.aligned_losses import align_losses
from huracan.errors import DataError

HOURS = pd.date_range("2024-01-01", periods=300, freq="h", tz="UTC")


def two(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=n), rng.normal(0.2, 1, size=n)


def test_models_with_times_of_their_own_are_joined_and_the_rest_is_counted() -> None:
    a, b = two()
    joined = compare_models({"a": a[:280], "b": b[40:]}, times={"a": np.arange(280), "b": np.arange(40, 300)})
    plain = compare_models({"a": a[40:280], "b": b[40:280]})
    assert joined.pairs == plain.pairs
    assert joined.dropped == {"a": 40, "b": 20}
    assert "40 of 'a', 20 of 'b'" in joined.sentence


def test_shuffling_one_model_with_its_times_changes_nothing() -> None:
    a, b = two()
    order = np.random.default_rng(1).permutation(300)
    moved = compare_models({"a": a[order], "b": b}, times={"a": HOURS[order], "b": HOURS})
    assert moved.pairs == compare_models({"a": a, "b": b}).pairs
    assert not any(moved.dropped.values())


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_times_in_any_zone_mean_the_same_moment(zone: str) -> None:
    a, b = two()
    found = align_losses({"a": pd.Series(a, HOURS.tz_convert(zone)), "b": pd.Series(b, HOURS)})
    assert found.times is not None
    assert len(found.times) == 300
    assert found.times[0] == np.datetime64("2024-01-01")


def test_a_time_without_a_zone_is_not_taken_for_one_that_has_it() -> None:
    a, b = two()
    with pytest.raises(DataError, match="times of 'b' have no time zone where those of others have"):
        align_losses({"a": pd.Series(a, HOURS), "b": pd.Series(b, HOURS.tz_localize(None))})


def test_a_panel_in_a_pandas_index_is_averaged_over_symbols() -> None:
    """Symbols of one hour move together: counted one by one they would be twenty times the evidence."""
    rng = np.random.default_rng(3)
    index = pd.MultiIndex.from_product([[f"coin {i}" for i in range(20)], HOURS], names=["symbol", "ts"])
    common = np.tile(rng.standard_normal((2, 300)), 20)
    table = 0.6**0.5 * common + 0.4**0.5 * rng.standard_normal((2, 6_000))
    found = compare_models(pd.DataFrame({"a": table[0], "b": table[1]}, index=index))
    assert (found.n_times, found.n_rows) == (300, 6_000)
    times = index.get_level_values("ts").tz_localize(None).to_numpy()
    assert found.pairs == compare_models({"a": table[0], "b": table[1]}, times=times).pairs
    series = {"a": pd.Series(table[0], index), "b": pd.Series(table[1], index).iloc[20:]}
    assert compare_models(series).dropped == {"a": 20, "b": 0}
    with pytest.raises(DataError, match="3 levels"):
        compare_models(pd.DataFrame({"a": table[0], "b": table[1]}, index=pd.MultiIndex.from_arrays([times, times, times])))


def test_a_pandas_index_and_columns_of_a_frame_say_when() -> None:
    a, b = two()
    order = np.random.default_rng(2).permutation(300)
    wanted = compare_models({"a": a, "b": b}).pairs
    frame = pd.DataFrame({"a": a, "b": b}, index=HOURS).iloc[order]
    assert compare_models(frame).pairs == wanted
    assert compare_models(pl.DataFrame({"ts": HOURS, "a": a, "b": b})[order.tolist()]).pairs == wanted
    shorter = compare_models({"a": pd.Series(a, HOURS).iloc[5:], "b": pd.Series(b, HOURS)})
    assert shorter.dropped == {"a": 0, "b": 5}


def test_rows_of_several_symbols_are_joined_on_both_and_averaged() -> None:
    a, b = two(600)
    times, symbols = np.repeat(np.arange(300), 2), np.tile(["BTC", "ETH"], 300)
    keep = np.ones(600, dtype=bool)
    keep[::7] = False
    found = compare_models(
        {"a": a[keep], "b": b},
        times={"a": times[keep], "b": times},
        symbols={"a": symbols[keep], "b": symbols},
    )
    assert found.pairs == compare_models({"a": a[keep], "b": b[keep]}, times=times[keep]).pairs
    assert (found.n_rows, found.dropped["b"]) == (int(keep.sum()), int((~keep).sum()))
    assert "were averaged to" in found.dependence.sentence


def test_python_datetimes_are_times() -> None:
    a, b = two(30)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    times = [start + timedelta(hours=i) for i in range(30)]
    found = align_losses({"a": a, "b": b[::-1]}, times={"a": times, "b": times[::-1]})
    np.testing.assert_array_equal(found.losses[:, 1], b)


@pytest.mark.parametrize(
    ("times", "symbols", "message"),
    [
        ({"a": np.arange(30), "b": np.arange(100, 130)}, None, "'a' and 'b' have no time in common"),
        ({"a": np.arange(30)}, None, "times are given for a; one array for each of a, b"),
        (
            {"a": np.arange(30), "b": np.zeros(30)},
            None,
            "'b' has more than one loss at time 0.0; one was expected; with several",
        ),
        ({"a": np.arange(30), "b": np.arange(29)}, None, r"times of 'b' have shape \(29,\) for 30 losses"),
        ({"a": np.arange(30), "b": HOURS[:30]}, None, "times of 'b' are datetime64"),
        (np.arange(29), None, r"times have shape \(29,\) for 30 losses"),
        (pd.DatetimeIndex([*HOURS[:29], pd.NaT]), None, "times are missing in row 29"),
        ([*range(29), None], None, "times are missing in row 29"),
        ([f"{i:02d}/01/2024" for i in range(1, 31)], None, "times are text such as '01/01/2024'"),
        (None, np.tile(["x", "y"], 15), "symbols were given without times"),
        (np.zeros(30), np.repeat(["x", "y"], 15), "more than one loss at time 0.0 and symbol x"),
        ({"a": np.arange(30), "b": np.arange(30)}, np.tile(["x", "y"], 15), "symbols of each model were expected"),
    ],
)
def test_times_that_cannot_be_joined_are_refused_with_the_reason(times, symbols, message) -> None:
    a, b = two(30)
    with pytest.raises(DataError, match=message):
        align_losses({"a": a, "b": b}, times=times, symbols=symbols)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_no_number_is_named(value: float) -> None:
    a, b = two(30)
    b[7] = value
    with pytest.raises(DataError, match=f"the loss of 'b' is {value} in row 7"):
        compare_models({"a": a, "b": b})


def test_a_masked_loss_is_no_loss() -> None:
    a, b = two(30)
    masked = np.ma.masked_array(b, mask=np.arange(30) == 7)
    with pytest.raises(DataError, match="the loss of 'b' is nan in row 7"):
        compare_models({"a": a, "b": masked})
