"""A stream that goes on where another one stands: with another version, or on more candles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from huracan.preprocessing.online_series import CANDLE_VALUES
from huracan.serving.remembered_candles import as_remembered, frame_of
from huracan.serving.served import Served
from huracan.serving.symbol_state import SymbolState

if TYPE_CHECKING:
    from huracan.serving.stream import Stream

__all__ = ["adopt", "catch_up", "decided_before", "go_on_from", "with_late"]


def decided_before(stream: Stream, symbol: str, state: SymbolState) -> list[float]:
    """Decisions of the version of ``stream`` on the last rows of a symbol's unbroken run, each in its own regime.

    Returns
    -------
    At most ``horizon``, oldest first; empty where a position is made of the newest decision alone.
    """
    served, policy = stream.served, stream.served.policy
    n = min(state.run - served.window + 1, served.horizon)
    if policy is None or served.horizon == 1 or n < 1:
        return []
    rows = state.last_rows(n + served.window - 1)
    X = rows if served.window == 1 else np.stack([rows[i : i + served.window] for i in range(n)])
    codes, volatility = state.last_marks(n)
    codes = codes if stream.regimes is not None else np.full(n, -1)
    level, close = served.level(symbol), (stream.features.place(symbol)[0] or 0) + stream.bar
    decided = []
    for i, raw in enumerate(served.scorer.many(np.ascontiguousarray(X), codes)):
        ago, score = n - 1 - i, served.signal(raw) - level
        usual = (
            math.isfinite(score)
            and close - ago * stream.bar <= served.expires
            and served.screen.passes(rows[served.window - 1 + i])
            and _usual_window(served, state, ago)
        )
        decided.append(policy.decide(score, float(volatility[i])) if usual else 0.0)
    return decided


def catch_up(stream: Stream, other: Stream, now: float) -> None:
    """Take the candles of these symbols that another stream has taken since this one was opened."""
    late = []
    for symbol in stream.states:
        for ts, *values in other.states[symbol].candles.after(stream.features.place(symbol)[0]):
            late.append({"symbol": symbol, "ts": int(ts), "closed": True, **dict(zip(CANDLE_VALUES, values))})
    late.sort(key=itemgetter("ts"))
    for _, moment in groupby(late, key=itemgetter("ts")):
        stream.take_all(moment, now)


def go_on_from(stream: Stream, other: Stream) -> None:
    """As if this version had taken the very candles of another stream: regimes and volatility that both tell by the same
    rules are gone on with, since the other stream remembers more, and nothing waits for a label yet.
    """
    mine, theirs = stream.served, other.served
    if alike := mine.classifier == theirs.classifier:
        stream.regimes = other.regimes
    same_span = mine.volatility_span == theirs.volatility_span and stream.knows_close and other.knows_close
    stream.know_regimes()
    for symbol, state in stream.states.items():
        state.mark_like(other.states[symbol], codes=alike, volatility=same_span)
        state.serve(mine, symbol, decided_before(stream, symbol, state))


def with_late(stream: Stream, given: pl.DataFrame) -> pl.DataFrame:
    """The candles remembered of the symbols in ``given``, and these, which count where both have a bar.

    Where features compare symbols, those remembered of all symbols.
    """
    late = as_remembered(given, stream.features.recipe.required_columns)
    mine = late["symbol"].unique().to_list()
    for symbol in mine:
        stream.state_of(symbol)
    symbols = stream.states if stream.compares else mine
    before = frame_of({symbol: stream.states[symbol].candles.table() for symbol in symbols})
    return pl.concat([before, late], how="diagonal").unique(("symbol", "ts"), keep="last").sort("symbol", "ts")


def adopt(stream: Stream, other: Stream, bars: Mapping[str, int]) -> None:
    """Go on with the symbols of another stream of this version, which was opened on more candles of theirs.

    Intervals, and what waits for labels, stay; so do regimes that look back farther than the ``bars`` it was opened on.
    """
    for symbol in other.features.symbols if stream.compares else other.states:
        stream.features.adopt(symbol, other.features)
    for symbol, state in other.states.items():
        state.interval, state.waiting = stream.states[symbol].interval, stream.states[symbol].waiting
        stream.states[symbol] = state
        classifier = stream.served.classifier
        if stream.regimes is not None and other.regimes is not None and classifier is not None:
            windows = classifier.windows(timedelta(milliseconds=stream.bar))
            if bars.get(symbol, 0) >= windows.warmup + windows.lookback:
                stream.regimes.adopt(symbol, other.regimes)
    stream.know_regimes()


def _usual_window(served: Served, state: SymbolState, ago: int) -> bool:
    companion = served.companion
    if companion is None or state.run - ago < companion.window:
        return True
    return companion.veto(state.last_rows(companion.window + ago)[: companion.window]) is None
