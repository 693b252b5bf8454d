"""The law of the simulated market and one draw from it, bar by bar.

Everything that a forecast could use at bar t is a function of candles up to t: the conditional variance is a GARCH
recursion on observed returns, the drivers of the edge are moving averages of observed returns and volume. Only the
regime is hidden, and it shows in the size of returns, in the bar's range and in volume, each with a known density.
That is why the optimal filter of :mod:`huracan.market.simulator_filter` can be exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["MarketLaw", "SymbolLaw", "SymbolPath", "SymbolShocks", "average_unit", "draw_path", "edge_by_regime", "large"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MarketLaw:
    """Every number of the market's law; tuples go by regime: trending, ranging, volatile, illiquid.

    Attributes
    ----------
    duration : mean length of a spell in each regime, bars.
    next_regime : probabilities of the regime that follows, a row for each regime.
    scale : volatility of each regime, as a multiple of the GARCH volatility.
    reaction, leverage, persistence : GJR-GARCH(1,1) coefficients of squared return, of squared fall, of past variance.
    tail : degrees of freedom of the Student-t shocks.
    correlation : between the shocks of two symbols.
    volume_level : mean of log volume in each regime, around the symbol's own level.
    volume_memory, volume_response, volume_noise : AR(1) coefficient of log volume, its response to the size of the
        bar's move, the standard deviation of its own shocks.
    edge : weight of momentum, reversal and rejection in each regime.
    edge_unit : expected next return in units of its volatility, per unit of weight, at signal strength 1.
    trend_span, stretch_span : spans of the moving averages of returns behind momentum and reversal, bars.
    flow_fast, flow_slow : spans of the two averages of log volume whose difference confirms momentum, bars.
    stretch_unit, rejection_unit : what counts as a large stretch (standard deviations of a bar) and a large wick
        imbalance (share of the bar's range).
    """

    duration: tuple[float, ...] = (80.0, 80.0, 60.0, 40.0)
    next_regime: tuple[tuple[float, ...], ...] = (
        (0.00, 0.50, 0.40, 0.10),
        (0.50, 0.00, 0.25, 0.25),
        (0.45, 0.45, 0.00, 0.10),
        (0.25, 0.55, 0.20, 0.00),
    )
    scale: tuple[float, ...] = (1.0, 0.8, 1.3, 0.6)
    reaction: float = 0.025
    leverage: float = 0.01
    persistence: float = 0.90
    tail: float = 8.0
    correlation: float = 0.3
    volume_level: tuple[float, ...] = (0.5, -0.3, 0.9, -1.5)
    volume_memory: float = 0.6
    volume_response: float = 0.2
    volume_noise: float = 0.35
    edge: tuple[tuple[float, ...], ...] = (
        (1.2, 0.9, 0.65),
        (0.7, 1.2, 0.85),
        (1.0, 1.2, 0.85),
        (0.0, 0.0, 0.0),
    )
    edge_unit: float = 0.16
    trend_span: int = 40
    stretch_span: int = 3
    flow_fast: int = 8
    flow_slow: int = 60
    stretch_unit: float = 0.7
    rejection_unit: float = 0.27

    @cached_property
    def transition(self) -> Floats:
        """Probability of regime j at the next bar given regime i, (4, 4)."""
        stay = 1.0 - 1.0 / np.asarray(self.duration)
        return np.diag(stay) + (1.0 - stay)[:, None] * np.asarray(self.next_regime)

    @cached_property
    def stationary(self) -> Floats:
        """Long-run share of bars in each regime, (4,)."""
        p = self.transition
        equations = np.vstack([p.T - np.eye(len(p)), np.ones(len(p))])
        return np.linalg.lstsq(equations, np.append(np.zeros(len(p)), 1.0), rcond=None)[0]

    @cached_property
    def mean_move(self) -> float:
        """Typical size of a bar's move in units of GARCH volatility, about which volume responds."""
        return float(0.75 * self.stationary @ np.asarray(self.scale))

    @cached_property
    def variance_ratio(self) -> float:
        """Mean squared return over the mean GARCH variance that a unit constant gives: fixes the long-run volatility."""
        p, k2 = self.transition, np.asarray(self.scale) ** 2
        growth = np.diag((self.reaction + self.leverage / 2) * k2 + self.persistence)
        variance = np.linalg.solve(np.eye(len(k2)) - p.T @ growth, p.T @ self.stationary)
        return float(k2 @ variance)


@dataclass(frozen=True)
class SymbolLaw:
    """What differs between symbols: first price, long-run volatility of a bar's log return, level of log volume."""

    price: float
    volatility: float
    log_volume: float


@dataclass(frozen=True)
class SymbolShocks:
    """Exogenous draws for one symbol, one for each bar.

    ``shock`` has variance one and is Student-t; ``up`` and ``down`` are unit exponentials that give the wicks;
    ``volume`` is standard normal; ``restart`` marks the first bar of a segment; ``jump`` is the log return over the
    outage before it.
    """

    regime: NDArray[np.int64]
    shock: Floats
    up: Floats
    down: Floats
    volume: Floats
    restart: NDArray[np.bool_]
    jump: Floats


@dataclass(frozen=True)
class SymbolPath:
    """Candles of one symbol as arrays, and the conditional mean and standard deviation that made each return."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    mean: Floats
    deviation: Floats


def edge_by_regime(law: MarketLaw, trend: Floats, stretch: Floats, rejection: Floats, flow: Floats) -> Floats:
    """Expected next return of each regime in units of its volatility, at signal strength 1, (n, 4).

    The arguments are the drivers after bar t, (n,), each in its own unit. This is the formula that the docstring of
    ``simulate_market`` gives.
    """
    momentum = large(trend) * (1.0 + 0.5 * np.tanh(flow))
    parts = np.stack([momentum, -large(stretch), large(rejection)], axis=1)
    return law.edge_unit * parts @ np.asarray(law.edge).T


def large(x: Floats) -> Floats:
    """Little near zero, the sign far out: a move counts once it is large.

    >>> large(np.array([-9.0, 0.1, 1.0])).round(2).tolist()
    [-0.99, 0.01, 0.5]
    """
    return x * np.abs(x) / (1.0 + x * x)


def average_unit(span: int) -> float:
    """Standard deviation of an exponential moving average of unit white noise.

    >>> average_unit(4)
    0.5
    """
    return math.sqrt(1.0 / span)


def draw_path(law: MarketLaw, symbol: SymbolLaw, shocks: SymbolShocks, strength: float) -> SymbolPath:
    """Run the recursion for one symbol; plain floats, because a loop over bars is faster on them than on arrays."""
    n = len(shocks.shock)
    trend_gain, stretch_gain = 2.0 / (law.trend_span + 1), 2.0 / (law.stretch_span + 1)
    fast_gain, slow_gain = 2.0 / (law.flow_fast + 1), 2.0 / (law.flow_slow + 1)
    trend_unit = average_unit(law.trend_span)
    stretch_unit = law.stretch_unit * average_unit(law.stretch_span)
    rejection_unit = law.rejection_unit
    edge = [[strength * law.edge_unit * weight for weight in row] for row in law.edge]
    start = symbol.volatility**2
    constant = start / law.variance_ratio
    reaction, leverage, persistence, scale = law.reaction, law.leverage, law.persistence, law.scale
    memory, response, noise, mean_move = law.volume_memory, law.volume_response, law.volume_noise, law.mean_move
    level = [(1.0 - memory) * v for v in law.volume_level]
    tanh, sqrt = math.tanh, math.sqrt

    returns, means, deviations, log_volume = [0.0] * n, [0.0] * n, [0.0] * n, [0.0] * n
    variance, trend, stretch, rejection, fast, slow, volume = start, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    draws = (shocks.regime, shocks.shock, shocks.up, shocks.down, shocks.volume, shocks.restart)
    rows = zip(*(column.tolist() for column in draws), strict=True)
    for t, (regime, shock, up, down, volume_shock, restart) in enumerate(rows):
        if restart:
            variance, trend, stretch, rejection, fast, slow, volume = start, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        on_momentum, on_reversal, on_rejection = edge[regime]
        mean = (
            on_momentum * trend * abs(trend) / (1.0 + trend * trend) * (1.0 + 0.5 * tanh(fast - slow))
            - on_reversal * stretch * abs(stretch) / (1.0 + stretch * stretch)
            + on_rejection * rejection * abs(rejection) / (1.0 + rejection * rejection)
        )
        root = sqrt(variance)
        deviation = scale[regime] * root
        move = deviation * (mean + shock)
        z = move / root
        volume = memory * volume + level[regime] + response * (abs(z) - mean_move) + noise * volume_shock
        returns[t], means[t], deviations[t], log_volume[t] = move, deviation * mean, deviation, volume

        above = 0.5 * (move + sqrt(move * move + 2.0 * deviation * deviation * up))
        below = 0.5 * (move - sqrt(move * move + 2.0 * deviation * deviation * down))
        rejection = (move - above - below) / (above - below) / rejection_unit
        variance = constant + (reaction + leverage if move < 0.0 else reaction) * move * move + persistence * variance
        trend += trend_gain * (z / trend_unit - trend)
        stretch += stretch_gain * (z / stretch_unit - stretch)
        fast += fast_gain * (volume - fast)
        slow += slow_gain * (volume - slow)
    return _candles(symbol, shocks, np.array(returns), np.array(means), np.array(deviations), np.array(log_volume))


def _candles(
    symbol: SymbolLaw, shocks: SymbolShocks, returns: Floats, means: Floats, deviations: Floats, log_volume: Floats
) -> SymbolPath:
    """Hang open, high, low and volume on the returns; the wicks are the extremes of a Brownian bridge."""
    log_close = math.log(symbol.price) + np.cumsum(returns + shocks.jump)
    close = np.exp(log_close)
    first = np.exp(log_close - returns)
    opening = np.where(shocks.restart, first, np.concatenate([first[:1], close[:-1]]))
    above = 0.5 * (returns + np.sqrt(returns**2 + 2.0 * deviations**2 * shocks.up))
    below = 0.5 * (returns - np.sqrt(returns**2 + 2.0 * deviations**2 * shocks.down))
    high = np.maximum(opening * np.exp(above), np.maximum(opening, close))
    low = np.minimum(opening * np.exp(below), np.minimum(opening, close))
    return SymbolPath(opening, high, low, close, np.exp(symbol.log_volume + log_volume), means, deviations)
