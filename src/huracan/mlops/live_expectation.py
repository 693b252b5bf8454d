"""``LiveExpectation``: what a version's out-of-fold figures promise of its life, small enough to be kept with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from huracan.errors import DataError, NotEnoughData
from huracan.statistics.ewc import ewc_t_test
from huracan.statistics.persistence import fit_autoregression
from huracan.statistics.sequential_input import as_values
from huracan.statistics.spectrum import autocovariances, cosine_projections, gathered

__all__ = ["EXPECTATION", "LiveExpectation", "PromisedMean"]

EXPECTATION = "live_expectation"
"""Key of the extras of a version under which it is kept."""

_LEAST = 20


@dataclass(frozen=True)
class PromisedMean:
    """A mean over time with its dependence-robust standard error.

    Attributes
    ----------
    mean, error : of one moment, and its standard error. degrees : of freedom of the error. n : moments it rests on.

    Examples
    --------
    >>> low, high = PromisedMean(0.1, 0.05, 30, 1000).interval()
    >>> round(low, 4), round(high, 4)
    (-0.0021, 0.2021)
    """

    mean: float
    error: float
    degrees: int
    n: int

    @classmethod
    def of(cls, values: ArrayLike, name: str = "the series") -> Self:
        """The mean of a series (n,) in time order; the error is infinite where it remembers too long to be judged.

        Raises
        ------
        DataError : a value is not finite, or all are equal. NotEnoughData : fewer than 20 values.
        """
        tested = ewc_t_test(as_values(values, name), name=name)
        error = float(tested.standard_error) if tested.decidable else math.inf
        return cls(float(tested.mean), error, int(tested.degrees_of_freedom), int(tested.n))

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Where the mean is."""
        half = float(stdtrit(self.degrees, 0.5 + confidence / 2)) * self.error
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class LiveExpectation:
    """What may be expected of a version in use: skill and earnings a moment, as they were out of fold.

    Attributes
    ----------
    skill : mean payoff a moment, symbols averaged first. net : mean net return a bar of its positions, where it had any.
    deviation : standard deviation of the payoff of a moment. spread : the same in the long run, dependence counted: the mean of
        many moments n has the error ``spread / sqrt(n)``.

    Examples
    --------
    >>> payoff = 0.2 + np.random.default_rng(0).standard_normal(2000)
    >>> promised = LiveExpectation.of(payoff)
    >>> round(promised.skill.mean, 2), 0.8 < promised.spread < 1.2, 0.15 < promised.expected < promised.skill.mean
    (0.17, True, True)
    >>> LiveExpectation.from_dict(promised.to_dict()) == promised
    True
    """

    skill: PromisedMean
    deviation: float
    spread: float
    net: PromisedMean | None = None

    @classmethod
    def of(cls, payoff: ArrayLike, *, net: ArrayLike | None = None) -> Self:
        """From out-of-fold payoffs and net returns.

        Parameters
        ----------
        payoff : (n,) one a moment in time order. net : (m,) one a bar; left out where it is constant, as without positions.

        Raises
        ------
        DataError : a value is not finite, or all payoffs are equal. NotEnoughData : fewer than 20 payoffs.
        """
        values = as_values(payoff, "the payoff out of fold")
        skill = PromisedMean.of(values, "the payoff out of fold")
        deviation = float(values.std())
        return cls(skill, deviation, _long_run(values), None if net is None else _mean_or_none(net))

    @property
    def expected(self) -> float:
        """Skill that can be counted on: lower end of the 50 % interval; 0 where that is negative or unknown."""
        low, _ = self.skill.interval(0.5)
        return max(0.0, low) if math.isfinite(low) else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, to be kept as extras under :data:`EXPECTATION`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Self:
        """Back from :meth:`to_dict`; keys of others are passed over.

        Raises
        ------
        DataError : it is none.
        """
        try:
            net = kept.get("net")
            return cls(
                PromisedMean(**kept["skill"]),
                float(kept["deviation"]),
                float(kept["spread"]),
                None if net is None else PromisedMean(**net),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise DataError(f"this is no live expectation ({reason}); what its to_dict wrote was expected.") from error


def _long_run(values: NDArray[np.float64]) -> float:
    """Long-run standard deviation by an autoregression: of few and nearly independent payoffs surer than cosines are."""
    n = len(values)
    power = gathered(cosine_projections(values[None]))
    covariance = autocovariances(power, n, max(1, min(int(10 * math.log10(n)), n // 5)))
    phi = fit_autoregression(covariance, n)[0]
    shocks = float(covariance[0, 0] - phi @ covariance[0, 1:])
    most = math.sqrt(n * float(covariance[0, 0]))  # of a series that never leaves its side
    return min(math.sqrt(max(shocks, 0.0)) / max(1.0 - float(phi.sum()), 1e-6), most)


def _mean_or_none(values: ArrayLike) -> PromisedMean | None:
    series = np.asarray(values, dtype=np.float64)
    if len(series) < _LEAST or not np.isfinite(series).all() or np.ptp(series) == 0.0:
        return None
    try:
        return PromisedMean.of(series, "the net return out of fold")
    except (DataError, NotEnoughData):  # no variation at low frequencies: as good as no positions
        return None
