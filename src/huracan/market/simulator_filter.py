"""The best forecast of the simulated market that candles allow: an exact forward filter over the hidden regime.

Given the candles up to t, the GARCH variance and the drivers of the edge are known numbers; only the regime is not.
Each candle's likelihood under each regime is known in closed form (return: Student-t; high and low: extremes of a
Brownian bridge; log volume: normal), so Hamilton's recursion gives the exact posterior of the regime of the next
bar, and from it the exact mean of the next return.

References
----------
Hamilton (1989), A new approach to the economic analysis of nonstationary time series, Econometrica 57(2), section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from huracan.market.simulator_process import MarketLaw, SymbolLaw, average_unit, edge_by_regime

__all__ = ["Bars", "Forecast", "forecast_segment"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bars:
    """The candles of one segment of one symbol, as arrays (n,)."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats


@dataclass(frozen=True)
class Forecast:
    """What is known of bar t + 1 when bar t has closed.

    Attributes
    ----------
    regime : probability of each regime at the next bar, (n, 4).
    mean, deviation : of the next log return, fractions, (n,).
    score : expected rank of the next log return among the symbol's returns, centred; its order gives the highest
        rank correlation that any forecast can have, (n,).
    """

    regime: Floats
    mean: Floats
    deviation: Floats
    score: Floats


def forecast_segment(
    law: MarketLaw, symbol: SymbolLaw, bars: Bars, strength: float, *, known_regime: NDArray[np.int64] | None = None
) -> Forecast:
    """Forecast the bar after each bar of one segment from the candles up to it.

    Parameters
    ----------
    law, symbol, strength : the truth that made the market.
    bars : candles of one segment, in time order.
    known_regime : the true regime of each bar, for an oracle that sees what candles hide.
    """
    move = np.log(bars.close / bars.open)
    start = symbol.volatility**2
    constant = start / law.variance_ratio
    squared = (law.reaction + law.leverage * (move < 0.0)) * move**2 + constant
    after = lfilter([1.0], [1.0, -law.persistence], squared, zi=[law.persistence * start])[0]
    before = np.concatenate([[start], after[:-1]])
    z = move / np.sqrt(before)
    log_volume = np.log(bars.volume) - symbol.log_volume

    above, below = np.log(bars.high / bars.open), np.log(bars.low / bars.open)
    drivers = (
        _average(z, law.trend_span) / average_unit(law.trend_span),
        _average(z, law.stretch_span) / average_unit(law.stretch_span) / law.stretch_unit,
        (move - above - below) / (above - below) / law.rejection_unit,
        _average(log_volume, law.flow_fast) - _average(log_volume, law.flow_slow),
    )
    edge = strength * edge_by_regime(law, *drivers)
    scale = np.asarray(law.scale)
    spread = np.sqrt(after)[:, None] * scale
    if known_regime is None:
        expected = np.concatenate([np.zeros((1, 4)), edge[:-1]])
        regime = _filter(law, _log_likelihood(law, bars, move, before, expected, log_volume))
    else:
        regime = law.transition[known_regime]
    mean = (regime * spread * edge).sum(axis=1)
    second = (regime * spread**2 * (1.0 + edge**2)).sum(axis=1)
    rank = (regime * edge * spread / np.sqrt(spread**2 + start)).sum(axis=1)
    return Forecast(regime, mean, np.sqrt(second - mean**2), rank)


def _average(x: Floats, span: int) -> Floats:
    """Exponential moving average from zero."""
    gain = 2.0 / (span + 1)
    return lfilter([gain], [1.0, gain - 1.0], x)


def _log_likelihood(law: MarketLaw, bars: Bars, move: Floats, variance: Floats, edge: Floats, log_volume: Floats) -> Floats:
    """Log density of each candle under each regime given the candles before it, up to a constant, (n, 4)."""
    deviation = np.sqrt(variance)[:, None] * np.asarray(law.scale)
    shock = move[:, None] / deviation - edge
    above, below = np.log(bars.high / bars.open), np.log(bars.low / bars.open)
    wicks = above * (above - move) + below * (below - move)
    typical = law.volume_response * (np.abs(move) / np.sqrt(variance) - law.mean_move)
    remembered = law.volume_memory * np.concatenate([[0.0], log_volume[:-1]])
    level = (1.0 - law.volume_memory) * np.asarray(law.volume_level)
    surprise = ((log_volume - remembered - typical)[:, None] - level) / law.volume_noise
    student = -0.5 * (law.tail + 1.0) * np.log1p(shock**2 / (law.tail - 2.0))
    return student - 5.0 * np.log(deviation) - 2.0 * wicks[:, None] / deviation**2 - 0.5 * surprise**2


def _filter(law: MarketLaw, log_likelihood: Floats) -> Floats:
    """Hamilton's recursion: probability of each regime at bar t + 1 given bars up to t, (n, 4)."""
    likelihood = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True)).tolist()
    (p00, p01, p02, p03), (p10, p11, p12, p13), (p20, p21, p22, p23), (p30, p31, p32, p33) = law.transition.tolist()
    a, b, c, d = law.stationary.tolist()
    out = []
    for la, lb, lc, ld in likelihood:
        a, b, c, d = a * la, b * lb, c * lc, d * ld
        total = a + b + c + d
        a, b, c, d = a / total, b / total, c / total, d / total
        a, b, c, d = (
            a * p00 + b * p10 + c * p20 + d * p30,
            a * p01 + b * p11 + c * p21 + d * p31,
            a * p02 + b * p12 + c * p22 + d * p32,
            a * p03 + b * p13 + c * p23 + d * p33,
        )
        out.append((a, b, c, d))
    return np.array(out)
