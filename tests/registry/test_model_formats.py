"""Stored models predict the same bits in another process; equal models are equal bytes; the rest is refused by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer, RobustScaler, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC

from huracan.catalogue import MODEL_CATALOGUE, build_model
from huracan.errors import ArtifactError, DataError
from huracan.registry import dump_model, load_model
from huracan.registry.onnx_model import OnnxModel
from huracan.storage import ArtifactStore

RNG = np.random.default_rng(0)
X: NDArray[np.float32] = RNG.standard_normal((300, 6)).astype(np.float32)
Y: NDArray[np.float64] = 0.3 * X[:, 0] * X[:, 1] + RNG.standard_normal(300)

ESTIMATORS = {
    "ridge": Ridge(),
    "scaled elastic net": make_pipeline(RobustScaler(), ElasticNet(alpha=0.01)),
    "logistic pipeline": make_pipeline(StandardScaler(), SelectKBest(k=3), PCA(2), LogisticRegression()),
    "sgd": SGDClassifier(loss="log_loss", random_state=0),
    "extra trees": ExtraTreesRegressor(5, max_depth=4, random_state=0),
    "extra trees classes": ExtraTreesClassifier(5, max_depth=4, random_state=0),
    "random forest": RandomForestRegressor(3, max_depth=3, random_state=0),
    "gradient boosting": GradientBoostingClassifier(n_estimators=4, random_state=0),
    "histogram boosting": HistGradientBoostingRegressor(max_iter=4, random_state=0),
    "support vectors": SVR(),
    "support vector classes": SVC(),
    "neighbours": KNeighborsClassifier(),
    "calibrated": CalibratedClassifierCV(LinearSVC()),
    "isotonic": CalibratedClassifierCV(GaussianNB(), method="isotonic"),
    "kernel map": make_pipeline(QuantileTransformer(n_quantiles=20), Nystroem(n_components=9, random_state=0), Ridge()),
    "target scaled": TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
    "voting": VotingRegressor([("a", Ridge()), ("b", ElasticNet())]),
    "columns": make_pipeline(ColumnTransformer([("scale", StandardScaler(), [0, 1])]), Ridge()),
}


def fitted(model: Any) -> Any:
    return model.fit(X, (Y > 0).astype(int) if is_classifier(model) else Y)


def outputs(model: Any) -> list[NDArray[Any]]:
    wanted = [name for name in ("predict", "predict_proba", "decision_function") if hasattr(model, name)]
    return [np.asarray(getattr(model, name)(X)) for name in wanted]


def assert_same(one: Any, other: Any) -> None:
    for a, b in zip(outputs(one), outputs(other), strict=True):
        np.testing.assert_array_equal(a, b)


def small(name: str) -> dict[str, Any]:
    """Hyperparameters that keep a learner of the catalogue quick."""
    wanted = {"n_rounds": 10, "n_trees": 10, "column": "x0"}
    return {key: value for key, value in wanted.items() if key in MODEL_CATALOGUE[name].defaults}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_standard_estimator_comes_back_bit_for_bit(name: str) -> None:
    model = fitted(ESTIMATORS[name])
    files = dump_model(model)
    again = load_model(files)
    assert dump_model(again) == files  # before predicting: a k-d tree counts its visits
    assert_same(model, again)


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("name", MODEL_CATALOGUE)
def test_every_learner_of_the_catalogue_comes_back_bit_for_bit(name: str, task: str) -> None:
    if task not in MODEL_CATALOGUE[name].tasks:
        pytest.skip(f"{name} does not do {task}")
    model = build_model(name, task=task, **small(name)).fit(X, Y if task == "regression" else (Y > 0).astype(int))
    files = dump_model(model)
    again = load_model(files)
    assert type(again) is type(model)
    assert dump_model(again) == files
    assert_same(model, again)


@pytest.mark.parametrize("stopped", [False, True])
def test_boosters_come_back_bit_for_bit_early_stopping_included(stopped: bool) -> None:
    import lightgbm
    import xgboost

    head, tail = slice(0, 200), slice(200, 300)
    light_rows = lightgbm.Dataset(X[head], Y[head])
    light = lightgbm.train(
        {"verbosity": -1, "num_threads": 1, "metric": "l2", "learning_rate": 0.5},
        *(light_rows, 30),
        valid_sets=[light_rows.create_valid(X[tail], Y[tail])] if stopped else None,
        callbacks=[lightgbm.early_stopping(3, verbose=False)] if stopped else None,
    )
    rows = xgboost.DMatrix(X[head], Y[head])
    stop = {"evals": [(xgboost.DMatrix(X[tail], Y[tail]), "v")], "early_stopping_rounds": 3} if stopped else {}
    extreme = xgboost.train({"nthread": 1, "eta": 0.5}, rows, 30, verbose_eval=False, **stop)
    again_light, again_extreme = load_model(dump_model(light)), load_model(dump_model(extreme))
    np.testing.assert_array_equal(light.predict(X), again_light.predict(X))
    assert again_light.best_iteration == light.best_iteration
    assert again_light.num_trees() == light.num_trees()
    whole = xgboost.DMatrix(X)
    np.testing.assert_array_equal(extreme.predict(whole), again_extreme.predict(whole))
    if stopped:
        assert again_extreme.best_iteration == extreme.best_iteration


FRESH = """
import json, sys, numpy as np
from huracan.catalogue import build_model
from huracan.storage import ArtifactStore
from huracan.registry import dump_model, load_model
store, rows = ArtifactStore(sys.argv[1]), np.load(sys.argv[2])
X, Y = rows["X"], rows["Y"]
np.savez(sys.argv[3], **{digest: np.asarray(load_model(store.get(digest)).predict(X)) for digest in store.digests()})
for name, params in json.loads(sys.argv[4]).items():
    print(store.put(dump_model(build_model(name, task="regression", **params).fit(X, Y))).digest)
