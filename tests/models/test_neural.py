"""Networks as estimators: what they may see, what they refuse, and that every way of giving the same rows is the same."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from huracan.catalogue import (
    build_model,
    feature_importance,
    find_learner,
    model_from_parts,
    register_learner,
    score_rows,
    score_span,
    signal_score,
)
from huracan.dataset import TimeSource, TrainingSet
from huracan.errors import ArtifactError, DataError, ModelError, NotEnoughData
from huracan.model_registry import ModelRegistry
from huracan.models import network_learner
from huracan.models.neural import NeuralRegressor
from huracan.models.windowed_rows import WindowedRows
from huracan.registry.formats import dump_model, load_model
from huracan.storage import to_json

SEQUENCE = ("linear_network", "cnn", "lstm", "gru", "transformer")
QUICK: dict[str, Any] = {"window": 5, "max_epochs": 2, "random_state": 0}


def series(n: int = 400, d: int = 3, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(np.float32)
    return X, 0.01 * (X[:, 0] + np.roll(X[:, 1], 2)) + 0.005 * rng.standard_normal(n)


def panel(n: int = 150, symbols: int = 3, *, seed: int = 0, horizon: int = 1) -> TrainingSet:
    """Hourly rows of several symbols, a gap in the middle, rows by time and symbol."""
    rng = np.random.default_rng(seed)
    hour = np.timedelta64(3_600_000, "ms")
    step = np.arange(n) + np.where(np.arange(n) >= n // 2, 7, 0)
    ts = np.repeat(np.datetime64("2024-01-01", "ms") + step * hour, symbols)
    return TrainingSet(
        X=rng.standard_normal((n * symbols, 2)).astype(np.float32),
        y=rng.standard_normal(n * symbols),
        ts=ts,
        decision_time=ts + hour,
        label_end=ts + (1 + horizon) * hour,
        feature_names=("a", "b"),
        symbol_code=np.tile(np.arange(symbols, dtype=np.int32), n),
        segment=np.repeat((np.arange(n) >= n // 2).astype(np.int32), symbols),
        regime_code=np.full(n * symbols, -1, np.int8),
        weight=np.ones(n * symbols),
        symbols=tuple(f"S{i}" for i in range(symbols)),
        bar_length=hour,
        time_source=TimeSource.CANDLES,
    )


# --- what a forecast may see -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEQUENCE)
def test_a_forecast_sees_its_own_window_and_nothing_else(name: str) -> None:
    """Changing any value of another symbol, segment, or bar outside the window changes nothing; inside it does."""
    rows = panel()
    model = build_model(name, **QUICK).fit(rows)
    before = model.predict(rows)
    at = 3 * 60 + 1  # bar 60 of the second symbol
    window = {at - 3 * k for k in range(5)}
    changed = rows.X.copy()
    outside = np.array([i for i in range(len(rows)) if i not in window])
    changed[outside] = 9.0
    other = model.predict(TrainingSet(**{**_fields(rows), "X": changed}))
    assert other[at] == pytest.approx(before[at], abs=1e-6)
    for i in window:
        inside = rows.X.copy()
        inside[i] += 3.0
        assert model.predict(TrainingSet(**{**_fields(rows), "X": inside}))[at] != before[at]


def test_rows_without_a_whole_window_get_the_constant() -> None:
    rows = panel()
    model = build_model("gru", **QUICK).fit(rows)
    said = model.predict(rows).reshape(150, 3)
    incomplete = np.zeros(150, bool)
    incomplete[:4] = incomplete[75:79] = True  # the first bars, and those after the gap
    np.testing.assert_array_equal(said[incomplete], model.target_centers_[0])
    assert len(np.unique(said[~incomplete])) == (~incomplete).sum() * 3


def test_a_bar_that_is_missing_from_the_table_breaks_the_window() -> None:
    rows = panel(symbols=1)
    model = build_model("linear_network", **QUICK).fit(rows)
    kept = np.delete(np.arange(150), 40)  # a row whose features were not defined, say
    said = model.predict(rows.take(kept))
    constant = said == model.target_centers_[0]
    np.testing.assert_array_equal(np.flatnonzero(constant), [0, 1, 2, 3, 40, 41, 42, 43, 74, 75, 76, 77])


def test_scores_of_a_span_are_the_scores_of_the_whole() -> None:
    rows = panel()
    model = build_model("lstm", **QUICK).fit(rows.take(slice(0, 300)))
    whole = signal_score(model, rows)
    for span in (slice(300, 360), slice(301, None), slice(2, 40)):
        np.testing.assert_allclose(score_span(model, rows, span), whole[span], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["gru", "linear_network"])
def test_rows_that_are_asked_for_are_answered_as_among_all(name: str) -> None:
    rows = panel()
    which = np.array([400, 3, 77, 78, 449, 0])
    for task in ("regression", "classification"):
        model = build_model(name, task=task, **QUICK).fit(rows)
        np.testing.assert_allclose(score_rows(model, rows, which), signal_score(model, rows)[which], rtol=0, atol=1e-6)


def test_a_table_holds_the_bars_that_windows_reach_and_no_others() -> None:
    rows = panel(n=40)
    windowed = WindowedRows.of(rows)
    values = rows.X[np.lexsort((rows.ts, rows.symbol_code))]
    complete = np.flatnonzero(windowed.complete(5))
    for which in (complete, complete[::-1], complete[[0, 4, 5, 40, 41, 7]], complete[:0]):
        table, last = windowed.table(which, 5)
        found = np.array([table[at - 4 : at + 1] for at in last]).reshape(len(which), 5, 2)
        expected = np.array([values[at - 4 : at + 1] for at in windowed.place[which]]).reshape(len(which), 5, 2)
        np.testing.assert_array_equal(found, expected)
        assert len(table) == len({at - i for at in windowed.place[which] for i in range(5)})


def test_importance_is_looked_at_in_windows_of_all_symbols() -> None:
    """Features of 1,024 windows at even steps would be those of one symbol of eight."""
    import torch

    from huracan.models.input_saliency import input_saliency
    from huracan.training.windows import WindowTable

    number = torch.arange(8 * 1_023 + 1)
    table = torch.stack([number % 8 == k for k in range(8)], dim=1).float()  # a column a symbol
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, 1))
    torch.nn.init.ones_(network[1].weight)
    share = input_saliency(network, WindowTable(table, number.int(), 1))
    np.testing.assert_allclose(share, 1 / 8, atol=5 * np.sqrt(1 / 8 * 7 / 8 / 1_024))


def test_a_capped_fit_keeps_the_bars_it_learns_from_only() -> None:
    rows = panel(n=2_000, symbols=2)
    job = build_model("gru", max_train_rows=400, **QUICK).prepare(rows)
    assert len(job.train.table) <= 400 + 2 * 4  # and of each symbol the bars before its first window


def test_labels_that_reach_into_the_validation_tail_are_not_learned_from() -> None:
    rows = panel(horizon=6)
    model = build_model("gru", **QUICK)
    job = model.prepare(rows)
    assert job.validation is not None
    learned, validated = (_row_numbers(model, rows, windows) for windows in (job.train, job.validation))
    assert rows.label_end[learned].max() < rows.decision_time[validated].min()
    assert rows.decision_time[learned].max() >= rows.decision_time[validated].min() - 8 * rows.bar_length


def test_a_row_without_label_or_weight_is_context_only() -> None:
    rows = panel(symbols=1)
    unlabelled = rows.y.copy()
    unlabelled[20:30] = np.nan
    end = rows.label_end.copy()
    end[20:30] = np.datetime64("NaT")
    weight = rows.weight.copy()
    weight[35:40] = 0.0
    model = build_model("linear_network", **QUICK)
    job = model.prepare(TrainingSet(**{**_fields(rows), "y": unlabelled, "label_end": end, "weight": weight}))
    used = np.concatenate([_row_numbers(model, rows, part) for part in (job.train, job.validation) if part is not None])
    assert not set(range(20, 30)) & set(used)
    assert not set(range(35, 40)) & set(used)
    assert {30, 40} <= set(used)
    held = {tuple(values) for values in job.train.table.tolist()}
    context = [*range(26, 30), *range(36, 40)]  # what windows of five bars that end in rows 30 and 40 reach
    assert {tuple(values) for values in model._waiting["scaler_"](rows.X[context]).tolist()} <= held


# --- one thing, given in several ways --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEQUENCE)
def test_windows_given_ready_are_the_windows_of_the_rows(name: str) -> None:
    X, y = series(200)
    ready = np.lib.stride_tricks.sliding_window_view(X, 5, axis=0).transpose(0, 2, 1)
    of_rows = build_model(name, validation_share=0.0, **QUICK).fit(X, y)
    of_windows = build_model(name, validation_share=0.0, **QUICK).fit(ready, y[4:])
    assert of_windows.n_train_rows_ == of_rows.n_train_rows_ == 196
    assert of_windows.n_features_in_ == 3
    of_windows.scaler_ = of_rows.scaler_
    of_windows.estimator_.load_state_dict(of_rows.estimator_.state_dict())
    np.testing.assert_allclose(of_windows.predict(ready), of_rows.predict(X)[4:], rtol=0, atol=1e-7)


def test_a_frame_and_its_values_and_a_training_set_are_the_same() -> None:
    X, y = series(200)
    frame = pd.DataFrame(X, columns=["a", "b", "c"], index=pd.date_range("2024-01-01", periods=200, freq="D"))
    rows = TrainingSet.from_arrays(frame, y)
    said = [build_model("gru", **QUICK).fit(*given).predict(given[0]) for given in ((X, y), (frame, y), (rows,))]
    np.testing.assert_array_equal(said[0], said[1])
    np.testing.assert_array_equal(said[0], said[2])


def test_the_seed_decides_everything() -> None:
    X, y = series()
    one, two = (build_model("lstm", **QUICK).fit(X, y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(build_model("lstm", **{**QUICK, "random_state": 1}).fit(X, y).predict(X), one)


def test_clones_pickles_and_stored_models_say_the_same() -> None:
    X, y = series()
    for more in ({}, {"quantiles": [0.1, 0.9]}, {"task": "classification"}):
        model = build_model("gru", **QUICK, **more).fit(X, y > 0 if "task" in more else y)
        stored = load_model(dump_model(model))
        for other in (pickle.loads(pickle.dumps(model)), stored):  # noqa: S301 - our own bytes
            np.testing.assert_array_equal(signal_score(other, X), signal_score(model, X))
            assert other.model_info() == model.model_info()
            assert feature_importance(other) == feature_importance(model)
        assert dump_model(stored) == dump_model(model)
        assert clone(model).get_params() == model.get_params()


def test_damaged_or_foreign_parameters_are_refused() -> None:
    X, y = series()
    model = build_model("gru", **QUICK).fit(X, y)
    files = dump_model(model)
    with pytest.raises(ArtifactError, match="parameters are damaged"):
        load_model({**files, "model.safetensors": files["model.safetensors"][:-9]})
    other = dump_model(build_model("gru", **QUICK, hidden=8).fit(X, y))
    with pytest.raises(ModelError, match="the stored parameters do not fit the network of gru"):
        load_model({**files, "model.safetensors": other["model.safetensors"]})
    with pytest.raises(ModelError, match="gru/regression in format 1; lstm/regression"):
        NeuralRegressor.from_state(find_learner("lstm"), *model.to_parts())


def test_a_damaged_state_is_refused_in_one_sentence() -> None:
    X, y = series()
    state, network = build_model("gru", **QUICK).fit(X, y).to_parts()
    for key in ("importance", "n_validation_rows", "target", "scaler"):
        with pytest.raises(ModelError, match=f"the stored state of gru lacks the key '{key}'"):
            NeuralRegressor.from_state(find_learner("gru"), {k: v for k, v in state.items() if k != key}, network)
        with pytest.raises(ModelError, match="the stored state of gru is damaged"):
            NeuralRegressor.from_state(find_learner("gru"), {**state, key: "x"}, network)


def test_a_stored_model_tells_how_it_was_trained(tmp_path: Path) -> None:
    """All but the losses of single steps; equal trainings leave equal bytes, and what the clock said is kept beside them."""
    X, y = series()
    model, twin = (build_model("gru", **{**QUICK, "max_epochs": 4, "patience": 1}).fit(X, y) for _ in range(2))
    assert dump_model(model) == dump_model(twin)
    trained = model.training_
    stored = load_model(dump_model(model)).training_
    assert (stored.losses, stored.validation_losses) == (trained.losses, trained.validation_losses)
    assert (stored.best_epoch, stored.best_loss, stored.stopped) == (trained.best_epoch, trained.best_loss, trained.stopped)
    assert stored.steps == trained.steps > 0 and stored.step_losses == []
    assert np.isnan(stored.windows_per_second)
    registry = ModelRegistry(f"sqlite:///{tmp_path / 'models.db'}", artifacts=tmp_path / "artifacts")
    champion = registry.load("m", version=registry.register(model, name="m", extras={"mine": 1}))
    assert champion.training_.history == trained.history
    assert champion.fit_seconds_ == model.fit_seconds_ > 0.0
    again = registry.load("m", version=registry.register(champion, name="m"))
    assert (again.training_, again.fit_seconds_) == (champion.training_, champion.fit_seconds_)
    state, network = model.to_parts()
    with pytest.raises(ModelError, match="the stored state of gru is damaged"):
        NeuralRegressor.from_state(find_learner("gru"), {**state, "training": "x"}, network)
    del state["training"]  # as an earlier version stored it
    assert not hasattr(NeuralRegressor.from_state(find_learner("gru"), state, network), "training_")


def test_layers_that_share_their_weights_are_stored() -> None:
    """Under both names, each with its own memory: the format refuses one tensor under two."""
    import torch
    from safetensors.torch import load

    from huracan.registry.formats import _dump_inner

    layers = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)])
    layers[1].weight = layers[0].weight
    stored = load(_dump_inner(layers)[1] or b"")
    assert set(stored) == set(layers.state_dict())
    assert all(torch.equal(stored[name], value) for name, value in layers.state_dict().items())


def test_a_forecast_leaves_the_fitted_network_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is not there: whatever is sent to it is noted and stays."""
    import torch

    from huracan.training.windows import WindowTable

    X, y = series()
    model = build_model("gru", **QUICK).fit(X, y)
    said, sent = model.predict(X), []
    monkeypatch.setattr("huracan.training.runtime.as_device", lambda _: SimpleNamespace(type="elsewhere"))
    monkeypatch.setattr(WindowTable, "to", lambda self, *_: self)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, _: sent.append(self) or self)
    np.testing.assert_array_equal(model.predict(X), said)
    assert len(sent) == 1 and sent[0] is not model.estimator_


