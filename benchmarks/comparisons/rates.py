"""How often a verdict falls, in how many of many worlds: sizes, power, false decisions; beside each, the textbook's test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr
from threadpoolctl import threadpool_limits

from benchmarks.comparisons.processes import Process, autoregression, garch_returns, overlapping, panel

__all__ = ["ALPHA", "RATES", "REPETITIONS", "Measured", "Rate", "measure"]

ALPHA = 0.05
REPETITIONS = 10_000
SYMBOLS = 20
EQUAL_MODELS = 20
SEEN_AT_ONCE = 10
SHARPE = 0.05
_CHUNK = 100

Verdicts = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""For each repetition: whether ours spoke, and whether the textbook's did."""


@dataclass(frozen=True)
class Rate:
    """A share of worlds, and the bounds it must keep.

    Attributes
    ----------
    what : the row of the table. verdicts : from a generator and a number of repetitions.
    low, high : bounds of the share. textbook : the test beside it.
    """

    what: str
    verdicts: Callable[[np.random.Generator, int], Verdicts]
    low: float = 0.0
    high: float = 1.0
    textbook: str = "paired t"


@dataclass(frozen=True)
class Measured:
    """What came of a :class:`Rate`, with the standard error of its share."""

    rate: Rate
    share: float
    textbook: float

    @property
    def standard_error(self) -> float:
        """Of ``share``."""
        return float(np.sqrt(self.share * (1.0 - self.share) / REPETITIONS))

    @property
    def kept(self) -> bool:
        """Whether the share is within its bounds."""
        return self.rate.low <= self.share <= self.rate.high


