"""Markets whose edge is known and changes: it flips its sign, or moves from one bar's momentum to five bars' reversal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["HOUR", "ChangingMarket", "changing_market", "flipping_candles"]

HOUR = 3_600_000
Kind = Literal["flips", "moves"]
_START = datetime(2024, 1, 1, tzinfo=UTC)
_VOLATILITY = 0.01


@dataclass(frozen=True, eq=False)
class ChangingMarket:
    """Hourly candles, and the opens of the bars (milliseconds UTC) from which on the next return follows another rule."""

    candles: pl.DataFrame
    changes: tuple[int, ...]
    kind: Kind


def changing_market(
    kind: Kind, seed: int, *, n_bars: int = 12_000, n_symbols: int = 2, edge: float = 0.25, quiet: int = 1_500
) -> ChangingMarket:
    """Standardised returns follow ``z[t+1] = edge * signal[t] + noise``, so that the best forecast's correlation is ``edge``.

    Parameters
    ----------
    kind : "flips": the signal is ``z[t]``, and its sign turns at three random moments; "moves": it is ``z[t]`` and the
        negative mean of five bars (scaled to variance 1) in turn.
    quiet : bars at least between two changes, and before the first after as many to learn from.
    """
    rng = np.random.default_rng([seed, ("flips", "moves").index(kind)])
    free = n_bars - 2 * quiet - 4 * quiet
    gaps = np.sort(rng.integers(0, free + 1, 3))
    changes = [int(2 * quiet + i * quiet + gap) for i, gap in enumerate(gaps)]
    state = np.searchsorted(changes, np.arange(n_bars), side="right") % 2
    frames = [_candles(f"M{i + 1:02d}-USD", _returns(kind, state, edge, rng), rng) for i in range(n_symbols)]
    begin = round(_START.timestamp() * 1_000)
    return ChangingMarket(pl.concat(frames), tuple(begin + HOUR * at for at in changes), kind)


def flipping_candles(n_bars: int, flips: Sequence[int], *, edge: float, n_symbols: int = 1, seed: int = 0) -> pl.DataFrame:
    """Hourly candles whose next return follows the last one, its sign turned at the bars ``flips``."""
    rng = np.random.default_rng(seed)
    state = np.searchsorted(list(flips), np.arange(n_bars), side="right") % 2
    return pl.concat([_candles(f"M{i + 1:02d}-USD", _returns("flips", state, edge, rng), rng) for i in range(n_symbols)])


def _returns(kind: Kind, state: NDArray[np.int64], edge: float, rng: np.random.Generator) -> NDArray[np.float64]:
    n = len(state)
    noise = np.sqrt(1.0 - edge**2) * rng.standard_normal(n)
    z = np.zeros(n)
    z[:5] = noise[:5]
    for t in range(4, n - 1):
        if state[t] == 0:
            signal = z[t]
        elif kind == "flips":
            signal = -z[t]
        else:
            signal = -z[t - 4 : t + 1].sum() / np.sqrt(5.0)
        z[t + 1] = edge * signal + noise[t + 1]
    return z


def _candles(symbol: str, z: NDArray[np.float64], rng: np.random.Generator) -> pl.DataFrame:
    """A bar opens where the one before closed, so that the label of bar t is the return of bar t + 1."""
    n = len(z)
    close = 100.0 * np.exp(np.cumsum(_VOLATILITY * z))
    opened = np.concatenate([[100.0], close[:-1]])
    beyond = np.exp(0.3 * _VOLATILITY * np.abs(rng.standard_normal((2, n))))
    return pl.DataFrame(
        {
            "symbol": [symbol] * n,
            "ts": pl.Series([_START + timedelta(hours=i) for i in range(n)], dtype=pl.Datetime("ms", "UTC")),
            "open": opened,
            "high": np.maximum(opened, close) * beyond[0],
            "low": np.minimum(opened, close) / beyond[1],
            "close": close,
            "volume": 1_000.0 * np.exp(0.3 * rng.standard_normal(n)),
        }
    )
