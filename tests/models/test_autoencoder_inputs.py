"""The autoencoder: columns that never moved, gaps in time, and histories that are too short for an answer."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch")

from huracan.dataset import TrainingSet  # noqa: E402
from huracan.market import simulate_market  # noqa: E402
from huracan.models.autoencoder.estimator import Autoencoder  # noqa: E402
from huracan.models.autoencoder.rows import BarRows  # noqa: E402
from huracan.models.autoencoder.still_columns import IMPOSSIBLE  # noqa: E402
from huracan.registry.formats import dump_model, load_model  # noqa: E402

TINY: dict[str, Any] = {"window": 8, "latent": 2, "hidden": 8, "cross_hidden": 8, "max_epochs": 1, "reference": 48}

# --- columns that never moved ---------------------------------------------------------------------------------------


def with_still(n: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, 4)).astype(np.float32)
    rows[:, 1], rows[:, 3] = 1.0, 0.0
    return rows


@pytest.mark.parametrize(("column", "value"), [(1, 1e9), (1, 1.001), (1, -3.4e38), (3, 1e-20)])
def test_a_column_that_never_moved_and_moves_is_the_greatest_surprise(column: int, value: float) -> None:
    model = Autoencoder(**TINY).fit(with_still(1_000, 0))
    assert model.check_names_[-2:] == ("constant of x1", "constant of x3")
    usual = with_still(200, 1)
    moved = usual.copy()
    moved[100, column] = value
    for fitted in (model, load_model(dump_model(model))):
        found = fitted.anomaly_checks(moved)
        hit = np.arange(200)[(np.arange(200) >= 100) & (np.arange(200) < 108)]
        named = np.array(fitted.check_names_)[np.argmax(found[hit], axis=1)]
        assert set(named) == {f"constant of x{column}"}
        assert (fitted.anomaly_score(moved)[hit] == IMPOSSIBLE).all()
        assert (fitted.anomaly_share(moved)[hit] == fitted.shares_.least).all()
        others = np.setdiff1d(np.arange(7, 200), hit)
        np.testing.assert_array_equal(fitted.anomaly_score(moved)[others], fitted.anomaly_score(usual)[others])
        assert np.isfinite(fitted.anomaly_score(usual)[7:]).all() and np.nanmax(fitted.anomaly_score(usual)) < IMPOSSIBLE


def test_no_value_of_a_moving_column_outdoes_it_and_none_gives_no_answer() -> None:
    model = Autoencoder(**TINY).fit(with_still(1_000, 0))
    moved = with_still(60, 1)
    moved[30, 0], moved[31, 2] = 3e38, -3e38
    score = model.anomaly_score(moved)[7:]
    assert np.isfinite(score).all() and score.max() < IMPOSSIBLE
    assert score[30 - 7 : 38 - 7].min() > score[: 30 - 7].max()


def test_still_columns_are_watched_within_the_windows_of_each_symbol() -> None:
    model = Autoencoder(**TINY).fit(with_still(1_000, 0))
    rows = TrainingSet.from_arrays(with_still(80, 2), np.zeros(80))
    moments = np.repeat(rows.ts[:40], 2)
    both = replace(
        rows,
        ts=moments,
        decision_time=moments + rows.bar_length,
        symbol_code=np.tile([0, 1], 40).astype(np.int32),
        symbols=("A", "B"),
    )
    x = both.X.copy()
    x[41, 1] = 7.0  # symbol B, its 21st bar
    hit = model.anomaly_score(replace(both, X=x)) == IMPOSSIBLE
    assert np.flatnonzero(hit).tolist() == [41 + 2 * i for i in range(8)]


# --- gaps -----------------------------------------------------------------------------------------------------------


def test_a_leap_of_time_breaks_windows_where_no_segment_says_so() -> None:
    ts = [0, 60, 120, 300, 360, 420, 480]
    frame = pl.DataFrame({"symbol": ["A"] * 7 + ["B"] * 4, "ts": [*ts, 0, 3600, 7200, 7260], "x": np.arange(11.0)})
    assert BarRows.read(frame, reference=48).before.tolist() == [0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 0]
    told = frame.with_columns(segment=pl.lit(0))
    assert BarRows.read(told, reference=48).before.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3]


def test_windows_of_a_frame_with_bars_missing_are_those_of_its_parts() -> None:
    rng = np.random.default_rng(3)
    ts = pl.datetime_range(pl.datetime(2025, 1, 1), pl.datetime(2025, 1, 3), "1m", time_zone="UTC", eager=True)[:600]
    frame = pl.DataFrame({"symbol": "A", "ts": ts, "a": rng.standard_normal(600), "b": rng.standard_normal(600)})
    model = Autoencoder(**TINY).fit(frame)
    gone = frame.filter(~pl.int_range(pl.len()).is_between(300, 309))
    parts = np.concatenate([model.anomaly_score(part) for part in (frame[:300], frame[310:])])
    np.testing.assert_array_equal(model.anomaly_score(gone), parts)
    assert np.isnan(parts[300:307]).all()


# --- too little history ---------------------------------------------------------------------------------------------


def test_a_live_tail_of_history_bars_and_one_more_is_answered_and_a_shorter_one_says_so() -> None:
    candles = simulate_market(n_bars=700, n_symbols=1, seed=3).candles
    model = Autoencoder(**TINY).fit(candles)
    assert model.history_bars == 48 + 8 - 1
    assert load_model(dump_model(model)).history_bars == model.history_bars
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = model.anomaly_score(candles)
        tail = model.anomaly_score(candles.tail(model.history_bars + 1))
    assert tail[-1] == pytest.approx(whole[-1], rel=1e-4)
    for answer in (model.anomaly_score, model.anomaly_share, model.anomaly_checks, model.transform):
        with pytest.warns(
            UserWarning, match=r"says NaN, which exceeds no threshold, of 1 of the 1 latest row.*at least 55 unbroken"
        ):
            assert np.isnan(answer(candles.tail(model.history_bars))).all()
    rows = Autoencoder(**TINY).fit(np.random.default_rng(0).standard_normal((400, 2)))
    assert rows.history_bars == 7


def test_one_symbol_without_history_among_others_is_told() -> None:
    candles = simulate_market(n_bars=700, n_symbols=2, seed=3).candles
    model = Autoencoder(**TINY).fit(candles)
    young = candles.filter(
        (pl.col("symbol") == candles["symbol"][0]) | (pl.col("ts") >= candles["ts"].max() - pl.duration(hours=9))
    )
    with pytest.warns(UserWarning, match="of 1 of the 2 latest row"):
        model.anomaly_score(young)
