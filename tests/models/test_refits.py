"""A fit is whole or did not happen: what fails, is refused or interrupted leaves the model that there was."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from huracan.catalogue import build_model
from huracan.errors import ConfigError, HuracanError, ModelError

pytest.importorskip("torch")

from huracan.training.history import TrainingResult

QUICK: dict[str, Any] = {"window": 4, "max_epochs": 2, "random_state": 0}


def series(n: int = 300, seed: int = 0, level: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    X = (level + (1.0 + level) * rng.standard_normal((n, 3))).astype(np.float32)
    return X, level + 0.01 * (X[:, 0] + rng.standard_normal(n))


def said(model: Any, X: NDArray[np.float32]) -> NDArray[np.float64]:
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


def exploding(model: Any) -> Any:
    return model.set_params(learning_rate=1e9, clip_norm=None, schedule="constant")


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("more", [{}, {"task": "classification"}, {"quantiles": (0.1, 0.5, 0.9)}])
def test_a_refit_that_explodes_leaves_the_model_that_there_was(more: dict[str, Any], warm: bool) -> None:
    X, y = series()
    other, level = series(seed=1, level=1_000.0)
    if "task" in more:
        y, level = np.where(y > 0, "up", "down"), np.where(level > np.median(level), "up", "down")
    model = build_model("linear_network", warm_start=warm, **QUICK, **more).fit(X, y)
    before, fitted = said(model, X), dict(vars(model))
    with pytest.raises(ModelError, match="exploded"):
        exploding(model).fit(other, level)
    np.testing.assert_array_equal(said(model, X), before)
    assert {name: value for name, value in vars(model).items() if name.endswith("_")} == {
        name: value for name, value in fitted.items() if name.endswith("_")
    }


@pytest.mark.parametrize("name", ["gru", "ridge", "logistic_regression"])
def test_a_refit_that_is_refused_leaves_the_model_that_there_was(name: str) -> None:
    classifies = name == "logistic_regression"
    X, y = series()
    target = (y > 0).astype(int) if classifies else y
    model = build_model(name, **(QUICK if name == "gru" else {})).fit(X, target)
    before = said(model, X)
    wider, spoilt = np.hstack([X, X]), y.copy()
    spoilt[3] = np.nan
    for bad in ((wider, spoilt), (wider, y[1:]), (wider[:5], y[:5]), (wider, np.array(["a"] * 300))):
        with pytest.raises(HuracanError):
            model.fit(*bad)
        np.testing.assert_array_equal(said(model, X), before)


def test_what_trains_on_many_processes_and_is_refused_leaves_the_model_that_there_was() -> None:
    from huracan.distributed import DistributedConfig, DistributedTrainer

    X, y = series()
    other, level = series(seed=1, level=1_000.0)
    model = build_model("linear_network", **QUICK, batch_size=255).fit(X, y)
    before = model.predict(X)
    with pytest.raises(ConfigError, match="255"):
        DistributedTrainer(DistributedConfig(strategy="ddp", processes=2)).fit(model, other, level)
    np.testing.assert_array_equal(model.predict(X), before)
    model.prepare(other, level)
    np.testing.assert_array_equal(model.predict(X), before)


def test_an_interrupted_refit_leaves_the_model_that_there_was(monkeypatch: pytest.MonkeyPatch) -> None:
    from huracan.training import TrainingLoop

    def stopped_by_hand(loop: Any, step: int, *_: Any) -> bool:
        raise KeyboardInterrupt

    X, y = series()
    model = build_model("linear_network", **QUICK).fit(X, y)
    before = model.predict(X)
    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_close_epoch", stopped_by_hand)
        with pytest.raises(KeyboardInterrupt):
            model.fit(*series(seed=1, level=1_000.0))
    np.testing.assert_array_equal(model.predict(X), before)
    assert not np.array_equal(model.fit(*series(seed=1)).predict(X), before)


def test_who_asks_during_a_refit_is_answered_by_one_model_or_the_other() -> None:
    """Never by the scale of the one and the network of the other, which lie a thousandfold apart."""
    X, y = series()
    other, level = series(seed=1, level=1_000.0)
    model = build_model("linear_network", **QUICK)
    possible = [model.fit(*given).predict(X) for given in ((other, level), (X, y))]
    answers, done = [], threading.Event()

    def ask() -> None:
        while not done.is_set():
            answers.append(model.predict(X))

    asking = threading.Thread(target=ask)
    asking.start()
    for k in range(6):
        model.fit(*((other, level), (X, y))[k % 2])
    done.set()
    asking.join()
    assert answers
    assert all(any(np.array_equal(answer, one) for one in possible) for answer in answers)


def test_nothing_of_the_fit_before_remains() -> None:
    import pandas as pd

    X, y = series()
    model = build_model("linear_network", quantiles=(0.1, 0.5, 0.9), **QUICK)
    model.fit(pd.DataFrame(X, columns=["a", "b", "c"]), y)
    fresh = build_model("linear_network", **QUICK).fit(X, y)
    assert vars(model.set_params(quantiles=None).fit(X, y)).keys() == vars(fresh).keys()


def test_an_outcome_of_what_was_not_prepared_is_refused() -> None:
    X, y = series()
    model = build_model("linear_network", **QUICK)
    job = model.prepare(X, y)
    outcome = job.network.build().state_dict(), TrainingResult()
    model.finish(job, *outcome)
    with pytest.raises(ModelError, match="linear_network has prepared no training"):
        model.finish(job, *outcome)


# --- going on from the classes of the first fit ----------------------------------------------------------------------


def labelled(names: tuple[str, ...] | tuple[int, ...], n: int = 300, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[Any]]:
    X, y = series(n, seed)
    return X, np.array(names)[np.digitize(y, np.quantile(y, np.linspace(0, 1, len(names) + 1)[1:-1]))]


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        (("down", "up"), ("bear", "bull"), "y holds the class '[a-z]+', which the first fit did not know; .* 'down', 'up'"),
        (("down", "up"), (0, 1), "y holds the class [01], which the first fit did not know"),
        ((0, 1), ("down", "up"), "y holds the class '[a-z]+', which the first fit did not know; .* 0, 1"),
        ((-1, 0, 1), (-1, 0, 2), "y holds the class 2, which the first fit did not know"),
        ((-1, 0, 1), (1, 1), "y holds one class only, 1"),
    ],
)
def test_a_warm_start_does_not_change_what_the_outputs_mean(first: Any, then: Any, said: str) -> None:
    X, labels = labelled(first)
    model = build_model("linear_network", task="classification", warm_start=True, **QUICK).fit(X, labels)
    before = model.predict_proba(X)
    with pytest.raises(ModelError, match=said):
        model.fit(*labelled(then, seed=1))
    assert model.classes_.tolist() == list(first)
    np.testing.assert_array_equal(model.predict_proba(X), before)


@pytest.mark.parametrize("weight", [None, "balanced", {0: 2.0}])
def test_a_warm_start_goes_on_where_a_class_did_not_happen(weight: Any) -> None:
    """A week without a day that was flat."""
    X, labels = labelled((-1, 0, 1))
    model = build_model("linear_network", task="classification", warm_start=True, class_weight=weight, **QUICK).fit(X, labels)
    model.fit(X[labels != 0], labels[labels != 0])
    assert model.classes_.tolist() == [-1, 0, 1]
    assert model.predict_proba(X).shape == (300, 3)
    assert set(model.predict(X)) <= {-1, 0, 1}
