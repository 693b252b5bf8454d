"""``Champions``: for every symbol the champion of that symbol in its present regime, bar by bar."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self

import polars as pl

from huracan.errors import CandleError, HuracanError, RegistryError, SignatureError, UnknownName, nearest_name
from huracan.logs import logger
from huracan.market import CandleSource
from huracan.model_info import MarketRegime
from huracan.model_registry import ModelRegistry
from huracan.preprocessing.candle_checks import as_candles
from huracan.preprocessing.online_candles import as_mapping, candle_rows
from huracan.registry.scopes import Scope
from huracan.serving.arguments import MaxAge, milliseconds_by, no_candles, require_label, require_limits
from huracan.serving.champion_frames import answer_by_route
from huracan.serving.hot_swap import Patience, Watcher
from huracan.serving.lanes import Lanes, Said
from huracan.serving.placing import Unfit, fill, place
from huracan.serving.routes import SCOPED_BY, Route, check_scoped_by
from huracan.serving.served import Served, load_served
from huracan.serving.signal import Signal, Veto, VetoKind, refusal
from huracan.serving.succession import Succession, succeed
from huracan.serving.symbol_names import SymbolNames

__all__ = ["Champions"]

_CANDLE_COLUMNS = {"ts", "open", "high", "low", "close"}
_SAID = ("score", "forecast", "probability", "low", "high", "level", "position", "alias")


class Champions:
    """The champions of many symbols, each in its own regimes, as one thing that can be asked.

    An alias may point to one version for all, for a symbol, for a regime, or for both (:meth:`ModelRegistry.promote`). Every
    version that may have to answer for a symbol takes all of its candles, so that each has its own decisions, intervals and
    windows; the one whose scope is nearest to the symbol in its regime at this bar answers: symbol and regime, symbol, regime,
    all. Its answer is what a :class:`Predictor` of that version alone would have said. Features of one recipe are computed once
    a bar, whichever versions read them.

    Where models of single symbols have names of their own, ``name.<symbol>``, as ``huracan run`` registers them with
    ``training.pooling: per_symbol``, the champion of such a name counts as that of the symbol; one that ``name`` itself has for
    the symbol goes first.

    Regimes are told by the rules of the version that is champion for all; where there is none, by those of the first that has
    rules. Before a regime is known, the nearest scope without one answers.

    As with :class:`Predictor`, a thread looks at the aliases, all scopes at one moment; versions are loaded and brought up to
    date beside those that answer, and taken over between two calls. What cannot be loaded is noted, and the version before goes
    on; a symbol that had none before is answered for by the next nearest.

    Made by :meth:`from_registry`. Safe for several threads: candles are taken one call at a time.

    Attributes
    ----------
    name, alias : of the registry. symbols : whose candles are taken.

    Examples
    --------
    >>> import tempfile
    >>> from huracan.catalogue import build_model
    >>> from huracan.market import simulate_market
    >>> from huracan.preprocessing import FeatureRecipe, feature
    >>> candles = simulate_market(n_bars=100, n_symbols=2, seed=0).candles
    >>> recipe = FeatureRecipe([feature("efficiency_ratio", window=24)])
    >>> X = recipe.compute(candles).drop_nulls().select(recipe.columns)
    >>> model = build_model("ridge").fit(X, X["efficiency_ratio_24"])
    >>> registry = ModelRegistry("sqlite://", artifacts=tempfile.mkdtemp())
    >>> versions = [registry.register(model, name="m", extras={"recipe": recipe.to_json()}) for _ in range(2)]
    >>> registry.promote("m", 1, reason="for all")
    >>> registry.promote("m", 2, symbol="SIM02-USD", reason="for one")
    >>> with Champions.from_registry(registry, "m", history=candles, refresh=None) as champions:
    ...     champions.table.filter(pl.col("regime").is_null()).select("symbol", "alias", "model_id").rows()
    [('SIM01-USD', 'champion', 'm/1'), ('SIM02-USD', 'champion@SIM02-USD', 'm/2')]
    """

    def __init__(
        self,
        names: SymbolNames,
        name: str,
        alias: str,
        load: Callable[[int], Served],
        lanes: Lanes,
    ) -> None:
        """Use :meth:`from_registry`."""
        self.name, self.alias = name, alias
        self._names, self._load, self._lanes = names, load, lanes
        self._swapping = threading.RLock()
        self._watcher: Watcher | None = None
        self._patience = Patience()
        self._seen: dict[Scope, int] = {}
        self._now_served = Succession()
        self._said: dict[str, dict[int, Signal]] = {}
        self._failed: set[int] = set()
        self._trouble: str | None = None

    @classmethod
    def from_registry(
        cls,
        registry: ModelRegistry,
        name: str,
        *,
        alias: str = "champion",
        by: Collection[str] = SCOPED_BY,
        history: CandleSource | None = None,
        symbols: Iterable[str] = (),
        bar: str | timedelta | None = None,
        refresh: float | None = 5.0,
        max_age: MaxAge = "auto",
        stale_after: float | None = 2.0,
        anomaly_share: float = 0.001,
        onnx: bool = True,
        learn_from_candles: bool = False,
        clock: Callable[[], datetime] | None = None,
    ) -> Self:
        """Load every version that may have to answer, check it, and warm it up.

        Parameters
        ----------
        by : which scopes of the alias count: ``symbol``, ``regime``, both, or none.
        history : closed candles to go on from, of all symbols; ``recipe.warmup`` bars and the models' windows are enough, and
            regimes are as of a longer past with ``lookback`` bars of their rules.
        symbols : that may come without history.
        name, alias, bar, refresh, max_age, stale_after, anomaly_share, onnx, learn_from_candles, clock : as of
            :meth:`Predictor.from_registry`.

        Raises
        ------
        RegistryError : no such model or alias, nobody is champion of any of the symbols, or neither history nor symbols were
            given.
        RegistryError, ArtifactError, SignatureError : no version that could answer for a symbol can be loaded or fits its
            candles. One that has a next nearest is only noted.
        DataError : as of :meth:`Predictor.from_registry`.
        """
        from huracan.market.bar_lengths import length_in_ms

        by = check_scoped_by(by)
        require_limits(refresh=refresh, max_age=max_age, stale_after=stale_after, anomaly_share=anomaly_share)
        if isinstance(symbols, str):
            raise RegistryError(f"symbols is the text '{symbols}'; a list of names was expected, such as ['{symbols}'].")
        candles = None if history is None else as_candles(history)
        told = [] if candles is None else candles["symbol"].cast(pl.String).unique(maintain_order=True).to_list()
        open_for = tuple(dict.fromkeys([*told, *symbols]))
        if not open_for:
            raise RegistryError(f"whose candles the champions of '{name}' will take is not known; give history or symbols.")

        names = SymbolNames(registry, name, alias, by)

        def load(key: int) -> Served:
            of, version = names.version(key)
            how: dict[str, Any] = {"max_age": max_age, "stale_after": stale_after, "anomaly_share": anomaly_share, "onnx": onnx}
            how["learn_from_candles"] = learn_from_candles
            return load_served(registry, registry.get(of, version=version), alias=alias, generation=0, **how)

        lanes = Lanes(open_for, None if bar is None else length_in_ms(bar), clock, milliseconds_by(clock))
        champions = cls(names, name, alias, load, lanes)
        champions._follow(names.holders(open_for), (), no_candles() if candles is None else candles)
        if refresh is not None:
            champions._watcher = Watcher(champions._look, refresh)
        return champions

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        served = len(self._now_served.served)
        return f"<Champions: {served} versions of {self.name} by alias '{self.alias}' for {len(self.symbols)} symbols>"

    # --- asking -----------------------------------------------------------------------------------------------------

    def update(self, candle: Any) -> Signal:
        """Take the next closed candle of one symbol and answer by its champion in its regime.

        Returns
        -------
        Signal : ``alias`` is written with the scope in which the version is champion, such as ``champion@BTCUSDT/trending``.
            Where nobody is champion of the symbol in its regime, the signal has no model and the veto ``no_champion``.

        Raises
        ------
        CandleError, UnknownName : as :meth:`Predictor.update`; nothing has changed.
        """
        given = candle if type(candle) is dict else dict(as_mapping(candle))
        with self._lanes.lock:
            symbol = self._symbol_of(given)
            return self._answer(symbol, given, self._lanes.take(symbol, given))

    def update_all(self, candles: Iterable[Any]) -> list[Signal]:
        """Take the candles of several symbols, one each, and answer in their order; each version is asked about all of its own
        at once.

        A candle that is refused gets a signal with the veto ``refused``, and the others are taken; one of a symbol that is not
        open, without a model. Where features compare symbols, bars are of one moment, and one of an open symbol that is refused
        is an error for all.
        """
        signals: list[Signal | None] = []
        bars: list[tuple[str, dict[str, Any]]] = []
        with self._lanes.lock:
            for given in candle_rows(candles):
                candle: dict[str, Any] = {}
                try:
                    candle = given if type(given) is dict else dict(as_mapping(given))
                    bars.append((self._symbol_of(candle), candle))
                    signals.append(None)
                except (CandleError, UnknownName) as error:
                    signals.append(refusal(candle.get("symbol"), candle, str(error), self._lanes.bar or 0))
            said = zip(bars, self._lanes.take_all(bars), strict=True)
            answers = (self._answer(symbol, candle, told) for (symbol, candle), told in said)
            return [next(answers) if signal is None else signal for signal in signals]

    def predict(self, given: Any) -> Any:
        """Answers on what is given: :meth:`update` for one candle as a mapping; else a frame of candles of these symbols.

        Returns
        -------
        As of :meth:`Predictor.predict`, with a column ``alias``; of each row by the version that is champion now of its symbol
            in its regime. A frame leaves the candles that are taken one by one alone.

        Raises
        ------
        SignatureError : rows that are no candles; each version has features of its own. UnknownName : a symbol not open.
        """
        if isinstance(given, Mapping):
            return self.update(given)
        if not set(getattr(given, "columns", ())) >= _CANDLE_COLUMNS:
            raise SignatureError("champions take candles of several symbols: columns ts, open, high, low, close were expected.")
        candles = as_candles(given)
        self._require_open(candles)
        return answer_by_route(self._now_served, candles)

    def learn(self, symbol: str, ts: datetime | int, label: float) -> bool:
        """Tell the label of an earlier bar to every version that takes the symbol's candles; see :meth:`Predictor.learn`."""
        moment = require_label(ts, label)
        with self._lanes.lock:
            return self._lanes.learn(self._symbol_of({"symbol": symbol}), moment, float(label))

    def fill(self, candles: CandleSource) -> Self:
        """Put in closed candles of these symbols that came late or were missed; see :meth:`Predictor.fill`.

        Raises
        ------
        CandleError, NotEnoughData : as :meth:`Predictor.fill`; nothing has changed. UnknownName : a symbol is not open.
        """
        given = as_candles(candles)
        self._require_open(given)
        if not given.is_empty():
            with self._swapping:
                fill(self._lanes, given)
        return self

    def beside(self, symbol: str) -> dict[str, Signal]:
        """What each version said of the symbol's newest bar, by ``model_id``: the one that answered, and those that did not."""
        with self._lanes.lock:
            said = self._said.get(self._symbol_of({"symbol": symbol}), {})
            return {signal.model_id: signal for signal in said.values()}

    def _require_open(self, candles: pl.DataFrame) -> None:
        for symbol in candles["symbol"].unique(maintain_order=True):
            if symbol not in self._routes:
                raise nearest_name(str(symbol), self._routes, kind="symbol")

    def _symbol_of(self, candle: Mapping[str, Any]) -> str:
        symbol = candle.get("symbol")
        if symbol is None and len(self.symbols) == 1:
            return self.symbols[0]
        if not isinstance(symbol, str):
            raise CandleError(f"symbol is {symbol!r:.60}; text was expected.")
        if symbol not in self._routes:
            raise nearest_name(symbol, self._routes, kind="symbol")
        return symbol

    def _answer(self, symbol: str, candle: Mapping[str, Any], said: Mapping[int, Said]) -> Signal:
        """Of what all versions said, what the champion said."""
        signals = {version: one for version, one in said.items() if isinstance(one, Signal)}
        if not all(_is_refused(signal) for signal in signals.values()):
            self._said[symbol] = signals
        route = self._routes[symbol]
        regime = self._lanes.regime(symbol, candle)
        answer = route.answers.get(regime)
        if len(signals) < len(said):
            self._tell_failed({version: one for version, one in said.items() if isinstance(one, Exception)}, answer)
        if answer is None:
            if not signals:  # nobody is champion here, and all the others failed
                raise next(one for one in said.values() if isinstance(one, Exception))
            return _no_champion(next(iter(signals.values())), regime, self.alias)
        signal, alias = signals[answer[0]], answer[1]
        if route.trouble is not None:
            return replace(signal, alias=alias, regime=regime or signal.regime, notes=(*signal.notes, route.trouble))
        if signal.alias == alias and (regime is None or signal.regime is regime):
            return signal
        return replace(signal, alias=alias, regime=regime or signal.regime)

    def _tell_failed(self, failed: Mapping[int, Exception], answer: tuple[int, str] | None) -> None:
        """Raise what kept the champion from answering; log the others, once each."""
        if answer is not None and answer[0] in failed:
            raise failed[answer[0]]
        for version in failed.keys() - self._failed:
            why = f"{type(failed[version]).__name__}: {failed[version]}"
            logger().warning("a model that was not to answer failed", model=f"{self.name}/{version}", reason=why)
        self._failed |= failed.keys()

    # --- which versions ---------------------------------------------------------------------------------------------

    @property
    def symbols(self) -> tuple[str, ...]:
        return self._lanes.symbols

    @property
    def _routes(self) -> Mapping[str, Route]:
        return self._now_served.routes

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know: of a look at the aliases that failed, and of versions that could not be taken over."""
        nobody = [symbol for symbol, route in self._routes.items() if not route.answers]
        more = f"; nor of {len(nobody) - 1} other symbols" if nobody[1:] else ""
        unled = f"nobody is {Scope(nobody[0]).written(self.alias)}, in any regime, and nobody for all{more}" if nobody else None
        told = [self._trouble, unled, *(route.trouble for route in self._routes.values())]
        return tuple(dict.fromkeys(note for note in told if note is not None))

    @property
    def table(self) -> pl.DataFrame:
        """Who answers for whom: ``[symbol, regime, alias, model_id]``; a null regime is one that is not known yet."""
        now = self._now_served
        rows = [
            (symbol, None if regime is None else regime.value, alias, now.served[version].model_id)
            for symbol, route in now.routes.items()
            for regime, (version, alias) in route.answers.items()
        ]
        return pl.DataFrame(rows, schema=dict.fromkeys(("symbol", "regime", "alias", "model_id"), pl.String), orient="row")

    def watch(self, *versions: int) -> None:
        """Let further versions take every candle beside the champions, without answering: :meth:`beside` tells what they say.

        They replace those that were watched before; without any, none is watched.

        Raises
        ------
        RegistryError, ArtifactError, SignatureError : one cannot be loaded or does not fit the candles; nothing has changed.
        """
        with self._swapping:
            self._follow(self._seen, tuple(dict.fromkeys(versions)))

    def refresh(self) -> bool:
        """Look at the aliases now, and take over the versions that hold them; whether anything answers otherwise from here on.

        What cannot be loaded or does not fit the candles is written into ``notes`` and the log, and changes nothing.
        """
        with self._swapping:
            return self._refresh(patient=False)

    def _look(self) -> bool:
        """A look of the thread, which does not load again what failed a moment ago."""
        with self._swapping:
            return self._refresh(patient=True)

    def _refresh(self, *, patient: bool) -> bool:
        try:
            held = self._names.holders(self.symbols)
        except HuracanError as error:
            self._trouble = f"the aliases could not be looked at, and what they pointed to is served: {error}"
            logger().warning("the aliases could not be looked at", serving=self.name, reason=str(error))
            return False
        self._trouble = None
        whole = held == self._seen and all(route.trouble is None for route in self._routes.values())
        if whole or (patient and not self._patience.allows(held)):
            return False
        moved = self._follow(held, self._now_served.watched)
        if any(route.trouble is not None for route in self._routes.values()):
            self._patience.failed(held)
        return moved

    def close(self) -> None:
        """Stop looking at the aliases; it can still be asked."""
        if self._watcher is not None:
            self._watcher.stop()

    def _follow(self, held: Mapping[Scope, int], watched: tuple[int, ...], history: pl.DataFrame | None = None) -> bool:
        """Answer by these holders, as far as they can be served; whether anything answers otherwise from here on."""
        before = self._now_served
        unfit: dict[int, Exception] = {}
        stay: dict[str, Exception] = {}
        while True:
            how: dict[str, Any] = {"alias": self.alias, "watched": watched, "written": self._names.written}
            follow = succeed(before, held, self.symbols, self._load, unfit=unfit, stay=stay, **how)
            take_over = partial(self._take_over, held, follow)
            try:
                place(self._lanes, follow.wanted, follow.served, follow.rules, history, take_over)
                break
            except Unfit as error:
                reason, symbols = error.reason, set(error.symbols)
                if error.version in watched or symbols <= stay.keys():
                    raise reason from None
                if error.version in before.served:  # good for others: only these symbols stay as they are
                    stay |= dict.fromkeys(symbols, reason)
                else:
                    unfit[error.version] = reason
        for version in follow.served.keys() - before.served.keys():
            logger().info("another model is served", model=follow.served[version].model_id)
        for note in self.notes:
            logger().warning("a model could not be taken over", serving=self.name, reason=note)
        return any(route.answers != follow.routes[symbol].answers for symbol, route in before.routes.items())

    def _take_over(self, held: Mapping[Scope, int], follow: Succession) -> None:
        self._seen, self._now_served = dict(held), follow


def _is_refused(signal: Signal) -> bool:
    return bool(signal.vetoes) and signal.vetoes[0].kind is VetoKind.REFUSED


def _no_champion(signal: Signal, regime: MarketRegime | None, alias: str) -> Signal:
    """A signal of this bar that says only that there is none."""
    where = Scope(signal.symbol, "" if regime is None else regime.value).written(alias)
    why = f"nobody is {where}, and nobody is {alias} for more"
    return replace(
        signal,
        **dict.fromkeys(_SAID),  # type: ignore[arg-type]
        regime=regime,
        do_predict=False,
        vetoes=(Veto(VetoKind.NO_CHAMPION, why),),
        model_id="",
        engine="",
        notes=(),
    )