def test_checkpoints_belong_to_one_training_each(tmp_path: Path) -> None:
    """Other losses, networks of the same shapes, data or starting parameters are other trainings, and begin anew."""
    X, y = series()
    folder = {"checkpoints": str(tmp_path)}
    trainings = [{}, {"loss": "huber"}, {"window_scaling": "last"}, {"random_state": 1}]
    for k, more in enumerate(trainings, start=1):
        model = build_model("gru", **{**QUICK, **folder, **more}).fit(X, y)
        assert model.training_.resumed_from is None
        assert len(list(tmp_path.iterdir())) == k
        assert not list(tmp_path.glob("*/checkpoints"))  # which serve a training that is not done
        again = build_model("gru", **{**QUICK, **folder, **more}).fit(X, y)
        assert again.training_.resumed_from == model.training_.steps
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        plain = build_model("gru", **{**QUICK, **more}).fit(X, y)
        np.testing.assert_array_equal(plain.predict(X), model.predict(X))
    warm = build_model("gru", warm_start=True, **QUICK, **folder).fit(X, y)
    first = warm.predict(X)
    assert warm.fit(X, y).training_.resumed_from is None
    assert not np.array_equal(warm.predict(X), first)


def test_a_folder_for_checkpoints_is_no_part_of_the_model(tmp_path: Path) -> None:
    """It may be a path, and is of another machine than the one that loads the model."""
    X, y = series()
    model = build_model("gru", checkpoints=tmp_path, verbose=1, **QUICK).fit(X, y)
    plain = build_model("gru", **QUICK).fit(X, y)
    assert model.get_params()["checkpoints"] == tmp_path and list(tmp_path.iterdir())
    assert model.model_info() == plain.model_info()
    assert dump_model(model) == dump_model(plain)
    to_json(model.model_info().model_dump())
    assert model.prepare(X, y).identity() == plain.prepare(X, y).identity()


