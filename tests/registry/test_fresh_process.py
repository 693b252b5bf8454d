"""Whatever can be stored answers the same bits in a process that never saw it being made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from huracan.catalogue import MODEL_CATALOGUE, build_model
from huracan.dataset import TrainingSet
from huracan.ensembles import (
    EnsembleClassifier,
    EnsembleRegressor,
    SelectedFeaturesRegressor,
    TimeOrderedStackingClassifier,
    TimeOrderedStackingRegressor,
)
from huracan.errors import ArtifactError
from huracan.registry import dump_model, load_model, round_trip
from huracan.registry.round_trip import answers_of, fresh_answers, probe_files, verify_fresh
from huracan.storage import ArtifactStore

RNG = np.random.default_rng(0)
X: NDArray[np.float32] = RNG.standard_normal((300, 4)).astype(np.float32)
Y: NDArray[np.float64] = 0.3 * X[:, 0] * X[:, 1] + RNG.standard_normal(300)
SMALL: dict[str, Any] = {
    **dict.fromkeys(("n_rounds", "n_trees", "n_estimators", "window", "d_model", "hidden", "cross_hidden", "critic_hidden"), 8),
    "column": "x0",
    "max_epochs": 1,
    "max_steps": 6,
    "n_heads": 2,
    "latent": 2,
    "reference": 16,
}
APART = ("autoencoder", "gan", "dqn")
SUPERVISED = [(name, task) for name, spec in MODEL_CATALOGUE.items() if name not in APART for task in spec.tasks]


def small(name: str) -> dict[str, Any]:
    """Hyperparameters that keep a learner of the catalogue quick."""
    return {key: value for key, value in SMALL.items() if key in MODEL_CATALOGUE[name].defaults}


def learner(name: str, task: Any) -> Any:
    return build_model(name, task=task, **small(name)).fit(X, Y if task == "regression" else np.sign(Y).astype(int))


def agent() -> Any:
    from huracan.reinforcement import BatchTradingEnv, TradingRules
    from huracan.reinforcement.solved_markets import ornstein_uhlenbeck_market

    market, _ = ornstein_uhlenbeck_market(n_points=11).sample(800, seed=0)
    env = BatchTradingEnv(market, 4, TradingRules(rebalance=True, observe=("level",), episode_length=50))
    return build_model("dqn", hidden=(16,), random_state=2).fit(env, 300)


def several() -> dict[str, Callable[[], Any]]:
    """Models made of models."""
    rows = TrainingSet.from_arrays(X, Y, label_horizon=2)
    two = {"line": Ridge(), "trees": build_model("extra_trees", n_estimators=4)}
    classes = {name: build_model(name, task="classification", **small(name)) for name in ("logistic_regression", "lightgbm")}
    net = {"net": build_model("mlp", window=4, max_epochs=1), "boosted": build_model("xgboost", n_rounds=4)}
    return {
        "mean": lambda: EnsembleRegressor({**two, **net}, [1, 2, 3, 4]).fit(rows),
        "vote": lambda: EnsembleClassifier(classes, voting="hard").fit(rows.X, np.array(["d", "u"])[rows.direction()]),
        "nested": lambda: EnsembleRegressor({"inner": EnsembleRegressor(two), "line": Ridge(3.0)}).fit(rows),
        "stack": lambda: TimeOrderedStackingRegressor(two, "nnls", passthrough=True).fit(rows),
        "class stack": lambda: TimeOrderedStackingClassifier(classes).fit(rows),
        "selection": lambda: SelectedFeaturesRegressor.of(build_model("ridge"), share=0.5).fit(rows),
    }


def every_model() -> dict[str, tuple[Any, NDArray[np.float32]]]:
    """Each kind of model that can be stored, fitted, and rows to ask it."""
    found = {f"{name}, {task}": (learner(name, task), X) for name, task in SUPERVISED}
    found |= {kind: (make(), X) for kind, make in several().items()}
    windows = RNG.standard_normal((300, 16)), RNG.choice(["ranging", "volatile"], 300).tolist()
    found["autoencoder"] = (build_model("autoencoder", **small("autoencoder")).fit(np.tile(X, (4, 1))), X)
    found["gan"] = (build_model("gan", **{**small("gan"), "window": 16}, batch_size=32).fit(*windows), X)
    found["dqn"] = (agent(), RNG.standard_normal((50, 4)).astype(np.float32))
    return found


@pytest.mark.slow
def test_every_kind_of_model_answers_the_same_bits_in_a_fresh_process(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    store = ArtifactStore(tmp_path / "store")
    models = every_model()
    assert {name.partition(",")[0] for name in models} >= set(MODEL_CATALOGUE)
    digests = {name: store.put(dump_model(model), facts={"model": name}).digest for name, (model, _) in models.items()}
    found = fresh_answers(store.folder, {digests[name]: probe for name, (_, probe) in models.items()})
    for name, (model, probe) in models.items():
        np.testing.assert_array_equal(found[digests[name]], answers_of(model, probe), err_msg=name)


@pytest.mark.slow
def test_rows_stored_with_a_model_prove_it_at_any_later_time(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    model, another = Ridge().fit(X, Y), Ridge(9.0).fit(X, Y)
    files = dump_model(model) | probe_files(model, X)
    proven = verify_fresh(tmp_path, store.put(files).digest)
    assert (proven.ok, proven.n_rows, proven.n_answers) == (True, 300, 300)
    assert answers_of(load_model(files), X).tobytes() == answers_of(model, X).tobytes()
    refuted = verify_fresh(tmp_path, store.put(dump_model(model) | probe_files(another, X)).digest)
    assert not refuted.ok
    assert "300 of 300 answers of the rebuilt model differ; the first, in row 0" in str(refuted.reason)


def test_what_cannot_be_verified_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ArtifactStore(tmp_path)
    model = Ridge().fit(X, Y)
    digest, strange = store.put(dump_model(model)).digest, store.put({"format.json": b"{}"}).digest
    with pytest.raises(ArtifactError, match="holds no rows to be tried on; give a probe"):
        verify_fresh(tmp_path, digest)
    with pytest.raises(ArtifactError, match="a object answers nothing that could be compared"):
        answers_of(object(), X)
    odd = verify_fresh(tmp_path, digest, X, answers_of(model, X)[:7])
    assert odd.reason == "the rebuilt model gave answers of shape (300, 1), (7, 1) were expected."
    found = fresh_answers(tmp_path, {digest: X[:, :2], strange: X})
    assert "ValueError: X has 2 features" in str(found[digest])
    assert "format this version does not know" in str(found[strange])
    monkeypatch.setattr(round_trip, "_CHILD", "raise SystemExit('no room')")
    assert verify_fresh(tmp_path, digest, X).reason == "the fresh process ended with code 1: no room"
    monkeypatch.setattr(round_trip, "_CHILD", "import time; time.sleep(9)")
    assert verify_fresh(tmp_path, digest, X, timeout=0.05).reason == "the fresh process gave no answer within 0.05 s."
