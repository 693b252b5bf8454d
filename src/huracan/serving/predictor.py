"""``Predictor``: a registered model as something that can be asked, bar by bar or many rows at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Self

import polars as pl

from huracan.errors import HuracanError, RegistryError, SignatureError
from huracan.logs import logger
from huracan.market import CandleSource
from huracan.model_registry import ModelRegistry
from huracan.preprocessing.candle_checks import as_candles
from huracan.registry.records import ModelVersion
from huracan.serving.arguments import MaxAge, milliseconds_by, no_candles, require_label, require_limits
from huracan.serving.batch import answer_candles, answer_features
from huracan.serving.going_on import adopt, catch_up, go_on_from, with_late
from huracan.serving.hot_swap import Patience, Watcher, pointer
from huracan.serving.remembered_candles import frame_of
from huracan.serving.served import Served, load_served
from huracan.serving.signal import Signal
from huracan.serving.stream import Stream

__all__ = ["Predictor"]

_CANDLE_COLUMNS = {"ts", "open", "high", "low", "close"}


class Predictor:
    """What the registry's champion says of new candles, with everything needed to decide whether to believe it.

    Made by :meth:`from_registry`. One candle after the other is the fast way (:meth:`update`); :meth:`predict` also answers on
    many rows. Where it follows an alias, a thread looks for another version every ``refresh`` seconds, loads and checks it
    beside the one that answers, and takes it over between two calls; every answer is of one version alone. What cannot be
    loaded is noted, and the version before goes on.

    Safe for several threads: candles are taken one at a time.

    Attributes
    ----------
    model_id, alias : of the version that answers now. engine : ``onnx``, ``native`` or ``constant``. why_native : why it is not
        ONNX Runtime, None where it is. notes : what a user should know: of the version, and of the last failed refresh.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from huracan.catalogue import build_model
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((300, 2)), rng.standard_normal(300)
    >>> registry = ModelRegistry("sqlite://", artifacts=tempfile.mkdtemp())
    >>> version = registry.register(build_model("ridge").fit(X, y), name="btc")
    >>> registry.promote("btc", version, reason="first")
    >>> predictor = Predictor.from_registry(registry, "btc", refresh=None)
    >>> predictor.predict(pl.DataFrame({"x1": [0, 1], "x0": [0.5, None]})).select("do_predict", "vetoes").rows()
    [(True, []), (False, ['missing_value'])]
    """

    def __init__(
        self, load: Callable[[ModelVersion, str | None, int], Served], served: Served, clock: Callable[[], float]
    ) -> None:
        """Use :meth:`from_registry`."""
        self._load = load
        self._served = served
        self._clock = clock
        self._lock = threading.RLock()
        self._swapping = threading.RLock()
        self._stream: Stream | None = None
        self._watcher: Watcher | None = None
        self._patience = Patience()
        self._find: Callable[[], tuple[int, int]] | None = None
        self._version: Callable[[int], ModelVersion] | None = None
        self._trouble: str | None = None
        self._strict = False
        self._open_with: dict[str, Any] = {}

    @classmethod
    def from_registry(
        cls,
        registry: ModelRegistry,
        name: str,
        *,
        alias: str = "champion",
        version: int | None = None,
        symbol: str | None = None,
        regime: str | None = None,
        history: CandleSource | None = None,
        bar: str | timedelta | None = None,
        symbols: Iterable[str] = (),
        refresh: float | None = 5.0,
        max_age: MaxAge = "auto",
        stale_after: float | None = 2.0,
        anomaly_share: float = 0.001,
        strict: bool = False,
        onnx: bool = True,
        learn_from_candles: bool = False,
        clock: Callable[[], datetime] | None = None,
    ) -> Self:
        """Load a version, check it, and warm it up.

        Parameters
        ----------
        name, alias, version : of the registry; a ``version`` is served for good, an alias is followed.
        symbol, regime : whose alias is meant, where symbols or regimes have their own.
        history : closed candles to go on from, as :meth:`OnlineFeatures.open` takes them; ``recipe.warmup`` bars and the
            model's window are enough. None : candles start from nothing.
        bar : length of a bar, where neither history nor the model says. symbols : that may come without history.
        refresh : seconds between looks at the alias, above 0; None never looks (:meth:`refresh` does).
        max_age : from its newest label on, after which a model is vetoed as expired: thirty days, or 720 bars where that is
            longer (``"auto"``); None for never.
        stale_after : bars after its close from which a candle is vetoed as stale; None for never, as for candles of the past.
        anomaly_share : share of usual windows that the autoencoder beside the model (``extras["anomaly_model"]``) may veto.
        strict : whether columns that the model does not know are refused.
        onnx : whether ONNX Runtime is used where the export was found exact.
        learn_from_candles : whether intervals learn each label from the candle that ends it, without :meth:`learn`, where the
            model's labels are forward returns; where they are not, ``notes`` say so.
        clock : gives the present, in place of the computer's clock.

        Raises
        ------
        RegistryError, ArtifactError : no such model, alias or version; files that are not what was stored.
        SignatureError : the model's columns, recipe and bars do not fit together, or not these candles.
        DataError : one of ``refresh, max_age, stale_after, anomaly_share`` is out of bounds.
        """
        from huracan.market.bar_lengths import length_in_ms

        require_limits(refresh=refresh, max_age=max_age, stale_after=stale_after, anomaly_share=anomaly_share)

        def load(found: ModelVersion, by: str | None, generation: int) -> Served:
            how: dict[str, Any] = {"max_age": max_age, "stale_after": stale_after, "anomaly_share": anomaly_share, "onnx": onnx}
            how["learn_from_candles"] = learn_from_candles
            return load_served(registry, found, alias=by, generation=generation, **how)

        find, by = None, None
        if version is None:
            find, by = pointer(registry, name, alias, symbol, regime), alias
            number, generation = find()
        else:
            number, generation = version, 0
        predictor = cls(load, load(registry.get(name, version=number), by, generation), milliseconds_by(clock))
        predictor._strict = strict
        predictor._find, predictor._version = find, lambda number: registry.get(name, version=number)
        predictor._open_with = {"bar": None if bar is None else length_in_ms(bar), "symbols": tuple(symbols), "clock": clock}
        if history is not None or symbols:
            predictor.open(pl.DataFrame() if history is None else history)
        if find is not None and refresh is not None:
            predictor._watcher = Watcher(predictor._look, refresh)
        return predictor

    def open(self, history: CandleSource) -> Self:
        """Begin to take candles, from this history on; symbols and state of before are forgotten."""
        candles = as_candles(history) if not (isinstance(history, pl.DataFrame) and history.is_empty()) else no_candles()
        with self._swapping:
            stream = Stream.open(self._served, candles, **self._open_with)
            self._install(self._served, stream)
        return self

    def fill(self, candles: CandleSource) -> Self:
        """Put in closed candles that came late or were missed: later bars are answered as if they had come in time.

        Bars go on being taken by :meth:`update` meanwhile. Nothing is answered for the ones put in, which count as history.

        Parameters
        ----------
        candles : of one or more open symbols. What is remembered of each (its last 1,000 bars, more where the features or the
            labels look back farther) and these are one history then; where both have a bar, this one counts. A regime that
            looks back farther (a week, on one-minute bars) goes on as it was unless they reach back as far.

        Raises
        ------
        CandleError, NotEnoughData : as :meth:`open`; nothing has changed. UnknownName : a symbol is not open.
        """
        given = as_candles(candles)
        if given.is_empty():
            return self
        with self._swapping:
            with self._lock:
                stream = self._opened()
                whole = with_late(stream, given)
            filled = Stream.open(stream.served, whole, bar=stream.bar, symbols=(), clock=self._open_with["clock"])
            with self._lock:
                catch_up(filled, stream, self._clock())
                adopt(stream, filled, dict(whole.group_by("symbol").len().iter_rows()))
        return self

    def _install(self, served: Served, stream: Stream | None) -> None:
        with self._lock:
            self._served, self._stream = served, stream
            self._tell(self._trouble)

    def _tell(self, trouble: str | None) -> None:
        """Note what went wrong at the last look, or that nothing did; signals bear it too."""
        with self._lock:
            self._trouble = trouble
            if self._stream is not None:
                self._stream.notes = self.notes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        served = self._served
        by = f" by alias '{served.alias}'" if served.alias else ""
        taking = f", {len(self._stream.states)} symbols open" if self._stream is not None else ""
        return f"<Predictor: {served.model_id}{by}, {served.scorer.engine}{taking}>"

    # --- asking -----------------------------------------------------------------------------------------------------

    def predict(self, given: Any) -> Any:
        """Answers on what is given.

        Parameters
        ----------
        given : one candle as a mapping, which is :meth:`update`; a frame of candles (``ts, open, high, low, close, ...``) of
            one or more symbols, from which features are computed by the model's recipe and which must begin early enough to
            warm them up; or a frame or matrix of the model's own features.

        Returns
        -------
        Signal for one candle; else a polars frame, one row each (see :mod:`huracan.serving.batch`). A frame leaves this
        predictor's own candles alone, none of its rows is stale, and its intervals are those the model was stored with.

        Raises
        ------
        SignatureError : the rows are not what the model was trained on; see :mod:`huracan.serving.signature`.
        CandleError : a candle that is none.
        """
        if isinstance(given, Mapping):
            return self.update(given)
        served = self._served
        columns = set(getattr(given, "columns", ()))
        if columns >= _CANDLE_COLUMNS and not columns >= set(served.columns):
            return answer_candles(served, as_candles(given), self._notes_of(served))
        return answer_features(served, given, strict=self._strict, notes=self._notes_of(served))

    def update(self, candle: Any) -> Signal:
        """Take the next closed candle of one symbol and answer.

        Parameters
        ----------
        candle : as :meth:`OnlineFeatures.update` takes it.

        Raises
        ------
        CandleError, UnknownName : it cannot be the next bar of an open symbol; nothing has changed. One that comes late, after
            a later bar, is put in by :meth:`fill`.
        SignatureError : the model has no recipe, so that no candle says anything to it.
        """
        with self._lock:
            return self._opened().take(candle, self._clock())

    def update_all(self, candles: Iterable[Any]) -> list[Signal]:
        """Take the candles of several symbols, one each, and answer in their order; the model is asked about all at once.

        A candle that is refused, for its symbol too, gets a signal with the veto ``refused``, and the others are taken. Where
        features compare symbols, bars are of one moment, and one of an open symbol that is refused is an error for all.
        """
        with self._lock:
            return self._opened().take_all(candles, self._clock())

    def learn(self, symbol: str, ts: datetime | int, label: float) -> bool:
        """Tell the label of an earlier bar, so that the symbol's interval adapts to what the market does.

        Parameters
        ----------
        ts : open of the bar, with its zone or in milliseconds since 1970. label : in the unit that the model was trained on.

        Returns
        -------
        bool : whether an interval waited for it; the last 1,000 bars do, and as many more as the label looks ahead.

        Raises
        ------
        DataError : the label is no finite number, or ``ts`` no time. UnknownName : no such symbol is open.
        """
        moment = require_label(ts, label)
        with self._lock:
            return self._opened().learn(symbol, moment, float(label))

    # --- which version ----------------------------------------------------------------------------------------------

    @property
    def model_id(self) -> str:
        return self._served.model_id

    @property
    def alias(self) -> str | None:
        return self._served.alias

    @property
    def engine(self) -> str:
        return self._served.scorer.engine

    @property
    def why_native(self) -> str | None:
        return self._served.why_native

    @property
    def columns(self) -> tuple[str, ...]:
        """Features that the model takes, in order."""
        return self._served.columns

    @property
    def notes(self) -> tuple[str, ...]:
        return self._notes_of(self._served)

    def _notes_of(self, served: Served) -> tuple[str, ...]:
        trouble = self._trouble
        return served.notes if trouble is None else (*served.notes, trouble)

    def refresh(self) -> bool:
        """Look at the alias now, and take over the version that holds it; whether another one answers from here on.

        What cannot be loaded or does not fit the candles is written into ``notes`` and the log, and changes nothing.
        """
        with self._swapping:
            return self._refresh()

    def _look(self) -> bool:
        """A look of the thread, which does not load again what failed a moment ago."""
        with self._swapping:
            return self._refresh(patient=True)

    def _refresh(self, *, patient: bool = False) -> bool:
        if self._find is None or self._version is None:
            return False
        try:
            number, generation = self._find()
        except HuracanError as error:
            self._tell(f"the alias could not be looked at, and what it pointed to is served: {error}")
            logger().warning("the alias could not be looked at", serving=self.model_id, reason=str(error))
            return False
        try:
            if (number, generation) == (self._served.version.version, self._served.generation):
                self._tell(None)
                return False
            if patient and not self._patience.allows((number, generation)):
                self._tell(self._patience.why)
                return False
            served = self._load(self._version(number), self._served.alias, generation)
            self._take_over(served)
        except (HuracanError, ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
            why = f"the alias has moved, and what it points to now is not served: {error}"
            self._patience.failed((number, generation), why)
            self._tell(why)
            logger().warning("a model could not be taken over", serving=self.model_id, reason=str(error))
            return False
        self._tell(None)
        logger().info("another model is served", model=served.model_id, engine=served.scorer.engine)
        return True

    def _take_over(self, served: Served) -> None:
        with self._lock:
            stream = self._stream
            other = None if stream is None else stream.hand_over(served)
            if stream is None or other is not None:
                self._install(served, other)
                return
            remembered = stream.remembered()
        candles = frame_of(remembered)
        _require_read(served, candles)
        fresh = Stream.open(served, candles, bar=stream.bar, symbols=stream.features.symbols, clock=self._open_with["clock"])
        with self._lock:
            catch_up(fresh, stream, self._clock())
            go_on_from(fresh, stream)
            self._install(served, fresh)

    def close(self) -> None:
        """Stop looking at the alias; it can still be asked."""
        if self._watcher is not None:
            self._watcher.stop()

    def _opened(self) -> Stream:
        if self._stream is None:
            if self._served.recipe is None:
                Stream.open(self._served, no_candles(), **self._open_with)  # says why it cannot
            raise RegistryError(
                f"'{self.model_id}' takes no candles yet: from_registry(history=...) or symbols=[...] says which symbols come."
            )
        return self._stream


def _require_read(served: Served, candles: pl.DataFrame) -> None:
    """Refuse a version that reads what candles so far came without."""
    lacking = [f"'{name}'" for name in served.candle_columns if candles[name].null_count()]
    if lacking:
        raise SignatureError(
            f"'{served.model_id}' reads {', '.join(lacking)}, and candles came without; once open(history) was called with "
            "candles that have it, the next look takes it over."
        )
