"""Rank correlation equals scipy's, survives missing values, and clusters keep what they promise."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from huracan.errors import FeatureError, NotEnoughData
from huracan.preprocessing.correlation import correlation_clusters, correlation_order, rank_correlation


def correlated(rows: int = 400, columns: int = 7, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((rows, columns)) @ generator.standard_normal((columns, columns))


def test_without_missing_values_it_is_spearmans_coefficient() -> None:
    values = correlated().round(1)  # with ties
    _, matrix = rank_correlation(values)
    np.testing.assert_allclose(matrix, spearmanr(values).statistic, atol=1e-11)


def test_monotone_changes_infinities_and_the_order_of_rows_do_not_matter() -> None:
    values = correlated()
    _, matrix = rank_correlation(values)
    bent = np.sinh(values)
    bent[np.arange(7), np.arange(7)] = values[np.arange(7), np.arange(7)]
    extreme = np.exp(values)
    top = extreme.argmax(axis=0)
    extreme[top, np.arange(7)] = np.inf
    shuffled = np.random.default_rng(1).permutation(extreme)
    np.testing.assert_array_equal(rank_correlation(shuffled)[1], matrix)


def test_missing_values_cost_only_their_rows() -> None:
    """Missing at random: close to the coefficient of the common rows; a column's own gaps do not touch other pairs."""
    values = correlated(5000)
    full = rank_correlation(values)[1]
    holes = values.copy()
    holes[np.random.default_rng(2).random(5000) < 0.3, 2] = np.nan
    found = rank_correlation(holes)[1]
    others = [i for i in range(7) if i != 2]
    np.testing.assert_array_equal(found[np.ix_(others, others)], full[np.ix_(others, others)])
    kept = ~np.isnan(holes[:, 2])
    np.testing.assert_allclose(found[2], spearmanr(holes[kept]).statistic[2], atol=0.005)


def test_what_is_not_known_is_nan_and_joins_nothing() -> None:
    x = np.arange(100.0)
    apart = np.where(x < 50, x, np.nan), np.where(x >= 45, x, np.nan)
    frame = pl.DataFrame({"early": apart[0], "late": apart[1], "constant": np.ones(100), "empty": np.full(100, np.nan)})
    _, matrix = rank_correlation(frame)
    assert np.isnan(matrix[~np.eye(4, dtype=bool)]).all()
    found = correlation_clusters(frame, 0.5)
    assert found["cluster"].to_list() == [0, 1, 2, 3]
    assert found["representative"].to_list() == frame.columns
    assert found["max_abs_correlation"].null_count() == 4


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 1.0))
def test_any_two_of_a_cluster_are_as_close_as_promised(seed: int, threshold: float) -> None:
    values = correlated(60, 8, seed)
    size = np.abs(rank_correlation(values)[1])
    found = correlation_clusters(values, threshold)
    cluster = found["cluster"].to_numpy()
    for i, j in combinations(range(8), 2):
        if cluster[i] == cluster[j]:
            assert size[i, j] >= threshold - 1e-8
    for row in found.iter_rows(named=True):
        chosen = found.row(found["feature"].to_list().index(row["representative"]), named=True)
        assert chosen["cluster"] == row["cluster"] and chosen["representative"] == chosen["feature"]
    first_of_each = found.unique("cluster", keep="first", maintain_order=True)["cluster"].to_list()
    assert first_of_each == list(range(len(first_of_each)))


def test_the_kind_of_frame_and_its_keys_do_not_matter() -> None:
    values = correlated(columns=3)
    values[:, 2] = -(values[:, 0] ** 3)
    names = ["a", "b", "c"]
    expected = correlation_clusters(values, names=names)
    assert expected.rows()[2][1:3] == (0, "a")
    frame = pl.DataFrame(values, schema=names).with_columns(pl.lit("A").alias("symbol"), pl.lit(0).alias("segment"))
    assert correlation_clusters(frame).equals(expected)
    assert correlation_clusters(pd.DataFrame(values, columns=names)).equals(expected)


def test_a_draw_of_rows_is_the_same_every_time_and_close() -> None:
    values = correlated(20_000)
    first = rank_correlation(values, max_rows=5000)[1]
    np.testing.assert_array_equal(first, rank_correlation(values, max_rows=5000)[1])
    np.testing.assert_allclose(first, rank_correlation(values)[1], atol=4 / np.sqrt(5000))


def test_neighbours_in_the_order_are_alike() -> None:
    block = np.kron(np.eye(3), np.full((4, 4), 0.8)) + 0.2 * np.eye(12)
    mixed = np.random.default_rng(0).permutation(12)
    order = correlation_order(block[np.ix_(mixed, mixed)])
    assert sorted(order) == list(range(12))
    changes = sum(mixed[a] // 4 != mixed[b] // 4 for a, b in pairwise(order))
    assert changes == 2


def test_what_cannot_be_correlated_is_refused() -> None:
    with pytest.raises(FeatureError, match="threshold is 0"):
        correlation_clusters(correlated(), 0.0)
    with pytest.raises(FeatureError, match="2 names for 7 columns"):
        correlation_clusters(correlated(), names=["a", "b"])
    with pytest.raises(FeatureError, match="column 'x' is String"):
        correlation_clusters(pl.DataFrame({"x": ["a"]}))
    with pytest.raises(NotEnoughData, match="0 rows"):
        correlation_clusters(pl.DataFrame({"x": []}, schema={"x": pl.Float64}))
    assert correlation_clusters(correlated(columns=1)).rows() == [("x0", 0, "x0", None)]
