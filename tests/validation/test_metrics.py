"""Metrics equal scikit-learn's and scipy's; the payoff asks for direction and conviction only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve
from statsmodels.stats.proportion import proportion_confint

from huracan.dataset import TrainingSet
from huracan.errors import DataError, NotEnoughData
from huracan.statistics import ewc_t_test
from huracan.validation import (
    calibration_table,
    classification_metrics,
    directional_payoff,
    information_coefficient_series,
    rank_information_coefficient,
    regression_metrics,
    score_metrics,
)


@pytest.fixture(scope="module")
def outcomes():
    rng = np.random.default_rng(0)
    probability = np.clip(rng.beta(8, 8, 600).round(2), 0, 1)
    return (rng.uniform(size=600) < probability).astype(int), probability


def test_classification_equals_scikit_learn(outcomes):
    y, p = outcomes
    mine = classification_metrics(y, p)
    decided = p >= 0.5
    assert mine == pytest.approx(
        {
            "accuracy": oracle.accuracy_score(y, decided),
            "balanced_accuracy": oracle.balanced_accuracy_score(y, decided),
            "auc": oracle.roc_auc_score(y, p),
            "log_loss": oracle.log_loss(y, p),
            "brier": oracle.brier_score_loss(y, p),
            "matthews_correlation": oracle.matthews_corrcoef(y, decided),
        }
    )


def test_certain_and_one_sided_probabilities():
    y = [0, 1, 1, 0]
    certain = classification_metrics(y, [0.0, 1.0, 0.0, 1.0])
    assert certain["log_loss"] == pytest.approx(oracle.log_loss(y, [0.0, 1.0, 0.0, 1.0]))
    assert classification_metrics(y, [0.7] * 4)["matthews_correlation"] == 0.0 == oracle.matthews_corrcoef(y, [1] * 4)
    assert np.isnan(classification_metrics([1, 1], [0.4, 0.6])["auc"])


def test_regression_equals_scikit_learn():
    rng = np.random.default_rng(1)
    y = rng.normal(size=300)
    guess = 0.3 * y + rng.normal(size=300)
    mine = regression_metrics(y, guess)
    expected = {
        "mse": oracle.mean_squared_error(y, guess),
        "mae": oracle.mean_absolute_error(y, guess),
        "r2": oracle.r2_score(y, guess),
    }
    assert mine == pytest.approx(expected)
    assert regression_metrics(y, np.full(300, 0.2), constant=0.2)["r2"] == 0.0


def panel(seed: int = 2):
    rng = np.random.default_rng(seed)
    code = rng.permutation(np.repeat([0, 1, 2], [50, 200, 500]))
    y = rng.standard_t(3, 750) * np.array([1, 10, 100])[code]
    return y * rng.normal(0.3, 1, 750), y, code


def test_rank_coefficient_is_spearman_within_symbols():
    score, y, code = panel()
    score = score.round(1)  # ties
    expected = np.mean([stats.spearmanr(score[code == c], y[code == c]).statistic for c in range(3)])
    assert rank_information_coefficient(score, y, code) == pytest.approx(expected, abs=1e-12)
    linear = information_coefficient_series(score, y, code, ranks=False).mean()
    expected = np.mean([stats.pearsonr(score[code == c], y[code == c]).statistic for c in range(3)])
    assert linear == pytest.approx(expected, abs=1e-12)


def test_knowing_which_coin_is_large_is_no_skill():
    rng = np.random.default_rng(3)
    code = np.repeat([0, 1], 500)
    y = rng.normal(size=1000) + 10 * code
    score = rng.normal(size=1000) + 10 * code
    assert stats.spearmanr(score, y).statistic > 0.7
    assert abs(rank_information_coefficient(score, y, code)) < 0.1


def test_rank_coefficient_ignores_the_unit_of_the_score():
    score, y, code = panel()
    assert rank_information_coefficient(np.exp(score / 1000), y, code) == pytest.approx(
        rank_information_coefficient(score, y, code)
    )
    assert rank_information_coefficient(-score, y, code) == pytest.approx(-rank_information_coefficient(score, y, code))


def test_constant_scores_have_no_skill_and_constant_labels_do_not_count():
    assert rank_information_coefficient(np.ones(50), np.arange(50.0)) == 0.0
    assert np.isnan(rank_information_coefficient(np.arange(50.0), np.ones(50)))
    score, y, code = panel()
    half = np.where(code == 0, 1.0, score)
    expected = sum(stats.spearmanr(score[code == c], y[code == c]).statistic for c in (1, 2)) / 3
    assert rank_information_coefficient(half, y, code) == pytest.approx(expected)


def test_series_of_an_unskilled_score_holds_its_level():
    # 300 worlds without skill, autocorrelated scores and overlapping labels: 5 % alarms, +2 standard errors
    rng = np.random.default_rng(4)
    alarms = 0
    for _ in range(300):
        score = np.convolve(rng.normal(size=600), np.ones(10), "valid")
        y = np.convolve(rng.normal(size=len(score) + 4), np.ones(5), "valid")
        alarms += ewc_t_test(information_coefficient_series(score, y)).p_value < 0.05
    assert alarms / 300 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


def test_payoff_is_position_times_outcome():
    rng = np.random.default_rng(5)
    score, y = rng.normal(3, 2, 1000), rng.normal(size=1000)
    payoff = directional_payoff(score, y, 3.0, 2.0)
    np.testing.assert_allclose(payoff, np.clip(stats.zscore(score) * score.std() / 2 + (score.mean() - 3) / 2, -3, 3) * y)
    # any unit of the score gives the same payoff
    np.testing.assert_allclose(directional_payoff(5 * score + 7, y, 5 * 3.0 + 7, 5 * 2.0), payoff)
    assert np.all(np.abs(directional_payoff(score, y, 3.0, 0.01)) <= 3 * np.abs(y))


def test_payoff_of_a_perfect_and_of_a_constant_forecast():
    y = np.random.default_rng(6).normal(size=10_000)
    # E[z y] = 1 for z = y standard normal, less what clipping at 3 takes (.0027 + tails: below 1 %)
    assert directional_payoff(y, y, 0.0, 1.0).mean() == pytest.approx(1.0, abs=0.04)
    assert np.all(directional_payoff(np.full(10_000, 0.7), y, 0.7, 0.0) == 0.0)
    spread = np.where(np.arange(10_000) < 5000, 0.0, 1.0)
    assert np.all(directional_payoff(y, y, np.zeros(10_000), spread)[:5000] == 0.0)


def test_calibration_equals_scikit_learn(outcomes):
    y, p = outcomes
    for strategy in ("uniform", "quantile"):
        observed, predicted = calibration_curve(y, p + 1e-9, n_bins=7, strategy=strategy)
        mine = calibration_table(p, y, 7, strategy=strategy)
        if strategy == "uniform":
            np.testing.assert_allclose(mine.observed, observed)
            np.testing.assert_allclose(mine.mean_probability, predicted, atol=1e-8)
        assert mine.n.sum() == 600
        assert len(mine.n) == len(observed)


def test_wilson_interval_equals_statsmodels(outcomes):
    y, p = outcomes
    table = calibration_table(p, y, 5)
    low, high = proportion_confint((table.observed * table.n).round(), table.n, method="wilson")
    np.testing.assert_allclose(table.ci_low, low)
    np.testing.assert_allclose(table.ci_high, high)
    assert table.to_frame().columns == ["bin_low", "bin_high", "mean_probability", "observed", "ci_low", "ci_high", "n"]


def test_calibration_error_is_the_planted_one():
    rng = np.random.default_rng(7)
    truth = rng.uniform(0.3, 0.6, 200_000)
    outcome = rng.uniform(size=200_000) < truth
    assert calibration_table(truth, outcome).expected_calibration_error < 0.01
    assert calibration_table(truth + 0.1, outcome).expected_calibration_error == pytest.approx(0.1, abs=0.01)
    assert len(calibration_table(np.full(50, 0.5), outcome[:50]).n) == 1


def test_score_metrics_put_it_together():
    rng = np.random.default_rng(8)
    n = 400
    rows = TrainingSet.from_arrays(np.zeros((2 * n, 1)), rng.normal(size=2 * n))
    rows = replace(
        rows,
        decision_time=np.repeat(rows.decision_time[:n], 2),
        symbol_code=np.tile(np.array([0, 1], np.int32), n),
        symbols=("a", "b"),
    )
    score = 0.2 * rows.y + rng.normal(size=2 * n)
    result = score_metrics(rows, score, probability=1 / (1 + np.exp(-score)))
    assert result["rank_information_coefficient"] == pytest.approx(
        rank_information_coefficient(score, rows.y, rows.symbol_code)
    )
    assert result["rank_information_coefficient_ci_low"] < result["rank_information_coefficient"]
    assert result["rank_information_coefficient_p_value"] < 0.01
    assert result["auc"] == pytest.approx(oracle.roc_auc_score(rows.y > 0, score))
    assert {"accuracy", "brier", "expected_calibration_error"} <= result.keys()
    assert all(type(value) is float for value in result.values())
    flat = score_metrics(rows, np.zeros(2 * n))
    assert flat["rank_information_coefficient"] == 0.0
    assert np.isnan(flat["rank_information_coefficient_p_value"])
    few = score_metrics(rows.take(slice(0, 10)), score[:10])
    assert np.isnan(few["rank_information_coefficient_p_value"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classification_metrics([0, 1], [0.5, 1.2]), "probability holds 1.2 in row 1"),
        (lambda: classification_metrics([0, 2], [0.5, 0.2]), "outcome holds 2 in row 1"),
        (lambda: classification_metrics([0, 1], [0.5]), "two lists of one length"),
        (lambda: regression_metrics([0.0, np.nan], [0.0, 0.0]), "y holds nan in row 1"),
        (lambda: rank_information_coefficient([1.0, 2.0], [1.0, 2.0], [0]), "symbol_code has 1 rows where score has 2"),
        (lambda: directional_payoff([1.0], [1.0], 0.0, -1.0), "spread -1.0 in row 0"),
        (lambda: directional_payoff([1.0], [1.0], np.nan, 1.0), "center nan"),
        (lambda: directional_payoff([1.0], [1.0], 0.0, 1.0, clip=0), "clip is 0"),
        (lambda: calibration_table([0.5], [1], 0), "n_bins is 0"),
        (lambda: calibration_table([0.5], [1], strategy="even"), "strategy is 'even'"),
    ],
)
def test_bad_input_is_refused_by_place(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_no_rows_are_refused():
    with pytest.raises(NotEnoughData, match="0 rows"):
        regression_metrics([], [])
