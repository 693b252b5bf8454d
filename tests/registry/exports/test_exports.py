"""A graph says what its model says: on real rows, on thresholds, alone and in batch; where it does not, the model is kept."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

from huracan.catalogue import MODEL_CATALOGUE, build_model, signal_score
from huracan.dataset import TrainingSet
from huracan.errors import ArtifactError, DataError, ModelError
from huracan.registry.exports import (
    Export,
    ExportRefused,
    export_checked,
    export_model,
    make_scorer,
    probability_of,
    signal_of,
)
from huracan.registry.exports import checked as checked_module
from huracan.registry.exports.scorers import OnnxScorer

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (huracan[serve])")

RNG = np.random.default_rng(0)
X: NDArray[np.float32] = (3.0 * RNG.standard_normal((700, 5))).astype(np.float32)
SIGNAL = 0.3 * X[:, 0] + 0.2 * X[:, 1] * X[:, 2] + RNG.standard_normal(700)
TARGETS: dict[str, NDArray[Any]] = {
    "regression": 0.01 * SIGNAL,
    "two classes": (SIGNAL > 0).astype(int),
    "three classes": np.digitize(SIGNAL, [-0.5, 0.5]),
}
LEARNERS = {name: spec for name, spec in MODEL_CATALOGUE.items() if spec.is_supervised}
WITHOUT_GRAPH = {"k_nearest_neighbors", "rbf_svm"}


def fitted(name: str, kind: str) -> Any:
    spec = MODEL_CATALOGUE[name]
    task: Any = "regression" if kind == "regression" else "classification"
    if task not in spec.tasks:
        pytest.skip(f"{name} does not do {task}")
    small: dict[str, Any] = {"max_epochs": 1, "batch_size": 64} if spec.network else {}
    small |= {"column": "x0"} if name == "last_value" else {}
    small |= {"window": 9} if spec.network and spec.defaults["window"] > 1 else {}
    return build_model(name, task=task, **small).fit(X, TARGETS[kind])


def rows_of(scorer: Any, which: range) -> list[NDArray[np.float32]]:
    return [X[i] if scorer.window == 1 else X[i - scorer.window + 1 : i + 1] for i in which]


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_is_served_as_it_answers(name: str, kind: str) -> None:
    model = fitted(name, kind)
    export = export_checked(model, X)
    scorer, signal = make_scorer(model, Export.from_state(export.to_state(), export.onnx), export.onnx), signal_of(model)
    if LEARNERS[name].is_rule:
        assert scorer.engine == "constant"
    elif name not in WITHOUT_GRAPH:
        assert scorer.engine == "onnx", export.reason
        assert export.difference is not None and export.difference <= 1e-5 and export.n_checked >= 256
    asked = range(640, 700)
    rows = rows_of(scorer, asked)
    given = [signal(scorer.one(row)) for row in rows]
    expected = signal_score(model, X)[640:]
    np.testing.assert_allclose(given, expected, atol=1e-5 * min(1.0, float(np.ptp(TARGETS[kind]))))
    np.testing.assert_allclose([signal(raw) for raw in scorer.many(np.stack(rows))], given, atol=1e-6)
    if (probability := probability_of(model)) is not None:
        last = model.predict_proba(X)[640:, -1]
        np.testing.assert_allclose([probability(scorer.one(row)) for row in rows], last, atol=1e-5)


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "random_forest", "extra_trees", "decision_tree"])
def test_rows_on_a_threshold_go_the_same_way(name: str) -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(-3, 4, (900, 4)).astype(np.float32)  # values, and so thresholds, that rows really hit
    model = build_model(name, task="regression").fit(coarse, coarse[:, 0] * coarse[:, 1] + rng.standard_normal(900))
    scorer = OnnxScorer(export_model(model))
    at = np.concatenate([coarse, coarse + 0.5, np.nextafter(coarse + 0.5, np.float32(9)), np.float32(1e-35) * coarse])
    np.testing.assert_allclose(scorer.many(at)[:, 0], model._raw(at), atol=1e-6)


def test_the_check_asks_about_rows_on_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """With thresholds rounded to the nearest float32 in place of down, rows at random do not tell and rows on them do."""
    from huracan.registry.exports import trees

    model = build_model("random_forest", n_estimators=20, task="regression").fit(X, SIGNAL)
    monkeypatch.setattr(trees, "_rounded_down", lambda threshold: np.nextafter(np.float32(threshold), np.float32(np.inf)))
    assert export_checked(model, X).engine == "native"
    monkeypatch.setattr(checked_module, "_on_thresholds", lambda graph, real: [])
    assert export_checked(model, X).engine == "onnx"


def test_a_graph_that_differs_is_not_kept() -> None:
    model = build_model("ridge").fit(X, SIGNAL)
    export = export_checked(model, X, tolerance=1e-12)
    assert (export.engine, export.onnx) == ("native", None)
    assert export.reason is not None and "differs by" in export.reason


def test_a_graph_that_answers_otherwise_at_load_is_left_aside() -> None:
    model, other = build_model("ridge").fit(X, SIGNAL), build_model("ridge").fit(X, -SIGNAL)
    export = export_checked(model, X)
    scorer = make_scorer(model, export, export_model(other))
    assert scorer.engine == "native" and scorer.reason is not None and "otherwise" in scorer.reason
    np.testing.assert_allclose(scorer.one(X[3]), model._raw(X[3:4]), atol=1e-9)


def test_windows_come_from_unbroken_bars_only() -> None:
    model = build_model("gru", window=9, max_epochs=1, hidden=8).fit(X, SIGNAL)
    rows = TrainingSet.from_arrays(X, SIGNAL)
    cut = replace(rows, segment=(np.arange(700) // 10).astype(np.int32))
    assert export_checked(model, cut).n_checked == 2 * 70
    nowhere = replace(rows, segment=np.arange(700, dtype=np.int32))
    export = export_checked(model, nowhere)
    assert export.engine == "native" and export.reason is not None and "9 bars" in export.reason


@pytest.mark.parametrize("settings", [{}, {"kernel": 3}, {"patch": 2}, {"readout": "mean_last"}, {"readout": "flatten"}])
def test_convolutions_of_every_shape(settings: dict[str, Any]) -> None:
    model = build_model("cnn", window=17, max_epochs=1, hidden=8, **settings).fit(X, SIGNAL)
    export = export_checked(model, X)
    assert export.engine == "onnx" and export.difference is not None and export.difference < 1e-6, export.reason


def own_network(n_features: int, window: int, n_outputs: int) -> Any:
    """A network of one's own around the catalogue's convolution."""
    import torch
    from torch import nn

    from huracan.models.networks.causal_convolution import CausalConvolution

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = nn.ModuleList([CausalConvolution(n_features, 6, kernel=3, dilation=2)])
            self.out = nn.Linear(6, n_outputs)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(torch.tanh(self.inside[0](x.transpose(0, 1)))[-1])

    return Own()


@pytest.mark.parametrize("replaced", [True, False])
def test_a_trace_that_loses_writes_is_found_out(replaced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's trace of the convolution loses its additions into slices without a word; replaced, nothing is lost."""
    from huracan import catalogue
    from huracan.models import network_learner
    from huracan.registry.exports import convolution

    spec = network_learner(
        name="own_convolution", purpose="-", ideal_dataset_shape="-", network=own_network, defaults={"window": 9}
    )
    monkeypatch.setitem(catalogue._LEARNERS, "own_convolution", spec)
    model = build_model("own_convolution", max_epochs=1).fit(X, SIGNAL)
    if not replaced:
        monkeypatch.setattr(convolution, "traceable", lambda module: module)
    export = export_checked(model, X)
    assert export.engine == ("onnx" if replaced else "native"), export.reason


