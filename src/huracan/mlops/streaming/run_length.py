"""How high a threshold has to be for one false alarm in so many numbers, on a stream that remembers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.statistics.persistence import fit_autoregression
from huracan.statistics.sample_checks import as_sample, check_seed, rounding
from huracan.statistics.spectrum import autocovariances, cosine_projections, gathered

__all__ = ["Calibration", "Continuation", "calibrate", "reference_series", "without"]

_PATHS = 400
_FEWEST_PATHS = 64
_MOST_NUMBERS = 60_000_000
"""Numbers that are simulated at most, as long as there are 64 paths."""

_LONG, _SHORT = 16, 8
"""Length of a simulated path in run lengths. The longer serves detectors that alarm early or late rather than steadily; where
it is too much work, one path in 3,000 of a steady one goes without an alarm."""

_AT_ONCE = 4_000_000
_BURN_IN = 300
_FEWEST_ROWS = 100
_SHORTEST, _LONGEST = 20, 1_000_000
_ENOUGH = 5
"""Run lengths that a reference should hold."""
_FEWEST_WORTH = 50
"""Independent numbers that it should be worth; a random walk is worth a few, however long."""

Statistic = Callable[[NDArray[np.float64]], tuple[NDArray[np.intp], NDArray[np.float64]]]
"""Paths (paths, n) -> times (k,), counted from 1, and what is held against the threshold there (paths, k)."""


@dataclass(frozen=True)
class Calibration:
    """How a threshold was found.

    Attributes
    ----------
    run_length : wanted mean number of observations to a false alarm.
    simulated : mean run length of the threshold on the simulated paths.
    n_reference, n_paths : numbers in the reference, and simulated paths.
    model : what was simulated, in words. note : why it may not hold; empty where nothing speaks against it.
    """

    run_length: float
    simulated: float
    n_reference: int
    n_paths: int
    model: str
    note: str = ""


class Continuation:
    """Streams that go on as a reference was: an autoregression with its own shocks, or a Markov chain of 0 and 1.

    Parameters
    ----------
    reference : (n,) finite, not constant, in time order.

    Attributes
    ----------
    model : what it is, in words. error_of_mean : standard deviation of the reference's mean, dependence included.

    References
    ----------
    Bühlmann (1997), "Sieve Bootstrap for Time Series", Bernoulli 3.

    Examples
    --------
    >>> stream = Continuation(np.random.default_rng(0).standard_normal(500))
    >>> stream.paths(np.random.default_rng(1), 3, 1000).shape
    (3, 1000)
    """

    def __init__(self, reference: NDArray[np.float64]) -> None:
        self._n, self._mean = len(reference), float(reference.mean())
        if np.isin(reference, (0.0, 1.0)).all():
            self._fit_chain(reference)
        else:
            self._fit_autoregression(reference)

    def _fit_chain(self, reference: NDArray[np.float64]) -> None:
        before, after = reference[:-1], reference[1:]
        # half a case each way, so that nothing seen never happens
        up = (after[before == 0.0].sum() + 0.5 * self._mean) / ((before == 0.0).sum() + 0.5)
        stays = (after[before == 1.0].sum() + 0.5 * self._mean) / ((before == 1.0).sum() + 0.5)
        self._chain: tuple[float, float] | None = (float(up), float(stays))
        memory = min(float(stays - up), 0.999)
        self.model = f"a Markov chain of 0 and 1, correlation {memory:.2f} from one number to the next"
        self.error_of_mean = math.sqrt(self._mean * (1.0 - self._mean) * (1.0 + memory) / (1.0 - memory) / self._n)

    def _fit_autoregression(self, reference: NDArray[np.float64]) -> None:
        from scipy.signal import lfilter  # takes half a second

        self._chain = None
        centred = reference - self._mean
        power = gathered(cosine_projections(reference[None]))
        highest = max(1, min(int(10 * math.log10(self._n)), self._n // 10))
        phi = fit_autoregression(autocovariances(power, self._n, highest), self._n)[0]
        self._phi = phi[: int(np.flatnonzero(phi)[-1]) + 1] if phi.any() else phi[:0]
        shocks = lfilter([1.0, *(-self._phi)], [1.0], centred)[len(self._phi) :]
        self._shocks = shocks - shocks.mean()
        self.model = f"an autoregression of order {len(self._phi)} with the reference's own shocks"
        self.error_of_mean = float(self._shocks.std()) / (1.0 - float(self._phi.sum())) / math.sqrt(self._n)

    def paths(self, random: np.random.Generator, n_paths: int, length: int) -> NDArray[np.float64]:
        """Simulated streams (n_paths, length)."""
        if self._chain is not None:
            return self._chains(random, n_paths, length)
        from scipy.signal import lfilter

        shocks = random.choice(self._shocks, (n_paths, length + _BURN_IN))
        return lfilter([1.0], [1.0, *(-self._phi)], shocks, axis=1)[:, _BURN_IN:] + self._mean

    def _chains(self, random: np.random.Generator, n_paths: int, length: int) -> NDArray[np.float64]:
        assert self._chain is not None
        low, high = min(self._chain), max(self._chain)
        chance = random.random((n_paths, length + _BURN_IN))
        # below `low` the next number is 1 and from `high` on 0 whatever came before; between, it repeats or alternates
        known = (chance < low) | (chance >= high)
        known[:, 0] = True
        value = (chance < low).astype(np.int8)
        value[:, 0] = chance[:, 0] < self._mean
        last_known = np.maximum.accumulate(np.where(known, np.arange(chance.shape[1]), 0), axis=1)
        path = np.take_along_axis(value, last_known, axis=1)
        if self._chain[1] < self._chain[0]:
            path = path ^ ((np.arange(chance.shape[1]) - last_known) % 2).astype(np.int8)
        return path[:, _BURN_IN:].astype(np.float64)


def calibrate(
    reference: NDArray[np.float64],
    statistic: Statistic,
    run_length: float,
    *,
    random_state: int,
    lowest: float,
    highest: float = math.inf,
    mean_is_estimated: bool = False,
) -> tuple[float, Calibration]:
    """The threshold that ``statistic`` exceeds for the first time after ``run_length`` numbers on average.

    Each path tells at once when every threshold is first exceeded. Paths that end before count as what they are, unfinished:
    the mean is all numbers seen over all alarms.

    Parameters
    ----------
    reference : from :func:`reference_series`.
    statistic : of new watches over many paths; until the first alarm it must not depend on the threshold.
    lowest, highest : bounds of the threshold.
    mean_is_estimated : the statistic measures from the reference's mean, so that its error counts.

    Raises
    ------
    DataError : no threshold within its bounds reaches ``run_length``.
    """
    check_seed(random_state)
    random = np.random.default_rng(random_state)
    stream = Continuation(reference)
    lengths = _LONG if _LONG * run_length * _PATHS <= _MOST_NUMBERS else _SHORT
    horizon = math.ceil(lengths * run_length)
    n_paths = min(_PATHS, max(_FEWEST_PATHS, _MOST_NUMBERS // horizon))
    records: list[_Record] = []
    together = max(1, _AT_ONCE // horizon)
    while len(records) < n_paths:
        paths = stream.paths(random, min(together, n_paths - len(records)), horizon)
        if mean_is_estimated:
            paths += stream.error_of_mean * random.standard_normal((len(paths), 1))
        records += _records(*statistic(paths))
    threshold = _bisected(records, run_length, horizon, lowest, highest)
    worth = (float(reference.std()) / stream.error_of_mean) ** 2
    note = ""
    if worth < _FEWEST_WORTH:
        alone = max(1, round(worth))
        note = f"the reference remembers so long that its {len(reference):,} numbers are worth {alone} independent ones"
    elif len(reference) < _ENOUGH * run_length:
        note = f"the reference holds {len(reference):,} numbers; {_ENOUGH * run_length:,.0f} are needed for {run_length:,.0f}"
    found = _mean_run_length(records, threshold, horizon)
    return threshold, Calibration(float(run_length), found, len(reference), n_paths, stream.model, note)


def reference_series(reference: ArrayLike, run_length: float, name: str) -> NDArray[np.float64]:
    """The reference as finite float64 (n,), or a sentence.

    Raises
    ------
    DataError : not one dimension, not finite, or constant; or ``run_length`` is out of bounds.
    NotEnoughData : fewer than 100 numbers.
    """
    if isinstance(run_length, bool) or not isinstance(run_length, (int, float)) or not _SHORTEST <= run_length <= _LONGEST:
        raise DataError(f"run_length is {run_length!r}; a number from {_SHORTEST} to {_LONGEST:,} was expected.")
    series = as_sample(reference, "reference", minimum=_FEWEST_ROWS, purpose=f"{name}.calibrated")
    if np.ptp(series) <= rounding(series):
        raise DataError(f"reference is {series[0]:g} in all {len(series)} rows; without variation nothing can be simulated.")
    return series


def without(name: str, settings: dict[str, Any], detector: str) -> None:
    """Refuse the one setting that a calibration finds."""
    if name in settings:
        raise DataError(f"{name} was given; {detector}.calibrated finds it.")


@dataclass(frozen=True)
class _Record:
    """When the statistic of one path exceeded all it had been before, and by how high: ascending times and values."""

    times: NDArray[np.intp]
    values: NDArray[np.float64]


def _records(times: NDArray[np.intp], statistic: NDArray[np.float64]) -> list[_Record]:
    highest = np.maximum.accumulate(statistic, axis=1)
    rises = np.empty(highest.shape, dtype=np.bool_)
    rises[:, :1] = np.isfinite(highest[:, :1]) | (highest[:, :1] == np.inf)
    rises[:, 1:] = highest[:, 1:] > highest[:, :-1]
    return [_Record(times[rise], values[rise]) for rise, values in zip(rises, highest, strict=True)]


def _mean_run_length(records: list[_Record], threshold: float, horizon: int) -> float:
    """Numbers seen until the first excess of ``threshold`` or the end, over the excesses."""
    seen = alarms = 0
    for record in records:
        at = int(np.searchsorted(record.values, threshold, side="right"))
        alarms += at < len(record.values)
        seen += int(record.times[at]) if at < len(record.values) else horizon
    return seen / alarms if alarms else math.inf


def _bisected(records: list[_Record], run_length: float, horizon: int, lowest: float, highest: float) -> float:
    finite = [float(record.values[np.isfinite(record.values)].max(initial=lowest)) for record in records]
    low, high = lowest, min(highest, max(finite))
    shortest, longest = (_mean_run_length(records, threshold, horizon) for threshold in (low, high))
    if not shortest <= run_length <= longest:
        bound = f"shortest that can be reached on this reference is {shortest:,.0f}"
        if longest < run_length:
            bound = f"longest that can be reached on this reference is {longest:,.0f}"
        raise DataError(f"run_length is {run_length:,.0f}; the {bound}.")
    for _ in range(60):
        middle = 0.5 * (low + high)
        if _mean_run_length(records, middle, horizon) < run_length:
            low = middle
        else:
            high = middle
    return high
