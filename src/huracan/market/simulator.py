"""A market whose truth is known: its regimes, and how much of its future any forecast can know."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata

from huracan.dataset import REGIME_ORDER
from huracan.errors import DataError, nearest_name
from huracan.market.simulator_filter import Bars, forecast_segment
from huracan.market.simulator_process import MarketLaw, SymbolLaw, SymbolPath, SymbolShocks, draw_path

__all__ = ["BAR_MINUTES", "SimulatedMarket", "simulate_market"]

BAR_MINUTES = {"1m": 1, "5m": 5, "1h": 60, "4h": 240, "1d": 1440}
"""Bar lengths that can be simulated, in minutes."""

_HOURLY_VOLATILITY = 0.007
_HOURLY_TURNOVER = 2.0e6
_MEAN_OUTAGE = 12.0


@dataclass(frozen=True, eq=False)
class SimulatedMarket:
    candles: pl.DataFrame
    regimes: pl.DataFrame
    best_scores: pl.DataFrame
    best_accuracy: float
    best_information_coefficient: float


def simulate_market(
    n_bars: int = 5_000,
    n_symbols: int = 5,
    seed: int = 0,
    signal_strength: float = 1.0,
    bar: str = "1h",
    gap_share: float = 0.0,
    start: str = "2024-01-01",
) -> SimulatedMarket:
    """Simulate candles with a planted edge, and say how much of it can be found."""
    opening = _require_arguments(n_bars, n_symbols, seed, signal_strength, bar, gap_share, start)
    law = MarketLaw()
    kept = n_bars - round(gap_share * n_bars)
    common = np.random.default_rng([seed, 0])
    shared = common.standard_normal(n_bars)
    mixing = np.sqrt((law.tail - 2.0) / common.chisquare(law.tail, n_bars))
    frames, accuracies, coefficients = [], [], []
    for i in range(n_symbols):
        name = f"SIM{i + 1:02d}-USD"
        rng = np.random.default_rng([seed, i + 1])
        symbol = _symbol(rng, bar)
        slots = _open_slots(rng, n_bars, kept)
        shocks = _shocks(rng, law, symbol, slots, shared, mixing)
        path = draw_path(law, symbol, shocks, signal_strength)
        score = _best_score(law, symbol, path, shocks.restart, signal_strength)
        accuracy, coefficient = _attainable(path, shocks.restart, score)
        accuracies.append(accuracy)
        coefficients.append(coefficient)
        frames.append(_frame(name, opening, bar, slots, path, shocks.regime, score))
    table = pl.concat(frames)
    return SimulatedMarket(
        candles=table.select("symbol", "ts", "open", "high", "low", "close", "volume"),
        regimes=table.select("symbol", "ts", "regime"),
        best_scores=table.select("symbol", "ts", "score"),
        best_accuracy=float(np.mean(accuracies)) if signal_strength else 0.5,
        best_information_coefficient=float(np.mean(coefficients)) if signal_strength else 0.0,
    )


def _symbol(rng: np.random.Generator, bar: str) -> SymbolLaw:
    hours = BAR_MINUTES[bar] / 60.0
    price = float(np.exp(rng.uniform(math.log(0.1), math.log(50_000.0))))
    volatility = float(_HOURLY_VOLATILITY * math.sqrt(hours) * np.exp(rng.uniform(-0.15, 0.15)))
    turnover = float(_HOURLY_TURNOVER * hours * np.exp(rng.normal(0.0, 1.0)))
    return SymbolLaw(price, volatility, math.log(turnover / price))


def _open_slots(rng: np.random.Generator, n_bars: int, kept: int) -> NDArray[np.int64]:
    """Which bars of the calendar exist: outages of geometric length between bars that stay."""
    missing = n_bars - kept
    lengths: list[int] = []
    while sum(lengths) < missing:
        lengths.append(int(min(rng.geometric(1.0 / _MEAN_OUTAGE), missing - sum(lengths))))
    before = np.zeros(kept, np.int64)
    if lengths:
        count = min(len(lengths), kept - 1)
        where = rng.choice(np.arange(1, kept), size=count, replace=False)
        before[where] = np.bincount(np.arange(len(lengths)) % count, weights=lengths, minlength=count).astype(np.int64)
    return np.arange(kept) + np.cumsum(before)


def _shocks(
    rng: np.random.Generator,
    law: MarketLaw,
    symbol: SymbolLaw,
    slots: NDArray[np.int64],
    shared: NDArray[np.float64],
    mixing: NDArray[np.float64],
) -> SymbolShocks:
    n = len(shared)
    own = rng.standard_normal(n)
    shock = mixing * (math.sqrt(law.correlation) * shared + math.sqrt(1.0 - law.correlation) * own)
    up, down, volume = rng.exponential(size=n), rng.exponential(size=n), rng.standard_normal(n)
    outage = np.diff(slots, prepend=-1) - 1
    restart = outage > 0
    restart[0] = True
    jump = symbol.volatility * np.sqrt(outage) * rng.standard_normal(n)[slots]
    regime = _regimes(rng, law, restart)
    return SymbolShocks(regime, shock[slots], up[slots], down[slots], volume[slots], restart, jump)


def _regimes(rng: np.random.Generator, law: MarketLaw, restart: NDArray[np.bool_]) -> NDArray[np.int64]:
    n = len(restart)
    regime = np.empty(n, np.int64)
    starts = [*np.flatnonzero(restart).tolist(), n]
    for begin, end in zip(starts[:-1], starts[1:]):
        state, t = int(rng.choice(4, p=law.stationary)), begin
        while t < end:
            stop = t + int(rng.geometric(1.0 / law.duration[state]))
            regime[t : min(stop, end)] = state
            state, t = int(rng.choice(4, p=law.next_regime[state])), stop
    return regime


def _segments(restart: NDArray[np.bool_]) -> list[slice]:
    starts = [*np.flatnonzero(restart).tolist(), len(restart)]
    return [slice(a, b) for a, b in zip(starts[:-1], starts[1:])]


def _best_score(
    law: MarketLaw, symbol: SymbolLaw, path: SymbolPath, restart: NDArray[np.bool_], strength: float
) -> NDArray[np.float64]:
    if not strength:
        return np.zeros(len(restart))
    parts = []
    for s in _segments(restart):
        bars = Bars(path.open[s], path.high[s], path.low[s], path.close[s], path.volume[s])
        parts.append(forecast_segment(law, symbol, bars, strength).score)
    return np.concatenate(parts)


def _attainable(path: SymbolPath, restart: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[float, float]:
    log_open = np.log(path.open)
    rows = np.flatnonzero(~(restart[1:-1] | restart[2:]))
    target = log_open[rows + 2] - log_open[rows + 1]
    forecast = score[rows]
    accuracy = float(np.mean((forecast > 0) == (target > 0)))
    coefficient = float(np.corrcoef(rankdata(forecast), rankdata(target))[0, 1])
    return accuracy, coefficient


def _frame(
    name: str,
    opening: datetime,
    bar: str,
    slots: NDArray[np.int64],
    path: SymbolPath,
    regime: NDArray[np.int64],
    score: NDArray[np.float64],
) -> pl.DataFrame:
    first = int(opening.timestamp() * 1000)
    names = pl.Series([str(r) for r in REGIME_ORDER])
    return pl.DataFrame(
        {
            "symbol": pl.repeat(name, len(slots), eager=True),
            "ts": pl.Series(first + slots * (BAR_MINUTES[bar] * 60_000)).cast(pl.Datetime("ms", "UTC")),
            "open": path.open,
            "high": path.high,
            "low": path.low,
            "close": path.close,
            "volume": path.volume,
            "regime": names.gather(pl.Series(regime)),
            "score": score,
        }
    )


def _require_arguments(
    n_bars: int, n_symbols: int, seed: int, signal_strength: float, bar: str, gap_share: float, start: str
) -> datetime:
    if n_bars < 3:
        raise DataError(f"n_bars is {n_bars}; a simulated market needs at least 3 bars.")
    if n_symbols < 1:
        raise DataError(f"n_symbols is {n_symbols}; a simulated market needs at least 1 symbol.")
    if seed < 0:
        raise DataError(f"seed is {seed}; a whole number from 0 was expected.")
    if not (math.isfinite(signal_strength) and 0.0 <= signal_strength <= 3.0):
        raise DataError(f"signal_strength is {signal_strength}; a number from 0 (nothing predicts) to 3 was expected.")
    if bar not in BAR_MINUTES:
        raise nearest_name(bar, BAR_MINUTES, kind="bar")
    if not 0.0 <= gap_share <= 0.5:
        raise DataError(f"gap_share is {gap_share}; a fraction from 0 to 0.5 was expected.")
    try:
        moment = datetime.fromisoformat(start)
    except ValueError as error:
        raise DataError(f"start is '{start}'; an ISO date such as 2024-01-01 was expected.") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
