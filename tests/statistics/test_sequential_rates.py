"""How often a sequential comparison errs, and how soon it finds what is there: measured, looking 17 times in a thousand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from huracan.statistics import ewc_t_test
from huracan.statistics.sequential_batches import batch_length_at
from huracan.statistics.sequential_looks import FIRST_LOOK, look_share, look_size, looks_before
from huracan.statistics.sequential_mean import SequentialMean

LENGTH = 1000
ALPHA = 0.05
FEW, MANY = 1000, 10_000
Series = Callable[[np.random.Generator, int, int], NDArray[np.float64]]


def noise(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    return rng.standard_normal((repetitions, n))


def autoregression(rho: float) -> Series:
    def series(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
        return lfilter([1.0], [1.0, -rho], rng.standard_normal((repetitions, n + 500)), axis=1)[:, 500:] * np.sqrt(1 - rho**2)

    return series


def overlapping(horizon: int) -> Series:
    def series(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
        total = rng.standard_normal((repetitions, n + horizon)).cumsum(axis=1)
        return total[:, horizon:] - total[:, :-horizon]

    return series


def moving_average(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    weights = [1.0, 0.8, 0.6, 0.5, 0.4, 0.3]
    return lfilter(weights, [1.0], rng.standard_normal((repetitions, n + 10)), axis=1)[:, 10:]


def garch(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    shock = rng.standard_t(5, (n + 300, repetitions)) / np.sqrt(5 / 3)
    variance, out = np.ones(repetitions), np.empty_like(shock)
    for t, now in enumerate(shock):
        out[t] = np.sqrt(variance) * now
        variance = 0.02 + 0.08 * out[t] ** 2 + 0.9 * variance
    return out[300:].T


def louder(factor: float, since: int) -> Series:
    def series(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
        x = autoregression(0.5)(rng, repetitions, n)
        x[:, since:] *= factor
        return x

    return series


def lognormal(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    return np.exp(rng.standard_normal((repetitions, n))) - np.exp(0.5)


def skewed(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    return np.exp(1.5 * rng.standard_normal((repetitions, n))) - np.exp(1.5**2 / 2)


def heavy(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    return rng.standard_t(2.1, (repetitions, n))


def slow_under_noise(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    return autoregression(0.97)(rng, repetitions, n) + np.sqrt(11) * noise(rng, repetitions, n)


def regimes(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    turns = np.cumsum(rng.random((repetitions, n)) < 1 / 50, axis=1) + rng.integers(0, 2, (repetitions, 1))
    return np.where(turns % 2, 0.5, -0.5) + noise(rng, repetitions, n)


def seasonal(rng: np.random.Generator, repetitions: int, n: int) -> NDArray[np.float64]:
    recursion = np.zeros(25)
    recursion[[0, 24]] = 1.0, -0.5
    return lfilter([1.0], recursion, rng.standard_normal((repetitions, n + 1200)), axis=1)[:, 1200:]


def decided(x: NDArray[np.float64], first_look: int = FIRST_LOOK) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The rule of SequentialMean for many series at once: size at the decision (0 for none), whether it said "above"."""
    at, above = np.zeros(len(x), dtype=np.int64), np.zeros(len(x), dtype=bool)
    for index in range(looks_before(x.shape[1], first_look)):
        n = look_size(index, first_look)
        means = x[:, :n]
        for _ in range(batch_length_at(n).bit_length() - 1):
            means = 0.5 * means[:, 0::2] + 0.5 * means[:, 1::2]
        seen = ewc_t_test(means)
        hit = (seen.p_value / look_share(index) <= ALPHA) & seen.decidable & (seen.n_cosines >= 6) & (at == 0)
        at[hit], above[hit] = n, seen.mean[hit] > 0
    return at, above


