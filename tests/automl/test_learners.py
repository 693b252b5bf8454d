"""Every kind of learner of the catalogue can be searched, on one symbol or many."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from huracan.automl import AutoMLEngine, Between, OneOf
from huracan.automl.proposals import Proposals, search_spaces
from huracan.automl.trials import Trial, TrialState
from huracan.baselines.search_space import SearchSpace
from huracan.catalogue import build_model, find_learner
from huracan.dataset import TrainingSet


def two_symbols(n: int = 400) -> TrainingSet:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2 * n, 3)).astype(np.float32)
    times = np.tile(np.datetime64("2020-01-01") + np.arange(n), 2)
    y = 0.8 * X[:, 0] + rng.standard_normal(2 * n)
    return TrainingSet.from_arrays(X, y, ts=times, symbol=["A"] * n + ["B"] * n, label_horizon=2)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_networks_that_look_back_are_searched_beside_linear_models(task: str) -> None:
    pytest.importorskip("torch")
    linear = "ridge" if task == "regression" else "logistic_regression"
    space = {"gru": {"window": OneOf((4, 8)), "hidden": OneOf((8, 16)), "max_epochs": Between(2, 4, whole=True)}}
    rows = two_symbols()
    found = AutoMLEngine(
        max_trials=4,
        task=task,
        learners=[linear, "gru"],
        search_space=space,
        pruning=False,
        n_workers=1,  # type: ignore[arg-type]
    ).fit(rows)
    networks = [trial for trial in found.history_ if trial.learner == "gru"]
    assert networks and all(str(trial.state) == "finished" for trial in networks)
    assert np.isfinite(found.predict(rows)).all() and found.verdict_ is not None and found.verdict_.n_moments == 80


@pytest.mark.parametrize("sampler", ["random", "qmc", "nsga_ii", "cma_es", "gp"])
def test_other_samplers_by_name(sampler: str) -> None:
    space = {"ridge": {"expected_ic": Between(0.01, 0.3, log=True)}}
    found = AutoMLEngine(max_trials=4, learners=["ridge"], search_space=space, sampler=sampler, portfolio=False).fit(
        two_symbols()
    )
    assert len({trial.params.get("expected_ic") for trial in found.history_}) > 2


SEVERAL = search_spaces(["ridge", "lightgbm"], {})


def told_of(spaces: Any, sampler: str, learners: list[str]) -> Proposals:
    """Proposals that know forty trials; the best is LightGBM where the logarithm of its ``reg_lambda`` is 2.5."""
    rng = np.random.default_rng(0)
    proposals = Proposals(spaces, sampler=sampler, seed=4)
    for number in range(40):
        learner, power = ("ridge", "lightgbm")[number % 4 > 0], rng.uniform(1.6, 3.4)
        params = {"reg_lambda": 10**power} if learner == "lightgbm" else {"expected_ic": rng.uniform(0.02, 0.2)}
        score = -((power - 2.5) ** 2) - (learner == "ridge")
        if learner in learners:
            proposals.told(Trial(number, learner, params, 0, "sampler", TrialState.FINISHED, {0: np.ones(1)}, score=score))
    return proposals


@pytest.mark.parametrize("sampler", ["qmc", "nsga_ii", "cma_es", "gp"])
def test_a_sampler_proposes_for_one_of_several_learners_what_it_would_for_it_alone(sampler: str) -> None:
    several, one = (
        told_of(SEVERAL, sampler, ["ridge", "lightgbm"]),
        told_of({"lightgbm": SEVERAL["lightgbm"]}, sampler, ["lightgbm"]),
    )
    chosen = [(number, *several.next(number)[:2]) for number in range(40, 52)]
    assert [(number, params) for number, learner, params in chosen if learner == "lightgbm"] == [
        (number, one.next(number)[1]) for number, learner, _ in chosen if learner == "lightgbm"
    ]
    assert sum(learner == "lightgbm" for _, learner, _ in chosen) >= 8, "the better learner"


def test_gaussian_processes_know_where_the_best_settings_lie_among_several_learners() -> None:
    pytest.importorskip("torch")
    space = {"ridge": {}, "lightgbm": {"reg_lambda": SEVERAL["lightgbm"]["reg_lambda"]}}
    off = []
    for sampler in ("gp", "random"):
        proposals = told_of(space, sampler, ["ridge", "lightgbm"])
        tried = [params["reg_lambda"] for learner, params, _ in map(proposals.next, range(40, 52)) if learner == "lightgbm"]
        off.append(np.mean(np.abs(np.log10(tried) - 2.5)))
    assert off[0] < 0.3 * off[1]


def test_a_setting_is_not_tried_twice_while_there_are_others() -> None:
    space = {"lightgbm": {"num_leaves": OneOf((2, 3, 4)), "n_rounds": OneOf((5, 10))}}
    found = AutoMLEngine(
        max_trials=5, learners=["linear_regression", "lightgbm"], search_space=_only(space), portfolio=False, pruning=False
    ).fit(two_symbols())
    tried = [(trial.learner, repr(sorted(trial.params.items()))) for trial in found.history_]
    assert len(set(tried)) == 5
    alone = AutoMLEngine(max_trials=3, learners=["linear_regression"]).fit(two_symbols())
    assert len(alone.history_) == 3


def test_a_learner_that_was_given_up_is_proposed_no_more_unless_it_is_the_only_one() -> None:
    start = [("ridge", {}, "portfolio"), ("lightgbm", {}, "portfolio")]
    for spaces in (search_spaces(["ridge", "lightgbm"], {}), {"ridge": {}, "lightgbm": {}}):
        proposals = Proposals(spaces, start, seed=0)
        for number, learner in enumerate(spaces):
            proposals.told(Trial(number, learner, {}, 0, "portfolio", TrialState.FAILED))
        for given_up in ("ridge", "lightgbm"):
            proposals.give_up(given_up)
            assert {proposals.next(number)[0] for number in range(2, 12)} == {"lightgbm"}


def _only(space: dict[str, SearchSpace]) -> dict[str, SearchSpace]:
    """What the learners declare beside, at one value."""
    return {
        learner: {name: OneOf((find_learner(learner).defaults[name],)) for name in find_learner(learner).search_space} | named
        for learner, named in space.items()
    }


@pytest.mark.parametrize("name", ["linear_network", "mlp", "cnn", "lstm", "gru", "transformer"])
def test_every_network_says_where_to_look(name: str) -> None:
    pytest.importorskip("torch")
    spec = find_learner(name)
    assert {"learning_rate", "weight_decay"} <= set(spec.search_space)
    rows = two_symbols()
    proposals = Proposals(search_spaces([name], {}), sampler="random", seed=0)
    for number in range(2):
        params = proposals.next(number)[1] | {"max_epochs": 1}
        assert np.isfinite(build_model(name, task="regression", random_state=0, **params).fit(rows).predict(rows)).all()


REGISTERED_FIRST = """
import numpy as np
from sklearn.linear_model import LinearRegression
from huracan.catalogue import LearnerSpec, find_learner, register_learner

class Always:
    def fit(self, X, y, sample_weight=None):
        return self
    def predict(self, X):
        return np.full(len(X), 0.25)

def always(name):
    return LearnerSpec(
        name=name, purpose="p", ideal_dataset_shape="d", tasks=("regression",), build=lambda context: Always()
    )

register_learner(always("mine"))
register_learner(always("ridge"), replace=True)
from huracan.automl import AutoMLEngine
X = np.random.default_rng(0).standard_normal((400, 2))
found = AutoMLEngine(max_trials=2, learners=["mine", "ridge"], ensemble=False, judged_share=0, n_workers=1).fit(X, X[:, 0])
print([str(trial.state) for trial in found.history_], found.history_[0].score == found.history_[1].score)
"""


def test_a_learner_registered_before_the_engine_is_imported_is_known_to_workers() -> None:
    said = subprocess.run([sys.executable, "-c", REGISTERED_FIRST], capture_output=True, text=True, check=False)
    assert said.stdout.strip() == "['finished', 'finished'] True", said.stderr