def test_epochs_are_logged_where_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    X, y = series()
    with caplog.at_level("INFO", logger="huracan"):
        build_model("gru", **QUICK).fit(X, y)
        assert not caplog.records
        model = build_model("gru", verbose=1, **QUICK).fit(X, y)
    told = [record.msg for record in caplog.records]
    assert [one["epoch"] for one in told] == [1, 2]
    assert [one["validation_loss"] for one in told] == model.training_.validation_losses
    assert {(one["event"], one["learner"], one["of"]) for one in told} == {("epoch done", "gru", 2)}


def test_a_network_learns_from_all_rows_unless_it_is_told_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    X, y = series()
    model = build_model("linear_network", validation_share=0.0, **QUICK)
    capped = {"quick": 50_000, "standard": 200_000, "full": 500_000}
    assert model.model_info().max_train_rows is None
    assert {name: build_model("gru", max_train_rows=name).model_info().max_train_rows for name in capped} == capped
    assert build_model("random_forest").model_info().max_train_rows == 200_000
    with caplog.at_level("INFO", logger="huracan"):
        assert model.fit(X, y).n_train_rows_ == 396
        assert not caplog.records
        assert model.set_params(max_train_rows=150).fit(X, y).n_train_rows_ == 150
    assert [(record.levelname, record.msg["rows"], record.msg["of"]) for record in caplog.records] == [("INFO", 150, 396)]


