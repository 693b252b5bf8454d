"""What a model says of rows: one score each, or all it has, with the bars before the rows that are asked about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from huracan.catalogue import build_model, predict_span, score_span, signal_score
from huracan.dataset import TrainingSet
from huracan.errors import DataError, ModelError

N = 120
QUICK: dict[str, Any] = {"window": 5, "max_epochs": 2, "random_state": 0}
RNG = np.random.default_rng(0)
HOURS = np.datetime64("2024-01-01", "ms") + np.arange(N) * np.timedelta64(1, "h")
ROWS = TrainingSet.from_arrays(
    RNG.standard_normal((2 * N, 2)), RNG.standard_normal(2 * N), ts=np.tile(HOURS, 2), symbol=np.repeat(["A", "B"], N)
)
THREE = RNG.standard_normal((2 * N, 3))
SPANS = [slice(-2, None), slice(101, 140), slice(0, 3)]


@pytest.mark.parametrize(
    ("method", "more", "y", "shape"),
    [
        ("predict", {}, None, ()),
        ("predict", {}, THREE, (3,)),
        ("predict_quantiles", {"quantiles": (0.1, 0.5, 0.9)}, None, (3,)),
        ("predict_quantiles", {"quantiles": (0.1, 0.9)}, THREE, (3, 2)),
        ("predict_proba", {"task": "classification"}, None, (2,)),
    ],
)
def test_what_is_said_of_a_span_is_what_is_said_of_it_among_all(method: Any, more: Any, y: Any, shape: Any) -> None:
    model = build_model("gru", **QUICK, **more).fit(ROWS, y)
    whole = getattr(model, method)(ROWS)
    for span in SPANS:
        said = predict_span(model, ROWS, span, method=method)
        assert said.shape == (len(whole[span]), *shape)
        np.testing.assert_allclose(said, whole[span], rtol=0, atol=1e-6)


def test_a_score_is_one_number_a_row_or_refused() -> None:
    model = build_model("gru", **QUICK).fit(ROWS, THREE)
    for ask in (lambda: signal_score(model, ROWS), lambda: score_span(model, ROWS, SPANS[0])):
        with pytest.raises(ModelError, match=r"forecasts 3 values a row, and a score is one; predict_span\(model, "):
            ask()
    quantiles = build_model("gru", quantiles=(0.1, 0.5, 0.9), **QUICK).fit(ROWS)
    np.testing.assert_array_equal(signal_score(quantiles, ROWS), quantiles.predict_quantiles(ROWS)[:, 1])


def test_what_a_model_cannot_say_is_refused() -> None:
    model = build_model("ridge").fit(ROWS)
    for method in ("predict_proba", "predict_quantiles", "foresee"):
        with pytest.raises(ModelError, match=f"method is '{method}', which ridge as it was built does not have"):
            predict_span(model, ROWS, SPANS[0], method=method)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["ridge", "linear_network"])
def test_a_training_set_is_scored_by_its_own_labels_where_they_are_known(name: str) -> None:
    quick = {} if name == "ridge" else QUICK
    model = build_model(name, **quick).fit(ROWS)
    assert model.score(ROWS) == pytest.approx(model.score(ROWS, ROWS.y))
    y, end = ROWS.y.copy(), ROWS.label_end.copy()
    y[200:], end[200:] = np.nan, np.datetime64("NaT")
    late = TrainingSet(**{**{f: getattr(ROWS, f) for f in ROWS.__dataclass_fields__}, "y": y, "label_end": end})
    said = model.predict(ROWS)[:200]
    expected = 1 - np.square(ROWS.y[:200] - said).sum() / np.square(ROWS.y[:200] - ROWS.y[:200].mean()).sum()
    assert model.score(late) == pytest.approx(expected)
    with pytest.raises(DataError, match="none of the 40 rows has a label"):
        model.score(late.take(slice(200, None)))
    with pytest.raises(TypeError):
        model.score()
    kind = "logistic_regression" if name == "ridge" else name
    classifier = build_model(kind, task="classification", **quick).fit(ROWS)
    assert classifier.score(ROWS) == np.mean(classifier.predict(ROWS) == (ROWS.y > 0))
    heavy = np.where(np.arange(2 * N) < 50, 1.0, 0.0)
    assert classifier.score(ROWS, sample_weight=heavy) == np.mean(classifier.predict(ROWS)[:50] == (ROWS.y[:50] > 0))
