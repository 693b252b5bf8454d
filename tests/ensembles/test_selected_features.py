"""Features are chosen by what training rows say of them, and the choice is part of the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from huracan.automl import AutoMLEngine, OneOf
from huracan.automl.feature_choice import FEATURE_SPACE, split_choice
from huracan.catalogue import build_model
from huracan.dataset import TrainingSet
from huracan.ensembles import SelectedFeaturesClassifier, SelectedFeaturesRegressor, rank_features
from huracan.errors import DataError, ModelError
from huracan.registry.formats import dump_model, load_model


def rows_of(n: int = 800, d: int = 10) -> TrainingSet:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d)).astype(np.float32)
    return TrainingSet.from_arrays(X, X[:, 2] + 0.8 * X[:, 7] + rng.standard_normal(n), label_horizon=2)


@pytest.mark.parametrize("by", ["mutual_information", "importance"])
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_features_that_tell_of_the_label_are_ranked_first(by: Any, task: Any) -> None:
    worth = rank_features(rows_of(), by, task=task)
    assert set(np.argsort(-worth)[:2]) == {2, 7}


def test_rows_without_weight_or_label_are_not_looked_at() -> None:
    rows = rows_of()
    changed = rows_of()
    changed.y[:300] = 50.0 * changed.X[:300, 0]
    changed.weight[:300] = 0.0
    rows.weight[:300] = 0.0
    for by in ("mutual_information", "importance"):
        np.testing.assert_array_equal(rank_features(rows, by), rank_features(changed, by))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [SelectedFeaturesRegressor, SelectedFeaturesClassifier])
def test_what_was_chosen_answers_is_stored_and_ignores_the_rest(kind: Any) -> None:
    rows = rows_of()
    inner = build_model("extra_trees", task="regression" if kind is SelectedFeaturesRegressor else "classification")
    model = kind.of(inner, share=0.2).fit(rows)
    assert model.columns_ == ("x2", "x7")
    other = rows_of()
    other.X[:, [0, 1, 3, 4, 5, 6, 8, 9]] = 99.0
    np.testing.assert_array_equal(model.predict(rows), model.predict(other))
    again = load_model(dump_model(model))
    np.testing.assert_array_equal(again.predict(rows), model.predict(rows))
    np.testing.assert_array_equal(model.predict(rows.X), model.predict(rows))
    assert again.model_info().hyperparameters["columns"] == ["x2", "x7"]


def test_estimators_of_others_and_matrices_are_taken() -> None:
    rows = rows_of()
    up = (rows.y > 0).astype(int)
    assert SelectedFeaturesRegressor.of(Ridge(), share=0.2).fit(rows.X, rows.y).columns_ == ("x2", "x7")
    assert SelectedFeaturesClassifier.of(LogisticRegression(), share=0.2).fit(rows.X, up).predict_proba(rows.X).shape == (
        800,
        2,
    )


def test_settings_that_cannot_be_are_refused() -> None:
    rows = rows_of()
    with pytest.raises(ModelError, match=r"share 0\.0"):
        SelectedFeaturesRegressor.of(Ridge(), share=0.0).fit(rows)
    with pytest.raises(ModelError, match="'entropy'"):
        SelectedFeaturesRegressor.of(Ridge(), by="entropy").fit(rows)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="named 'model'"):
        SelectedFeaturesRegressor({"a": Ridge()}).fit(rows)
    with pytest.raises(DataError, match="'y9' is not among"):
        SelectedFeaturesRegressor.of(Ridge(), columns=["y9"]).fit(rows)


def test_a_search_chooses_features_inside_its_folds() -> None:
    found = AutoMLEngine(
        max_trials=6, learners=["ridge"], search_space={"ridge": {"expected_ic": OneOf((0.05, 0.2))}}, feature_selection=True
    ).fit(rows_of())
    choices = [split_choice(trial.params)[1] for trial in found.history_]
    assert choices[0] is None and any(choice is not None for choice in choices)
    assert set(FEATURE_SPACE) & {name for trial in found.history_ for name in trial.params}
    assert np.isfinite(found.predict(rows_of())).all()
    again = load_model(dump_model(found.best_model_))
    np.testing.assert_array_equal(again.predict(rows_of()), found.predict(rows_of()))
