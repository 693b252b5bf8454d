"""Forests and boosters on faint signals: they gain where plain defaults lose, and keep their declared sizes."""

from __future__ import annotations

import json

import lightgbm
import numpy as np
import pytest

from huracan.catalogue import build_model, signal_score

ENSEMBLES = ("random_forest", "extra_trees", "xgboost", "lightgbm")


def faint(seed: int, n: int = 12_000, d: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """An effect with correlation 0.1 that only an interaction shows, under fat-tailed noise."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(np.float32)
    effect = np.tanh(X[:, 0]) * (X[:, 1] > 0) - np.tanh(X[:, 2]) * (X[:, 1] <= 0)
    return X, 0.1 * effect / effect.std() + rng.standard_t(4, n) / np.sqrt(2)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_faint_interactions_are_found_where_library_defaults_lose_to_a_constant(name: str) -> None:
    gain, skill = [], []
    for seed in range(3):
        X, y = faint(seed)
        model = build_model(name, random_state=seed).fit(X[:8_000], y[:8_000])
        ahead = model.predict(X[8_000:])
        constant = np.mean((y[8_000:] - y[:8_000].mean()) ** 2)
        gain.append(1.0 - np.mean((y[8_000:] - ahead) ** 2) / constant)
        skill.append(np.corrcoef(ahead, y[8_000:])[0, 1])
    assert np.mean(gain) > 0.0
    assert np.mean(skill) > 0.03  # two standard errors of a correlation over 12,000 rows are 0.018
    if name == "lightgbm":
        X, y = faint(0)
        plain = lightgbm.train({"verbosity": -1, "num_threads": 1}, lightgbm.Dataset(X[:8_000], y[:8_000])).predict(X[8_000:])
        assert np.mean((y[8_000:] - plain) ** 2) > np.mean((y[8_000:] - y[:8_000].mean()) ** 2)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_on_pure_noise_the_forecast_stays_small(name: str) -> None:
    rng = np.random.default_rng(7)
    X, y = rng.standard_normal((4_000, 20)).astype(np.float32), rng.standard_t(4, 4_000)
    ahead = build_model(name).fit(X[:3_000], y[:3_000]).predict(X[3_000:])
    assert ahead.std() < 0.2 * y.std()


@pytest.mark.parametrize("name", ENSEMBLES)
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_leaves_hold_the_share_of_rows_they_declare(name: str, task: str) -> None:
    X, y = faint(0, 4_000, 6)
    model = build_model(name, task=task).fit(X, y if task == "regression" else (y > 0).astype(int))  # type: ignore[arg-type]
    fitted, share = model.estimator_, model.get_params()["leaf_fraction"]
    assert fitted is model.inner
    if name == "lightgbm":
        frame = fitted.trees_to_dataframe()
        smallest = frame.loc[frame["left_child"].isna(), "count"].min()
        floor = share * len(X) * model.get_params()["subsample"]
        assert (
            frame.groupby("tree_index")["left_child"].apply(lambda kids: kids.isna().sum()).max()
            <= model.get_params()["num_leaves"]
        )
    elif name == "xgboost":
        cover = [
            leaf["cover"] for tree in fitted.get_dump(with_stats=True, dump_format="json") for leaf in leaves(json.loads(tree))
        ]
        smallest = min(cover) / (1.0 if task == "regression" else 0.25)
        floor = share * len(X) * model.get_params()["subsample"] * 0.99  # hessians of a log loss are at most 1/4
    else:
        sizes = [tree.tree_.n_node_samples[tree.tree_.children_left < 0].min() for tree in fitted.estimators_]
        smallest, floor = min(sizes), 0.5 * share * len(X) * model.get_params().get("max_samples", 1.0)
    assert smallest >= floor


def leaves(node: dict) -> list[dict]:
    return [leaf for child in node["children"] for leaf in leaves(child)] if "children" in node else [node]


@pytest.mark.parametrize("name", ["xgboost", "lightgbm"])
def test_boosters_survive_their_own_text_form(name: str) -> None:
    X, y = faint(1, 2_000, 5)
    model = build_model(name, n_rounds=30).fit(X, y)
    state, booster = model.to_parts()
    if name == "xgboost":
        import xgboost

        again = xgboost.Booster()
        again.load_model(booster.save_raw("json"))
    else:
        again = lightgbm.Booster(model_str=booster.model_to_string())
    from huracan.catalogue import model_from_parts

    np.testing.assert_allclose(signal_score(model_from_parts(state, again), X), signal_score(model, X), rtol=1e-6, atol=1e-9)
