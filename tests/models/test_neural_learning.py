"""Networks learn what is there: the order of bars, linear maps, and nothing across symbols or from labels not yet known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter
from sklearn.metrics import roc_auc_score

from huracan.catalogue import build_model
from huracan.dataset import TrainingSet
from huracan.errors import DataError, ModelError

pytest.importorskip("torch")

SEQUENCE = ("cnn", "lstm", "gru", "transformer")
BAR = np.timedelta64(3_600_000, "ms")


def in_order(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether, of the three bars before a row, the largest came before the smallest; values are independent draws."""
    x = np.random.default_rng(seed).standard_normal((n, 1)).astype(np.float32)
    before = np.lib.stride_tricks.sliding_window_view(x[:-1, 0], 3)
    label = np.zeros(n, np.int64)
    label[3:] = before.argmax(axis=1) < before.argmin(axis=1)
    return x, label


def panel(levels: np.ndarray, horizon: int) -> tuple[TrainingSet, np.ndarray]:
    """Columns as symbols; the next ``horizon`` changes of each row, whose label is not known where they are not there."""
    hours, symbols = levels.shape
    part = np.vstack([levels, np.full((horizon, symbols), np.nan)])
    y = (np.lib.stride_tricks.sliding_window_view(part[1:], horizon, axis=0) - levels[:, :, None]).reshape(-1, horizon)
    ts = np.repeat(np.datetime64("2024-01-01", "ms") + np.arange(hours) * BAR, symbols)
    known = np.isfinite(y[:, -1])
    rows = TrainingSet(
        X=np.ascontiguousarray(levels, np.float32).reshape(-1, 1),
        y=np.where(known, y[:, -1], np.nan),
        ts=ts,
        decision_time=ts + BAR,
        label_end=np.where(known, ts + horizon * BAR, np.datetime64("NaT")).astype("M8[ms]"),
        feature_names=("level",),
        symbol_code=np.tile(np.arange(symbols, dtype=np.int32), hours),
        segment=np.zeros(hours * symbols, np.int32),
        regime_code=np.full(hours * symbols, -1, np.int8),
        weight=np.ones(hours * symbols),
        symbols=tuple(f"s{i}" for i in range(symbols)),
        bar_length=BAR,
    )
    return rows, y


