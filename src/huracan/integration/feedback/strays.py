"""Which newest candle is to be believed: one wrong time would move the turns there, past everything that is still to come."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from huracan.integration.feedback.candle_intake import FAR_BARS
from huracan.market.schema import written_time

__all__ = ["is_supported", "stray_told", "without_strays"]

_WEEK = 7 * 86_400_000
"""Milliseconds for which a market may be closed, and a recorder be down, so that one symbol's candles lie apart."""
_LIVE_BARS = 2


def is_supported(ts: int, *, others: int | None, own: int | None, bar: int, now: int) -> bool:
    """Whether the newest candle there is may be what turns are about.

    It may where another symbol is there too, or a bar behind, at most; where it follows on the bar of its own symbol; and where
    it is what closed just now by the host's clock. With nobody beside it, as of one symbol alone, a gap of up to a week (and 24
    bars) is that of a market which was closed.

    Parameters
    ----------
    ts : its open, milliseconds UTC. others : open of the newest candle of every other symbol. own : of its symbol's newest
        before it. bar : length of a bar. now : by the host's clock.

    Examples
    --------
    >>> hour, day = 3_600_000, 86_400_000
    >>> is_supported(20 * hour, others=19 * hour, own=0, bar=hour, now=9 * day)
    True
    >>> is_supported(20 * hour, others=0, own=0, bar=hour, now=9 * day)
    False
    >>> is_supported(20 * hour, others=None, own=0, bar=hour, now=9 * day)
    True
    """
    if any(beside is not None and ts - beside <= bar for beside in (others, own)):
        return True
    if 0 <= now - (ts + bar) < _LIVE_BARS * bar:
        return True
    far = far_of(bar)
    alone = others is None or (own is not None and ts - others > far)
    return alone and (own is None or ts - own <= far)


def far_of(bar: int) -> int:
    """Milliseconds after which no market is only closed."""
    return max(FAR_BARS * bar, _WEEK)


def without_strays(candles: pl.DataFrame, stored: Mapping[str, int], bar: int, now: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Candles whose newest time is supported, and those beyond, of which nothing else tells that it is so late.

    Parameters
    ----------
    candles : ``[symbol, ts, ...]`` in any order. stored : symbol -> open of the newest candle there is already.

    Examples
    --------
    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=30, n_symbols=2, seed=0).candles
    >>> wrong = candles.tail(1).with_columns(pl.col("ts").dt.offset_by("20h"))
    >>> kept, strays = without_strays(pl.concat([candles, wrong]), {}, 3_600_000, 0)
    >>> kept.equals(candles), strays.equals(wrong)
    (True, True)
    """
    opens = pl.col("ts").dt.epoch("ms")
    front = max(stored.values(), default=None)
    beyond = candles if front is None else candles.filter(opens > front + bar)
    times = beyond.select("symbol", at=opens).unique().group_by("at").agg("symbol").sort("at", descending=True)
    first_stray = None
    for ts, symbols in times.iter_rows():
        if len(symbols) > 1:
            break
        before = candles.filter(opens < ts).group_by("symbol").agg(opens.max())
        newest = {**stored, **{symbol: max(at, stored.get(symbol, at)) for symbol, at in before.iter_rows()}}
        own = newest.pop(symbols[0], None)
        if is_supported(ts, others=max(newest.values(), default=None), own=own, bar=bar, now=now):
            break
        first_stray = ts
    if first_stray is None:
        return candles, candles.clear()
    return candles.filter(opens < first_stray), candles.filter(opens >= first_stray)


def stray_told(symbol: str, ts: int, beside: int, bar: int) -> str:
    """That a candle is not taken; ``beside`` : open of the newest of the others, milliseconds UTC.

    >>> stray_told("BTC-USD", 7_200_000, 0, 3_600_000)
    'BTC-USD: one candle is dated 1970-01-01 02:00 UTC, 2 bars after every other; it is taken when another of ...
    """
    return (
        f"{symbol}: one candle is dated {written_time(ts)}, {(ts - beside) // bar} bars after every other; it is taken when "
        "another of that time, or of a bar beside it, comes."
    )
