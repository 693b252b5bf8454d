"""Deflated Sharpe ratio and probability of backtest overfitting against the published numbers and theory."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from huracan.errors import DataError, NotEnoughData
from huracan.validation import (
    deflated_sharpe_ratio,
    expected_maximum_sharpe,
    probabilistic_sharpe_ratio,
    probability_of_backtest_overfitting,
)


def test_published_example_of_the_deflated_sharpe_ratio():
    # Bailey and López de Prado (2014), numerical example: annual Sharpe 2.5 over 1,250 days of 250 a year, skewness -3,
    # kurtosis 10, best of 100 trials with variance 1/2: expected maximum .1132, deflated Sharpe ratio .9004
    best = expected_maximum_sharpe(100, 0.5 / 250)
    assert best == pytest.approx(0.1132, abs=5e-5)
    deflated = probabilistic_sharpe_ratio(2.5 / np.sqrt(250), 1250, benchmark=best, skewness=-3, kurtosis=10)
    assert deflated == pytest.approx(0.9004, abs=5e-5)
    # the same paper: had only 46 trials been made, .9505
    best = expected_maximum_sharpe(46, 0.5 / 250)
    assert probabilistic_sharpe_ratio(2.5 / np.sqrt(250), 1250, benchmark=best, skewness=-3, kurtosis=10) == pytest.approx(
        0.9505, abs=5e-5
    )


def test_expected_maximum_is_that_of_normal_draws():
    draws = np.random.default_rng(0).normal(0, 0.2, (20_000, 50)).max(axis=1).mean()
    assert expected_maximum_sharpe(50, 0.04) == pytest.approx(draws, rel=0.02)
    assert expected_maximum_sharpe(1, 0.04) == 0.0


def test_from_returns_uses_their_own_moments():
    returns = stats.skewnorm.rvs(-4, loc=0.01, scale=0.1, size=800, random_state=1)
    result = deflated_sharpe_ratio(returns, n_trials=10, trial_variance=0.001)
    sharpe = returns.mean() / returns.std(ddof=1)
    expected = probabilistic_sharpe_ratio(
        sharpe,
        800,
        benchmark=expected_maximum_sharpe(10, 0.001),
        skewness=stats.skew(returns),
        kurtosis=stats.kurtosis(returns, fisher=False),
    )
    assert result.probability == pytest.approx(expected, rel=1e-9)
    assert result.sharpe_ratio == pytest.approx(sharpe)


def test_the_best_of_many_without_skill_is_not_believed():
    # with independent trials without skill, confidence above 95 % should come in about 5 % of worlds; 300 worlds, +2 se
    rng = np.random.default_rng(2)
    believed = naive = 0
    for _ in range(300):
        tried = rng.normal(0, 0.01, (500, 40))
        sharpes = tried.mean(axis=0) / tried.std(axis=0, ddof=1)
        best = tried[:, sharpes.argmax()]
        believed += deflated_sharpe_ratio(best, trial_sharpe_ratios=sharpes).probability > 0.95
        naive += probabilistic_sharpe_ratio(sharpes.max(), 500) > 0.95
    assert believed / 300 <= 0.075
    assert naive / 300 > 0.7


@pytest.mark.parametrize("dependence", ["auto", "independent"])
def test_survivors_of_many_without_skill_are_not_believed(dependence):
    # 3 of 400 are kept; 5 % of 200 worlds is at most 17 but once in a hundred
    rng = np.random.default_rng(6)
    believed = trusting = 0
    for _ in range(200):
        tried = rng.normal(0, 0.01, (250, 400))
        sharpes = tried.mean(axis=0) / tried.std(axis=0, ddof=1)
        kept = np.argsort(sharpes)[-3:]
        told = {"trial_sharpe_ratios": sharpes[kept], "n_trials": 400, "dependence": dependence}
        found = deflated_sharpe_ratio(tried[:, kept[-1]], **told)
        believed += found.probability > 0.95
        told |= {"trial_variance": sharpes[kept].var(ddof=1)}
        trusting += deflated_sharpe_ratio(tried[:, kept[-1]], **told).probability > 0.95
    assert believed <= 17
    print(f"believed {believed / 200:.3f}, by their own variance {trusting / 200:.3f}")
    # what their own variance would say
    assert trusting > 100


def test_what_was_thrown_away_varied_at_least_by_luck():
    returns = np.random.default_rng(7).normal(0.001, 0.01, 500)
    alike = deflated_sharpe_ratio(returns, trial_sharpe_ratios=[0.1, 0.1, 0.1], n_trials=400, dependence="independent")
    # Lo (2002): the Sharpe ratio of independent returns without skill has variance 1 / (n - 1)
    assert alike.trial_variance == pytest.approx(1 / 499)
    assert "3 of 400 trials left a Sharpe ratio" in alike.note
    assert alike.expected_maximum == expected_maximum_sharpe(400, 1 / 499)
    robust = deflated_sharpe_ratio(returns, trial_sharpe_ratios=[0.1, 0.1, 0.1], n_trials=400)
    assert robust.trial_variance >= alike.trial_variance
    # skill far above the best of that luck, .13, is still believed
    skilled = np.random.default_rng(8).normal(0.004, 0.01, 500)
    assert deflated_sharpe_ratio(skilled, trial_sharpe_ratios=[0.4, 0.38, 0.41], n_trials=400).probability > 0.99
    # where they vary more than by luck, that is what counts; and nothing changes where all trials are told
    for sharpes, n_trials in (([-0.3, 0.1, 0.4], 400), ([0.1, 0.1, 0.1], 3), ([-0.3, 0.1, 0.4], None)):
        found = deflated_sharpe_ratio(returns, trial_sharpe_ratios=sharpes, n_trials=n_trials)
        assert (found.trial_variance, found.note) == (np.var(sharpes, ddof=1), "")


def plain_cscv(returns: np.ndarray, n_blocks: int) -> tuple[float, list[float]]:
    """The algorithm of Bailey et al. (2017), section 3, written out."""
    blocks = np.split(returns, n_blocks)
    logits = []
    for chosen in combinations(range(n_blocks), n_blocks // 2):
        inside = np.concatenate([blocks[i] for i in chosen])
        outside = np.concatenate([blocks[i] for i in range(n_blocks) if i not in chosen])
        best = (inside.mean(0) / inside.std(0, ddof=1)).argmax()
        rank = stats.rankdata(outside.mean(0) / outside.std(0, ddof=1))[best] / (returns.shape[1] + 1)
        logits.append(np.log(rank / (1 - rank)))
    return float(np.mean(np.array(logits) <= 0)), logits


def test_overfitting_probability_equals_the_algorithm_written_out():
    returns = np.random.default_rng(3).normal(0.02, 1, (320, 15))
    mine = probability_of_backtest_overfitting(returns, n_blocks=8)
    expected, logits = plain_cscv(returns, 8)
    assert mine.probability == expected
    np.testing.assert_allclose(mine.logits, logits, atol=1e-9)
    assert (mine.n_strategies, mine.n_splits) == (15, 70)


def test_luck_is_overfitting_and_skill_is_not():
    rng = np.random.default_rng(4)
    luck = [probability_of_backtest_overfitting(rng.normal(size=(200, 20)), n_blocks=8).probability for _ in range(60)]
    assert np.mean(luck) == pytest.approx(0.5, abs=0.1)
    noise = rng.normal(size=(1000, 20))
    noise[:, 7] += 0.3
    assert probability_of_backtest_overfitting(noise, n_blocks=10).probability == 0.0


def test_unequal_blocks_level_and_idle_strategies_are_handled():
    rng = np.random.default_rng(5)
    returns = rng.normal(size=(203, 5))
    one = probability_of_backtest_overfitting(returns, n_blocks=8)
    assert probability_of_backtest_overfitting(1e-4 * returns, n_blocks=8).probability == one.probability
    idle = returns.copy()
    idle[:, 2] = 0.0
    idle[:110, 3] = 0.0
    assert np.isfinite(probability_of_backtest_overfitting(idle, n_blocks=8).logits).all()


def test_leverage_makes_no_other_strategy():
    rng = np.random.default_rng(8)
    ideas = rng.normal(0.05, 1, (160, 5))
    alone = probability_of_backtest_overfitting(ideas, n_blocks=8)
    levered = np.column_stack([ideas[:, :2] * 3.0, ideas, ideas[:, :1] / 7.0, ideas[:, 4:] * rng.uniform(0.1, 9, 20)])
    found = probability_of_backtest_overfitting(levered, n_blocks=8)
    assert (found.probability, found.n_strategies, found.n_tied) == (alone.probability, 5, 0)
    np.testing.assert_allclose(found.logits, alone.logits, atol=1e-12)
    # to bet against an idea is another one
    assert probability_of_backtest_overfitting(np.column_stack([ideas, -ideas]), n_blocks=8).n_strategies == 10
    for same in (ideas[:, :1] * [1.0, 2.0], ideas[:, :1] * rng.uniform(0.1, 9, 30), ideas[:, [3, 3, 3]], np.zeros((160, 2))):
        with pytest.raises(DataError, match=f"all {same.shape[1]} strategies return the same in every period, or multiples"):
            probability_of_backtest_overfitting(same, n_blocks=8)


@pytest.mark.parametrize("noise", [0.0, 1e-13, 1e-11, 1e-6])
def test_a_field_of_near_copies_without_skill_is_a_coin(noise):
    rng = np.random.default_rng(9)
    found = []
    for _ in range(200):
        ideas = rng.standard_normal((120, 2))
        field = np.repeat(ideas, 3, axis=1) * rng.uniform(0.3, 3, 6)
        found.append(
            probability_of_backtest_overfitting(field + noise * rng.standard_normal(field.shape), n_blocks=6).probability
        )
    # 20 splits a world, hardly independent: a standard deviation of at most 1/2 a world, four standard errors
    assert np.mean(found) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(200))


def test_ties_are_as_good_as_broken_at_random():
    rng = np.random.default_rng(10)
    late = rng.standard_normal((80, 2))
    still = np.concatenate([np.zeros((80, 2)), late])
    found = probability_of_backtest_overfitting(np.column_stack([still, -still]), n_blocks=2)
    # all four lie still in the first half: in sample all are best, and out of sample all share four ranks, two of them low
    assert found.n_tied == 1
    assert found.probability == 0.5


def test_the_strategy_that_has_no_sharpe_ratio_is_named_by_its_own_column():
    returns = np.random.default_rng(11).standard_normal((80, 3))
    returns[:40, 2] = 0.5
    with pytest.raises(DataError, match=r"strategy 3 returns 0\.5 in every period of blocks 0, 1;"):
        probability_of_backtest_overfitting(np.column_stack([returns[:, :1] * 2.0, returns]), n_blocks=4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: deflated_sharpe_ratio(np.ones(50), n_trials=3, trial_variance=0.1), DataError, "is 1 in every period"),
        (lambda: deflated_sharpe_ratio(np.arange(5.0), n_trials=3, trial_variance=0.1), NotEnoughData, "5 periods"),
        (lambda: deflated_sharpe_ratio(np.arange(50.0)), DataError, "how much was tried"),
        (lambda: deflated_sharpe_ratio([np.nan] * 50, n_trials=3, trial_variance=0.1), DataError, "nan in period 0"),
        (lambda: expected_maximum_sharpe(0, 0.1), DataError, "n_trials is 0"),
        (lambda: probabilistic_sharpe_ratio(1.0, 1), NotEnoughData, "n_periods is 1"),
        (lambda: probability_of_backtest_overfitting(np.zeros((50, 1))), NotEnoughData, "at least 2 strategies"),
        (lambda: probability_of_backtest_overfitting(np.zeros((50, 3)), n_blocks=7), DataError, "n_blocks is 7"),
        (lambda: probability_of_backtest_overfitting(np.zeros((20, 3))), NotEnoughData, "20 periods; 16 blocks"),
        (lambda: probability_of_backtest_overfitting(np.ones((50, 3))), DataError, "strategy 0 returns 1"),
    ],
)
def test_bad_input_is_refused_with_numbers(call, error, message):
    with pytest.raises(error, match=message):
        call()
