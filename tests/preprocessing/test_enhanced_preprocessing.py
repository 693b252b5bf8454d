"""What is learned comes from the fit window alone, every change is counted, the frame kind stays."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from huracan.errors import CandleError, FeatureError
from huracan.market import read_candles
from huracan.preprocessing import EnhancedPreprocessor, FeatureRecipe, feature

PLAIN = EnhancedPreprocessor(outliers="none")


@parametrize_with_checks(
    [
        EnhancedPreprocessor(),
        EnhancedPreprocessor(imputation="forward_fill", outliers="mad", scaling="robust"),
        EnhancedPreprocessor(imputation="constant", outliers="none", scaling="none"),
        EnhancedPreprocessor(imputation="forward_fill", fill_limit=2, outliers="rolling", outlier_window=300),
        EnhancedPreprocessor(components=1),
        EnhancedPreprocessor(components=0.9, scaling="none", outliers="mad"),
        EnhancedPreprocessor(selection="correlation_clusters"),
        EnhancedPreprocessor(selection="correlation_clusters", components=0.99, scaling="robust", imputation="forward_fill"),
    ]
)
def test_scikit_learn_contract(estimator, check) -> None:
    check(estimator)


def holes(n: int = 500, d: int = 4, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = rng.standard_t(3, (n, d)) * [1.0, 10.0, 0.01, 1e6][:d] + 5.0
    X[rng.random((n, d)) < 0.05] = np.nan
    return X


def candles(n: int = 400) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    close = 10.0 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    hours = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 1) + pl.duration(hours=n - 1), "1h", eager=True)
    return pl.DataFrame(
        {
            "symbol": "A",
            "ts": hours.dt.replace_time_zone("UTC").cast(pl.Datetime("ms", "UTC")),
            "open": close,
            "high": close * 1.01,
            "low": close * 0.99,
            "close": close,
            "volume": rng.lognormal(size=n),
        }
    )


def test_scales_are_scikit_learns() -> None:
    X = np.random.default_rng(0).normal(3.0, 2.0, (300, 3))
    np.testing.assert_allclose(PLAIN.fit_transform(X), StandardScaler().fit_transform(X), atol=1e-12)
    robust = EnhancedPreprocessor(outliers="none", scaling="robust").fit_transform(X)
    np.testing.assert_allclose(robust, RobustScaler(unit_variance=True).fit_transform(X), atol=1e-12)


def test_nothing_is_learned_from_the_rows_transformed() -> None:
    train, test = holes(seed=0), holes(seed=1)
    fitted = EnhancedPreprocessor(imputation="forward_fill").fit(train)
    before = fitted.to_json()
    alone = fitted.transform(test)
    wild = np.vstack([test, 1e9 * np.ones((50, 4))])
    np.testing.assert_array_equal(fitted.transform(wild)[: len(test)], alone)
    assert fitted.to_json() == before
    assert fitted.fit_window_.n_rows == len(train)


@pytest.mark.parametrize("imputation", ["median", "forward_fill", "constant"])
def test_a_row_depends_on_no_later_row(imputation: str) -> None:
    fitted = EnhancedPreprocessor(imputation=imputation).fit(holes(seed=2))
    X = holes(seed=3)
    whole = fitted.transform(X)
    for cut in (1, 7, 100, 499):
        np.testing.assert_array_equal(fitted.transform(X[:cut]), whole[:cut])


def test_missing_values_are_filled_as_said() -> None:
    X = np.array([[np.nan], [1.0], [np.nan], [5.0], [np.nan]])
    options = {"outliers": "none", "scaling": "none"}
    assert EnhancedPreprocessor(**options).fit_transform(X).ravel().tolist() == [3, 1, 3, 5, 3]
    assert EnhancedPreprocessor(imputation="forward_fill", **options).fit_transform(X).ravel().tolist() == [3, 1, 1, 5, 5]
    assert EnhancedPreprocessor(imputation="constant", fill_value=-9, **options).fit_transform(X).ravel().tolist() == [
        -9,
        1,
        -9,
        5,
        -9,
    ]


def test_forward_fill_stops_at_symbols_and_gaps() -> None:
    frame = pl.DataFrame({"symbol": list("AAABB"), "segment": [0, 0, 1, 0, 0], "x": [1.0, None, None, None, 7.0]})
    out = EnhancedPreprocessor(imputation="forward_fill", outliers="none", scaling="none").fit_transform(frame)
    assert out["x"].to_list() == [1.0, 1.0, 4.0, 4.0, 7.0]
    assert out["symbol"].to_list() == list("AAABB")


def test_outliers_are_limited_and_counted() -> None:
    X = np.random.default_rng(0).normal(size=(10_000, 2))
    fitted = EnhancedPreprocessor(quantiles=(0.01, 0.99), scaling="none").fit(X)
    out, report = fitted.transform_with_report(X)
    low, high = np.quantile(X, [0.01, 0.99], axis=0)
    np.testing.assert_array_equal(out, np.clip(X, low, high))
    assert report.clipped_low == {"x0": 100, "x1": 100} == report.clipped_high
    assert report == fitted.report_
    mad = EnhancedPreprocessor(outliers="mad", mad_width=5.0, scaling="none").fit(X)
    assert [round(state.high, 1) for state in mad.columns_] == [5.0, 5.0]  # 1.4826 MAD is the deviation of a normal
    assert np.abs(mad.transform(np.array([[1e9, -1e9]]))).max() < 5.2


def test_every_change_is_counted() -> None:
    X = pd.DataFrame({"fine": [1.0, 2, 3, 4], "holed": [1.0, None, None, 4], "same": [2.0] * 4, "gone": [None] * 4})
    fitted = EnhancedPreprocessor().fit(X)
    report = fitted.report_
    assert report.imputed == {"holed": 2, "gone": 4}
    assert report.notes.keys() == {"same", "gone"}
    assert "constant" in report.notes["same"]
    assert "missing throughout" in report.notes["gone"]
    out = fitted.transform(X)
    assert (out["same"] == 0).all()
    assert (out["gone"] == 0).all()
    assert report.to_frame().filter(pl.col("feature") == "holed").row(0)[:2] == ("holed", 2)
    assert PLAIN.fit(holes()[:, :1][~np.isnan(holes()[:, 0])]).report_.to_frame().height == 0


def test_a_mostly_constant_column_is_not_blown_up() -> None:
    X = np.zeros((1000, 1))
    X[:50, 0] = np.linspace(1, 2, 50)
    for options in ({"scaling": "robust", "outliers": "mad"}, {"scaling": "robust", "outliers": "quantile"}):
        fitted = EnhancedPreprocessor(**options).fit(X)
        assert np.abs(fitted.transform(X)).max() < 10
        assert "half of its values are equal" in fitted.report_.notes["x0"]


@pytest.mark.parametrize("options", [{}, {"imputation": "forward_fill", "outliers": "mad", "scaling": "robust"}])
def test_pandas_polars_and_numpy_agree_and_stay_what_they_are(options: dict) -> None:
    X = holes()
    names = list("abcd")
    index = pd.date_range("2025-01-01", periods=len(X), freq="h", tz="UTC")
    as_pandas = pd.DataFrame(X, columns=names, index=index)
    as_polars = pl.DataFrame(X, schema=names).fill_nan(None)
    outputs = [EnhancedPreprocessor(**options).fit(kind).transform(kind) for kind in (X, as_pandas, as_polars)]
    assert [type(o) for o in outputs] == [np.ndarray, pd.DataFrame, pl.DataFrame]
    assert outputs[1].index.equals(index)
    assert list(outputs[1].columns) == outputs[2].columns == names
    for other in outputs[1:]:
        np.testing.assert_array_equal(outputs[0], other.to_numpy())
    fitted = EnhancedPreprocessor(**options).fit(as_pandas)
    assert list(fitted.get_feature_names_out()) == names
    assert fitted.fit_window_.first == str(index[0])
    np.testing.assert_array_equal(fitted.transform(as_polars).to_numpy(), outputs[0])


def test_single_precision_stays_single() -> None:
    X = holes().astype(np.float32)
    assert EnhancedPreprocessor().fit_transform(X).dtype == np.float32
    frame = pl.DataFrame(X, schema=list("abcd"))
    assert set(EnhancedPreprocessor().fit_transform(frame).dtypes) == {pl.Float32}


def test_nullable_and_boolean_columns_are_numbers() -> None:
    frame = pd.DataFrame(
        {"i": pd.array([1, None, 3], "Int64"), "b": [True, False, True], "o": pd.Series([1, 2.5, None], dtype=object)}
    )
    out = EnhancedPreprocessor(outliers="none", scaling="none").fit_transform(frame)
    assert out["i"].tolist() == [1.0, 2.0, 3.0]
    assert out["b"].tolist() == [1.0, 0.0, 1.0]
    assert out["o"].tolist() == [1.0, 2.5, 1.75]


def test_columns_that_do_not_match_are_named_in_one_sentence() -> None:
    frame = pl.DataFrame(np.nan_to_num(holes()), schema=list("abcd"))
    fitted = EnhancedPreprocessor().fit(frame)
    for wrong, said in (
        (frame.drop("c"), r"column 'c' is missing \(1 of 4 columns of the fit\)\.$"),
        (frame.drop("b", "c"), r"column 'b' is missing \(2 of 4 columns"),
        (frame.with_columns(extra=1.0), r"column 'extra' was unknown at fit \(1 such column\); the 4 columns"),
        (frame.rename({"c": "cc"}), r"column 'c' is missing .*; 'cc', unknown at fit, is near\.$"),
        (frame.select("a", "c", "b", "d"), r"column 1 is 'c' where 'b' was expected; .* in another order\.$"),
        (frame.to_pandas()[list("aabcd")], r"column 'a' is there 2 times; each column once"),
        (frame.clear(), "0 rows and 4 feature columns; at least one of each"),
    ):
        with pytest.raises(FeatureError, match=said) as raised:
            fitted.transform(wrong)
        assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="3 features"):
        EnhancedPreprocessor().fit(holes()).transform(holes()[:, :3])


@pytest.mark.parametrize(
    "bad", [None, 5, [1.0, 2.0], np.empty((0, 3)), np.array([["a", "b"]]), np.ones((2, 2, 2)), pl.DataFrame()]
)
def test_what_is_no_frame_gets_one_line(bad) -> None:
    with pytest.raises(FeatureError) as raised:
        EnhancedPreprocessor().fit(bad)
    assert "\n" not in str(raised.value)


def test_bad_values_are_named() -> None:
    frame = pl.DataFrame({"x": [1.0, 2.0, float("inf")]})
    with pytest.raises(FeatureError, match="'x' holds inf in row 2; a finite or missing value"):
        EnhancedPreprocessor().fit(frame)
    with pytest.raises(FeatureError, match=r"'when' is .*numbers were expected"):
        EnhancedPreprocessor().fit(pd.DataFrame({"when": pd.date_range("2025", periods=3)}))
    with pytest.raises(FeatureError, match="'word' is String"):
        EnhancedPreprocessor().fit(pl.DataFrame({"word": ["a"]}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"imputation": "mean"}, "imputation is 'mean'; one of median"),
        ({"outliers": "iqr"}, "outliers is 'iqr'"),
        ({"scaling": "minmax"}, "scaling is 'minmax'"),
        ({"quantiles": (0.9, 0.1)}, "low < high"),
        ({"mad_width": 0.0}, "mad_width is 0.0"),
        ({"fill_value": float("nan")}, "fill_value is nan"),
        ({"recipe": "default"}, "recipe is 'default'; a FeatureRecipe"),
        ({"quantiles": 0.5}, "quantiles are 0.5; two numbers"),
        ({"mad_width": "wide"}, "mad_width is 'wide'"),
        ({"fill_limit": 0}, "fill_limit is 0; a whole number of at least 1 or None"),
        ({"outlier_window": 1}, "outlier_window is 1"),
        ({"outliers": "rolling", "mad_width": 0.5}, "mad_width is 0.5; a width of at least 1"),
        ({"selection": "pca"}, "selection is 'pca'; one of None, correlation_clusters"),
        ({"correlation_threshold": 1.5}, "correlation_threshold is 1.5"),
        ({"components": 0}, "components is 0"),
        ({"components": 1.5}, "components is 1.5"),
        ({"components": True}, "components is True"),
        ({"components": 9}, "components is 9; at most 4 were expected of 4 columns"),
    ],
)
def test_bad_parameters_are_named(options: dict, said: str) -> None:
    with pytest.raises(FeatureError, match=said):
        EnhancedPreprocessor(**options).fit(holes())


@pytest.mark.parametrize("recipe", [None, FeatureRecipe([feature("rsi"), feature("adx")])])
def test_candles_become_features_first(recipe: FeatureRecipe | None) -> None:
    used = recipe or FeatureRecipe.default()
    bars = candles()
    fitted = EnhancedPreprocessor(recipe).fit(bars)
    out = fitted.transform(bars)
    assert tuple(out.columns) == ("symbol", "ts", "segment", *used.columns)
    assert fitted.recipe_ == used
    assert fitted.report_.warming_up == {name: rows for name, rows in used.lookbacks().items() if rows}
    ready = used.compute(bars)
    from_ready = EnhancedPreprocessor(recipe).fit_transform(ready)
    assert fitted.transform(ready).equals(from_ready)
    assert from_ready[used.lookback :].equals(out[used.lookback :])
    from_pandas = fitted.transform(bars.to_pandas())
    assert isinstance(from_pandas, pd.DataFrame)
    np.testing.assert_array_equal(from_pandas[list(used.columns)].to_numpy(), out.select(used.columns).to_numpy())
    assert fitted.transform(read_candles(bars)).equals(out)


def test_a_frame_that_is_neither_says_what_is_missing() -> None:
    fitted = EnhancedPreprocessor(FeatureRecipe([feature("rsi")])).fit(candles())
    with pytest.raises((CandleError, FeatureError)):
        fitted.transform(pl.DataFrame({"cci_20": [1.0]}))


@pytest.mark.parametrize(
    "data", [holes(), pd.DataFrame(holes(), columns=list("abcd")), candles()], ids=["numpy", "pandas", "candles"]
)
def test_state_as_json_transforms_bit_for_bit(data) -> None:
    fitted = EnhancedPreprocessor(imputation="forward_fill", scaling="robust").fit(data)
    again = EnhancedPreprocessor.from_json(fitted.to_json())
    a, b = fitted.transform(data), again.transform(data)
    if isinstance(a, pl.DataFrame):
        assert a.equals(b)
    else:
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert again.report_ == fitted.report_
    assert again.fit_window_ == fitted.fit_window_
    assert again.get_params() == fitted.get_params()


def test_damaged_state_is_refused() -> None:
    good = json.loads(EnhancedPreprocessor().fit(holes()).to_json())
    for bad in ({}, {**good, "format": 9}, {**good, "columns_": [{}]}, {k: v for k, v in good.items() if k != "report_"}):
        with pytest.raises(FeatureError):
            EnhancedPreprocessor.from_json(json.dumps(bad))


def test_it_works_in_a_pipeline_and_clones() -> None:
    X = holes()
    model = make_pipeline(EnhancedPreprocessor(FeatureRecipe.minimal()), Ridge())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(model).fit(X, np.arange(len(X))).predict(X)
    assert clone(EnhancedPreprocessor(FeatureRecipe.minimal())).recipe == FeatureRecipe.minimal()


def test_a_row_instead_of_a_matrix_does_not_print_itself() -> None:
    fitted = EnhancedPreprocessor().fit(holes())
    with pytest.raises(FeatureError, match="Reshape your data") as caught:
        fitted.transform(np.zeros(10_000))
    assert len(str(caught.value)) < 250
    with pytest.raises(FeatureError, match="X is None; candles, or rows x features"):
        fitted.transform(None)


@pytest.mark.parametrize(
    ("part", "value"), [("scale", 0.0), ("scale", -1.0), ("scale", None), ("center", "x"), ("fill", True), ("low", None)]
)
def test_a_number_that_is_none_in_the_state_is_found_when_it_is_read(part: str, value: object) -> None:
    document = json.loads(EnhancedPreprocessor().fit(holes()).to_json())
    document["columns_"][1][part] = value
    with pytest.raises(FeatureError, match="preprocessor state is damaged: a column has"):
        EnhancedPreprocessor.from_json(json.dumps(document))
    with pytest.raises(FeatureError, match="preprocessor state is damaged: feature_names_in_ is 3"):
        EnhancedPreprocessor.from_json(json.dumps({**document, "columns_": [], "feature_names_in_": 3, "selected_": []}))


def test_names_that_are_no_text_cannot_hide_another_order() -> None:
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 3)))
    fitted = EnhancedPreprocessor().fit(X)
    assert fitted.transform(X).shape == (50, 3)
    with pytest.raises(FeatureError, match="columns are named 2, 0, 1; text, or 0, 1, 2 and so on in order, was expected"):
        fitted.transform(X[[2, 0, 1]])
    with pytest.raises(FeatureError, match="columns are named 'a', 1, 2; text"):
        EnhancedPreprocessor().fit(X.rename(columns={0: "a"}))
