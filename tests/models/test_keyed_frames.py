"""Networks on frames that say what their rows are of: the same as the ``TrainingSet`` of those rows."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from huracan.catalogue import build_model
from huracan.dataset import TrainingSet
from huracan.errors import DataError, NotEnoughData

N = 60
QUICK: dict[str, Any] = {"window": 5, "max_epochs": 2, "random_state": 0}
RNG = np.random.default_rng(0)
HOURS = pd.date_range("2024-01-01", periods=N, freq="h")
PANEL = pd.DataFrame(RNG.standard_normal((2 * N, 2)), columns=["a", "b"]).assign(
    symbol=np.tile(["BTC", "ETH"], N), ts=np.repeat(HOURS, 2)
)
LABEL = RNG.standard_normal(2 * N)


def fitted(X: Any, y: Any = None, **more: Any) -> Any:
    return build_model("gru", **{**QUICK, **more}).fit(X, y)


def of_rows(X: Any, y: Any = None) -> Any:
    """What it forecasts of the rows it learned from."""
    return fitted(X, y).predict(X)


def test_a_frame_of_several_symbols_is_the_training_set_of_its_rows() -> None:
    expected = of_rows(TrainingSet.from_arrays(PANEL, LABEL))
    index = pd.MultiIndex.from_arrays([PANEL["symbol"], PANEL["ts"]])
    features = PANEL[["a", "b"]]
    for given, y in (
        (PANEL, LABEL),
        (PANEL[["ts", "a", "symbol", "b"]], LABEL),
        (pl.from_pandas(PANEL), pl.Series(LABEL)),
        (features.set_index(index), pd.Series(LABEL, index)),
        (features.set_index(index.swaplevel()), LABEL),
    ):
        model = fitted(given, y)
        assert model.feature_names_ == ("a", "b")
        np.testing.assert_array_equal(model.predict(given), expected)


def test_a_coin_too_cheap_to_be_seen_beside_another_is_named_by_the_frame_too() -> None:
    dear = PANEL.assign(a=np.where(PANEL["symbol"] == "BTC", 60_000.0, 1e-5) * (1.0 + 0.01 * PANEL["a"]))
    for given in (dear, pl.from_pandas(dear), TrainingSet.from_arrays(dear, LABEL)):
        with pytest.raises(DataError, match=r"'a' moves .* times as far for BTC as for ETH"):
            fitted(given, None if isinstance(given, TrainingSet) else LABEL, window_scaling="last")


def test_forecasts_come_in_the_order_of_the_rows_that_were_given() -> None:
    model = fitted(PANEL, LABEL)
    by_symbol = np.lexsort((PANEL["ts"], PANEL["symbol"]))
    expected = model.predict(PANEL)[by_symbol]
    np.testing.assert_allclose(model.predict(PANEL.iloc[by_symbol]), expected, rtol=0, atol=1e-7)
    for symbol, said in zip(("BTC", "ETH"), np.split(expected, 2)):
        alone = PANEL[PANEL["symbol"] == symbol]
        np.testing.assert_allclose(model.predict(alone), said, rtol=0, atol=1e-7)
        np.testing.assert_allclose(model.predict(alone[["a", "b"]].to_numpy()), said, rtol=0, atol=1e-7)


def test_validation_is_the_latest_time_of_all_symbols_whatever_the_order_of_rows() -> None:
    by_symbol = np.lexsort((PANEL["ts"], PANEL["symbol"]))
    model = build_model("gru", label_horizon=3, validation_share=0.3, **QUICK)
    job = model.prepare(PANEL.iloc[by_symbol], LABEL[by_symbol])
    scaled = model._waiting["scaler_"](PANEL[["a", "b"]].to_numpy(np.float32))
    known = {tuple(row): at for at, row in enumerate(scaled.tolist())}
    learned, late = (
        [known[tuple(part.table[last].tolist())] for last in part.last.long()] for part in (job.train, job.validation)
    )
    assert set(PANEL["symbol"].iloc[late]) == set(PANEL["symbol"].iloc[learned]) == {"BTC", "ETH"}
    assert PANEL["ts"].iloc[learned].max() + dt.timedelta(hours=3) < PANEL["ts"].iloc[late].min()


@pytest.mark.parametrize("way", ["index", "column"])
def test_a_window_does_not_reach_over_a_hole_in_time(way: str) -> None:
    times = HOURS[:20].append(HOURS[20:] + dt.timedelta(days=365))
    frame = pd.DataFrame(RNG.standard_normal((N, 2)), columns=["a", "b"])
    frame = frame.set_index(times) if way == "index" else frame.assign(ts=times)
    model = fitted(frame, LABEL[:N])
    constant = np.flatnonzero(model.predict(frame) == model.target_centers_[0])
    np.testing.assert_array_equal(constant, [0, 1, 2, 3, 20, 21, 22, 23])


def test_shares_by_the_day_learn_over_weekends_where_that_is_said() -> None:
    days = pd.bdate_range("2024-01-01", periods=N)
    frame = pd.DataFrame(RNG.standard_normal((N, 2)), index=days)
    rows = TrainingSet.from_arrays(frame, LABEL[:N], longest_step=dt.timedelta(days=4))
    assert fitted(rows).n_train_rows_ + fitted(rows).n_validation_rows_ == N - 4
    with pytest.raises(
        NotEnoughData, match=r"longest unbroken run has 5 bars\. .* \(longest_step of TrainingSet.from_arrays\)"
    ):
        fitted(frame, LABEL[:N], window=6)
    five = TrainingSet.from_arrays(frame, LABEL[:N])
    assert "in 12 segments" in repr(five) and fitted(five, validation_share=0.0).n_train_rows_ == N // 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (PANEL.drop(columns="symbol"), r"row 1 of X is at 2024-01-01T00.*, not after the row above it.*give symbol="),
        (PANEL[::-1], r"row 3 of X \(BTC\) is at .*, not after row 1 of that symbol"),
        (pl.from_pandas(PANEL[PANEL["symbol"] == "BTC"])[::-1], "row 1 of X .*times must increase"),
        (PANEL.drop(columns="ts"), "X has rows of 2 symbols and no times"),
        (PANEL.assign(ts=1.0), "column 'ts' of X, which is read as the time of each row, holds float64"),
        (PANEL.assign(b=PANEL["b"].mask(PANEL.index == 7)), r"column 'b' holds NaN in row 7 \(ETH, 2024-01-01 03:00:00\)"),
    ],
)  # fmt: skip
def test_rows_that_are_no_series_are_refused(given: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        fitted(given, LABEL[: len(given)])
    with pytest.raises(DataError, match=said):
        fitted(PANEL, LABEL).predict(given)


@pytest.mark.parametrize("given", [PANEL.drop(columns="symbol"), pl.from_pandas(PANEL.drop(columns="symbol"))])
def test_learners_that_do_not_look_back_name_the_way_in(given: Any) -> None:
    with pytest.raises(DataError, match=r"column 'ts' of X holds times .*; TrainingSet.from_arrays\(X, y\) reads it as a key"):
        build_model("ridge").fit(given, LABEL)
    assert build_model("ridge").fit(TrainingSet.from_arrays(PANEL, LABEL)).n_train_rows_ == 2 * N
