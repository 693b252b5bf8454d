"""Which versions take whose candles: new ones are opened, forked and brought up to date beside those that go on answering."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from math import isnan
from operator import itemgetter

import polars as pl

from huracan.errors import HuracanError
from huracan.regimes import RegimeClassifier
from huracan.regimes.online import OnlineRegime
from huracan.serving.going_on import adopt, go_on_from, with_late
from huracan.serving.lanes import Lanes, Symbols
from huracan.serving.remembered_candles import as_remembered, frame_of
from huracan.serving.served import Served
from huracan.serving.stream import Stream

__all__ = ["DOES_NOT_FIT", "Unfit", "fill", "place"]

DOES_NOT_FIT = (HuracanError, ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)
"""What a version that cannot be served may raise."""


class Unfit(Exception):
    """A version cannot take the candles of some symbols, for this reason."""

    def __init__(self, version: int, symbols: Symbols, reason: Exception) -> None:
        super().__init__(version, symbols, reason)
        self.version, self.symbols, self.reason = version, symbols, reason


def place(
    lanes: Lanes,
    wanted: Mapping[int, Symbols],
    served: Mapping[int, Served],
    rules: RegimeClassifier | None,
    history: pl.DataFrame | None,
    then: Callable[[], None],
) -> None:
    """From here on let ``wanted`` versions take the candles of their symbols, and no others.

    A version goes on from another of the same recipe where there is one, else it is opened on candles, beside those that go
    on answering; what came meanwhile is made up for before it takes its place. All of it happens, or nothing.

    Parameters
    ----------
    wanted : version -> its symbols. served : what is needed of each. rules : by which regimes decide who answers, or None.
    history : to be opened on; None for the candles that are remembered. then : called under the lock, in the same moment.

    Raises
    ------
    Unfit : a version that cannot.
    """
    opened: list[Stream] = []
    deciders: list[OnlineRegime] = []
    seeded: set[str] = set()
    while True:
        with lanes.lock:
            for stream in opened:
                _catch_up(lanes, stream)
            made, missing = _made(lanes, wanted, served, opened)
            if not missing:
                lacking = _without_regime(lanes, rules, [*opened, *(stream for _, stream in made)], deciders)
                if not lacking:
                    lanes.settle(wanted, made, rules, [*deciders, *(stream.regimes for stream in opened if stream.regimes)])
                    then()
                    return
            remembered = lanes.remembered(lanes.symbols) if history is None else {}
        candles = frame_of(remembered) if history is None else history
        if not missing and rules is not None:
            deciders.append(_open_regimes(lanes, rules, candles, lacking))
        # of versions that share a recipe, the one that looks back furthest is opened, and the others go on from it
        first: set[str] = set()
        for version, symbols in sorted(missing.items(), key=lambda need: -_reach(served[need[0]])):
            recipe = _hash_of(served[version])
            if recipe in first:
                continue
            try:
                if recipe not in seeded:
                    first.add(recipe)
                    same = [of for other, of in missing.items() if _hash_of(served[other]) == recipe]
                    opened.append(_open(lanes, served[version], candles, _union(same)))
                else:
                    opened.append(_open(lanes, served[version], candles, symbols))
            except DOES_NOT_FIT as error:
                raise Unfit(version, symbols, error) from error
        seeded |= first


def fill(lanes: Lanes, given: pl.DataFrame) -> None:
    """Put in candles that came late, as :meth:`Predictor.fill` does; the caller lets no version move meanwhile."""
    with lanes.lock:
        whole = {version: _with_late(lanes, stream, given) for version, stream in lanes.streams.items()}
    filled: dict[int, Stream] = {}
    for version, candles in whole.items():
        if candles.height:
            filled[version] = _open(lanes, lanes.streams[version].served, candles, _symbols_of(candles))
    decider, regimes = lanes.decider, None
    if decider is not None and whole:
        candles = pl.concat(whole.values(), how="diagonal").unique(("symbol", "ts")).sort("symbol", "ts")
        regimes = _open_regimes(lanes, decider.classifier, candles, _symbols_of(given))
    with lanes.lock:
        for version, stream in filled.items():
            _catch_up(lanes, stream)
            stream.states = {s: state for s, state in stream.states.items() if s in lanes.streams[version].states}
        for version, stream in filled.items():  # all that can fail has come before
            adopt(lanes.streams[version], stream, _bars_of(whole[version]))
        lanes.share_memory(_symbols_of(given))
        if decider is not None and regimes is not None:
            _bring_forward(lanes, regimes)
            windows, bars = decider.classifier.windows(timedelta(milliseconds=lanes.bar or 1)), _bars_of(candles)
            for symbol in regimes.symbols:
                if bars.get(symbol, 0) >= windows.warmup + windows.lookback:  # else it goes on from a longer past
                    decider.adopt(symbol, regimes)


def _made(
    lanes: Lanes, wanted: Mapping[int, Symbols], served: Mapping[int, Served], opened: Sequence[Stream]
) -> tuple[list[tuple[int, Stream]], dict[int, Symbols]]:
    """Streams of what is wanted and not there yet, and what none of these can go on from."""
    made: list[tuple[int, Stream]] = []
    missing: dict[int, Symbols] = {}
    for version, symbols in wanted.items():
        there = lanes.streams.get(version)
        left = {symbol: None for symbol in symbols if there is None or symbol not in there.states}
        for donor in (*lanes.streams.values(), *opened) if left else ():
            some = [symbol for symbol in left if symbol in donor.states]
            if not some or _hash_of(donor.served) != _hash_of(served[version]):
                continue
            try:
                parts = _going_on(lanes, donor, some, served[version])
            except DOES_NOT_FIT as error:
                raise Unfit(version, tuple(some), error) from error
            made += [(version, part) for part in parts]
            for symbol in some if parts else ():
                del left[symbol]
        if left:
            missing[version] = tuple(left)
    return made, missing


def _going_on(lanes: Lanes, donor: Stream, symbols: Sequence[str], served: Served) -> list[Stream]:
    """Streams of a version that go on where another one stands; none where it needs more than that one has."""
    made: Stream | None = donor.fork(symbols)
    if donor.served is not served and made is not None:
        made = made.hand_over(served)
    if made is None or any(donor is stream for stream in lanes.streams.values()):
        return [] if made is None else [made]
    # it was opened on what is remembered; regimes and volatility go on from who has taken more
    parts: dict[Stream | None, list[str]] = {}
    for symbol in symbols:
        there = lanes.lanes_of(symbol)
        alike = [stream for stream in there if stream.served.classifier == served.classifier]
        parts.setdefault(next(iter(alike or there), None), []).append(symbol)
    if parts.keys() == {None}:
        return [made]
    streams = []
    for live, some in parts.items():
        streams.append(made.fork(some))
        if live is not None:
            go_on_from(streams[-1], live.fork(some))
    return streams


def _open(lanes: Lanes, served: Served, candles: pl.DataFrame, symbols: Symbols) -> Stream:
    recipe = served.recipe
    if recipe is not None and any(spec.cross_section for spec in recipe.features):
        symbols = lanes.symbols
    some = candles.filter(pl.col("symbol").is_in(symbols))
    stream = Stream.open(served, some, bar=lanes.bar, symbols=symbols, clock=lanes.clock)
    lanes.bar = stream.bar
    return stream


def _without_regime(
    lanes: Lanes, rules: RegimeClassifier | None, streams: Sequence[Stream], deciders: Sequence[OnlineRegime]
) -> Symbols:
    """Symbols whose regime by these rules nobody knows up to the newest bar."""
    if rules is None:
        return ()
    for decider in deciders:
        _bring_forward(lanes, decider)
    fresh = [*deciders, *(stream.regimes for stream in streams if stream.regimes is not None)]
    known = {symbol for one in fresh if one.classifier == rules for symbol in one.symbols}
    for one in lanes.regimes:
        if one.classifier == rules:
            known |= {symbol for symbol in one.symbols if one.place(symbol)[0] == lanes.stands(symbol)}
    return tuple(symbol for symbol in lanes.symbols if symbol not in known)


def _open_regimes(lanes: Lanes, rules: RegimeClassifier, candles: pl.DataFrame, symbols: Symbols) -> OnlineRegime:
    whole = candles.filter(pl.col("symbol").is_in(symbols)).drop_nulls()
    bar = None if lanes.bar is None else timedelta(milliseconds=lanes.bar)
    return OnlineRegime.open(rules, whole, bar=bar, clock=lanes.clock, symbols=symbols)


def _with_late(lanes: Lanes, stream: Stream, given: pl.DataFrame) -> pl.DataFrame:
    """What a version remembers of the symbols that candles came late of; of all symbols, where it compares them, whichever
    it answers for.
    """
    if not stream.compares:
        late = given.filter(pl.col("symbol").is_in(list(stream.states)))
        return late if late.is_empty() else with_late(stream, late)
    late = as_remembered(given, stream.features.recipe.required_columns)
    both = pl.concat([frame_of(lanes.remembered(lanes.symbols)), late], how="diagonal")
    return both.unique(("symbol", "ts"), keep="last").sort("symbol", "ts")


def _catch_up(lanes: Lanes, stream: Stream) -> None:
    """Let a stream take what came since it was opened."""
    late = lanes.later({symbol: stream.features.place(symbol)[0] for symbol in stream.features.symbols})
    for _, moment in groupby(late, key=itemgetter("ts")):
        stream.take_all(list(moment), lanes.now())


def _bring_forward(lanes: Lanes, regimes: OnlineRegime) -> None:
    """Let regimes take what came since they were opened, as far as it tells them."""
    for row in lanes.later({symbol: regimes.place(symbol)[0] for symbol in regimes.symbols}):
        high, low, close, volume = (row[name] for name in ("high", "low", "close", "volume"))
        if not isnan(high + low + close + volume):
            regimes.take(row["symbol"], row["ts"], high, low, close, volume)


def _symbols_of(candles: pl.DataFrame) -> Symbols:
    return tuple(candles["symbol"].cast(pl.String).unique(maintain_order=True).to_list())


def _bars_of(candles: pl.DataFrame) -> dict[str, int]:
    return dict(candles.group_by("symbol").len().iter_rows())


def _union(parts: Iterable[Symbols]) -> Symbols:
    return tuple(dict.fromkeys(symbol for part in parts for symbol in part))


def _hash_of(served: Served) -> str:
    return "" if served.recipe is None else served.recipe.hash


def _reach(served: Served) -> int:
    return served.reach + served.horizon
