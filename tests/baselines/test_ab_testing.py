"""Comparing models: the false alarm rate holds on overlapping labels, and a better model is found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import stats

from huracan.baselines.ab_testing import compare_models, mann_whitney, t_test
from huracan.errors import DataError, NotEnoughData, UnknownName

COLUMNS = ["pair", "difference", "ci_low", "ci_high", "p_value", "p_adjusted", "effect_size", "n_eff"]


def overlapping(rng: np.random.Generator, n: int, horizon: int = 10) -> np.ndarray:
    total = rng.standard_normal(n + horizon).cumsum()
    return total[horizon:] - total[:-horizon]


def test_equal_models_on_overlapping_labels_are_called_equal():
    # 5 models without any difference: at 5 % a winner over the baseline in at most 5 % of worlds; 200 worlds, +2 se
    rng = np.random.default_rng(1)
    wrong = classical = 0
    for _ in range(200):
        losses = {name: overlapping(rng, 400) for name in "abcde"}
        wrong += min(item.p_adjusted for item in compare_models(losses, baseline="a").pairs) <= 0.05
        classical += (
            min(item.p_adjusted for item in compare_models(losses, baseline="a", dependence="independent").pairs) <= 0.05
        )
    assert wrong / 200 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)
    assert classical / 200 > 0.4


def test_a_better_model_is_found_and_named():
    rng = np.random.default_rng(2)
    market = overlapping(rng, 2000) ** 2
    losses = {"constant": market, "ridge": market + rng.normal(-0.1, 0.5, 2000), "knn": market + rng.normal(0.1, 0.5, 2000)}
    against = compare_models(losses, baseline="constant")
    assert against.decision == "ridge"
    assert [item.pair for item in against.pairs] == ["ridge - constant", "knn - constant"]
    assert against.pairs[0].difference < 0 < against.pairs[1].difference
    assert "'ridge' is better than 'constant': mean loss lower by 0." in against.sentence
    everyone = compare_models(losses)
    assert len(everyone.pairs) == 3
    assert everyone.decision == "ridge"
    assert "every other model" in everyone.sentence


def test_a_worse_model_never_wins():
    rng = np.random.default_rng(3)
    market = rng.standard_normal(500) ** 2
    result = compare_models({"constant": market, "noise": market + rng.normal(0.3, 0.5, 500)}, baseline="constant")
    assert result.pairs[0].p_adjusted < 0.001
    assert result.decision is None
    assert "no model is shown to be better than 'constant'" in result.sentence


def test_table_has_the_agreed_columns_and_readable_numbers():
    rng = np.random.default_rng(4)
    frame = compare_models({"a": rng.normal(size=100), "b": rng.normal(size=100), "c": rng.normal(size=100)}).to_frame()
    assert frame.columns == [*COLUMNS, "model_a", "model_b", "p_independent", "note"]
    assert frame["pair"].to_list() == ["a - b", "a - c", "b - c"]
    assert frame.select(COLUMNS[1:]).null_count().sum_horizontal().item() == 0
    assert (frame["p_adjusted"] >= frame["p_value"]).all()
    assert ((frame["ci_low"] < frame["difference"]) & (frame["difference"] < frame["ci_high"])).all()


def test_swapping_the_models_turns_the_sign():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=200), rng.normal(size=200)
    one, other = compare_models({"a": a, "b": b}).pairs[0], compare_models({"b": b, "a": a}).pairs[0]
    assert other.difference == -one.difference
    assert other.p_value == pytest.approx(one.p_value)
    assert (other.ci_low, other.ci_high) == pytest.approx((-one.ci_high, -one.ci_low))


def test_symbols_of_one_time_count_once():
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=200), rng.normal(0.1, 1, size=200)
    copies = {"a": np.repeat(a, 40), "b": np.repeat(b, 40)}
    shuffled = rng.permutation(8000)
    times = np.repeat(np.arange(200), 40)[shuffled]
    clustered = compare_models({k: v[shuffled] for k, v in copies.items()}, times=times)
    assert clustered.pairs[0].p_value == pytest.approx(compare_models({"a": a, "b": b}).pairs[0].p_value)
    assert clustered.n_times == 200


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_and_dicts_give_the_same(frame):
    rng = np.random.default_rng(7)
    losses = {"a": rng.normal(size=60), "b": rng.normal(size=60)}
    assert compare_models(frame(losses)).pairs == compare_models(losses).pairs


def test_independent_is_the_paired_t_test_of_scipy():
    rng = np.random.default_rng(8)
    a, b = rng.normal(size=50), rng.normal(size=50)
    for side in ("two-sided", "less", "greater"):
        mine = compare_models({"a": a, "b": b}, dependence="independent", alternative=side).pairs[0]
        oracle = stats.ttest_rel(a, b, alternative=side)
        interval = oracle.confidence_interval(0.95)
        assert (mine.p_value, mine.ci_low, mine.ci_high) == pytest.approx((oracle.pvalue, interval.low, interval.high))


def test_identical_losses_are_not_decided_and_do_not_stop_the_others():
    rng = np.random.default_rng(9)
    a = rng.normal(size=100)
    result = compare_models({"a": a, "same": a.copy(), "better": a - 1 + 0.1 * rng.normal(size=100)}, baseline="a")
    assert (result.pairs[0].p_value, result.pairs[0].note) == (1.0, "the losses are the same on every row")
    assert result.decision == "better"
    assert "the same on every row" in result.sentence


def test_losses_that_remember_too_long_are_not_decided():
    walk = np.random.default_rng(1).standard_normal(1000).cumsum()
    result = compare_models({"a": walk, "b": np.zeros(1000)})
    assert result.pairs[0].p_value == 1.0
    assert "remembers too long" in result.sentence


@pytest.mark.parametrize(
    ("losses", "error", "message"),
    [
        ({"a": np.zeros(50)}, DataError, "1 model.*at least two"),
        ({"a": np.arange(50.0), "b": np.arange(49.0)}, DataError, "'b' has 49 losses where 'a' has 50"),
        ({"a": np.arange(50.0), "b": np.append(np.arange(49.0), np.nan)}, DataError, "'b' is nan in row 49"),
        ({"a": np.zeros(50), "b": np.ones(50)}, DataError, "'a' and 'b' differ by -1 on every one of 50 rows"),
        ({"a": np.arange(5.0), "b": np.arange(5.0) ** 2}, NotEnoughData, "5 rows; at least 20"),
        ({"a": ["x"] * 30, "b": np.arange(30.0)}, DataError, "'a' are <U1"),
        ([1, 2, 3], DataError, "losses is a list"),
    ],
)
def test_losses_that_cannot_be_compared_are_refused_with_the_reason(losses, error, message):
    with pytest.raises(error, match=message):
        compare_models(losses)


def test_settings_that_do_not_exist_are_refused():
    losses = {"constant": np.random.default_rng(0).normal(size=50), "ridge": np.random.default_rng(1).normal(size=50)}
    with pytest.raises(UnknownName, match="did you mean 'constant'"):
        compare_models(losses, baseline="constent")
    with pytest.raises(DataError, match="correction is 'sidak'"):
        compare_models(losses, correction="sidak")
    with pytest.raises(DataError, match="dependence is 'none'"):
        compare_models(losses, dependence="none")
    with pytest.raises(DataError, match="alternative is 'both'"):
        compare_models(losses, alternative="both")
    with pytest.raises(NotEnoughData, match="2 different times"):
        compare_models(losses, times=np.repeat([0, 1], 25))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("side", ["two-sided", "less", "greater"])
def test_t_test_equals_scipy(paired, side):
    rng = np.random.default_rng(10)
    a, b = rng.normal(0, 1, 40), rng.normal(0.3, 3, 40)
    mine = t_test(a, b, paired=paired, alternative=side, confidence=0.9)
    oracle = stats.ttest_rel(a, b, alternative=side) if paired else stats.ttest_ind(a, b, equal_var=False, alternative=side)
    interval = oracle.confidence_interval(0.9)
    assert (mine.t, mine.p_value, mine.ci_low, mine.ci_high) == pytest.approx(
        (oracle.statistic, oracle.pvalue, interval.low, interval.high)
    )


def test_cohens_d_by_its_definition():
    # means 2 and 4, both variances 1: pooled d = -2
    assert t_test([1.0, 2.0, 3.0], [3.0, 4.0, 5.0]).cohens_d == pytest.approx(-2.0)


def test_mann_whitney_equals_scipy():
    rng = np.random.default_rng(11)
    a, b = rng.standard_t(2, 60), rng.standard_t(2, 40) + 0.5
    for side in ("two-sided", "less", "greater"):
        oracle = stats.mannwhitneyu(a, b, alternative=side)
        mine = mann_whitney(a, b, alternative=side)
        assert (mine.u, mine.p_value) == (oracle.statistic, oracle.pvalue)
    assert mine.probability_a_larger == pytest.approx(np.mean(a[:, None] > b[None, :]))


@pytest.mark.parametrize(
    ("a", "b", "paired", "message"),
    [
        ([1.0], [2.0, 3.0], False, "a has 1 observation"),
        ([1.0, np.nan], [2.0, 3.0], False, "a holds nan in row 1"),
        ([1.0, 2.0, 3.0], [2.0, 3.0], True, "equally many"),
        ([1.0, 2.0], [2.0, 3.0], True, "nothing varies between the pairs"),
        ([1.0, 1.0], [3.0, 3.0], False, "nothing varies within a or b"),
    ],
)
def test_samples_that_cannot_be_tested_are_refused(a, b, paired, message):
    with pytest.raises(DataError, match=message):
        t_test(a, b, paired=paired)
