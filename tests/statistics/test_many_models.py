"""Romano-Wolf, simultaneous intervals, superior ability and the confidence set: oracles, properties, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from arch.bootstrap import MCS, SPA, StationaryBootstrap, StepM
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from huracan.errors import DataError, NotEnoughData
from huracan.statistics import adjust_p_values, ewc_t_test, joint_means
from huracan.statistics.bootstrap import Blocks, draw_blocks
from huracan.statistics.confidence_set import model_confidence_set
from huracan.statistics.romano_wolf import romano_wolf, stepdown_p_values
from huracan.statistics.simultaneous import simultaneous_intervals
from huracan.statistics.superior_ability import superior_ability

NULLS = ("cosines", "bootstrap")
RESAMPLES = 199


def persistent(n: int, k: int, seed: int, spread: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shock = rng.standard_normal((n, k))
    return shock + 0.5 * np.vstack((np.zeros(k), shock[:-1])) + rng.standard_normal((n, 1)) + rng.normal(0, spread, k)


def drawn_by_arch(n: int, block_length: int, seed: int) -> Blocks:
    draws = StationaryBootstrap(block_length, np.arange(n), seed=seed).bootstrap(RESAMPLES)
    return Blocks.from_indices(np.stack([data[0][0] for data in draws]))


def without_the_added_one(p: np.ndarray) -> np.ndarray:
    """arch counts resamples above the statistic; ours adds the sample itself, so that no p-value is 0."""
    return (p * (RESAMPLES + 1) - 1) / RESAMPLES


@pytest.mark.parametrize("seed", range(8))
def test_superior_ability_and_stepwise_selection_equal_arch_on_the_same_indices(seed):
    rng = np.random.default_rng(seed)
    n, k, length = int(rng.integers(40, 300)), int(rng.integers(2, 9)), int(rng.integers(1, 20))
    losses = persistent(n, k + 1, seed)
    theirs = SPA(losses[:, 0], losses[:, 1:], block_size=length, reps=RESAMPLES, seed=seed)
    theirs.compute()
    blocks = drawn_by_arch(n, length, seed)
    ours = superior_ability(losses, 0, null="bootstrap", studentised=False, block_length=length, blocks=blocks)
    p = np.array([ours.p_lower, ours.p_consistent, ours.p_upper])
    np.testing.assert_allclose(without_the_added_one(p), theirs.pvalues, rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours.gain, (losses[:, :1] - losses[:, 1:]).mean(axis=0), rtol=0, atol=1e-10)
    for recentring in ("lower", "consistent", "upper"):
        critical = ours.critical_value(0.1, recentring)
        assert critical == pytest.approx(theirs.critical_values(0.1)[recentring], abs=1e-10)
    steps = StepM(losses[:, 0], losses[:, 1:], size=0.1, block_size=length, reps=RESAMPLES, seed=seed)
    try:
        steps.compute()
        expected = steps.superior_models
    except ValueError:  # arch fails where every model is found superior, in several steps
        expected = list(range(k))
    assert [ours.models.index(name) for name in ours.superior(0.1)] == expected


@pytest.mark.parametrize("method", ["range", "max"])
@pytest.mark.parametrize("seed", range(8))
def test_confidence_set_equals_arch_on_the_same_indices(seed, method):
    rng = np.random.default_rng(seed)
    n, k, length = int(rng.integers(40, 300)), int(rng.integers(2, 10)), int(rng.integers(1, 20))
    losses = persistent(n, k, seed)
    theirs = MCS(losses, 0.1, reps=RESAMPLES, block_size=length, method={"range": "R", "max": "max"}[method], seed=seed)
    theirs.compute()
    ours = model_confidence_set(losses, alpha=0.1, statistic=method, null="bootstrap", blocks=drawn_by_arch(n, length, seed))
    p = np.where(ours.p_value < 1, without_the_added_one(ours.p_value), 1.0)
    np.testing.assert_allclose(p, theirs.pvalues.Pvalue.sort_index(), rtol=0, atol=1e-10)
    assert {int(name.split()[1]) for name in ours.included} == set(theirs.included)
    assert [int(name.split()[1]) for name in ours.eliminated] == [i for i in theirs.pvalues.index if i in theirs.excluded]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 6), st.integers(1, 30), st.integers(0, 2**31))
def test_stepdown_equals_its_definition_written_out(m, resamples, seed):
    rng = np.random.default_rng(seed)
    statistics, null = rng.standard_normal(m) + 1, rng.standard_normal((resamples, m))
    order = np.argsort(-statistics)
    expected, highest = np.empty(m), 0.0
    for rank, which in enumerate(order):
        exceed = sum(max(row[j] for j in order[rank:]) >= statistics[which] for row in null)
        highest = max(highest, (1 + exceed) / (1 + resamples))
        expected[which] = highest
    np.testing.assert_array_equal(stepdown_p_values(statistics, null), expected)
    chunks = iter(np.array_split(null, 3))
    np.testing.assert_array_equal(stepdown_p_values(statistics, chunks), expected)


def test_raw_statistics_are_those_of_the_ewc_t_test():
    losses = persistent(400, 4, 0) + 1e6
    result = romano_wolf(losses, resamples=99)
    for i, (a, b) in enumerate(zip(result.first, result.second)):
        alone = ewc_t_test(losses[:, a] - losses[:, b])
        assert result.difference[i] == pytest.approx(alone.mean, rel=1e-8)
        assert result.t[i] == pytest.approx(alone.t, rel=1e-8)
        assert result.p_value[i] == pytest.approx(alone.p_value, rel=1e-7)
        assert result.degrees_of_freedom[i] == alone.n_cosines


@pytest.mark.parametrize("side", ["two-sided", "less", "greater"])
def test_raw_p_values_of_every_alternative_are_those_of_the_ewc_t_test(side):
    losses = persistent(300, 3, 1)
    result = romano_wolf(losses, baseline=2, alternative=side, resamples=99)
    for i, a in enumerate(result.first):
        assert result.p_value[i] == pytest.approx(ewc_t_test(losses[:, a] - losses[:, 2], alternative=side).p_value, rel=1e-8)


@pytest.mark.parametrize("null", NULLS)
def test_one_comparison_needs_no_correction(null):
    losses = persistent(500, 2, 3, spread=0.05)
    result = romano_wolf(losses, null=null, resamples=9999)
    # .35 +- 5 standard errors of a share among 9,999
    assert result.p_adjusted[0] == pytest.approx(result.p_value[0], abs=5 * 0.005 + (0.02 if null == "bootstrap" else 0))


def test_independent_comparisons_are_corrected_as_holm_and_equal_ones_not_at_all():
    # differences with a quiet baseline are nearly independent: stepdown, Sidak and Holm nearly agree
    rng = np.random.default_rng(5)
    losses = np.column_stack((rng.standard_normal(2000) * 1e-3, rng.standard_normal((2000, 6)) + 0.03))
    result = romano_wolf(losses, baseline=0, resamples=9999)
    small = result.p_value < 0.2
    np.testing.assert_allclose(result.p_adjusted[small], adjust_p_values(result.p_value)[small], rtol=0.25, atol=0.02)
    # a noisy baseline makes all differences one: nothing to correct for
    losses = np.column_stack((rng.standard_normal(2000) + 0.05, rng.standard_normal((2000, 6)) * 1e-6))
    result = romano_wolf(losses, baseline=0, resamples=9999)
    np.testing.assert_allclose(result.p_adjusted, result.p_value, rtol=0, atol=0.025)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from(NULLS), st.sampled_from(["two-sided", "less", "greater"]))
def test_adjusted_p_values_are_never_zero_never_below_the_resolution_and_follow_the_scores(seed, null, side):
    losses = persistent(60, 5, seed, spread=2.0)
    result = romano_wolf(losses, null=null, alternative=side, resamples=99, seed=seed)
    assert np.all(result.p_adjusted >= 1 / 100)
    assert np.all(result.p_adjusted <= 1)
    assert np.all(np.diff(result.p_adjusted[np.argsort(result.p_value, kind="stable")]) >= 0)


@pytest.mark.parametrize("null", NULLS)
def test_same_seed_same_bits_whatever_the_chunks(null, monkeypatch):
    losses = persistent(300, 6, 2)
    whole = [romano_wolf(losses, null=null, seed=4), simultaneous_intervals(losses, null=null, seed=4)]
    spa, mcs = superior_ability(losses, 0, null=null, seed=4), model_confidence_set(losses, null=null, seed=4)
    for size in (20_000, 1):
        monkeypatch.setattr(joint_means, "_CHUNK", size)
        np.testing.assert_array_equal(romano_wolf(losses, null=null, seed=4).p_adjusted, whole[0].p_adjusted)
        np.testing.assert_array_equal(romano_wolf(losses, null=null, seed=4).t, whole[0].t)
        assert simultaneous_intervals(losses, null=null, seed=4).critical == whole[1].critical
        np.testing.assert_array_equal(superior_ability(losses, 0, null=null, seed=4).null_gain, spa.null_gain)
        np.testing.assert_array_equal(model_confidence_set(losses, null=null, seed=4).p_value, mcs.p_value)
    assert not np.array_equal(romano_wolf(losses, null=null, seed=5).p_adjusted, whole[0].p_adjusted)


@pytest.mark.parametrize("null", NULLS)
def test_order_scale_and_a_common_loss_do_not_matter(null):
    losses = persistent(300, 5, 6)
    result = romano_wolf(losses, baseline=0, null=null)
    market = np.random.default_rng(0).standard_normal((300, 1)).cumsum(axis=0) * 10
    moved = romano_wolf(1e3 * (losses + market), baseline=0, null=null)
    np.testing.assert_allclose(moved.t, result.t, rtol=1e-8)
    np.testing.assert_allclose(moved.p_adjusted, result.p_adjusted, atol=0.002)
    order = [0, 3, 1, 4, 2]
    shuffled = romano_wolf(losses[:, order], baseline=0, null=null)
    # other draws meet other models; standard error of a share among 1,999 is .011
    np.testing.assert_allclose(shuffled.p_adjusted, result.p_adjusted[[2, 0, 3, 1]], atol=0.05)


def test_simultaneous_intervals_are_wider_than_those_alone_and_agree_with_the_single_step():
    losses = persistent(400, 6, 7)
    result = simultaneous_intervals(losses, confidence=0.9, seed=1)
    assert np.all(result.ci_low <= result.alone_low)
    assert np.all(result.ci_high >= result.alone_high)
    # between one comparison and Bonferroni over 15
    assert stats.norm.isf(0.05) < result.critical < stats.norm.isf(0.05 / 15)
    adjusted = romano_wolf(losses, seed=1).p_adjusted
    outside = (result.ci_low > 0) | (result.ci_high < 0)
    assert np.all(adjusted[outside] <= 0.1)
    assert outside[np.argmin(adjusted)] == (adjusted.min() <= 0.1)
    alone = ewc_t_test(losses[:, 0] - losses[:, 1], confidence=0.9)
    assert result.alone_low[0] == pytest.approx(alone.ci_low, rel=1e-6)


def test_superior_ability_finds_the_good_model_among_many_bad_ones():
    rng = np.random.default_rng(8)
    losses = rng.normal(np.r_[0, -0.15, np.full(30, 0.5)], 1.0, (1000, 32))
    for null in NULLS:
        result = superior_ability(losses, 0, null=null)
        assert result.best == "model 1"
        assert result.p_lower <= result.p_consistent <= result.p_upper
        assert result.p_consistent < 0.05
        assert result.superior() == ("model 1",)
    # thirty bad models count as equal ones where nothing is left out
    assert superior_ability(losses, 0).p_upper > 3 * superior_ability(losses, 0).p_consistent


def test_no_model_better_in_the_sample_is_no_evidence():
    losses = np.random.default_rng(0).normal([0, 1, 2], 1, (200, 3))
    assert superior_ability(losses, 0, null="bootstrap").p_consistent == 1.0
    assert superior_ability(losses, 0).p_consistent > 0.5


@pytest.mark.parametrize("null", NULLS)
@pytest.mark.parametrize("statistic", ["range", "max"])
def test_confidence_set_keeps_the_best_and_drops_the_worst(statistic, null):
    rng = np.random.default_rng(9)
    losses = rng.standard_normal((800, 1)) + rng.normal([0, 0.01, 0.5, 1.0], 0.6, (800, 4))
    names = ["ridge", "forest", "knn", "naive"]
    result = model_confidence_set(losses, names=names, statistic=statistic, null=null)
    assert set(result.included) == {"ridge", "forest"}
    assert result.eliminated == ("naive", "knn")
    assert result.p_value.max() == 1.0
    assert result.p_value.min() > 0.0


def test_the_bootstrap_of_blocks_and_the_cosines_agree_on_calm_losses():
    losses = persistent(2000, 6, 10, spread=0.03)
    by_cosines, by_blocks = (romano_wolf(losses, null=null, resamples=1999).p_adjusted for null in NULLS)
    np.testing.assert_allclose(by_blocks, by_cosines, atol=0.06)


def test_many_rows_are_tested_by_means_of_runs_with_nearly_the_same_result():
    losses = persistent(40_000, 3, 11, spread=0.005)
    result = romano_wolf(losses, resamples=99)
    for i, (a, b) in enumerate(zip(result.first, result.second)):
        alone = ewc_t_test(losses[:, a] - losses[:, b])
        assert result.difference[i] == pytest.approx(alone.mean, rel=1e-9)
        # standard errors from 186 and from 468 cosines
        assert result.t[i] == pytest.approx(alone.t, rel=4 * np.sqrt(1 / 372))


def test_losses_that_are_the_same_are_named_and_enter_once():
    losses = persistent(300, 3, 12)
    twins = losses[:, [0, 1, 1, 2]]
    result = romano_wolf(twins)
    pair = list(zip(result.first, result.second)).index((1, 2))
    assert result.notes[pair] == "the losses are the same on every row"
    assert (result.p_value[pair], result.p_adjusted[pair], result.difference[pair]) == (1.0, 1.0, 0.0)
    assert sum(map(bool, result.notes)) == 1
    intervals = simultaneous_intervals(twins)
    assert intervals.ci_low[pair] == intervals.ci_high[pair] == 0.0
    for null in NULLS:
        for statistic in ("range", "max"):
            once = model_confidence_set(losses, null=null, statistic=statistic)
            twice = model_confidence_set(twins, null=null, statistic=statistic)
            np.testing.assert_array_equal(twice.p_value, once.p_value[[0, 1, 1, 2]])
            assert twice.notes == ("", "", "the same losses as 'model 1' on every row", "")
        with_copy = superior_ability(np.column_stack((losses, losses[:, 0])), 0, null=null)
        assert with_copy.p_consistent == pytest.approx(superior_ability(losses, 0, null=null).p_consistent, abs=0.05)
        assert with_copy.notes[-1] == "the losses are the same on every row"
        assert with_copy.models[-1] not in with_copy.superior(0.9)


def test_models_that_are_all_the_same_are_all_kept():
    one = np.random.default_rng(0).standard_normal((50, 1))
    same = np.repeat(one, 3, axis=1)
    assert model_confidence_set(same).p_value.tolist() == [1.0, 1.0, 1.0]
    assert len(model_confidence_set(same).included) == 3
    assert romano_wolf(same).p_adjusted.tolist() == [1.0, 1.0, 1.0]
    assert superior_ability(same, 0).p_consistent == 1.0
    assert superior_ability(same, 0, null="bootstrap").p_consistent == 1.0
    assert superior_ability(same, 0).superior(0.5) == ()
    assert superior_ability(same, 0).critical_value(0.5) == np.inf
    assert simultaneous_intervals(same).ci_high.tolist() == [0.0, 0.0, 0.0]


def test_a_difference_that_wanders_is_not_decided_and_spoils_no_other():
    losses = persistent(500, 3, 13)
    losses = np.column_stack((losses, losses[:, 0] + np.random.default_rng(1).standard_normal(500).cumsum()))
    result = romano_wolf(losses, baseline=0)
    assert "remembers too long to be tested on 500 points" in result.notes[2]
    assert result.p_adjusted[2] == result.p_value[2] == 1.0
    assert np.isinf(simultaneous_intervals(losses, baseline=0).ci_high[2])
    np.testing.assert_allclose(result.p_adjusted[:2], romano_wolf(losses[:, :3], baseline=0).p_adjusted, atol=0.05)
    kept = model_confidence_set(losses)
    assert ("model 0", "model 3") in kept.undecidable
    assert "model 3" not in superior_ability(losses, 0).superior(0.5)


CALLS = {
    "romano_wolf": romano_wolf,
    "simultaneous_intervals": simultaneous_intervals,
    "superior_ability": lambda losses, **settings: superior_ability(losses, 0, **settings),
    "model_confidence_set": model_confidence_set,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("change", "settings", "error", "message"),
    [
        (lambda x: np.where(np.arange(40)[:, None] == 7, np.nan, x), {}, DataError, "loss of 'model 0' is nan in row 7"),
        (lambda x: x * np.inf, {}, DataError, "is -?inf in row 0|is nan in row 0"),
        (lambda x: x[:, :1], {}, DataError, r"1 model\(s\); at least two"),
        (lambda x: x[:, 0], {}, DataError, r"1 dimension\(s\); a table"),
        (lambda x: x[:19], {}, NotEnoughData, r"19 point\(s\) in time; at least 20"),
        (lambda x: x.astype(str), {}, DataError, "one real number"),
        (
            lambda x: x[:, [0, 0, 1]] + np.array([0, 0.1, 0]),
            {},
            DataError,
            r"'model [01]' and 'model [01]' differ by -?0\.1 on every one of 40",
        ),
        (lambda x: x, {"names": ["a", "a", "b"]}, DataError, r"3 names \(2 different\) for 3 models"),
        (lambda x: x, {"names": ["a"]}, DataError, "1 names"),
        (lambda x: x, {"null": "normal"}, DataError, "null is 'normal'; 'cosines' or 'bootstrap'"),
        (lambda x: x, {"null": "bootstrap", "block_length": 41}, DataError, "block_length is 41"),
        (lambda x: x, {"null": "bootstrap", "block_length": np.nan}, DataError, "block_length is nan"),
        (lambda x: x, {"resamples": 0}, DataError, "resamples is 0; a whole number"),
        (lambda x: x, {"resamples": 99.5}, DataError, "resamples is 99.5"),
    ],
)
def test_bad_input_is_one_clear_sentence(call, change, settings, error, message):
    losses = np.random.default_rng(0).standard_normal((40, 3))
    with pytest.raises(error, match=message):
        call(change(losses), **settings)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: romano_wolf(x, baseline=3), "baseline is 3; the position of one of 3 models"),
        (lambda x: romano_wolf(x, baseline=-1), "baseline is -1"),
        (lambda x: romano_wolf(x, alternative="both"), "alternative is 'both'"),
        (lambda x: simultaneous_intervals(x, confidence=95), "confidence is 95"),
        (lambda x: simultaneous_intervals(x, confidence=0.999, resamples=199), "at least 999 are needed"),
        (lambda x: model_confidence_set(x, alpha=1.0), "alpha is 1.0"),
        (lambda x: model_confidence_set(x, alpha=np.nan), "alpha is nan"),
        (lambda x: model_confidence_set(x, alpha=0.001, resamples=99), "at least 999 are needed"),
        (lambda x: model_confidence_set(x, statistic="mean"), "statistic is 'mean'"),
        (lambda x: romano_wolf(x, block_length=5), "goes with null='bootstrap'"),
        (lambda x: superior_ability(x, 0, block_length=5), "go with null='bootstrap'"),
        (lambda x: model_confidence_set(x, blocks=draw_blocks(40, 5, 99)), "go with null='bootstrap'"),
        (lambda x: model_confidence_set(x, null="bootstrap", blocks=draw_blocks(30, 5, 99)), "30 rows were expected"),
        (lambda x: superior_ability(x, 0, studentised=False), "go with null='bootstrap'"),
        (lambda x: superior_ability(x, 0, null="bootstrap", blocks=draw_blocks(40, 5, 99)), "and their block_length"),
        (lambda x: superior_ability(x, 0).superior(0), "alpha is 0"),
        (lambda x: superior_ability(x, 0).superior(0.05, "middle"), "recentring is 'middle'"),
        (lambda x: stepdown_p_values([1.0, np.nan], np.zeros((5, 2))), "not NaN"),
        (lambda x: stepdown_p_values([1.0, 2.0], np.zeros((5, 3))), r"\(resamples, 2\) was expected"),
    ],
)
def test_settings_out_of_bounds_are_refused(call, message):
    with pytest.raises(DataError, match=message):
        call(np.random.default_rng(0).standard_normal((40, 3)))
