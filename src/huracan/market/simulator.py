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
from huracan.errors import DataError, NotEnoughData, nearest_name
from huracan.market.simulator_chance import draw_open_slots, draw_shared, draw_shocks, draw_symbol, segments
from huracan.market.simulator_filter import Bars, forecast_segment
from huracan.market.simulator_process import MarketLaw, SymbolLaw, SymbolPath, draw_path

__all__ = ["BAR_MINUTES", "SimulatedMarket", "simulate_market"]

BAR_MINUTES = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "4h": 240, "1d": 1440}
"""Bar lengths that can be simulated, in minutes."""

_LEAST_BARS = 30
_MOST_STRENGTH = 3.0


@dataclass(frozen=True, eq=False)
class SimulatedMarket:
    """What :func:`simulate_market` made, and the truth about it.

    Attributes
    ----------
    candles : ``[symbol, ts, open, high, low, close, volume]``, sorted by symbol and time.
    regimes : ``[symbol, ts, regime]``, the true regime that bar ``ts`` was made in; no candle tells it for sure.
    best_scores : ``[symbol, ts, score]``, the optimal filter's forecast when bar ``ts`` has closed of the log return
        ``open[t+1] -> open[t+2]``; on any subset of rows no causal forecast of one symbol ranks better, up to chance.
    best_accuracy : share of rows where the sign of the score is the sign of that return; 0.5 where nothing predicts.
    best_information_coefficient : rank correlation of score and that return within a symbol over time, mean over
        symbols; 0 where nothing predicts. It is measured on this draw, so it scatters around its expectation with a
        standard error of about ``1 / sqrt(rows)``.
    """

    candles: pl.DataFrame
    regimes: pl.DataFrame
    best_scores: pl.DataFrame
    best_accuracy: float
    best_information_coefficient: float

    def __repr__(self) -> str:
        found = f"best accuracy {self.best_accuracy:.3f}, best information coefficient {self.best_information_coefficient:.3f}"
        return f"<SimulatedMarket: {self.candles.height:,} bars of {self.candles['symbol'].n_unique()} symbols; {found}>"


def simulate_market(
    n_bars: int = 5_000,
    n_symbols: int = 5,
    seed: int = 0,
    signal_strength: float = 1.0,
    bar: str = "1h",
    gap_share: float = 0.0,
    start: str = "2024-01-01",
) -> SimulatedMarket:
    """Simulate candles with a planted edge, and say how much of it can be found.

    Each symbol goes through regimes by a Markov chain. The log return of bar t+1, in regime s, is ::

        r[t+1] = k_s * sqrt(h[t+1]) * (m_s[t] + e[t+1])
        h[t+1] = w + (a + b * (r[t] < 0)) * r[t]**2 + c * h[t]                     GJR-GARCH(1,1)

    with e Student-t (8 degrees of freedom, variance 1, correlated .3 between symbols, large for all at once) and k_s
    = 1, .8, 1.3, .6 for trending, ranging, volatile, illiquid. High and low are the extremes of a Brownian bridge
    from open to close; log volume is an AR(1) whose level depends on the regime and on the size of the move; the next
    bar opens at the close. The planted edge is the conditional mean, in units of the bar's own volatility ::

        m_s[t] = signal_strength * u * ( p_s * g(T) * (1 + tanh(V) / 2)            momentum, confirmed by volume
                                       - q_s * g(D)                                reversal of a stretched price
                                       + w_s * g(W) )                              rejection of the bar's extreme
        g(x) = x * abs(x) / (1 + x**2)                                             only what is large counts

                    p_s   q_s   w_s    why
        trending    1.2   0.9   0.65   trends continue when volume confirms them; dips are bought
        ranging     0.7   1.2   0.85   a stretched price comes back, a rejected extreme is not tried again
        volatile    1.0   1.2   0.85   large shocks overshoot and reverse, yet direction persists
        illiquid    0.0   0.0   0.0    no edge: noise

    T and D are exponential averages (spans 40 and 3) of returns divided by ``sqrt(h)``, V is the average of log volume
    over span 8 less that over span 60, W is (lower wick - upper wick) / range of the last bar; each is in its own unit
    (:class:`~huracan.market.simulator_process.MarketLaw`). All are functions of candles up to t. Momentum and reversal
    pull against each other, so no ordinary feature alone carries much more than half of the attainable rank
    correlation, and how much each counts must be told from volatility and volume, which show the regime only in part.

    Nothing else predicts the sign of a return: shocks are symmetric and independent over time, so at
    ``signal_strength=0`` log returns have conditional mean and median zero, in trends too; regimes still show in
    volatility and volume. At strength 1 the best attainable rank correlation is .10 and accuracy .535 (mean over
    seeds); both grow with strength.

    The best attainable score is that of Hamilton's exact forward filter, which knows this law but sees candles only:
    the expected rank of the next return among the symbol's returns. It uses the symbol's own candles; what the other
    symbols add through the common shock is not counted (knowing that shock exactly adds under 1 % to the rank
    correlation).

    Parameters
    ----------
    n_bars : length of the calendar, bars, from 30.
    n_symbols : symbols, named ``SIM01-USD`` and so on; a symbol does not change when more are asked for.
    seed : same seed and arguments, same market, bit for bit.
    signal_strength : from 0 (nothing predicts) to 3.
    bar : ``"1m"``, ``"5m"``, ``"15m"``, ``"1h"``, ``"4h"`` or ``"1d"``; volatility is about 0.7 % an hour and grows
        with the square root of time. Spells of a regime are counted in bars (40 to 80 on average).
    gap_share : share of each symbol's bars that are missing, up to .5, in outages of 12 bars on average. After an
        outage the symbol starts afresh: regime from its stationary law, averages and variance from their means.
    start : open of the first bar, ISO date or time, UTC.

    Raises
    ------
    DataError : an argument out of bounds, named with its value.
    UnknownName : ``bar`` is none of the six.
    NotEnoughData : gaps leave a symbol fewer than 3 rows with a future.

    References
    ----------
    Hamilton (1989), Econometrica 57(2), section 4, for the filter; Glosten, Jagannathan and Runkle (1993), Journal of
    Finance 48(5), for the variance.

    Examples
    --------
    >>> market = simulate_market(n_bars=500, n_symbols=2, seed=7)
    >>> market.candles.shape, market.candles["symbol"].unique().sort().to_list()
    ((1000, 7), ['SIM01-USD', 'SIM02-USD'])
    >>> nothing = simulate_market(n_bars=500, n_symbols=2, seed=7, signal_strength=0)
    >>> nothing.best_accuracy, nothing.best_information_coefficient
    (0.5, 0.0)
    """
    opening = _require_arguments(n_bars, n_symbols, seed, signal_strength, bar, gap_share, start)
    law = MarketLaw()
    shared = draw_shared(np.random.default_rng([seed, 0]), law, n_bars)
    kept = n_bars - round(gap_share * n_bars)
    frames, attained = [], []
    for i in range(n_symbols):
        name = f"SIM{i + 1:0{max(2, len(str(n_symbols)))}d}-USD"
        rng = np.random.default_rng([seed, i + 1])
        symbol = draw_symbol(rng, BAR_MINUTES[bar] / 60.0)
        slots = draw_open_slots(rng, n_bars, kept)
        shocks = draw_shocks(rng, law, symbol, slots, shared)
        path = draw_path(law, symbol, shocks, signal_strength)
        score = _best_score(law, symbol, path, shocks.restart, signal_strength)
        attained.append(_attained(name, path, shocks.restart, score))
        frames.append(_frame(name, opening, bar, slots, path, shocks.regime, score))
    table = pl.concat(frames)
    accuracy, coefficient = np.mean(attained, axis=0).tolist() if signal_strength else (0.5, 0.0)
    return SimulatedMarket(
        candles=table.select("symbol", "ts", "open", "high", "low", "close", "volume"),
        regimes=table.select("symbol", "ts", "regime"),
        best_scores=table.select("symbol", "ts", "score"),
        best_accuracy=accuracy,
        best_information_coefficient=coefficient,
    )