# --- bad input -------------------------------------------------------------------------------------------------------


def test_bad_input_is_one_sentence_with_the_place() -> None:
    rows = panel()
    broken = rows.X.copy()
    broken[3 * 20 + 1, 1] = np.nan
    with pytest.raises(DataError, match=r"column 'b' holds NaN in row 61 \(S1, 2024-01-01T20:00:00.000\)"):
        build_model("lstm", **QUICK).fit(TrainingSet(**{**_fields(rows), "X": broken}))
    label = rows.y.copy()
    label[61] = np.nan
    with pytest.raises(DataError, match=r"y holds NaN in row 61 \(S1, 2024-01-01T20:00:00.000\)"):
        build_model("lstm", **QUICK).fit(TrainingSet(**{**_fields(rows), "y": label}))
    X, y = series()
    frame = pd.DataFrame(X, columns=["a", "b", "c"], index=pd.date_range("2024-01-01", periods=400, freq="h"))
    frame.iloc[30, 2] = np.inf
    with pytest.raises(DataError, match=r"column 'c' holds inf in row 30 \(2024-01-02 06:00"):
        build_model("lstm", **QUICK).fit(frame, y)
    y[7] = np.nan
    with pytest.raises(DataError, match="column 'y' holds NaN in row 7"):
        build_model("lstm", **QUICK).fit(X, y)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"window": 500}, r"no window of 500 unbroken bars .* the longest unbroken run has 75 bars"),
        ({"window": 0}, "window is 0"),
        ({"window": 2.5}, "window is 2.5"),
        ({"validation_share": 1.5}, "validation_share is 1.5"),
        ({"quantiles": (0.9, 0.1)}, "quantiles is"),
        ({"loss": "cross_entropy"}, "'squared_error' or 'huber' was expected"),
        ({"class_weight": "balanced"}, "gru was built for regression"),
        ({"device": "cuda:7"}, "device is 'cuda:7'"),
        ({"device": "gpu"}, "device is 'gpu'"),
        ({"device": 0}, "device is 0"),
        ({"quantiles": 0.9}, "quantiles is 0.9"),
        ({"quantiles": "0.5"}, "quantiles is '0.5'"),
        ({"learning_rate": "0.01"}, "learning_rate is '0.01'"),
        ({"validation_share": "0.1"}, "validation_share is '0.1'"),
        ({"max_epochs": 0}, "max_epochs is 0"),
        ({"hidden": 0}, "hidden must be a whole number"),
        ({"hidden": 300_000}, "gru ran out of memory with .* lower batch_size"),
        ({"patch": 9}, "patch must not be longer than the window"),
        ({"learning_rate": 1e8, "clip_norm": None, "schedule": "constant"}, "training exploded"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises((ModelError, NotEnoughData), match=said):
        build_model("gru", **{**QUICK, **given}).fit(panel())


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    """A grid search over ``np.arange`` sets them, and they train, are known and stored like plain ones."""
    X, y = series()
    plain: dict[str, Any] = {"window": 5, "max_epochs": 2, "batch_size": 64, "patience": 3, "hidden": 8, "patch": 1}
    grid = {name: np.int64(value) for name, value in plain.items()}
    grid |= {"learning_rate": np.float32(0.0078125), "validation_share": np.float64(0.2)}
    plain |= {"learning_rate": 0.0078125, "validation_share": 0.2}
    given = build_model("gru", random_state=np.int64(3), **grid)
    known = build_model("gru", random_state=3, **plain)
    assert given.prepare(X, y).identity() == known.prepare(X, y).identity()
    given.prepare(X, y).save(tmp_path)
    np.testing.assert_array_equal(given.fit(X, y).predict(X), known.fit(X, y).predict(X))
    assert dump_model(given) == dump_model(known)
    day = build_model("linear_network", embargo=np.timedelta64(86_400_000_000_000, "ns"), **QUICK).prepare(panel())
    bars = build_model("linear_network", embargo=24, **QUICK).prepare(panel())
    assert day.identity() == bars.identity()
    search = GridSearchCV(build_model("linear_network", **QUICK), {"window": np.arange(2, 4)}, cv=2)
    assert search.fit(X, y).best_params_["window"] in (2, 3)


@pytest.mark.parametrize("name", ["gru", "ridge"])
def test_a_stream_of_random_numbers_is_no_seed(name: str) -> None:
    X, y = series()
    for stream, said in ((np.random.RandomState(0), "RandomState"), (np.random.default_rng(0), "Generator"), (0.5, "0.5")):
        with pytest.raises(ModelError, match=f"random_state is {said}.*; a whole number"):
            build_model(name, random_state=stream).fit(X, y)  # type: ignore[arg-type]


def test_a_frame_is_one_series_in_time_order_and_its_labels_are_of_the_same_rows() -> None:
    X, y = series(60)
    hours = pd.date_range("2024-01-01", periods=60, freq="h", tz="UTC")
    frame, label = pd.DataFrame(X, columns=["a", "b", "c"], index=hours), pd.Series(y, index=hours)
    model = build_model("gru", **QUICK)
    for wrong in (frame[::-1], pd.concat([frame[:30], frame[:30]])):
        with pytest.raises(DataError, match=r"row \d+ of X is at .*, not after the row above it"):
            model.fit(wrong, y)
    with pytest.raises(DataError, match=r"row 0 of X is of 2024-01-01 00:00:00\+00:00 and that of y of 2024-01-01 01:00"):
        model.fit(frame, label.shift(freq="h"))
    label.iloc[23] = np.nan
    with pytest.raises(DataError, match=r"column 'y' holds NaN in row 23 \(2024-01-01 23:00"):
        model.fit(frame, label)
    with pytest.raises(DataError, match=r"column 'v' holds NaN in row 23 \(2024-01-01 23:00"):
        model.fit(frame, pd.DataFrame({"u": y, "v": label}))
    model.fit(frame, y)
    assert model.predict(frame[:0]).shape == (0,)
    with pytest.warns(UserWarning, match="gru was asked about 1 row.s. none of which has its window of 5"):
        assert model.predict(frame[-1:]).tolist() == model.target_centers_.tolist()


def test_a_warm_start_needs_the_same_outputs_and_sizes() -> None:
    X, y = series(100)
    model = build_model("gru", warm_start=True, **QUICK).fit(X, y)
    with pytest.raises(DataError, match=r"y has 2 column\(s\), but the first fit had 1"):
        model.fit(X, np.column_stack([y, y]))
    with pytest.raises(ModelError, match="its network has other sizes now"):
        model.set_params(hidden=16).fit(X, y)


def test_one_class_and_other_columns_are_refused() -> None:
    X, y = series()
    with pytest.raises(ModelError, match="one class only, 1"):
        build_model("gru", task="classification", **QUICK).fit(X, np.ones(400, int))
    model = build_model("gru", **QUICK).fit(panel())
    with pytest.raises(DataError, match="expects the feature 'b' at column 1 and got 'c'"):
        model.predict(TrainingSet(**{**_fields(panel()), "feature_names": ("a", "c")}))
    with pytest.raises(DataError, match="holds windows of 3 bars; gru looks at 5"):
        model.predict(np.zeros((4, 3, 2)))
    with pytest.raises(DataError, match="3 features"):
        model.predict(np.zeros((4, 5, 3)))
    with pytest.raises(DataError, match="y has 399 rows where X has 400"):
        build_model("gru", **QUICK).fit(X, y[1:])


# --- a network of one's own -------------------------------------------------------------------------------------------


def test_a_network_of_ones_own_joins_the_catalogue() -> None:
    from huracan import catalogue

    kept = dict(catalogue._LEARNERS)
    try:
        register_learner(
            network_learner(
                name="last_bars",
                purpose="A weighted sum of the last bars.",
                ideal_dataset_shape="(500+ rows, 1-10 features)",
                network=_last_bars,
                defaults={"bars": 3, "window": 6, "learning_rate": 0.02},
                meanings={"bars": "how many of them"},
            )
        )
        X, y = series(800)
        model = build_model("last_bars", bars=3, max_epochs=20).fit(X, y)
        assert np.corrcoef(model.predict(X)[8:], y[8:])[0, 1] > 0.9
        state, network = model.to_parts()
        np.testing.assert_array_equal(model_from_parts(state, network).predict(X), model.predict(X))
        assert model.model_info().hyperparameters["window"] == 6
    finally:
        catalogue._LEARNERS.clear()
        catalogue._LEARNERS.update(kept)


def _last_bars(n_features: int, window: int, n_outputs: int, *, bars: int) -> Any:
    import torch
    from torch import nn

    class LastBars(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sum = nn.Linear(bars * n_features, n_outputs)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.sum(x[:, window - bars :].flatten(1))

    return LastBars()


def _row_numbers(model: Any, rows: TrainingSet, windows: Any) -> NDArray[np.int64]:
    """Which rows windows end in, told by what stands there."""
    known = {tuple(values): row for row, values in enumerate(model._waiting["scaler_"](rows.X).tolist())}
    return np.array([known[tuple(windows.table[last].tolist())] for last in windows.last.long()])


def _fields(rows: TrainingSet) -> dict[str, Any]:
    return {name: getattr(rows, name) for name in rows.__dataclass_fields__}