def measure(rates: Sequence[int], workers: int = 2) -> Iterator[Measured]:
    """Measure these of :data:`RATES`, each with :data:`REPETITIONS`, one after the other.

    Every hundred worlds have a seed of their own, so the numbers are the same whatever the workers, the rates chosen, and
    their order.
    """
    chunks = range(REPETITIONS // _CHUNK)
    tasks = [(rate, chunk) for rate in rates for chunk in chunks]
    with ProcessPoolExecutor(workers, initializer=_one_thread) as pool:
        counted = pool.map(_counted, tasks, chunksize=5)
        for rate in rates:
            ours, theirs = np.sum([next(counted) for _ in chunks], axis=0) / REPETITIONS
            yield Measured(RATES[rate], float(ours), float(theirs))


def _one_thread() -> None:
    threadpool_limits(1)


def _counted(task: tuple[int, int]) -> tuple[int, int]:
    rate, chunk = task
    ours, textbook = RATES[rate].verdicts(np.random.default_rng([2026, rate, chunk]), _CHUNK)
    return int(np.sum(ours)), int(np.sum(textbook))


# ---------------------------------------------------------------- what is looked at


@dataclass(frozen=True)
class TwoModels:
    """Two models on one series of moments, ``shift`` standard deviations of the loss difference apart."""

    process: Process
    n: int
    shift: float = 0.0

    def __call__(self, rng: np.random.Generator, repetitions: int) -> Verdicts:
        from huracan.baselines import compare_models

        first, second = _losses(self.process, rng, repetitions, self.n, self.shift)
        found = [compare_models({"a": a, "b": b}).decision for a, b in zip(first, second, strict=True)]
        wanted = "b" if self.shift else None
        spoke = np.array([who is not None and wanted in (None, who) for who in found])
        return spoke, _t_test(first - second)[1] <= ALPHA


@dataclass(frozen=True)
class ManySymbols:
    """Two models on the rows of many symbols at each time."""

    process: Process
    n: int

    def __call__(self, rng: np.random.Generator, repetitions: int) -> Verdicts:
        from huracan.baselines import compare_models

        first, second = (panel(self.process, SYMBOLS, 0.6)(rng, (repetitions,), self.n) for _ in "ab")
        times = np.repeat(np.arange(self.n), SYMBOLS)
        found = [compare_models({"a": a, "b": b}, times=times).decision for a, b in zip(first, second, strict=True)]
        return np.array([who is not None for who in found]), _t_test(first - second)[1] <= ALPHA


@dataclass(frozen=True)
class ManyModels:
    """Twenty models as good as their baseline: is any of them called different after the correction?"""

    process: Process
    n: int

    def __call__(self, rng: np.random.Generator, repetitions: int) -> Verdicts:
        from huracan.baselines import compare_models

        losses = self.process(rng, (repetitions, 1 + EQUAL_MODELS), self.n)
        ours = []
        for world in losses:
            found = compare_models(dict(zip(_NAMES, world, strict=True)), baseline=_NAMES[0])
            ours.append(min(pair.p_adjusted for pair in found.pairs) <= ALPHA)
        textbook = _t_test(losses[:, 1:] - losses[:, :1])[1].min(axis=1) * EQUAL_MODELS <= ALPHA
        return np.array(ours), textbook


_NAMES = ["baseline", *(f"model {number}" for number in range(1, 1 + EQUAL_MODELS))]


@dataclass(frozen=True)
class WhileTheyArrive:
    """Champion against challenger, looked at after every ten losses; without a shift every decision is false."""

    process: Process
    n: int
    shift: float = 0.0

    def __call__(self, rng: np.random.Generator, repetitions: int) -> Verdicts:
        first, second = _losses(self.process, rng, repetitions, self.n, self.shift)
        ours = np.array([self._speaks(a, b) for a, b in zip(first, second, strict=True)])
        mean, p_value = _t_test_so_far(first - second)
        significant = p_value <= ALPHA
        if self.shift:
            early = np.argmax(significant, axis=1)
            above = np.take_along_axis(mean, early[:, None], axis=1)[:, 0] > 0.0
            return ours, significant.any(axis=1) & above
        return ours, significant.any(axis=1)

    def _speaks(self, loss_a: NDArray[np.float64], loss_b: NDArray[np.float64]) -> bool:
        from huracan.statistics.sequential import SequentialComparison

        match = SequentialComparison()
        for start in range(0, self.n, SEEN_AT_ONCE):
            match.update(loss_a[start : start + SEEN_AT_ONCE], loss_b[start : start + SEEN_AT_ONCE])
            if match.decision is not None:
                return match.decision == "b" or not self.shift
        return False


@dataclass(frozen=True)
class EqualSharpe:
    """Two strategies of one Sharpe ratio, heavy tails and changing volatility."""

    correlation: float
    n: int

    def __call__(self, rng: np.random.Generator, repetitions: int) -> Verdicts:
        from huracan.statistics.sharpe_difference import sharpe_difference_test

        first, second = garch_returns(rng, repetitions, self.n, sharpe=SHARPE, correlation=self.correlation)
        ours = [sharpe_difference_test(a, b).p_value <= ALPHA for a, b in zip(first, second, strict=True)]
        return np.array(ours), _jobson_korkie(first, second) <= ALPHA


def _losses(
    process: Process, rng: np.random.Generator, repetitions: int, n: int, shift: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Losses of two models, the second better by ``shift`` standard deviations (square root of 2) of the difference."""
    first, second = process(rng, (2, repetitions), n)
    return first + shift * np.sqrt(2.0), second


# ---------------------------------------------------------------- what the textbook says


def _t_test(difference: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and p-value of a paired t test along the last axis."""
    n = difference.shape[-1]
    mean = difference.mean(axis=-1)
    return mean, 2.0 * stdtr(n - 1, -np.abs(mean) / (difference.std(axis=-1, ddof=1) / np.sqrt(n)))


def _t_test_so_far(difference: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same after every ten observations, from 20 on: (repetitions, looks)."""
    n = np.arange(2 * SEEN_AT_ONCE, difference.shape[1] + 1, SEEN_AT_ONCE)
    mean = np.cumsum(difference, axis=1)[:, n - 1] / n
    variance = (np.cumsum(difference**2, axis=1)[:, n - 1] - n * mean**2) / (n - 1)
    return mean, 2.0 * stdtr(n - 1, -np.abs(mean) / np.sqrt(variance / n))


def _jobson_korkie(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values of Jobson and Korkie's test as Memmel (2003) corrected it: independent normal returns."""
    n = first.shape[1]
    one, two = (x.mean(axis=1) / x.std(axis=1, ddof=1) for x in (first, second))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (first, second))
    rho = np.sum(a * b, axis=1) / np.sqrt(np.sum(a**2, axis=1) * np.sum(b**2, axis=1))
    variance = (2.0 - 2.0 * rho + (one**2 + two**2 - 2.0 * one * two * rho**2) / 2.0) / n
    return 2.0 * ndtr(-np.abs(one - two) / np.sqrt(variance))


_IID, _AR3, _AR5, _AR9 = (autoregression(rho) for rho in (0.0, 0.3, 0.5, 0.9))
_H5, _H20 = overlapping(5), overlapping(20)
_OVERLAP = "overlapping labels, h = "

RATES: tuple[Rate, ...] = (
    Rate("size, n = 1,000: iid", TwoModels(_IID, 1000), 0.04, 0.065),
    Rate("size, n = 1,000: AR .3", TwoModels(_AR3, 1000), 0.04, 0.065),
    Rate("size, n = 1,000: AR .5", TwoModels(_AR5, 1000), 0.04, 0.065),
    Rate(f"size, n = 1,000: {_OVERLAP}5", TwoModels(_H5, 1000), 0.04, 0.065),
    Rate("size, n = 1,000: AR .9", TwoModels(_AR9, 1000), 0.0, 0.07),
    Rate(f"size, n = 1,000: {_OVERLAP}20", TwoModels(_H20, 1000), 0.0, 0.07),
    Rate("size, n = 250: iid", TwoModels(_IID, 250), 0.0, 0.07),
    Rate("size, n = 250: AR .3", TwoModels(_AR3, 250), 0.0, 0.07),
    Rate("size, n = 250: AR .5", TwoModels(_AR5, 250), 0.0, 0.07),
    Rate(f"size, n = 250: {_OVERLAP}5", TwoModels(_H5, 250), 0.0, 0.07),
    Rate("size, n = 250: AR .9", TwoModels(_AR9, 250), 0.0, 0.09),
    Rate(f"size, n = 250: {_OVERLAP}20", TwoModels(_H20, 250), 0.0, 0.09),
    Rate("power, n = 1,000: AR .3, difference .15 sd", TwoModels(_AR3, 1000, 0.15), 0.91, 1.0),
    Rate("size, panel of 20 symbols, correlation .6, 1,000 times", ManySymbols(_IID, 1000), 0.04, 0.07),
    Rate(f"the same, {_OVERLAP}5", ManySymbols(_H5, 1000), 0.04, 0.07),
    Rate("false decision, a look every 10 of 1,000: iid", WhileTheyArrive(_IID, 1000), 0.0, 0.06),
    Rate("false decision, a look every 10 of 1,000: AR .5", WhileTheyArrive(_AR5, 1000), 0.0, 0.06),
    Rate(f"false decision, a look every 10 of 1,000: {_OVERLAP}5", WhileTheyArrive(_H5, 1000), 0.0, 0.06),
    Rate("false decision, a look every 10 of 1,000: AR .9", WhileTheyArrive(_AR9, 1000), 0.0, 0.06),
    Rate(f"false decision, a look every 10 of 1,000: {_OVERLAP}20", WhileTheyArrive(_H20, 1000), 0.0, 0.06),
    Rate("decided for the better within 600: AR .3, difference .3 sd", WhileTheyArrive(_AR3, 600, 0.3), 0.9, 1.0),
    Rate("any of 20 equal models called different: iid", ManyModels(_IID, 1000), 0.0, 0.06, "paired t, Holm"),
    Rate("any of 20 equal models called different: AR .5", ManyModels(_AR5, 1000), 0.0, 0.06, "paired t, Holm"),
    Rate(f"any of 20 equal models called different: {_OVERLAP}5", ManyModels(_H5, 1000), 0.0, 0.06, "paired t, Holm"),
    Rate(f"any of 20 equal models called different: {_OVERLAP}20", ManyModels(_H20, 1000), 0.0, 0.06, "paired t, Holm"),
    Rate("any of 20 equal models called different: AR .9", ManyModels(_AR9, 1000), 0.0, 0.08, "paired t, Holm"),
    Rate("equal Sharpe ratios, GARCH with t(5) shocks, n = 1,000", EqualSharpe(0.0, 1000), 0.04, 0.07, "Jobson-Korkie"),
    Rate("the same, correlation .5", EqualSharpe(0.5, 1000), 0.04, 0.07, "Jobson-Korkie"),
)
"""Every rate of the table."""
