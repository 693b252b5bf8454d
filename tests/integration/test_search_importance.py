"""What mattered in a search: what moves the scores is marked, noise is not, and few trials say nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from huracan.automl.proposals import search_spaces
from huracan.automl.trials import Trial, TrialState
from huracan.catalogue import build_model
from huracan.config import AutoMLConfig
from huracan.dataset import TrainingSet
from huracan.ensembles import EnsembleRegressor
from huracan.integration.refitting import Refitting
from huracan.integration.search_importance import importances, slices
from huracan.integration.search_progress import SearchTold
from huracan.integration.search_reporting import history_frame

LEARNERS = ["lightgbm", "ridge"]
SPACES = search_spaces(LEARNERS, {})


def trials_of(n: int, *, effect: float, seed: int = 0, of_learner: float = 0.0) -> list[Trial]:
    """Trials drawn at random; in LightGBM the logarithm of ``reg_lambda`` moves the score, and nothing else does."""
    rng = np.random.default_rng(seed)
    trials = []
    for i in range(n):
        learner, params, score = LEARNERS[i % 2], {}, float(rng.standard_normal())
        if learner == "lightgbm":
            params = {
                "num_leaves": int(rng.integers(4, 30)),
                "reg_lambda": float(10 ** rng.uniform(1.5, 3.5)),
                "n_rounds": int(rng.integers(50, 400)),
            }
            score += effect * (np.log10(params["reg_lambda"]) - 2.5) + of_learner
        trials.append(Trial(i, learner, params, 0, "sampler", TrialState.FINISHED, score=score))
    return trials


def clear(one: Any) -> set[str]:
    return {name for name, value in one.importance.iter_rows() if value > one.noise}


def test_what_moves_the_scores_is_marked_and_what_never_varied_is_not_there() -> None:
    learner, *rest = importances(trials_of(80, effect=3.0, of_learner=3.0), SPACES, seed=0)
    (lightgbm,) = [one for one in rest if one.of == "lightgbm"]
    assert clear(lightgbm) == {"reg_lambda"}
    assert set(lightgbm.importance["name"]) == {"num_leaves", "reg_lambda", "n_rounds"}
    assert clear(learner) == {"learner"} and learner.of == ""
    (ridge,) = [one for one in rest if one.of == "ridge"]
    assert "more than one value" in ridge.reason


def test_where_scores_are_made_small_the_smallest_are_the_best() -> None:
    trials = trials_of(80, effect=3.0, of_learner=3.0)
    small = [replace(trial, score=-trial.score) for trial in trials]
    large, other = importances(trials, SPACES, seed=0), importances(small, SPACES, seed=0, minimised=True)
    assert [one.of for one in other] == [one.of for one in large]
    assert all(one.importance.equals(two.importance) for one, two in zip(other, large, strict=True))
    drawn = slices(small, SPACES, other, minimised=True)
    assert [(one.learner, one.name) for one in drawn] == [(one.learner, one.name) for one in slices(trials, SPACES, large)]
    assert history_frame(small, minimised=True)["best"].to_list() == [-v for v in history_frame(trials)["best"].to_list()]


def test_progress_tells_what_trials_are_chosen_by_and_counts_none_twice() -> None:
    heard: list[str] = []
    wanted = AutoMLConfig(max_trials=4, objectives=["turnover", "gain"])
    told = SearchTold(lambda said, share: heard.append(said), wanted)
    best = Trial(2, "ridge", {}, 0, "sampler", TrialState.FINISHED, score=0.2, values=(31.0, 0.2))
    for number in (1, 0, 2):  # two workers: the second trial ended first
        told(Trial(number, "ridge", {}, 0, "sampler", TrialState.FINISHED), best)
    assert heard[-1] == "3 trials, best so far turnover 31 (ridge)"


def test_few_trials_are_not_interpreted() -> None:
    for one in importances(trials_of(18, effect=3.0), SPACES, seed=0):
        assert one.importance.is_empty() and "too few" in one.reason
    failed = [Trial(i, "ridge", {}, 0, "sampler", TrialState.FAILED) for i in range(40)]
    assert importances(failed, SPACES, seed=0) == ()


@pytest.mark.slow
def test_noise_is_marked_in_one_search_of_twenty() -> None:
    """Where one search of twenty without an effect is marked, 7 or more of 60 have p = .03."""
    marked = 0
    for seed in range(60):
        found = importances(trials_of(80, effect=0.0, seed=seed), SPACES, seed=seed)
        marked += any(clear(one) for one in found if one.of == "lightgbm")
    assert marked < 7


def test_slices_show_every_scored_trial_against_what_mattered_most() -> None:
    trials = trials_of(80, effect=3.0)
    trials.append(Trial(99, "lightgbm", {"reg_lambda": 100.0}, 0, "sampler", TrialState.PRUNED, score=0.5))
    found = slices(trials, SPACES, importances(trials, SPACES, seed=0))
    first = next(one for one in found if one.learner == "lightgbm")
    assert (first.name, first.log) == ("reg_lambda", True)
    assert first.trials.height == 41 and "pruned" in first.trials["state"].to_list()
    assert slices(trials[:6], SPACES, ()) == (), "three trials are no slice"


def test_a_chosen_model_learned_anew_keeps_settings_and_weights_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 3))
    before, now = (TrainingSet.from_arrays(X, X[:, i] + rng.standard_normal(400)) for i in (0, 1))
    members = {"weak": build_model("ridge", expected_ic=0.02).fit(before), "strong": build_model("ridge").fit(before)}
    chosen = EnsembleRegressor.of_fitted(members, [0.75, 0.25])
    said = chosen.predict(before)
    again = Refitting("automl", chosen).fit(now, seed=0)
    assert again.weights_.tolist() == [0.75, 0.25]
    fresh = {"weak": build_model("ridge", expected_ic=0.02).fit(now), "strong": build_model("ridge").fit(now)}
    np.testing.assert_array_equal(again.predict(now), EnsembleRegressor.of_fitted(fresh, [0.75, 0.25]).predict(now))
    np.testing.assert_array_equal(chosen.predict(before), said)
