"""The middle half of runs on tasks: equal to SciPy and rliable, intervals of the right size, outliers without a say."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, trim_mean

from huracan.errors import DataError, NotEnoughData
from huracan.statistics import (
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap_interval,
)


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (5, 3), (10, 26), (7, 2)])
def test_it_is_the_trimmed_mean_of_all_scores(shape):
    scores = np.random.default_rng(0).standard_cauchy(shape)
    assert interquartile_mean(scores) == pytest.approx(trim_mean(scores, 0.25, axis=None), rel=1e-12)
    many = np.stack([scores, scores[::-1] * 2])
    np.testing.assert_allclose(interquartile_mean(many), [interquartile_mean(part) for part in many])


def test_it_equals_rliable():
    metrics = pytest.importorskip("rliable.metrics")
    scores = np.random.default_rng(1).lognormal(size=(5, 6))
    assert interquartile_mean(scores) == pytest.approx(metrics.aggregate_iqm(scores), rel=1e-12)


def test_the_chance_to_be_better_is_that_of_mann_and_whitney():
    random = np.random.default_rng(1)
    ours, theirs = random.integers(0, 5, (6, 3)).astype(float), random.integers(0, 4, (4, 3)).astype(float)
    u = [mannwhitneyu(ours[:, task], theirs[:, task]).statistic for task in range(3)]
    assert probability_of_improvement(ours, theirs) == pytest.approx(np.mean(u) / 24, rel=1e-12)
    assert probability_of_improvement(ours, ours) == 0.5
    with pytest.raises(DataError, match="the same tasks"):
        probability_of_improvement(ours, theirs[:, :2])


def test_one_lucky_run_does_not_move_it():
    scores = np.random.default_rng(0).normal(size=(8, 1))
    lucky = scores.copy()
    lucky[scores.argmax()] = 1e9
    assert interquartile_mean(lucky) == interquartile_mean(scores)


def test_the_interval_covers_the_middle_of_the_law_that_runs_come_from():
    covered = 0
    for seed in range(200):  # tasks differ in level, and 0 is the interquartile mean of the symmetric mixture
        scores = np.random.default_rng(seed).normal([-1.0, -0.5, 0.5, 1.0], size=(20, 4))
        found = stratified_bootstrap_interval(scores, resamples=400, seed=seed)
        covered += found.ci_low <= 0.0 <= found.ci_high
    assert 0.88 <= covered / 200 <= 0.99  # percentile bootstrap of 20 runs: a little below 95 %


def test_runs_are_drawn_within_their_task():
    scores = np.repeat([[1.0, 100.0]], 5, axis=0)  # runs do not differ, tasks do
    found = stratified_bootstrap_interval(scores, lambda drawn: drawn.mean(axis=(1, 2)))
    assert (found.ci_low, found.estimate, found.ci_high) == (50.5, 50.5, 50.5)


def test_the_mean_s_standard_error_is_that_of_stratified_sampling():
    scores = np.random.default_rng(3).normal(size=(12, 3)) * [1.0, 5.0, 0.1]
    found = stratified_bootstrap_interval(scores, lambda drawn: drawn.mean(axis=(1, 2)), resamples=20_000)
    assert found.standard_error == pytest.approx(np.sqrt((scores.var(axis=0) / 12).sum()) / 3, rel=0.03)


def test_a_seed_repeats_and_a_profile_counts_runs_above():
    scores = np.random.default_rng(2).normal(size=(6, 4))
    assert stratified_bootstrap_interval(scores, seed=4) == stratified_bootstrap_interval(scores, seed=4)
    levels = np.linspace(-2, 2, 9)
    profile = performance_profile(scores, levels)
    np.testing.assert_allclose(profile.share, [(scores > level).mean() for level in levels])
    assert (np.diff(profile.share) <= 0).all()
    assert (profile.ci_low <= profile.share).all()
    assert (profile.share <= profile.ci_high).all()
    assert np.isnan(performance_profile(scores[:1], levels).ci_low).all()


def test_what_cannot_be_said_is_refused():
    with pytest.raises(NotEnoughData, match=r"1 run\(s\)"):
        stratified_bootstrap_interval([[1.0, 2.0]])
    with pytest.raises(DataError, match="run 1 on task 0 is nan"):
        stratified_bootstrap_interval([[1.0], [np.nan]])
    with pytest.raises(DataError, match=r"shape \(2, 2\)"):
        stratified_bootstrap_interval([[1.0, 2.0], [3.0, 4.0]], lambda drawn: drawn[0])
    with pytest.raises(DataError, match="runs x tasks"):
        interquartile_mean([])
    with pytest.raises(DataError, match="thresholds"):
        performance_profile([[1.0], [2.0]], [np.nan])
