"""What networks learn to forecast: several values, quantiles, classes with weights; and how a fit goes on from another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from huracan.catalogue import build_model, signal_score
from huracan.errors import ModelError
from huracan.registry.formats import dump_model, load_model
from huracan.storage import to_json

torch = pytest.importorskip("torch")

QUICK: dict[str, Any] = {"window": 5, "max_epochs": 2, "random_state": 0}


def series(n: int = 400, d: int = 3, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)).astype(np.float32)
    return X, 0.01 * (X[:, 0] + np.roll(X[:, 1], 2)) + 0.005 * rng.standard_normal(n)


def test_several_outputs_are_several_forecasts_each_in_its_unit() -> None:
    X, y = series(800)
    both = np.column_stack([y, 100.0 * X[:, 2] + 5.0])
    model = build_model("linear_network", window=4, max_epochs=60, learning_rate=0.05, patience=None).fit(X, both)
    said = model.predict(X)
    assert said.shape == (800, 2)
    for k, least in ((0, 0.9), (1, 0.99)):
        assert np.corrcoef(said[5:, k], both[5:, k])[0, 1] > least
    assert said[5:, 1].std() == pytest.approx(both[5:, 1].std(), rel=0.05)


def test_quantiles_hold_their_share_and_do_not_cross() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4_000, 1)).astype(np.float32)
    y = np.exp(0.5 * X[:, 0]) * rng.standard_normal(4_000)
    model = build_model("mlp", quantiles=(0.1, 0.5, 0.9), max_epochs=12, learning_rate=0.01, winsorize=0.0).fit(
        X[:3_000], y[:3_000]
    )
    low, middle, high = model.predict_quantiles(X[3_000:]).T
    assert np.all((low <= middle) & (middle <= high))
    np.testing.assert_array_equal(model.predict(X[3_000:]), middle)
    shares = [np.mean(y[3_000:] < q) for q in (low, middle, high)]
    np.testing.assert_allclose(shares, [0.1, 0.5, 0.9], atol=0.05)  # three standard errors of 1,000 draws
    width = high - low
    assert width[X[3_000:, 0] > 1].mean() > 2.0 * width[X[3_000:, 0] < -1].mean()  # e^0.5 against e^-0.5 and beyond: e
    with pytest.raises(AttributeError):
        build_model("mlp").predict_quantiles  # noqa: B018


def test_tail_quantiles_are_those_of_what_happens_when_it_is_volatile() -> None:
    """A forecast of 1 % is undershot once in a hundred rows, in the most volatile tenth of them too."""
    rng = np.random.default_rng(0)
    deviation = np.exp(0.6 * rng.standard_normal(28_000))
    X, y = deviation[:, None].astype(np.float32), deviation * rng.standard_normal(28_000)
    model = build_model("linear_network", window=1, quantiles=(0.01, 0.5, 0.99), max_epochs=30, learning_rate=0.01, clip=50.0)
    low, _, high = model.fit(X[:8_000], y[:8_000]).predict_quantiles(X[8_000:]).T
    ahead, wild = y[8_000:], deviation[8_000:] > np.quantile(deviation[8_000:], 0.9)
    standard_error = np.sqrt(0.01 * 0.99 / wild.sum())
    for missed in (ahead < low, ahead > high):
        assert abs(missed[wild].mean() - 0.01) < 3 * standard_error * np.sqrt(1 + 20_000 / 8_000)  # of what was learned, too


@pytest.mark.parametrize("class_weight", [None, "balanced", {1: 3.0}])
def test_training_starts_at_the_constant_forecast(class_weight: Any) -> None:
    """Its loss is the entropy of the shares, whatever the network; so what is learned of noise is not worse than nothing."""
    rng = np.random.default_rng(0)
    X, up = rng.standard_normal((1_500, 4)).astype(np.float32), (rng.random(1_500) < 0.05).astype(int)
    model = build_model("linear_network", task="classification", window=4, validation_share=0.0, class_weight=class_weight)
    job = model.prepare(X, up)
    plain = up[3:].mean()
    share = 0.5 if class_weight == "balanced" else plain if class_weight is None else 3 * plain / (1 + 2 * plain)
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    losses = job.objective(torch.zeros(len(job.train), 2), job.train.y)
    weight = np.where(up[3:], share / plain, (1 - share) / (1 - plain))
    assert float(np.average(losses.numpy(), weights=weight)) == pytest.approx(entropy, rel=1e-5)
    said = model.fit(X, up).predict_proba(X)[:, 1]
    np.testing.assert_allclose(said[:3], share, rtol=1e-6)  # rows without a window
    assert model.training_.losses[0] < 1.02 * entropy
    assert said[3:].mean() == pytest.approx(share, rel=0.2)


def test_the_constant_forecast_counts_the_weights_that_are_learned_with() -> None:
    """A weight of three is three rows."""
    X, y = series(400)
    weight = np.where(y > 0, 3.0, 1.0)
    settings = {**QUICK, "window": 1, "validation_share": 0.0, "winsorize": 0.0}
    often = np.repeat(y, weight.astype(int))
    model = build_model("linear_network", **settings).fit(X, y, weight)
    assert model.target_centers_[0] == pytest.approx(often.mean(), rel=1e-12)
    assert model.target_scales_[0] == pytest.approx(often.std(), rel=1e-12)
    quantiles = build_model("linear_network", quantiles=(0.1, 0.5, 0.9), **settings).fit(X, y, weight)
    constant = quantiles.constant_ * quantiles.target_scales_ + quantiles.target_centers_
    np.testing.assert_allclose(constant, np.quantile(often, (0.1, 0.5, 0.9), method="inverted_cdf"), rtol=1e-5)
    classes = build_model("linear_network", task="classification", **settings).fit(X, y > 0, weight)
    np.testing.assert_allclose(np.exp(classes.constant_), [np.mean(often <= 0), np.mean(often > 0)], rtol=1e-12)


def test_a_row_without_a_window_has_no_opinion_beside_the_others() -> None:
    X, y = series(400)
    up = (y > 0.015).astype(int)
    model = build_model("linear_network", task="classification", class_weight="balanced", **QUICK).fit(X, up)
    np.testing.assert_allclose(signal_score(model, X)[:4], 0.0, atol=1e-12)
    stored = load_model(dump_model(model))
    np.testing.assert_array_equal(stored.predict_proba(X), model.predict_proba(X))


def test_three_classes_and_their_weights() -> None:
    X, y = series(900)
    longer = {**QUICK, "max_epochs": 6, "learning_rate": 0.01}
    labels = np.digitize(y, [-0.02, 0.02]) - 1
    model = build_model("gru", task="classification", **longer).fit(X, labels)
    assert model.classes_.tolist() == [-1, 0, 1]
    probability = model.predict_proba(X)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    balanced = build_model("gru", task="classification", class_weight="balanced", **longer).fit(X, labels)
    assert balanced.predict_proba(X)[10:, [0, 2]].mean() > probability[10:, [0, 2]].mean() + 0.02
    favoured = build_model("gru", task="classification", class_weight={1: 20.0}, **longer).fit(X, labels)
    assert favoured.predict_proba(X)[10:, 2].mean() > probability[10:, 2].mean() + 0.05


def test_a_class_that_only_the_validation_tail_holds_steers_nothing() -> None:
    X, y = series(600)
    labels = (y > 0).astype(int)
    late = labels.copy()
    late[560::4] = 7
    assert build_model("gru", task="classification", **QUICK).prepare(X, labels).validation is not None
    model = build_model("gru", task="classification", **QUICK)
    job = model.prepare(X, late)
    assert job.validation is not None and model._waiting["classes_"].tolist() == [0, 1]
    known = {tuple(values): row for row, values in enumerate(model._waiting["scaler_"](X).tolist())}
    judged = [known[tuple(job.validation.table[last].tolist())] for last in job.validation.last.long()]
    assert max(judged) > 560 and not set(judged) & set(range(560, 600, 4))
    np.testing.assert_array_equal(job.validation.y.numpy(), labels[judged])
    assert model._waiting["n_validation_rows_"] == len(judged)


def test_classes_of_weight_zero_are_not_learned() -> None:
    X, y = series(900)
    labels = np.digitize(y, [-0.01, 0.01]) - 1
    model = build_model("gru", task="classification", class_weight={0: 0.0}, **QUICK)
    job = model.prepare(X, labels)
    assert job.validation is not None
    for windows in (job.train, job.validation):
        assert windows.weight is not None
        assert len(windows) and (windows.weight > 0).all() and set(windows.y.tolist()) == {0, 2}
    assert np.isfinite(model.fit(X, labels).predict_proba(X)).all()


def test_class_weights_are_stored_with_the_model() -> None:
    X, y = series()
    labels = np.digitize(y, [-0.01, 0.01]) - 1
    model = build_model("gru", task="classification", class_weight={1: 2.0, 0: 0.5}, **QUICK).fit(X, labels)
    stored = load_model(dump_model(model))
    assert stored.get_params()["class_weight"] == {1: 2.0, 0: 0.5}
    assert stored.model_info() == model.model_info()
    assert '"class_weight": {"0": 0.5, "1": 2.0}' in to_json(model.model_info().hyperparameters)
    np.testing.assert_array_equal(stored.fit(X, labels).predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({5: 2.0}, "class_weight names the class 5; y holds -1, 0, 1"),
        ({"1": 2.0}, "class_weight names the class '1'"),
        ({1: -2.0}, "class_weight of class 1 is -2.0"),
        ({1: float("nan")}, "class_weight of class 1 is nan"),
        ({1: "much"}, "class_weight of class 1 is 'much'"),
        ({0: 0.0, 1: 0}, r"class_weight is above 0 for 1 class\(es\), \[-1\]"),
        ("even", "class_weight is 'even'"),
    ],
)
def test_class_weights_that_cannot_be_are_refused(given: Any, said: str) -> None:
    X, y = series()
    with pytest.raises(ModelError, match=said):
        build_model("gru", task="classification", class_weight=given, **QUICK).fit(X, np.digitize(y, [-0.01, 0.01]) - 1)


def test_warm_start_goes_on_with_the_parameters_and_scales_it_has() -> None:
    X, y = series(600)
    model = build_model("linear_network", window=4, max_epochs=20, learning_rate=0.02, warm_start=True).fit(X, y)
    scaler, centers = model.scaler_, model.target_centers_
    first = model.training_.losses[0]
    model.fit(X * 1.01, y * 1.02)
    assert model.scaler_ is scaler
    assert model.target_centers_ is centers
    assert model.training_.losses[0] < 0.5 * first
    cold = build_model("linear_network", window=4, max_epochs=20, learning_rate=0.02).fit(X, y)
    assert cold.fit(X, y).training_.losses[0] == pytest.approx(first, rel=1e-6)


def test_precision_is_a_switch() -> None:
    X, y = series()
    plain = build_model("cnn", **QUICK).fit(X, y).predict(X)
    double = build_model("cnn", **QUICK, precision="float64").fit(X, y).predict(X)
    mixed = build_model("cnn", **QUICK, precision="bfloat16").fit(X, y).predict(X)
    np.testing.assert_allclose(double, plain, atol=1e-4 * y.std())
    assert 0.0 < np.abs(mixed - plain).max() < 0.3 * y.std()


# --- what a model says of itself -------------------------------------------------------------------------------------


def test_every_output_counts_alike_in_what_is_important() -> None:
    from huracan.models.input_saliency import input_saliency
    from huracan.training.windows import WindowTable

    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 3, bias=False))
    network[1].weight.data = torch.eye(3)
    for rows in (90, 4_000):  # all pairs of a window and an output; and a sample of them
        windows = WindowTable(torch.ones(rows, 3), torch.arange(rows, dtype=torch.int32), 1)
        np.testing.assert_allclose(input_saliency(network, windows), 1 / 3, atol=5 * np.sqrt(2 / 9 / 1_024))


def test_what_moves_the_median_is_important_and_not_what_moves_the_spread_alone() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2_000, 2)).astype(np.float32)
    y = X[:, 0] + np.exp(0.5 * X[:, 1]) * rng.standard_normal(2_000)
    model = build_model("linear_network", window=1, quantiles=(0.1, 0.5, 0.9), max_epochs=30, learning_rate=0.01).fit(X, y)
    assert model.feature_importance()["x0"] > 0.8


@pytest.mark.parametrize("scaling", ["last", "standard"])
def test_a_level_that_a_network_cannot_see_is_not_important(scaling: Any) -> None:
    from huracan.models.input_saliency import input_saliency
    from huracan.models.networks import LinearNetwork
    from huracan.training.windows import WindowTable

    network = LinearNetwork(2, 6, 1, window_scaling=scaling).eval()
    moves = torch.from_numpy(np.random.default_rng(0).standard_normal((300, 2)).astype(np.float32))
    ends = torch.arange(5, 300, dtype=torch.int32)
    low, high = (input_saliency(network, WindowTable(moves + torch.tensor([level, 0.0]), ends, 6)) for level in (0.0, 1_000.0))
    np.testing.assert_allclose(high, low, atol=1e-3)


def test_the_forecast_of_quantiles_is_their_median() -> None:
    X, y = series(500)
    model = build_model("linear_network", quantiles=(0.1, 0.3, 0.7), **QUICK).fit(X, y)
    _, low, high = model.predict_quantiles(X).T
    np.testing.assert_allclose(model.predict(X), (low + high) / 2, rtol=1e-12)
    tail = build_model("linear_network", quantiles=(0.9, 0.99), **QUICK).fit(X, y)
    assert tail.predict_quantiles(X).shape == (500, 2)
    for asked in (tail.predict, lambda rows: signal_score(tail, rows)):
        with pytest.raises(ModelError, match=r"quantiles is \(0.9, 0.99\), and the forecast is their median"):
            asked(X)
