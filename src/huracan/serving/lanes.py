"""Several versions on their way through the same candles: each with a memory of its own, features and regimes shared."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from huracan.errors import CandleError, DataError, FeatureError
from huracan.model_info import MarketRegime
from huracan.preprocessing import OnlineFeatures
from huracan.preprocessing.online_series import CANDLE_VALUES
from huracan.regimes import RegimeClassifier
from huracan.regimes.online import OnlineRegime
from huracan.serving.signal import Signal
from huracan.serving.stream import Stream
from huracan.serving.symbol_state import RecentCandles

__all__ = ["Lanes", "Said", "Symbols"]

Symbols = tuple[str, ...]

Said = Signal | Exception
"""What a version says of a bar, or how its model failed."""


class _Recipe(NamedTuple):
    """Versions of one recipe that take a symbol's candles, and the first of them, which computes the features."""

    features: int
    leader: Stream
    streams: tuple[tuple[int, Stream], ...]


class Lanes:
    """One stream a version, each over the symbols that it may have to answer for.

    At a bar the features of a recipe are computed once, whichever versions read them, and so is the regime of one set of rules.
    Whoever asks holds ``lock``.

    Parameters
    ----------
    symbols : all that may come. bar : its length in milliseconds, None where the candles say it. clock : gives the present, as
        :meth:`Stream.open` takes it. now : the same in milliseconds since 1970.
    """

    def __init__(self, symbols: Symbols, bar: int | None, clock: Any, now: Callable[[], float]) -> None:
        self.symbols = symbols
        self.lock = threading.RLock()
        self.bar, self.clock, self.now = bar, clock, now
        self.streams: dict[int, Stream] = {}
        self._recipes: dict[str, tuple[_Recipe, ...]] = {}
        self._features: dict[str, OnlineFeatures] = {}
        self.regimes: list[OnlineRegime] = []
        self.decider: OnlineRegime | None = None

    # --- candles ----------------------------------------------------------------------------------------------------

    def take(self, symbol: str, candle: dict[str, Any]) -> dict[int, Said]:
        """The next closed bar of one symbol: version -> what it says, or the error of a model that failed.

        Raises
        ------
        CandleError : all versions refuse it; nothing has changed. One that only some refuse, for a column that they alone read,
            is taken by the others.
        FeatureError : features compare symbols; nothing has changed.
        """
        now = self.now()
        said: dict[int, Said] = {}
        refused: list[tuple[_Recipe, DataError]] = []
        for recipe in self._recipes[symbol]:
            try:
                known = {symbol: recipe.leader.features_of(symbol, candle)}
            except (CandleError, FeatureError) as error:
                if recipe.leader.compares:
                    raise
                refused.append((recipe, error))
                continue
            for version, stream in recipe.streams:
                try:
                    said[version] = stream.take(candle, now, known)
                except Exception as error:  # noqa: BLE001 - a version that fails must not keep the bar from the others
                    said[version] = error
        if refused and not said:
            raise refused[0][1]
        for recipe, why in refused:
            said.update((version, stream.refused(symbol, candle, str(why))) for version, stream in recipe.streams)
        return said

    def take_all(self, bars: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[int, Said]]:
        """The bars of several symbols, one each: what :meth:`take` gives. A version is asked about all of its symbols at once.

        A bar that is refused gets signals with that veto. Where features compare symbols, it is an error for all.
        """
        now = self.now()
        known: dict[int, dict[str, Any]] = {id(features): {} for features in self._features.values()}
        for stream in {id(stream.features): stream for stream in self.streams.values() if stream.compares and bars}.values():
            known[id(stream.features)] = dict(stream.compared([candle for _, candle in bars]))
        said: list[dict[int, Said]] = []
        taken: set[str] = set()
        asked: dict[int, list[int]] = {version: [] for version in self.streams}
        for i, (symbol, candle) in enumerate(bars):
            answers: dict[int, Said] = {}
            said.append(answers)
            for features, leader, streams in self._recipes[symbol]:
                if not leader.compares:
                    try:
                        if symbol in taken:
                            raise CandleError(f"{symbol}: two bars were given at once; one of each symbol was expected.")
                        known[features][symbol] = leader.features_of(symbol, candle)
                    except (CandleError, FeatureError) as error:
                        for version, stream in streams:
                            answers[version] = stream.refused(symbol, candle, str(error))
                        continue
                for version, _ in streams:
                    asked[version].append(i)
            taken.add(symbol)
        for version, places in asked.items():
            if places:
                stream = self.streams[version]
                signals: Sequence[Said]
                try:
                    signals = stream.take_all([bars[i][1] for i in places], now, known[id(stream.features)])
                except Exception as error:  # noqa: BLE001 - a version that fails must not keep the bars from the others
                    signals = [error] * len(places)
                for i, signal in zip(places, signals, strict=True):
                    said[i][version] = signal
        return said

    def regime(self, symbol: str, candle: Mapping[str, Any]) -> MarketRegime | None:
        """The regime that decides who answers, at the bar that was just taken; None where it is not known."""
        decider = self.decider
        if decider is None:
            return None
        stands, regime = decider.place(symbol)
        if stands == self.stands(symbol):
            return regime
        try:  # none of the versions that took the bar tells regimes by these rules
            return decider.update({**candle, "symbol": symbol})
        except CandleError:
            return None

    def learn(self, symbol: str, ts: int, label: float) -> bool:
        """Tell all versions a label; whether an interval of any waited for it."""
        waited = [stream.learn(symbol, ts, label) for stream in self.streams.values() if symbol in stream.states]
        return any(waited)

    # --- candles that are remembered --------------------------------------------------------------------------------

    def lanes_of(self, symbol: str) -> list[Stream]:
        """The streams that take a symbol's candles."""
        return [stream for recipe in self._recipes.get(symbol, ()) for _, stream in recipe.streams]

    def stands(self, symbol: str) -> int | None:
        """Open of the newest bar that any version has taken."""
        known = [ts for recipe in self._recipes.get(symbol, ()) if (ts := recipe.leader.features.place(symbol)[0]) is not None]
        return max(known, default=None)

    def remembered(self, symbols: Iterable[str]) -> dict[str, NDArray[np.float64]]:
        """Symbol -> the candles of whoever remembers most, as of :meth:`Stream.remembered`."""
        return {symbol: memory.table() for symbol in symbols if (memory := self._memory(symbol)) is not None}

    def later(self, since: Mapping[str, int | None]) -> list[dict[str, Any]]:
        """Candles that opened after ``since``, by symbol, from old to new."""
        late = []
        for symbol, ts in since.items():
            memory = None if self.stands(symbol) in (None, ts) else self._memory(symbol)
            for opened, *values in [] if memory is None else memory.after(ts):
                late.append({"symbol": symbol, "ts": int(opened), "closed": True, **dict(zip(CANDLE_VALUES, values))})
        return sorted(late, key=itemgetter("ts"))

    def share_memory(self, symbols: Iterable[str]) -> None:
        """Let versions of one recipe remember the candles of these symbols together."""
        for symbol in symbols:
            for _, leader, streams in self._recipes[symbol]:
                for _, stream in streams:
                    stream.states[symbol].candles = leader.states[symbol].candles

    def _memory(self, symbol: str) -> RecentCandles | None:
        return max((stream.states[symbol].candles for stream in self.lanes_of(symbol)), key=len, default=None)

    # --- versions ---------------------------------------------------------------------------------------------------

    def settle(
        self,
        wanted: Mapping[int, Symbols],
        made: Sequence[tuple[int, Stream]],
        rules: RegimeClassifier | None,
        deciders: Sequence[OnlineRegime],
    ) -> None:
        """Let the versions in ``wanted`` take the candles of their symbols from here on.

        Parameters
        ----------
        wanted : version -> its symbols. made : streams of those that are new, or new to some symbols. rules : by which regimes
            decide who answers, or None. deciders : regimes of symbols that may not be known yet.
        """
        for version, stream in made:
            there = self.streams.setdefault(version, stream)
            if there is not stream:
                there.states.update(stream.states)
            features = self._features.setdefault(stream.features.recipe.hash, stream.features)
            if features is not stream.features:
                features.join(stream.features)
            stream.features = there.features = features
            if stream.regimes is not None:
                stream.regimes = there.regimes = self._shared(stream.regimes)
        for decider in deciders:
            if decider.classifier == rules:
                self._shared(decider)
        self.decider = None if rules is None else next(one for one in self.regimes if one.classifier == rules)
        self.streams = {version: self.streams[version] for version, symbols in wanted.items() if symbols}
        for version, stream in self.streams.items():
            for symbol in set(stream.states) - set(wanted[version]):
                del stream.states[symbol]
        used = {id(stream.features) for stream in self.streams.values()}
        self._features = {recipe: features for recipe, features in self._features.items() if id(features) in used}
        used = {id(stream.regimes) for stream in self.streams.values()} | {id(self.decider)}
        self.regimes = [one for one in self.regimes if id(one) in used]
        self._recipes = {symbol: self._recipes_of(symbol) for symbol in self.symbols}

    def _shared(self, regimes: OnlineRegime) -> OnlineRegime:
        """The one of these rules that all go by, with the symbols of this one too."""
        for one in self.regimes:
            if one.classifier == regimes.classifier:
                if one is not regimes:
                    one.join(regimes)
                return one
        self.regimes.append(regimes)
        return regimes

    def _recipes_of(self, symbol: str) -> tuple[_Recipe, ...]:
        by_features: dict[int, list[tuple[int, Stream]]] = {}
        for version, stream in self.streams.items():
            if symbol in stream.states:
                by_features.setdefault(id(stream.features), []).append((version, stream))
        found = [_Recipe(features, streams[0][1], tuple(streams)) for features, streams in by_features.items()]
        return tuple(sorted(found, key=lambda recipe: not recipe.leader.compares))
