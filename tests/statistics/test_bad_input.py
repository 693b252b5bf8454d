"""Input that decides nothing is refused in a sentence by every test of the room, and no p-value is ever 0 or NaN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from huracan.errors import DataError, NotEnoughData
from huracan.statistics import adjust_p_values, average_by_time, ewc_t_test
from huracan.statistics.all_pairs import ewc_t_test_pairs
from huracan.statistics.bootstrap import block_bootstrap
from huracan.statistics.confidence_set import model_confidence_set
from huracan.statistics.effect_sizes import cliffs_delta, cohens_d, common_language, hedges_g, rank_biserial
from huracan.statistics.forecast_comparison import diebold_mariano, giacomini_white
from huracan.statistics.romano_wolf import romano_wolf
from huracan.statistics.sharpe_difference import sharpe_difference_test
from huracan.statistics.simultaneous import simultaneous_intervals
from huracan.statistics.superior_ability import superior_ability
from huracan.statistics.two_samples import mann_whitney, t_test, wilcoxon

N = 60
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((2, N))


def of_table(function: Callable[..., Any], *arguments: Any, **settings: Any) -> Callable[[Any, Any], Any]:
    """A function of losses (n, k) as one of two series."""
    return lambda a, b: function(side_by_side(a, b), *arguments, **settings)


def side_by_side(a: Any, b: Any) -> Any:
    return (np.ma if isinstance(a, np.ma.MaskedArray) else np).column_stack([a, b])


OVER_TIME: dict[str, Callable[[Any, Any], Any]] = {
    "Diebold-Mariano": diebold_mariano,
    "Giacomini-White": giacomini_white,
    "Sharpe difference": lambda a, b: sharpe_difference_test(a, b, resamples=99),
    "EWC of all pairs": lambda a, b: ewc_t_test_pairs(side_by_side(a, b).T),
    "Romano-Wolf": of_table(romano_wolf, resamples=99),
    "simultaneous intervals": of_table(simultaneous_intervals, resamples=99),
    "superior ability": of_table(superior_ability, 0, resamples=99),
    "superior ability, bootstrap": of_table(superior_ability, 0, resamples=99, null="bootstrap"),
    "confidence set": of_table(model_confidence_set, resamples=99),
    "confidence set, max": of_table(model_confidence_set, resamples=99, statistic="max"),
    "confidence set, bootstrap": of_table(model_confidence_set, resamples=99, null="bootstrap"),
}
OF_SAMPLES: dict[str, Callable[[Any, Any], Any]] = {
    "Welch": t_test,
    "paired t": lambda a, b: t_test(a, b, paired=True),
    "Mann-Whitney": mann_whitney,
    "Wilcoxon": wilcoxon,
    "Cohen's d": cohens_d,
    "Hedges' g": hedges_g,
    "common language": common_language,
    "Cliff's delta": cliffs_delta,
    "rank-biserial": lambda a, b: rank_biserial(a, b, paired=True),
}
EVERY = OVER_TIME | OF_SAMPLES


def spoilt(value: float) -> np.ndarray:
    series = X.copy()
    series[7] = value
    return series


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("a", "b"),
    [
        (spoilt(np.nan), Y),
        (X, spoilt(np.inf)),
        (X * 1e200, Y * 1e200),
        (np.full(N, "a"), np.full(N, "b")),
        (X + 1j, Y + 1j),
        (np.arange(N).astype("datetime64[s]"), np.arange(N).astype("datetime64[s]")[::-1]),
        (np.ma.masked_array(X, np.arange(N) < 3), Y),
    ],
    ids=["NaN", "infinite", "square overflows", "words", "complex", "moments", "masked"],
)
def test_what_is_no_finite_number_is_refused(name, a, b):
    with pytest.raises(DataError, match=r"expected|rescale"):
        EVERY[name](a, b)


@pytest.mark.parametrize("name", EVERY)
def test_numbers_whose_squares_vanish_are_refused(name):
    with pytest.raises(DataError, match="vanishes, rescale"):
        EVERY[name](X * 1e-200, Y * 1e-200)


@pytest.mark.parametrize("name", [*OVER_TIME, "paired t", "Wilcoxon", "rank-biserial"])
def test_a_constant_difference_decides_nothing(name):
    if name == "Sharpe difference":
        with pytest.raises(DataError, match="multiple of the other"):
            OVER_TIME[name](3.0 * X, X)
        return
    with pytest.raises(DataError, match=r"differ by|is the same at all|is 0\.3 at all|nothing varies|zero wherever"):
        EVERY[name](X + 0.3, X)


@pytest.mark.parametrize("call", [wilcoxon, lambda a, b: rank_biserial(a, b, paired=True)])
def test_differences_that_are_rounding_are_none(call):
    # (x + .1) - .1 is x but for the last bit, more often below than above
    with pytest.raises(DataError, match="none of the 60 pairs differs"):
        call((X + 0.1) - 0.1, X)


@pytest.mark.parametrize("call", [t_test, mann_whitney, cohens_d, cliffs_delta])
def test_two_constants_are_no_samples(call):
    with pytest.raises(DataError, match=r"a is 0.1 and b 0.3 in every row|nothing varies within"):
        call(np.full(N, 0.1), np.full(N, 0.3))


@pytest.mark.parametrize("name", OVER_TIME)
def test_too_few_moments_are_refused_with_the_number_needed(name):
    with pytest.raises(NotEnoughData, match=r"at least \d+ are needed"):
        OVER_TIME[name](X[:4], Y[:4])


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.5, np.nan, None, "0.95"])
@pytest.mark.parametrize(
    "call",
    [
        lambda level: t_test(X, Y, confidence=level),
        lambda level: mann_whitney(X, Y, confidence=level),
        lambda level: cohens_d(X, Y, confidence=level),
        lambda level: diebold_mariano(X, Y, confidence=level),
        lambda level: ewc_t_test(X, confidence=level),
        lambda level: sharpe_difference_test(X, Y, confidence=level),
        lambda level: simultaneous_intervals(np.column_stack([X, Y]), confidence=level),
        lambda level: model_confidence_set(np.column_stack([X, Y]), alpha=level),
        lambda level: block_bootstrap(X, confidence=level),
        lambda level: superior_ability(np.column_stack([X, Y]), 0).superior(level),
    ],
)
def test_a_level_outside_zero_and_one_is_refused(call, level):
    with pytest.raises(DataError, match="a number between 0 and 1 was expected"):
        call(level)


def extreme() -> tuple[np.ndarray, np.ndarray]:
    """A difference so far beyond its noise that its p-value is smaller than any floating point number."""
    first, second = np.random.default_rng(1).standard_normal((2, 5000))
    return first * 1e-9 + 1.0, second * 1e-9


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: t_test(a, b).p_value,
        lambda a, b: t_test(a, b, paired=True, alternative="greater").p_value,
        lambda a, b: mann_whitney(a, b).p_value,
        lambda a, b: wilcoxon(a, b).p_value,
        lambda a, b: diebold_mariano(a, b).p_value,
        lambda a, b: diebold_mariano(a, b, correction="none").p_value,
        lambda a, b: ewc_t_test(a - b).p_value,
        lambda a, b: ewc_t_test(b - a, alternative="less").p_value,
        lambda a, b: ewc_t_test_pairs(np.vstack([a, b]))[1].p_value[0],
        lambda a, b: romano_wolf(np.column_stack([a, b]), resamples=99).p_value[0],
        lambda a, b: romano_wolf(np.column_stack([a, b]), resamples=99).p_adjusted[0],
        lambda a, b: superior_ability(np.column_stack([a, b]), 0, resamples=99).p_consistent,
        lambda a, b: model_confidence_set(np.column_stack([a, b]), resamples=99).p_value.min(),
        lambda a, b: sharpe_difference_test(1e9 * b + 100.0, 1e9 * (a - 1.0), method="hac").p_value,
        lambda a, b: sharpe_difference_test(1e9 * b + 100.0, 1e9 * (a - 1.0), resamples=99).p_value,
    ],
)
def test_no_evidence_is_certain(call):
    assert 0.0 < call(*extreme()) <= 0.01


def test_beyond_what_a_p_value_can_say_the_better_model_is_still_the_better_one():
    rng = np.random.default_rng(2)
    losses = 1e-9 * rng.standard_normal((5000, 3)) - [0.0, 1.0, 5.0]
    found = superior_ability(losses, 0, resamples=99)
    assert found.best == "model 2"
    assert np.isfinite(found.gain).all()
    assert model_confidence_set(losses, resamples=99).included == ("model 2",)


def test_a_model_that_cannot_be_compared_is_named_in_the_confidence_set():
    rng = np.random.default_rng(3)
    losses = np.column_stack([rng.standard_normal(200).cumsum(), rng.standard_normal(200)])
    assert model_confidence_set(losses, resamples=99).undecidable == (("model 0", "model 1"),)
    by_max = model_confidence_set(losses, resamples=99, statistic="max")
    assert set(by_max.included) == {"model 0", "model 1"}
    assert all("remembers too long" in note for note in by_max.notes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ewc_t_test(X, null_mean=np.nan), "null_mean is nan"),
        (lambda: ewc_t_test(X, null_mean=np.inf), "null_mean is inf"),
        (lambda: ewc_t_test(X, n_cosines="many"), "n_cosines is 'many'; a whole number from 1 to 59"),
        (lambda: ewc_t_test(X, n_cosines=2.5), r"n_cosines is 2\.5"),
        (lambda: ewc_t_test(X, n_cosines=np.nan), "n_cosines is nan"),
        (lambda: romano_wolf(np.column_stack([X, Y]), seed=-1), "seed is -1"),
        (lambda: superior_ability(np.column_stack([X, Y]), 0, seed=-1), "seed is -1"),
        (lambda: simultaneous_intervals(np.column_stack([X, Y]), seed=None), "seed is None"),
        (lambda: model_confidence_set(np.column_stack([X, Y]), seed=-1), "seed is -1"),
        (lambda: block_bootstrap(X, resamples=1), "1 resamples give no p-value below 0.5"),
        (lambda: block_bootstrap(X, resamples=50, confidence=0.99), "at least 199 are needed"),
        (lambda: adjust_p_values(["small"]), "p does not hold plain numbers"),
        (lambda: giacomini_white(X, Y, ["calm"] * N), "instruments does not hold plain numbers"),
        (lambda: average_by_time([1.0, 2.0, 3.0], [2.0, np.nan, 1.0]), "the time of row 1 is missing"),
        (lambda: average_by_time([1.0, 2.0], np.array(["2026-01-01", "NaT"], dtype="M8[s]")), "the time of row 1 is missing"),
        (lambda: average_by_time([1.0, 2.0], [None, 1]), "times are not of one kind that sorts"),
        (lambda: average_by_time(["x", "y"], [1, 2]), "values does not hold plain numbers"),
    ],
)
def test_settings_that_make_no_sense_are_named(call, message):
    with pytest.raises(DataError, match=message):
        call()
