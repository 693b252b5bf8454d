"""Every way of giving the same numbers is the same matrix, and what is no matrix or target is told in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

from huracan.baselines import given_rows
from huracan.baselines.given_rows import as_rows, as_target, numeric_target
from huracan.catalogue import build_model
from huracan.dataset import TrainingSet
from huracan.errors import DataError, NotEnoughData

N = 40
X = np.random.default_rng(0).standard_normal((N, 3)).astype(np.float32)
Y = X[:, 0].astype(np.float64)
HOURS = pd.date_range("2024-01-01", periods=N, freq="h")
LEARNERS = ["ridge", "lightgbm", "mlp"]


def with_value(value: Any, row: int = 7, column: int = 1, *, kind: Any = object) -> Any:
    changed = X.astype(kind)
    changed[row, column] = value
    return changed


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": X[:, 0], **columns})


@pytest.mark.parametrize("large", [False, True])
def test_every_way_of_giving_the_same_numbers_is_the_same_matrix(monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    monkeypatch.setattr(given_rows, "_SMALL", 0 if large else 2**20)
    monkeypatch.setattr(given_rows, "_BLOCK", 7)
    whole = pd.DataFrame(X, columns=["a", "b", "c"])
    for given in (
        X,
        X.astype(np.float64),
        np.asfortranarray(X),
        X.astype(object),
        X.tolist(),
        tuple(map(tuple, X)),
        whole,
        whole.astype({"a": np.float64, "b": object}),
        whole.astype("Float64"),
        pl.DataFrame(X),
        pl.DataFrame(X).with_columns(pl.all().cast(pl.Float64)),
        np.ma.masked_array(X, np.zeros_like(X, bool)),
    ):
        matrix = as_rows(given)
        assert matrix.dtype == np.float32 and matrix.flags.c_contiguous
        np.testing.assert_array_equal(matrix, X)
    assert as_rows(X) is X
    np.testing.assert_array_equal(as_rows(pd.DataFrame({"a": [True, False], "b": [1, 2]})), [[1, 1], [0, 2]])


@pytest.mark.parametrize("large", [False, True])
def test_what_is_missing_is_nan_however_it_is_written(monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    monkeypatch.setattr(given_rows, "_SMALL", 0 if large else 2**20)
    mask = np.zeros_like(X, bool)
    mask[7, 1] = True
    holes = [
        with_value(None),
        with_value(pd.NA),
        np.ma.masked_array(X, mask),
        pd.DataFrame(X).astype("Float64").mask(mask),
        pl.DataFrame(X).with_columns(pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise("column_1").alias("column_1")),
    ]
    for given in holes:
        np.testing.assert_array_equal(np.isnan(as_rows(given)), mask)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.arange(5.0), r"X has shape \(5,\); rows x columns were expected. Reshape your data"),
        (pd.Series(Y), r"X has shape \(40,\)"),
        (np.zeros((4, 2, 2, 2)), r"X has shape \(4, 2, 2, 2\)"),
        (3.0, "X is 3.0; rows and columns"),
        (None, "X is None; rows and columns"),
        ("close", "X is 'close'; rows and columns"),
        ({"a": [1.0]}, "X is a dict; rows and columns"),
        (np.empty((5, 0)), r"X has 0 feature\(s\) \(shape=\(5, 0\)\)"),
        ([[1.0, 2.0], [3.0]], "X is a list of parts of unequal lengths"),
        (scipy.sparse.csr_matrix(X), r"X is a sparse csr_matrix of shape \(40, 3\); a dense array was expected: X.toarray()"),
        (X + 1j, "Complex data not supported: X is of complex64"),
        (X.astype(str), "X holds text"),
        (np.full((5, 2), np.datetime64("2024-01-01")), r"X is of datetime64\[D\]; numbers"),
        (with_value("oops"), "column 'x1' of X holds the text 'oops' in row 7"),
        (with_value([1]), r"column 'x1' of X holds \[1\] in row 7"),
        (frame(coin="BTC"), "column 'coin' of X holds text"),
        (frame(coin=pd.Series(["BTC"] * N, dtype=object)), "column 'coin' of X holds the text 'BTC' in row 0"),
        (frame(coin=pd.Categorical(["BTC"] * N)), r"column 'coin' of X holds values \(category\)"),
        (frame(ts=HOURS), "column 'ts' of X holds times"),
        (pl.DataFrame({"a": Y, "coin": ["BTC"] * N}), r"column 'coin' of X holds text \(String\)"),
        (pl.DataFrame({"a": Y, "ts": HOURS.to_list()}), "column 'ts' of X holds times"),
    ],
)  # fmt: skip
def test_what_is_no_matrix_is_told_in_one_short_sentence(given: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        as_rows(given)
    assert len(str(refused.value)) < 160


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "requires y to be passed"),
        (3.0, "y is 3.0; a value for each of the 40 rows"),
        ("close", "y is 'close'; a value for each"),
        (Y[1:], "y has 39 rows where X has 40"),
        (np.zeros((N, 2, 2)), r"y has shape \(40, 2, 2\)"),
        (scipy.sparse.csr_matrix(Y[:, None]), "y is a sparse csr_matrix"),
        (Y + 1j, "Complex data not supported: y is of complex128"),
        (HOURS, "y holds times"),
        (np.where(np.arange(N) == 9, None, Y.astype(object)), "column 'y' holds None in row 9"),
        (np.where(np.arange(N) == 9, "up", Y.astype(object)), "y holds 'up' in row 9; numbers were expected"),
        (np.array(["up", "down"] * 20), "y holds 'up' in row 0; numbers were expected"),
    ],
)
def test_what_is_no_target_is_told_in_one_short_sentence(given: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        numeric_target(as_target(given, N))
    assert len(str(refused.value)) < 160


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize(
    ("rows", "target", "weight", "said"),
    [
        (np.arange(N), Y, None, r"X has shape \(40,\)"),
        (X[:0], Y[:0], None, r"got 0 sample\(s\) to learn from; at least 10"),
        (with_value(1e300, kind=np.float64), Y, None, r"column 'x1' holds 1e\+300 in row 7; numbers that float32 can hold"),
        (pd.DataFrame(with_value(np.inf, kind=float), index=HOURS), Y, None, r"holds inf in row 7 \(2024-01-01 07:00:00\)"),
        (pd.DataFrame(X, index=HOURS), pd.Series(np.where(np.arange(N) == 3, np.nan, Y), HOURS), None,
         r"column 'y' holds NaN in row 3 \(2024-01-01 03:00:00\)"),
        (X, np.zeros((N, 2, 2)), None, r"y has shape \(40, 2, 2\)"),
        (X, Y, ["heavy"] * N, "sample_weight holds what is no number"),
        (X, Y, np.ones((N, 1)), r"sample_weight has shape \(40, 1\); one weight a row, 40"),
    ],
)  # fmt: skip
def test_learners_of_every_kind_refuse_alike(name: str, rows: Any, target: Any, weight: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        build_model(name, task="regression").fit(rows, target, sample_weight=weight)
    assert len(str(refused.value)) < 200 and "\n" not in str(refused.value)


MISSING = [None, np.nan, pd.NA, pd.NaT]


@pytest.mark.parametrize("name", ["ridge", "logistic_regression", "gru"])
@pytest.mark.parametrize("missing", MISSING, ids=repr)
def test_a_label_that_is_missing_is_told_with_its_row_and_time_however_it_is_written(name: str, missing: Any) -> None:
    """Labels as objects, of numbers and of classes: what joins and shifts of frames leave behind."""
    for task, label in (("regression", Y.astype(object)), ("classification", np.where(Y > 0, "up", "down").astype(object))):
        if (name, task) in (("ridge", "classification"), ("logistic_regression", "regression")):
            continue
        label[9] = missing
        for index, moment in ((HOURS, "2024-01-01 09:00:00"), (pd.MultiIndex.from_product([["BTC"], HOURS]), "BTC, 2024")):
            frame = pd.DataFrame(X, columns=["a", "b", "c"], index=index)
            with pytest.raises(DataError, match=rf"column 'y' holds .* in row 9 \({moment}.*\); a"):
                build_model(name, task=task).fit(frame, pd.Series(label, index, dtype=object))


@pytest.mark.parametrize("name", LEARNERS)
def test_a_training_set_says_which_symbol_and_when(name: str) -> None:
    rows = TrainingSet.from_arrays(pd.DataFrame(X, index=HOURS), Y)
    rows.X[7, 1] = np.nan
    with pytest.raises(DataError, match=r"column 'x?1' holds NaN in row 7 \(.*2024-01-01T07:00:00.000\)"):
        build_model(name, task="regression").fit(rows)


@pytest.mark.parametrize("name", ["logistic_regression", "lightgbm", "mlp"])
@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Y, "Unknown label type: y is continuous; classes were expected, or task='regression'"),
        (np.column_stack([Y > 0, Y > 0]), r"y has shape \(40, 2\); one"),
        (np.array(["up", 1] * 20, dtype=object), "y holds values of types int, str; classes of one type"),
    ],
)
def test_classes_that_are_none(name: str, target: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        build_model(name, task="classification").fit(X, target)


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("given", [X[0], None, 1.0, scipy.sparse.csr_matrix(X), X[:, :2], frame(coin="BTC", c=1.0)])
def test_a_forecast_of_what_is_no_matrix_is_refused(name: str, given: Any) -> None:
    model = build_model(name, task="regression", **({"max_epochs": 1} if name == "mlp" else {})).fit(X, Y)
    with pytest.raises(DataError):
        model.predict(given)


def test_no_rows_are_no_error_of_a_forecast() -> None:
    with pytest.raises(NotEnoughData):
        build_model("ridge").fit(X[:0], Y[:0])
    assert build_model("ridge").fit(X, Y).predict(X[:0]).shape == (0,)
