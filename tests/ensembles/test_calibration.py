"""Calibrators: equal to scikit-learn's where both do the same, and deaf to what is not out of fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.naive_bayes import GaussianNB

from huracan.dataset import TrainingSet
from huracan.ensembles import IsotonicCalibrator, SigmoidCalibrator, out_of_fold_predictions
from huracan.ensembles.calibration import calibrator_from_state
from huracan.errors import DataError, LeakageError, ModelError, NotEnoughData
from huracan.validation import PurgedWalkForward, calibration_table

KINDS = [SigmoidCalibrator, IsotonicCalibrator]


def overconfident(n: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities three times too sure in log-odds, outcomes, and the truth."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.3, 0.7, n)
    return expit(3 * logit(true)), (rng.random(n) < true).astype(float), true


def times(n: int) -> dict[str, Any]:
    day = np.datetime64("1970-01-01") + np.arange(n)
    return {"decision_time": day, "known_until": day - 1}


@pytest.mark.parametrize("n", [60, 500, 5_000])
def test_a_sigmoid_is_platts_on_log_odds(n: int) -> None:
    p, y, _ = overconfident(n)
    mine = SigmoidCalibrator().fit(p, y, **times(n))
    theirs = _SigmoidCalibration().fit(logit(p), y)
    np.testing.assert_allclose(mine.transform(p), theirs.predict(logit(p)), atol=1e-5)


def test_a_sigmoid_is_a_logistic_regression_where_rows_are_many() -> None:
    p, y, _ = overconfident(50_000)
    mine = SigmoidCalibrator().fit(p, y, **times(50_000))
    theirs = LogisticRegression(C=np.inf, tol=1e-8).fit(logit(p)[:, None], y)
    assert mine.slope_ == pytest.approx(float(theirs.coef_[0, 0]), rel=1e-2)
    assert mine.intercept_ == pytest.approx(float(theirs.intercept_[0]), abs=1e-3)


@pytest.mark.parametrize("n", [60, 5_000])
def test_isotonic_is_scikit_learns_but_never_certain(n: int) -> None:
    p, y, _ = overconfident(n)
    mine = IsotonicCalibrator().fit(p, y, **times(n))
    theirs = IsotonicRegression(out_of_bounds="clip").fit(p, y)
    asked = np.linspace(0, 1, 500)
    edge = 1 / (n + 2)
    np.testing.assert_allclose(mine.transform(asked), np.clip(theirs.predict(asked), edge, 1 - edge), atol=1e-12)
    assert mine.transform(asked).min() > 0
    assert mine.transform(asked).max() < 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_says_comes_true(kind: Any) -> None:
    p, y, _ = overconfident(5_000)
    fresh, outcome, _ = overconfident(50_000, seed=1)
    made = kind().fit(p, y, **times(5_000))
    before, after = (calibration_table(q, outcome).expected_calibration_error for q in (fresh, made.transform(fresh)))
    assert before > 0.1
    assert after < 0.025


@pytest.mark.parametrize("kind", KINDS)
def test_it_keeps_the_order_of_rows(kind: Any) -> None:
    """Even where the model was wrong way round on the rows learned from: that is the model's fault, not the scale's."""
    p, y, _ = overconfident(500)
    for outcome in (y, 1 - y):
        said = kind().fit(p, outcome, **times(500)).transform(np.sort(p))
        assert np.all(np.diff(said) >= 0)
    assert SigmoidCalibrator().fit(p, 1 - y, **times(500)).slope_ == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_out_of_fold_are_taken_as_they_are(kind: Any, rows: TrainingSet) -> None:
    made = out_of_fold_predictions({"a": GaussianNB(), "b": LogisticRegression()}, rows, PurgedWalkForward(4))
    one = kind().fit(made, weights=[1, 3])
    usable = made.usable
    p = made.predictions[usable] @ [0.25, 0.75]
    other = kind().fit(p, made.target[usable], decision_time=made.decision_time[usable], known_until=made.known_until[usable])
    np.testing.assert_array_equal(one.transform(p), other.transform(p))


@pytest.mark.parametrize("kind", KINDS)
def test_in_sample_predictions_are_refused(kind: Any, rows: TrainingSet) -> None:
    shuffled = out_of_fold_predictions({"a": GaussianNB()}, rows, KFold(4, shuffle=True, random_state=0))
    with pytest.raises(LeakageError, match="not before the decision"):
        kind().fit(shuffled)
    p = GaussianNB().fit(rows.X, rows.direction()).predict_proba(rows.X)[:, 1]
    known = np.full(len(rows), rows.label_end.max())
    with pytest.raises(LeakageError, match=r"the model behind row 0, .*; before the decision was expected"):
        kind().fit(p, rows.direction(), decision_time=rows.decision_time, known_until=known)
    with pytest.raises(DataError, match="given without y, decision_time and known_until"):
        kind().fit(p, rows.direction())


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_from_plain_values(kind: Any) -> None:
    p, y, _ = overconfident(200)
    made = kind().fit(p, y, **times(200))
    again = calibrator_from_state(made.to_state())
    assert again is not None
    np.testing.assert_array_equal(again.transform(p), made.transform(p))
    with pytest.raises(ModelError, match="is of kind 'beta'; sigmoid or isotonic was expected"):
        calibrator_from_state({"kind": "beta"})


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_is_refused(kind: Any) -> None:
    p, y, _ = overconfident(100)
    with pytest.raises(ModelError, match="is not fitted"):
        kind().transform(p)
    with pytest.raises(NotEnoughData, match="a calibrator got 40 out-of-fold rows; at least 50 are needed"):
        kind().fit(p[:40], y[:40], **times(40))
    with pytest.raises(NotEnoughData, match="all 100 out-of-fold rows are of class 1"):
        kind().fit(p, np.ones(100), **times(100))
    with pytest.raises(DataError, match=r"probability is 1\.5 in row 0"):
        kind().fit(p + 1.5 - p[0], y, **times(100))