@pytest.mark.parametrize("scaling", ["last", "standard"])
def test_windows_told_from_themselves(scaling: str) -> None:
    levels = (100.0 + np.cumsum(X, axis=0)).astype(np.float32)
    model = build_model("linear_network", window=9, max_epochs=1, window_scaling=scaling).fit(levels, SIGNAL)
    assert export_checked(model, levels).engine == "onnx"


def test_quantiles_are_all_told_and_the_signal_is_their_median() -> None:
    model = build_model("mlp", max_epochs=1, quantiles=(0.1, 0.4, 0.7)).fit(X, SIGNAL)
    export = export_checked(model, X)
    scorer = make_scorer(model, export, export.onnx)
    assert (scorer.engine, scorer.n_outputs) == ("onnx", 3)
    signal = signal_of(model)
    np.testing.assert_allclose([signal(raw) for raw in scorer.many(X[:50])], model.predict(X[:50]), atol=1e-5)


def test_models_from_outside_the_catalogue() -> None:
    for model in (Ridge().fit(X, SIGNAL), DecisionTreeRegressor(max_depth=5, random_state=0).fit(X, SIGNAL)):
        export = export_checked(model, X)
        scorer = make_scorer(model, export, export.onnx)
        assert scorer.engine == "onnx"
        np.testing.assert_allclose(scorer.many(X)[:, 0], model.predict(X), atol=1e-5)


def test_numbers_that_float32_can_hardly_hold() -> None:
    wide = X * np.float32(1e33)
    for name in ("lightgbm", "xgboost", "random_forest"):
        model = build_model(name, task="regression").fit(wide, SIGNAL)
        assert export_checked(model, wide).engine == "onnx"
    broken = np.where(np.arange(700)[:, None] % 2, X, np.float32(np.nan))
    assert 200 < export_checked(build_model("ridge").fit(X, SIGNAL), broken).n_checked < 320  # of 512 that are looked at


def test_what_has_no_graph_says_why() -> None:
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(n_estimators=3).fit(X, SIGNAL)
    with pytest.raises(ExportRefused, match="GradientBoostingRegressor"):
        export_model(model)
    export = export_checked(model, X)
    scorer = make_scorer(model, export, export.onnx)
    assert scorer.engine == "native" and scorer.reason is not None and "GradientBoostingRegressor" in scorer.reason
    np.testing.assert_array_equal(scorer.many(X[:9])[:, 0], model.predict(X[:9]))


def test_what_learns_without_a_label_is_no_scorer() -> None:
    model = build_model("autoencoder", max_epochs=1).fit(X)
    export = export_checked(model, X)
    assert export.engine == "native" and export.reason is not None and "Autoencoder" in export.reason
    with pytest.raises(ModelError, match="representation"):
        make_scorer(model, export, export.onnx)


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(700, 3\)"):
        export_checked(build_model("ridge").fit(X, SIGNAL), X[:, :3])


def test_a_damaged_state_is_refused() -> None:
    state = export_checked(build_model("ridge").fit(X, SIGNAL), X).to_state()
    with pytest.raises(ArtifactError, match="damaged"):
        Export.from_state({**state, "probe": {"shape": [3, 3], "base64": "AAAA"}})


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        yield
