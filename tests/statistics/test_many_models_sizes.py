"""How often corrections find something among equal models: 20 of them and a baseline, losses that remember.

Measured with 10,000 repetitions by the slow tests; the others watch with few repetitions, within what chance allows.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from huracan.statistics import adjust_p_values
from huracan.statistics.confidence_set import model_confidence_set
from huracan.statistics.romano_wolf import romano_wolf
from huracan.statistics.simultaneous import simultaneous_intervals
from huracan.statistics.superior_ability import superior_ability

MODELS = 20
RESAMPLES = 399
Process = Callable[[np.random.Generator, int, int], NDArray[np.float64]]


def autoregression(rho: float) -> Process:
    def draw(rng: np.random.Generator, n: int, k: int) -> NDArray[np.float64]:
        return lfilter([1.0], [1.0, -rho], rng.standard_normal((n + 200, k)), axis=0)[200:]

    return draw


def overlapping(horizon: int) -> Process:
    def draw(rng: np.random.Generator, n: int, k: int) -> NDArray[np.float64]:
        total = rng.standard_normal((n + horizon, k)).cumsum(axis=0)
        return total[horizon:] - total[:-horizon]

    return draw


PROCESSES = {
    "iid": (autoregression(0.0), 0.06),
    "AR .5": (autoregression(0.5), 0.06),
    "h = 5": (overlapping(5), 0.06),
    "h = 20": (overlapping(20), 0.06),
    "AR .9": (autoregression(0.9), 0.08),
}


def smallest_p(method: str, losses: NDArray[np.float64]) -> float:
    """The smallest corrected p-value: at most .05 is a false claim, as all models are equal."""
    if method == "romano_wolf":
        return float(romano_wolf(losses, baseline=0, resamples=RESAMPLES).p_adjusted.min())
    if method == "romano_wolf_bootstrap":
        return float(romano_wolf(losses, baseline=0, resamples=RESAMPLES, null="bootstrap").p_adjusted.min())
    if method == "romano_wolf_all_pairs":
        return float(romano_wolf(losses, resamples=RESAMPLES).p_adjusted.min())
    if method == "superior_ability":
        return superior_ability(losses, 0, resamples=RESAMPLES).p_consistent
    if method == "superior_ability_bootstrap":
        return superior_ability(losses, 0, resamples=RESAMPLES, null="bootstrap").p_consistent
    if method == "confidence_set":
        return float(model_confidence_set(losses, resamples=RESAMPLES).p_value.min())
    if method == "confidence_set_bootstrap":
        return float(model_confidence_set(losses, resamples=RESAMPLES, null="bootstrap").p_value.min())
    raise AssertionError(method)


def family_wise_error(method: str, process: Process, repetitions: int, n: int = 1000, seed: int = 0) -> float:
    rng = np.random.default_rng(seed)
    return float(np.mean([smallest_p(method, process(rng, n, MODELS + 1)) <= 0.05 for _ in range(repetitions)]))


def allowed(bar: float, repetitions: int, errors: float) -> float:
    return bar + errors * float(np.sqrt(bar * (1 - bar) / repetitions))


@pytest.mark.parametrize("name", ["AR .5", "h = 5"])
def test_romano_wolf_holds_its_level(name):
    process, bar = PROCESSES[name]
    assert family_wise_error("romano_wolf", process, 120) <= allowed(bar, 120, 2.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSES)
def test_romano_wolf_holds_its_level_measured_with_ten_thousand_repetitions(name):
    process, bar = PROCESSES[name]
    assert family_wise_error("romano_wolf", process, 10_000, seed=1) <= allowed(bar, 10_000, 2)


def better_found(repetitions: int) -> tuple[float, float]:
    """How often Romano-Wolf and Holm show a model that is better, among 20 whose losses move together."""
    rng = np.random.default_rng(2)
    shown = np.zeros(2)
    for _ in range(repetitions):
        own = rng.standard_normal((1000, MODELS + 1)) * np.r_[1.0, np.full(MODELS, 0.3)]
        own[:, 1] -= 0.13
        result = romano_wolf(own, baseline=0, resamples=RESAMPLES)
        shown += result.p_adjusted[0] <= 0.05, adjust_p_values(result.p_value)[0] <= 0.05
    return float(shown[0] / repetitions), float(shown[1] / repetitions)


def test_romano_wolf_finds_more_than_holm_where_comparisons_move_together():
    with_dependence, without = better_found(120)
    assert with_dependence >= without + 0.05


def test_simultaneous_intervals_cover_all_true_differences_at_once():
    rng = np.random.default_rng(3)
    truth = np.linspace(0, 1, 6)
    covered = []
    for _ in range(150):
        losses = autoregression(0.5)(rng, 500, 6) + truth
        result = simultaneous_intervals(losses, resamples=RESAMPLES)
        true = truth[result.first] - truth[result.second]
        covered.append(bool(np.all((result.ci_low <= true) & (true <= result.ci_high))))
    # binomial(150, .95) is below 134 once in 500
    assert sum(covered) >= 134


@pytest.mark.slow
def test_all_pairs_of_fifty_models_over_a_hundred_thousand_rows_fit_into_a_gigabyte():
    losses = np.random.default_rng(4).standard_normal((100_000, 50)) + np.r_[np.zeros(49), 0.05]
    tracemalloc.start()
    result = romano_wolf(losses)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e9
    assert len(result.p_adjusted) == 1225
    assert np.all((result.p_adjusted <= 0.05)[(result.second == 49)])
