"""What chance decides before the simulated market's first bar: symbols, outages, spells of regimes, shocks.

Each symbol has its own stream of random numbers beside one that all share, so a symbol's shocks do not depend on how
many symbols there are, nor on the strength of the signal.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huracan.market.simulator_process import MarketLaw, SymbolLaw, SymbolShocks

__all__ = ["SharedShocks", "draw_open_slots", "draw_shared", "draw_shocks", "draw_symbol", "segments"]

Floats = NDArray[np.float64]

_HOURLY_VOLATILITY = 0.007
_HOURLY_TURNOVER = 2.0e6
_MEAN_OUTAGE = 12.0


@dataclass(frozen=True)
class SharedShocks:
    """The common factor of every bar, standard normal, and the scale that makes all shocks of the bar Student-t."""

    factor: Floats
    mixing: Floats


def draw_shared(rng: np.random.Generator, law: MarketLaw, n_bars: int) -> SharedShocks:
    """Draw what all symbols share: where it is large, all markets move at once."""
    return SharedShocks(rng.standard_normal(n_bars), np.sqrt((law.tail - 2.0) / rng.chisquare(law.tail, n_bars)))


def draw_symbol(rng: np.random.Generator, hours: float) -> SymbolLaw:
    """Draw a symbol's price level, volatility of a bar (0.7 % an hour, give or take 15 %) and turnover."""
    price = float(np.exp(rng.uniform(math.log(0.1), math.log(50_000.0))))
    volatility = float(_HOURLY_VOLATILITY * math.sqrt(hours) * np.exp(rng.uniform(-0.15, 0.15)))
    turnover = float(_HOURLY_TURNOVER * hours * np.exp(rng.normal(0.0, 1.0)))
    return SymbolLaw(price, volatility, math.log(turnover / price))


def draw_open_slots(rng: np.random.Generator, n_bars: int, kept: int) -> NDArray[np.int64]:
    """Draw which bars of the calendar exist, (kept,): outages of geometric length (mean 12 bars) between them."""
    lengths: list[int] = []
    missing = n_bars - kept
    while missing:
        lengths.append(int(min(rng.geometric(1.0 / _MEAN_OUTAGE), missing)))
        missing -= lengths[-1]
    before = np.zeros(kept, np.int64)
    if lengths:
        outages = np.bincount(np.arange(len(lengths)) % (kept - 1), weights=lengths).astype(np.int64)
        before[rng.choice(np.arange(1, kept), size=len(outages), replace=False)] = outages
    return np.arange(kept) + np.cumsum(before)


def draw_shocks(
    rng: np.random.Generator, law: MarketLaw, symbol: SymbolLaw, slots: NDArray[np.int64], shared: SharedShocks
) -> SymbolShocks:
    """Draw one symbol's shocks for the whole calendar and keep those of the bars that exist."""
    n = len(shared.factor)
    own = math.sqrt(1.0 - law.correlation) * rng.standard_normal(n)
    shock = shared.mixing * (math.sqrt(law.correlation) * shared.factor + own)
    up, down = rng.exponential(size=n), rng.exponential(size=n)
    volume, over_outage = rng.standard_normal(n), rng.standard_normal(n)
    outage = np.diff(slots, prepend=-1) - 1
    restart = outage > 0
    restart[0] = True
    return SymbolShocks(
        regime=_draw_regimes(rng, law, restart),
        shock=shock[slots],
        up=up[slots],
        down=down[slots],
        volume=volume[slots],
        restart=restart,
        jump=symbol.volatility * np.sqrt(outage) * over_outage[slots],
    )


def segments(restart: NDArray[np.bool_]) -> list[slice]:
    """The runs of bars without a gap."""
    return [slice(a, b) for a, b in itertools.pairwise([*np.flatnonzero(restart).tolist(), len(restart)])]


def _draw_regimes(rng: np.random.Generator, law: MarketLaw, restart: NDArray[np.bool_]) -> NDArray[np.int64]:
    """A Markov chain drawn spell by spell, from its stationary law at the start of each segment."""
    regime = np.empty(len(restart), np.int64)
    for part in segments(restart):
        state, t = int(rng.choice(4, p=law.stationary)), part.start
        while t < part.stop:
            end = t + int(rng.geometric(1.0 / law.duration[state]))
            regime[t : min(end, part.stop)] = state
            state, t = int(rng.choice(4, p=law.next_regime[state])), end
    return regime