def share_decided(series: Series, repetitions: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    hits = [np.count_nonzero(decided(series(rng, 500, LENGTH))[0]) for _ in range(repetitions // 500)]
    return sum(hits) / repetitions


def test_the_fast_rule_is_the_rule_of_the_class():
    rng = np.random.default_rng(0)
    x = np.concatenate([autoregression(0.9)(rng, 10, 2500) + shift for shift in (0.0, 0.5, -1.0)])
    at, above = decided(x)
    assert 0 < np.count_nonzero(at) < len(at)
    for row, n, side in zip(x, at, above, strict=True):
        watch = SequentialMean(alpha=ALPHA).update(row)
        assert (0 if watch.decided_at is None else watch.decided_at.n) == n
        assert n == 0 or (watch.decision == "above") == side


# The bars of the system are 6 %. 1,000 repetitions measure 6 % with a standard error of .75 points, and 3 %, which is
# about what is found, with .54: a rule at 10 % fails here in all but one of ten thousand runs.
@pytest.mark.parametrize(
    "series",
    [noise, autoregression(0.5), overlapping(5), autoregression(0.9), overlapping(20)],
    ids=["iid", "AR .5", "overlap 5", "AR .9", "overlap 20"],
)
def test_equal_models_stay_undecided(series):
    assert share_decided(series, FEW, 1) <= 0.06


def test_the_better_one_is_found_within_six_hundred():
    at, above = decided(autoregression(0.3)(np.random.default_rng(2), FEW, 600) + 0.3)
    # standard error .8 points
    assert np.mean((at > 0) & above) >= 0.9 - 0.016


# 10,000 repetitions measure 6 % with a standard error of .24 points, 3 % with .17.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("series", "bound"),
    [
        (noise, 0.06),
        (autoregression(0.5), 0.06),
        (overlapping(5), 0.06),
        (autoregression(0.9), 0.06),
        (overlapping(20), 0.06),
        (autoregression(0.97), 0.06),
        (overlapping(60), 0.06),
        (autoregression(-0.4), 0.06),
        (moving_average, 0.06),
        (garch, 0.06),
        (louder(5.0, 500), 0.06),
        (louder(0.2, 100), 0.06),
        (lognormal, 0.06),
        (heavy, 0.06),
        # the limits that the documentation states
        (slow_under_noise, 0.25),
        (regimes, 0.4),
        (skewed, 0.15),
    ],
    ids=[
        "iid",
        "AR .5",
        "overlap 5",
        "AR .9",
        "overlap 20",
        "AR .97",
        "overlap 60",
        "AR -.4",
        "MA 5",
        "GARCH t5",
        "variance x 25 at 500",
        "variance / 25 at 100",
        "lognormal",
        "t(2.1)",
        "AR .97 under 11 times its variance of noise",
        "regimes of 50",
        "lognormal, deviation 1.5",
    ],
)
def test_equal_models_stay_undecided_measured_in_full(series, bound, record_property):
    share = share_decided(series, MANY, 3)
    record_property("false decisions", float(share))
    print(f"false decisions: {share:.4f}")
    assert share <= bound


@pytest.mark.slow
def test_power_measured_in_full():
    rng = np.random.default_rng(4)
    right = wrong = 0
    for _ in range(MANY // 500):
        at, above = decided(autoregression(0.3)(rng, 500, 600) + 0.3)
        right += np.count_nonzero((at > 0) & above)
        wrong += np.count_nonzero((at > 0) & ~above)
    print(f"decided for the better: {right / MANY:.4f}, for the worse: {wrong / MANY:.4f}")
    assert right / MANY >= 0.9
    assert wrong / MANY <= 0.001


# 1,000 repetitions measure 5 % with a standard error of .7 points
@pytest.mark.slow
@pytest.mark.parametrize(
    ("series", "first_look"),
    [(regimes, 500), (seasonal, 240), (overlapping(60), 600), (slow_under_noise, 1000), (skewed, 500)],
    ids=["regimes of 50", "season of 24", "overlap 60", "AR .97 under noise", "lognormal, deviation 1.5"],
)
def test_a_first_look_that_sees_ten_spells_holds_what_a_short_sample_cannot(series, first_look):
    rng = np.random.default_rng(6)
    shares = [np.mean(decided(series(rng, 250, 4000), first_look)[0] > 0) for _ in range(4)]
    print(f"false decisions: {np.mean(shares):.4f}")
    assert np.mean(shares) <= ALPHA + 0.014


@pytest.mark.slow
def test_a_longer_life_spends_no_more_than_alpha():
    rng = np.random.default_rng(5)
    hits = [np.count_nonzero(decided(autoregression(0.5)(rng, 100, 20_000))[0]) for _ in range(10)]
    assert sum(hits) / 1000 <= ALPHA + 2 * 0.0069