def waves(hours: int, symbols: int, noise: float, seed: int = 0) -> np.ndarray:
    """Levels with a period of 12 hours, each symbol with a phase of its own."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, symbols)
    return np.sin(2 * np.pi * np.arange(hours)[:, None] / 12 + phase) + noise * rng.standard_normal((hours, symbols))


@pytest.mark.parametrize("name", SEQUENCE)
def test_a_network_finds_an_order_of_bars_of_which_the_row_itself_says_nothing(name: str) -> None:
    x, label = in_order(3_000, 0)
    fresh, truth = in_order(2_000, 1)
    model = build_model(
        name, task="classification", window=4, max_epochs=15, hidden=16, learning_rate=1e-2, batch_size=128
    ).fit(x, label)
    assert roc_auc_score(truth[4:], model.predict_proba(fresh)[4:, 1]) > 0.95  # the rule itself has 1
    trees = build_model("extra_trees", task="classification").fit(x, label)
    blind = roc_auc_score(truth[4:], trees.predict_proba(fresh)[4:, 1])
    assert abs(blind - 0.5) < 0.05  # three standard errors of an AUC over some 700 windows that do not overlap


@pytest.mark.parametrize("name", ["linear_network", *SEQUENCE])
def test_many_steps_ahead_are_forecast_for_symbols_of_their_own_phase(name: str) -> None:
    levels = waves(400, 3, noise=0.05)
    rows, y = panel(levels, 6)
    settings = {} if name == "linear_network" else {"readout": "flatten", "hidden": 16, "patch": 4}
    model = build_model(
        name, window=12, window_scaling="last", winsorize=0.0, max_epochs=20, learning_rate=1e-2, batch_size=64, **settings
    ).fit(rows, y)
    after, truth = panel(waves(600, 3, noise=0.05)[400:], 6)
    judged = after.labelled & (np.arange(len(after)) >= 3 * 11)
    error = np.mean((model.predict(after)[judged] - truth[judged]) ** 2)
    # the last level's noise and the target's are not to be known better than by one bar each: about 0.05^2 each
    assert error < 3 * 2 * 0.05**2 < 0.05 * np.mean(truth[judged] ** 2)


def test_the_linear_network_comes_to_what_least_squares_says() -> None:
    levels = lfilter([1.0], [1.0, -1.2, 0.5], np.random.default_rng(3).standard_normal((3_000, 2)), axis=0)
    rows, y = panel(levels, 3)
    model = build_model(
        "linear_network", window=4, window_scaling="last", winsorize=0.0, clip=1e9, validation_share=0.0, weight_decay=0.0,
        max_epochs=30, learning_rate=1e-2,
    ).fit(rows, y)  # fmt: skip
    cut = np.lib.stride_tricks.sliding_window_view(levels, 4, axis=0)
    x = np.column_stack([(cut - cut[..., -1:]).reshape(-1, 4)[:, :3], np.ones(cut.shape[0] * 2)])
    counts = rows.labelled[6:]
    exact = x @ np.linalg.lstsq(x[counts], y[6:][counts], rcond=None)[0]
    gap = model.predict(rows)[6:] - exact
    assert gap.std() < 0.02 * exact.std()


def test_levels_that_leave_their_range_are_forecast_from_moves_alone() -> None:
    levels = np.cumsum(waves(1_200, 2, noise=0.05), axis=0) + 0.5 * np.arange(1_200)[:, None]  # moves are small to the range
    rows, y = panel(levels[:800], 3)
    model = build_model(
        "linear_network", window=13, window_scaling="last", winsorize=0.0, max_epochs=40, learning_rate=1e-2
    ).fit(rows, y)
    after, truth = panel(levels[800:], 3)
    judged = after.labelled & (np.arange(len(after)) >= 2 * 12)
    # moves repeat after 12 bars: the noise of a change and that of the window's bars, with weights of one or less
    error = np.mean((model.predict(after)[judged] - truth[judged]) ** 2)
    assert error < 4 * 3 * 0.05**2 < 0.02 * np.mean(truth[judged] ** 2)
    shifted = replace(after, X=after.X + np.float32(4_096.0))
    assert np.allclose(model.predict(shifted)[judged], model.predict(after)[judged], atol=0.01)
    again = type(model).from_state(model.spec, *model.to_parts())
    assert np.array_equal(again.predict(shifted), model.predict(shifted))


def test_a_share_of_the_time_validates_and_labels_that_reach_into_it_are_purged() -> None:
    hours, window, horizon, border = 400, 24, 8, 300
    rows, y = panel(waves(hours, 3, noise=0.1), horizon)
    moments = hours - horizon - window + 1
    late = hours - horizon - border + 1  # decided from the last hour before the border on
    model = build_model("linear_network", window=window, max_epochs=1, validation_share=late / moments).fit(rows, y)
    assert model.n_validation_rows_ == 3 * late
    assert model.n_train_rows_ == 3 * (border - horizon - window + 1)  # windows and targets all before the border


def test_a_forecast_reads_no_other_symbol() -> None:
    levels = waves(300, 3, noise=0.1)
    rows, y = panel(levels, 4)
    model = build_model("gru", window=12, hidden=8, max_epochs=2).fit(rows, y)
    other = levels.copy()
    other[:, [0, 2]] = np.random.default_rng(9).standard_normal((300, 2))
    mine = rows.symbol_code == 1
    assert np.array_equal(model.predict(rows)[mine], model.predict(panel(other, 4)[0])[mine])


def test_rows_whose_label_is_not_known_stand_in_windows_and_are_not_learned_from() -> None:
    rows, y = panel(waves(200, 2, noise=0.1), 4)
    hidden = np.zeros(len(rows), bool)
    hidden[100:120] = True
    gone = replace(
        rows,
        y=np.where(hidden, np.nan, rows.y),
        label_end=np.where(hidden, np.datetime64("NaT"), rows.label_end).astype("M8[ms]"),
    )
    spoilt = np.where(hidden[:, None], np.nan, y)
    settings = {"window": 6, "max_epochs": 2, "validation_share": 0.0}
    whole = build_model("linear_network", **settings).fit(rows, y)
    model = build_model("linear_network", **settings).fit(gone, spoilt)
    assert model.n_train_rows_ == whole.n_train_rows_ - hidden.sum()
    assert np.isfinite(model.predict(gone)).all()
    one_label = build_model("linear_network", **settings).fit(gone)
    assert one_label.n_train_rows_ == model.n_train_rows_


def test_targets_beside_a_training_set_are_refused_where_a_known_label_has_none() -> None:
    rows, y = panel(waves(200, 2, noise=0.1), 4)
    spoilt = y.copy()
    spoilt[50, 2] = np.nan
    with pytest.raises(DataError, match=r"column 'y2' holds NaN in row 50"):
        build_model("linear_network", window=6).fit(rows, spoilt)
    with pytest.raises(DataError, match=r"y has 399 rows where X has 400"):
        build_model("linear_network", window=6).fit(rows, y[1:])


# --- several symbols of different levels -----------------------------------------------------------------------------


def walks(hours: int, symbols: int, seed: int = 0) -> np.ndarray:
    """Prices near one, whose next move is half of the last one and noise."""
    noise = np.random.default_rng(seed).standard_normal((hours, symbols))
    return np.exp(0.002 * np.cumsum(lfilter([1.0], [1.0, -0.5], noise, axis=0), axis=0))


def with_returns(levels: np.ndarray) -> TrainingSet:
    rows, moves = panel(levels, 1)
    return replace(rows, y=np.where(rows.labelled, moves[:, 0], np.nan) / levels.reshape(-1))


def test_a_cheap_coin_is_seen_like_a_dear_one() -> None:
    levels = np.repeat(walks(700, 1), 3, axis=1)
    dear = with_returns(levels * [60_000.0, 0.1, 1e-5])
    settings = {"window": 12, "max_epochs": 15, "learning_rate": 1e-2, "hidden": 16, "dropout": 0.0}
    model = build_model("gru", window_scaling="standard", **settings).fit(dear)
    said = model.predict(dear).reshape(-1, 3)[12:]
    np.testing.assert_allclose(said[:, 1:], said[:, :1].repeat(2, axis=1), atol=0.05 * said.std())
    assert np.corrcoef(said[:-1, 2], dear.y.reshape(-1, 3)[12:-1, 2])[0, 1] > 0.3  # of the .5 that is attainable
    with pytest.raises(DataError, match=r"'level' moves 6e\+09 times as far for s0 as for s2, .* its logarithm"):
        build_model("gru", window_scaling="last", **settings).fit(dear)
    logs = replace(dear, X=np.log(np.maximum(dear.X, 1e-30)))
    said = build_model("gru", window_scaling="last", **settings).fit(logs).predict(logs).reshape(-1, 3)[12:]
    np.testing.assert_allclose(said[:, 1:], said[:, :1].repeat(2, axis=1), atol=0.05 * said.std())


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_the_unit_of_moves_is_that_of_all_symbols_at_all_distances(order: list[int]) -> None:
    """Rows in turn of as many symbols as bars in the window: the deviation of a walk's moves over 1 to 3 bars, pooled."""
    steps = np.array([1.0, 2.0, 5.0, 10.0])
    levels = np.cumsum(np.random.default_rng(0).standard_normal((4_000, 4)) * steps, axis=0)[:, order]
    rows, y = panel(levels, 1)
    model = build_model("linear_network", window=4, window_scaling="last", max_epochs=1, validation_share=0.0).fit(rows, y)
    # the outermost 1 % are cut; the rest of a mixture whose widest part is a quarter has nine tenths of its deviation
    assert model.scaler_.scale[0] == pytest.approx(np.sqrt(np.mean(steps**2) * 2.0), rel=0.1)


@pytest.mark.parametrize("name", ["mlp", "linear_network"])
@pytest.mark.parametrize("scaling", ["last", "standard"])
def test_a_window_of_one_bar_less_its_last_bar_is_refused(name: str, scaling: str) -> None:
    rows, y = panel(waves(100, 1, noise=0.1), 1)
    model = build_model(name, window=1, window_scaling=scaling)
    for refused in (lambda: model.fit(rows, y), model.outline):
        with pytest.raises(ModelError, match=f"window_scaling is '{scaling}', and takes the last bar out of a window"):
            refused()
