"""Rows that differ from what the model was trained on: each difference has the outcome that is documented."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from huracan.errors import SignatureError
from huracan.serving import Predictor
from huracan.serving.signature import matrix_of

Opened = Callable[..., Predictor]


@pytest.fixture
def rows() -> pl.DataFrame:
    return pl.DataFrame(np.random.default_rng(0).standard_normal((20, 8)) * 0.1, schema=_columns())


def _columns() -> list[str]:
    from huracan.preprocessing import FeatureRecipe

    return list(FeatureRecipe.minimal().columns)


def test_every_missing_column_is_named() -> None:
    with pytest.raises(SignatureError, match="columns 'b', 'c' are missing"):
        matrix_of(pl.DataFrame({"a": [1.0]}), ["a", "b", "c"])


def test_order_does_not_matter(opened: Opened, rows: pl.DataFrame) -> None:
    predictor = opened()
    assert predictor.predict(rows.select(reversed(rows.columns))).equals(predictor.predict(rows))


def test_a_column_too_many_is_ignored_unless_strict(opened: Opened, rows: pl.DataFrame) -> None:
    more = rows.with_columns(funding=pl.lit("high"))
    answers = opened().predict(more)
    assert answers.drop("notes").equals(opened().predict(rows).drop("notes"))
    assert answers["notes"][0].to_list() == ["column 'funding' was ignored: the model does not know it."]
    with pytest.raises(SignatureError, match="'funding' is unknown to the model"):
        opened(strict=True).predict(more)


@pytest.mark.parametrize(("values", "kind"), [(["1"], "String"), ([True], "Boolean"), ([datetime(2024, 1, 1)], "Datetime")])
def test_what_is_no_number_is_refused_with_its_column_and_type(values: list[object], kind: str) -> None:
    with pytest.raises(SignatureError, match=f"column 'a' is {kind}"):
        matrix_of(pl.DataFrame({"a": values}), ["a"])


@pytest.mark.parametrize("values", [[1, 2], [1.0, 2.0], [Decimal("1.0"), Decimal("2.0")], np.array([1, 2], np.float32)])
def test_numbers_of_any_kind_become_float32(values: object) -> None:
    made, notes = matrix_of(pl.DataFrame({"a": values}), ["a"])
    assert made.dtype == np.float32
    assert made.tolist() == [[1.0], [2.0]]
    assert notes == ()


def test_pandas_and_matrices_are_answered_like_polars(opened: Opened, rows: pl.DataFrame) -> None:
    predictor = opened()
    expected = predictor.predict(rows)
    assert predictor.predict(rows.to_pandas()).equals(expected)
    assert predictor.predict(rows.to_numpy()).equals(expected)
    with pytest.raises(SignatureError, match="a matrix of 8 columns"):
        predictor.predict(rows.to_numpy()[:, :3])


def test_rows_without_a_value_or_without_an_end_have_no_score(opened: Opened, rows: pl.DataFrame) -> None:
    first = rows.columns[0]
    changed = rows.with_row_index("at").with_columns(
        pl.when(pl.col("at") == 3).then(None).when(pl.col("at") == 5).then(1e300).otherwise(pl.col(first)).alias(first)
    )
    answers = opened().predict(changed.drop("at"))
    assert answers["score"].is_null().arg_true().to_list() == [3, 5]
    assert answers["vetoes"][3].to_list() == ["missing_value"]
    assert answers["vetoes"][5].to_list() == ["infinite_feature"]
    assert answers["position"][3] == answers["position"][5] == 0.0


def test_beyond_the_training_range_a_row_is_scored_and_vetoed(opened: Opened, rows: pl.DataFrame) -> None:
    predictor = opened()
    high = max(predictor._served.screen.high)
    answers = predictor.predict(rows.with_columns(pl.lit(2.0 * float(high) + 1.0).alias(rows.columns[0])))
    assert answers["score"].is_not_null().all()
    assert all("out_of_range" in vetoes for vetoes in answers["vetoes"])
    assert not answers["do_predict"].any()


def test_candles_of_another_bar_are_refused(opened: Opened, candles: pl.DataFrame) -> None:
    every_other = candles.filter(pl.col("ts").dt.hour() % 2 == 0)
    with pytest.raises(SignatureError, match=r"bars of 2h.*trained on bars of 1h"):
        opened().predict(every_other)
    with pytest.raises(SignatureError, match="trained on bars of 1h"):
        opened(history=every_other, bar="2h")