"""


def test_a_fresh_process_predicts_the_same_bits_and_trains_the_same_bytes(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    names = ["ridge", "extra_trees", "k_nearest_neighbors", "xgboost", "lightgbm", "majority"]
    params = {name: small(name) for name in names}
    models = [build_model(name, task="regression", **params[name]).fit(X, Y) for name in names]
    models += [fitted(ESTIMATORS["logistic pipeline"]), fitted(ESTIMATORS["support vector classes"])]
    digests = [store.put(dump_model(model)).digest for model in models]
    np.savez(tmp_path / "rows.npz", X=X, Y=Y)
    files = [tmp_path / "store", tmp_path / "rows.npz", tmp_path / "out.npz"]
    command = [sys.executable, "-c", FRESH, *files, json.dumps(params)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONHASHSEED": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == digests[: len(names)]
    with np.load(tmp_path / "out.npz") as found:
        assert set(found) == set(digests)
        for digest, model in zip(digests, models, strict=True):
            np.testing.assert_array_equal(found[digest], np.asarray(model.predict(X)))


class Homemade(RegressorMixin, BaseEstimator):
    """A user's own estimator, which no list of ours can know."""

    def fit(self, X: Any, y: Any) -> Homemade:
        self.mean_ = float(np.mean(y))
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        return np.full(len(X), self.mean_)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Homemade(), "Homemade .as ObjectNode., not on the list"),
        (make_pipeline(StandardScaler(), Homemade()), "Homemade"),
        (make_pipeline(FunctionTransformer(np.log1p), Ridge()), "FunctionTransformer"),
        (make_pipeline(FunctionTransformer(lambda x: x), Ridge()), "<lambda>|FunctionTransformer"),
    ],
)
def test_parts_that_are_not_on_the_list_are_refused_by_name(model: Any, reason: str) -> None:
    with pytest.raises(ArtifactError, match=reason):
        dump_model(model.fit(np.abs(X), Y))


@pytest.mark.parametrize("model", [object(), {"weights": [1.0]}, lambda x: x, "model", 3])
def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(ArtifactError, match=r"cannot be stored; a learner of the catalogue"):
        dump_model(model)


def test_wrappers_of_boosters_are_refused_with_the_way_out() -> None:
    import lightgbm

    model = lightgbm.LGBMRegressor(n_estimators=2, verbosity=-1).fit(X, Y)
    with pytest.raises(ArtifactError, match=r"a lightgbm\.Booster or an OnnxModel was expected"):
        dump_model(model)
    again = load_model(dump_model(model.booster_))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def graph_of(*, operator: str = "Neg", rows: Any = "n", kind: str = "FLOAT", domain: str = "") -> bytes:
    """An ONNX graph of one node on three features."""
    helper = pytest.importorskip("onnx").helper
    given, told = (helper.make_tensor_value_info(n, getattr(helper.TensorProto, kind), [rows, 3]) for n in "xy")
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"], domain=domain)], "graph", [given], [told])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())


def test_a_graph_of_ones_own_is_a_model_like_any_other() -> None:
    model = OnnxModel(graph_of())
    files = dump_model(model)
    assert sorted(files) == ["format.json", "model.onnx"]
    again = load_model(files)
    assert isinstance(again, OnnxModel)
    np.testing.assert_array_equal(again.predict(X[:, :3]), -X[:, :3].astype(np.float64))
    with pytest.raises(DataError, match=r"the rows have shape \(300, 6\); \(n, 3\) was expected"):
        again.predict(X)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"operator": "If"}, "holds the operator '.If', which is not run"),
        ({"domain": "com.somebody"}, r"holds the operator 'com\.somebody\.Neg'"),
        ({"kind": "DOUBLE"}, r"takes x tensor\(double\) \['n', 3\]; one input"),
        ({"rows": 1}, r"takes 1 row\(s\) at a time"),
    ],
)
def test_a_graph_that_is_more_than_a_forecast_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        OnnxModel(graph_of(**changes))


def test_a_damaged_graph_is_a_sentence() -> None:
    files = dump_model(OnnxModel(graph_of()))
    with pytest.raises(ArtifactError, match=r"the ONNX graph is damaged|ONNX Runtime cannot run the graph"):
        load_model({**files, "model.onnx": b"\xff\xfe" * 40})


def test_a_network_without_its_learner_is_refused_with_the_way_out() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ArtifactError, match=r"torch\.nn\.modules\.linear\.Linear by itself cannot be stored.*as an OnnxModel"):
        dump_model(torch.nn.Linear(2, 1))


def test_a_state_that_is_not_json_is_refused_with_its_place() -> None:
    class Learner:
        def to_parts(self) -> tuple[dict[str, Any], None]:
            return {"name": "mine", "inside": {"it": object()}}, None

    with pytest.raises(ArtifactError, match=r"state of Learner\.state\.inside\.it is a builtins\.object"):
        dump_model(Learner())