def _best_score(
    law: MarketLaw, symbol: SymbolLaw, path: SymbolPath, restart: NDArray[np.bool_], strength: float
) -> NDArray[np.float64]:
    if not strength:
        return np.zeros(len(restart))
    parts = []
    for part in segments(restart):
        bars = Bars(path.open[part], path.high[part], path.low[part], path.close[part], path.volume[part])
        parts.append(forecast_segment(law, symbol, bars, strength).score)
    return np.concatenate(parts)


def _attained(name: str, path: SymbolPath, restart: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[float, float]:
    """Accuracy and rank correlation of the score with the return from the next open to the one after."""
    rows = np.flatnonzero(~(restart[1:-1] | restart[2:]))
    if len(rows) < 3:
        raise NotEnoughData(
            f"{name} has {len(rows)} bars with two more behind them; at least 3 are needed: fewer gaps, more bars."
        )
    log_open = np.log(path.open)
    future, forecast = log_open[rows + 2] - log_open[rows + 1], score[rows]
    accuracy = float(np.mean((forecast > 0) == (future > 0)))
    if not np.ptp(forecast):
        return accuracy, 0.0
    return accuracy, float(np.corrcoef(rankdata(forecast), rankdata(future))[0, 1])


def _frame(
    name: str,
    opening: datetime,
    bar: str,
    slots: NDArray[np.int64],
    path: SymbolPath,
    regime: NDArray[np.int64],
    score: NDArray[np.float64],
) -> pl.DataFrame:
    milliseconds = round(opening.timestamp() * 1000) + slots * (BAR_MINUTES[bar] * 60_000)
    return pl.DataFrame(
        {
            "symbol": pl.repeat(name, len(slots), eager=True),
            "ts": pl.Series(milliseconds).cast(pl.Datetime("ms", "UTC")),
            "open": path.open,
            "high": path.high,
            "low": path.low,
            "close": path.close,
            "volume": path.volume,
            "regime": pl.Series([str(r) for r in REGIME_ORDER]).gather(pl.Series(regime)),
            "score": score,
        }
    )


def _require_arguments(
    n_bars: int, n_symbols: int, seed: int, signal_strength: float, bar: str, gap_share: float, start: str
) -> datetime:
    for name, value, least in (("n_bars", n_bars, _LEAST_BARS), ("n_symbols", n_symbols, 1), ("seed", seed, 0)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise DataError(f"{name} is {value!r}; a whole number from {least} was expected.")
    for name, number, most in (("signal_strength", signal_strength, _MOST_STRENGTH), ("gap_share", gap_share, 0.5)):
        if isinstance(number, str) or not (math.isfinite(number) and 0.0 <= number <= most):
            raise DataError(f"{name} is {number!r}; a number from 0 to {most} was expected.")
    if bar not in BAR_MINUTES:
        raise nearest_name(str(bar), BAR_MINUTES, kind="bar")
    try:
        moment = datetime.fromisoformat(start)
    except (TypeError, ValueError) as error:
        raise DataError(f"start is {start!r}; an ISO date such as 2024-01-01 was expected.") from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
