"""Blocks drawn apart from data, means from cumulative sums, and a block length equal to arch's."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from arch.bootstrap import CircularBlockBootstrap, StationaryBootstrap
from arch.bootstrap import optimal_block_length as arch_block_length
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from huracan.errors import DataError, NotEnoughData
from huracan.statistics import bootstrap
from huracan.statistics.bootstrap import (
    Blocks,
    block_bootstrap,
    draw_blocks,
    draw_means,
    optimal_block_length,
    resampled_means,
)

KINDS = ("circular", "stationary")


def autoregression(rho: float, n: int, seed: int) -> np.ndarray:
    return lfilter([1.0], [1.0, -rho], np.random.default_rng(seed).standard_normal(n + 100))[100:]


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.3, 0.9, 0.99])
@pytest.mark.parametrize("n", [20, 37, 250, 1000])
def test_block_length_equals_that_of_arch(n, rho):
    batch = np.stack([autoregression(rho, n, seed) + 3 for seed in range(10)])
    ours = optimal_block_length(batch)
    theirs = arch_block_length(batch.T)
    np.testing.assert_allclose(ours.stationary, theirs["stationary"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours.circular, theirs["circular"], rtol=0, atol=1e-10)
    assert optimal_block_length(batch[0]).circular == pytest.approx(ours.circular[0], abs=1e-10)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.floats(0, 1), st.integers(1, 6), st.sampled_from(KINDS), st.integers(0, 2**31))
def test_resamples_are_whole_circles_of_blocks(n, share, resamples, kind, seed):
    block_length = 1 + share * (n - 1)
    blocks = draw_blocks(n, block_length, resamples, kind=kind, seed=seed)
    indices = blocks.indices()
    assert indices.shape == (resamples, n)
    assert len(blocks) == resamples
    assert indices.min() >= 0
    assert indices.max() < n
    assert np.all(blocks.length >= 1)
    for row, (low, high) in zip(indices, zip(blocks.first, blocks.first[1:])):
        parts = [(s + np.arange(m)) % n for s, m in zip(blocks.start[low:high], blocks.length[low:high])]
        np.testing.assert_array_equal(row, np.concatenate(parts))
        if kind == "circular":
            assert set(blocks.length[low : high - 1]) <= {round(block_length)}


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**31))
def test_any_indices_can_be_taken_over_and_means_are_those_of_the_rows(n, resamples, k, seed):
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, n, (resamples, n))
    blocks = Blocks.from_indices(indices)
    np.testing.assert_array_equal(blocks.indices(), indices)
    x = rng.standard_normal((n, k)) + 5
    np.testing.assert_allclose(resampled_means(x, blocks), x[indices].mean(axis=1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", [CircularBlockBootstrap, StationaryBootstrap])
def test_means_equal_those_of_arch_on_its_own_draws(kind):
    x = np.random.default_rng(0).standard_normal((500, 3)).cumsum(axis=0)
    theirs = kind(12, x, seed=3).apply(lambda rows: rows.mean(axis=0), 50)
    indices = np.stack([data[0][0] for data in kind(12, np.arange(500), seed=3).bootstrap(50)])
    np.testing.assert_allclose(resampled_means(x, Blocks.from_indices(indices)), theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_bits_whole_or_in_parts(kind, monkeypatch):
    x = np.random.default_rng(0).standard_normal((300, 4))
    whole = draw_blocks(300, 7.5, 40, kind=kind, seed=9)
    parts = [draw_blocks(300, 7.5, range(low, low + 8), kind=kind, seed=9).indices() for low in range(0, 40, 8)]
    np.testing.assert_array_equal(np.concatenate(parts), whole.indices())
    means = resampled_means(x, whole)
    monkeypatch.setattr(bootstrap, "_CHUNK", 500)
    np.testing.assert_array_equal(resampled_means(x, whole), means)
    assert not np.array_equal(draw_blocks(300, 7.5, 40, kind=kind, seed=10).indices(), whole.indices())


@pytest.mark.parametrize("kind", KINDS)
def test_means_of_blocks_that_are_forgotten_are_the_same_bits_and_need_no_memory_for_them(kind, monkeypatch):
    x = np.random.default_rng(0).standard_normal((2_000, 2))
    kept = resampled_means(x, draw_blocks(2_000, 1.2, 500, kind=kind, seed=3))
    tracemalloc.start()
    forgotten = draw_means(x, 1.2, 500, kind=kind, seed=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(forgotten, kept)
    assert peak < 8e6  # the blocks of all 500 are 13 MB and more
    monkeypatch.setattr(bootstrap, "_NEAR", 5_000)
    np.testing.assert_array_equal(draw_means(x, 1.2, 500, kind=kind, seed=3), kept)
    np.testing.assert_array_equal(draw_means(x, 1.2, 7, kind=kind, seed=3), kept[:7])


def test_blocks_are_as_long_as_asked_and_every_row_is_as_likely():
    blocks = draw_blocks(1000, 20, 400, kind="stationary")
    # 20,000 geometric lengths of mean 20 (those cut at the end are shorter): standard error .14
    assert blocks.length.mean() == pytest.approx(20 * (1 - 0.02), abs=0.6)
    for kind in KINDS:
        counts = np.bincount(draw_blocks(50, 5, 4000, kind=kind, seed=1).indices().ravel(), minlength=50)
        # 40,000 blocks of 5 rows cover a row 4,000 times, deviation 60; lengths that vary make it at most 90
        assert np.abs(counts - 4000).max() < 5 * 90


@pytest.mark.parametrize("kind", KINDS)
def test_variance_of_resampled_means_is_that_of_theory(kind):
    x, b, n = autoregression(0.6, 400, 1), 8, 400
    means = resampled_means(x, draw_blocks(n, b, 20_000, kind=kind, seed=2))
    lag = np.arange(1, n)
    covariance = np.array([np.mean((x - x.mean()) * np.roll(x - x.mean(), j)) for j in range(n)])
    if kind == "circular":
        weight = np.clip(1 - np.arange(n) / b, 0, None)
        expected = (covariance[0] + 2 * weight[1:b] @ covariance[1:b]) / n
    else:  # Politis and Romano (1994), lemma 1, in circular autocovariances
        expected = (covariance[0] + 2 * ((1 - lag / n) * (1 - 1 / b) ** lag) @ covariance[1:]) / n
    # a variance from 20,000 draws has a relative standard error of 1 %
    assert means.var() == pytest.approx(expected, rel=0.05)
    assert means.mean() == pytest.approx(x.mean(), abs=5 * np.sqrt(expected / 20_000))


def test_interval_covers_the_mean_and_any_statistic_runs_on_the_resampled_series():
    hits = 0
    for seed in range(60):
        result = block_bootstrap(autoregression(0.3, 500, seed), resamples=199, seed=seed)
        hits += result.ci_low <= 0 <= result.ci_high
    assert hits >= 49  # binomial(60, .92) falls below 49 once in 500; the bootstrap is a little short of .95
    x = autoregression(0.3, 300, 1)
    by_function = block_bootstrap(x, lambda rows: rows.mean(axis=1), resamples=99)
    assert by_function.ci_low == pytest.approx(block_bootstrap(x, resamples=99).ci_low, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: draw_blocks(100, 101, 5), DataError, "block_length is 101; a number from 1 to 100"),
        (lambda: draw_blocks(100, 0.5, 5), DataError, "block_length is 0.5"),
        (lambda: draw_blocks(100, np.nan, 5), DataError, "block_length is nan"),
        (lambda: draw_blocks(100, 5, 0), DataError, "resamples is 0"),
        (lambda: draw_blocks(100, 5, 5, seed=-1), DataError, "seed -1"),
        (lambda: draw_blocks(100, 5, 5, kind="moving"), DataError, "'moving'; 'circular' or 'stationary'"),
        (lambda: draw_blocks(0, 5, 5), DataError, "n is 0"),
        (lambda: draw_means(np.ones(100), 101, 5), DataError, "block_length is 101; a number from 1 to 100"),
        (lambda: draw_means(np.ones(100), np.nan, 5), DataError, "block_length is nan"),
        (lambda: draw_means(np.ones(100), 5, 0), DataError, "at least one resample"),
        (lambda: draw_means(np.ones(0), 5, 5), DataError, "n is 0"),
        (lambda: Blocks.from_indices([[0, 5]]), DataError, "0 to 5; rows 0 to 1"),
        (lambda: Blocks.from_indices([0, 1]), DataError, r"shape \(2,\)"),
        (lambda: Blocks.from_indices([[0.0, 1.0]]), DataError, "float64"),
        (lambda: resampled_means(np.ones(9), draw_blocks(10, 2, 1)), DataError, r"shape \(9,\); 10 rows"),
        (lambda: block_bootstrap(np.ones(50)), DataError, "is 1 in all 50 rows"),
        (lambda: block_bootstrap(np.arange(10.0)), NotEnoughData, "at least 20"),
        (lambda: block_bootstrap(np.append(np.arange(50.0), np.nan)), DataError, "nan at row 50"),
        (lambda: block_bootstrap(np.arange(50.0), confidence=1.0), DataError, "confidence is 1.0"),
        (lambda: block_bootstrap(np.arange(50.0), np.mean), DataError, r"gave shape \(\)"),
        (lambda: block_bootstrap(np.arange(50.0), lambda rows: rows[:, 0] / 0), DataError, "not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_what_cannot_be_resampled_is_refused_with_the_reason(call, error, message):
    with pytest.raises(error, match=message):
        call()
