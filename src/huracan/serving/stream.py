"""The way of one candle: features, score, veto, position, signal; and the state that it moves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import CandleError, FeatureError, SignatureError, UnknownName, nearest_name
from huracan.preprocessing import OnlineFeatures
from huracan.preprocessing.online_candles import as_mapping, candle_rows, moment_of
from huracan.preprocessing.online_series import CANDLE_VALUES
from huracan.regimes import RegimeClassifier
from huracan.regimes.online import OnlineRegime
from huracan.serving.batch import rows_of_candles
from huracan.serving.going_on import decided_before
from huracan.serving.remembered_candles import frame_of
from huracan.serving.row_keys import regime_code
from huracan.serving.served import Served, require_bar
from huracan.serving.signal import Signal, Veto, VetoKind, refusal
from huracan.serving.symbol_state import SymbolState

__all__ = ["Known", "Stream"]

Known = Mapping[str, Mapping[str, float | None] | None]
"""Symbol -> features of its newest bar, None where one is infinite."""

_FEWEST_CANDLES = 1_000
"""Remembered of a symbol: regimes on hourly bars, and volatility of the usual span, are then those of a longer past."""

_CLOSE = 4
_five_of = itemgetter(*CANDLE_VALUES)


class Stream:
    """One version on its way through the candles of its symbols; made by :meth:`open`.

    Not for several threads at once: the predictor takes turns.

    Attributes
    ----------
    served : the version. features : of its recipe. bar : in milliseconds. states : symbol -> what is remembered of it.
    notes : that every signal bears.
    """

    def __init__(
        self,
        served: Served,
        features: OnlineFeatures,
        bar: int,
        keep: int,
        regimes: OnlineRegime | None,
        states: dict[str, SymbolState] | None = None,
    ) -> None:
        """Use :meth:`open`."""
        self.served, self.features, self.bar, self.regimes = served, features, bar, regimes
        self.notes = served.notes
        self._length = timedelta(milliseconds=bar)
        self.knows_close = "close" in served.candle_columns
        self._only = features.symbols[0] if len(features.symbols) == 1 else None
        if states is None:
            width = 1 + len(CANDLE_VALUES)
            states = {s: SymbolState(served, s, width=width, keep_candles=keep) for s in features.symbols}
        self.states = states
        self._moment: int | None = None
        self.compares = any(spec.cross_section for spec in features.recipe.features)

    @classmethod
    def open(
        cls,
        served: Served,
        history: pl.DataFrame,
        *,
        bar: int | None,
        symbols: Iterable[str],
        clock: Any,
    ) -> Stream:
        """Go on from closed candles, those of each symbol in order.

        Raises
        ------
        SignatureError : the model was registered without its recipe, or on bars of another length.
        CandleError, NotEnoughData : as :meth:`OnlineFeatures.open`.
        """
        recipe = served.recipe
        if recipe is None:
            raise SignatureError(
                f"'{served.model_id}' was registered without its recipe; it can be asked about rows of features."
            )
        length = bar if bar is not None else served.bar
        step = None if length is None else f"{length}ms"
        features = OnlineFeatures.open(recipe, history, bar=step, symbols=symbols, clock=clock)
        require_bar(served, features.bar_ms)
        regimes = None if served.classifier is None else _open_regimes(served.classifier, history, features)
        keep = _candles_kept(served)
        stream = cls(served, features, features.bar_ms, keep, regimes)
        if history.height:
            stream._remember(history, keep)
        stream.know_regimes()
        return stream

    def _remember(self, history: pl.DataFrame, keep: int) -> None:
        """Take over rows, decisions and volatility as a batch over the history has them."""
        rows = rows_of_candles(self.served, history, self.bar)
        values = [
            pl.col(name).cast(pl.Float64, strict=False).fill_null(math.nan) if name in history.columns else pl.lit(math.nan)
            for name in CANDLE_VALUES
        ]
        numbers = history.select(pl.col("ts").dt.epoch("ms"), *(x.alias(f"x{i}") for i, x in enumerate(values))).to_numpy()
        for code, symbol in enumerate(rows.symbols):
            state = self.states[symbol]
            at = np.flatnonzero(rows.code == code)
            last = at[rows.segment[at] == rows.segment[at[-1]]]
            newest = last[-state.capacity :]
            state.fill(rows.X[newest], rows.regime[newest], rows.volatility[newest])
            state.run = int(rows.run[at[-1]])
            state.decisions.extend(rows.decided[last[-self.served.horizon :]].tolist())
            if self.knows_close:
                for close in numbers[last[-20 * self.served.volatility_span :], _CLOSE].tolist():
                    state.volatility.update(close)
            for ts, *bar in numbers[at[-keep:]].tolist():
                state.candles.add(int(ts), bar)

    def know_regimes(self) -> None:
        """Give every symbol the regime at its last bar."""
        known = {} if self.regimes is None else self.regimes.last
        for symbol, state in self.states.items():
            state.regime = known.get(symbol)
            state.code = regime_code(state.regime)

    def candles(self) -> pl.DataFrame:
        """The candles it remembers, canonical, sorted by symbol and time; null where a value did not come."""
        return frame_of(self.remembered())

    # --- several streams of the same candles ------------------------------------------------------------------------

    def fork(self, symbols: Iterable[str]) -> Stream:
        """A stream that goes on from here by itself, with some of the symbols; features, regimes and candles are shared."""
        states = {symbol: self.states[symbol].fork() for symbol in symbols}
        return Stream(self.served, self.features, self.bar, 1, self.regimes, states)

    # --- another version --------------------------------------------------------------------------------------------

    def remembered(self) -> dict[str, NDArray[np.float64]]:
        """Symbol -> a copy of the candles that are remembered of it, ``[ts, open, high, low, close, volume]``."""
        return {symbol: state.candles.table() for symbol, state in self.states.items()}

    def hand_over(self, served: Served) -> Stream | None:
        """A stream of another version that goes on with these features and rows; None where it needs others.

        What the other version would have decided on the last bars is computed, so that no position is made of two versions'
        decisions. This stream is not to be used any more.
        """
        mine = self.served
        same = served.recipe is not None and mine.recipe is not None and served.recipe.hash == mine.recipe.hash
        reach = served.reach + served.horizon
        if (
            not same
            or served.volatility_span != mine.volatility_span
            or served.classifier not in (None, mine.classifier)
            or reach > min((state.capacity for state in self.states.values()), default=0)
        ):
            return None
        require_bar(served, self.bar)
        other = Stream(served, self.features, self.bar, 1, None if served.classifier is None else self.regimes, self.states)
        # all that can fail comes first: until then this stream is as it was
        decided = {symbol: decided_before(other, symbol, state) for symbol, state in self.states.items()}
        keep = _candles_kept(served)
        for symbol, state in self.states.items():
            state.candles.keep_at_least(keep)
            state.serve(served, symbol, decided[symbol])
        other.know_regimes()
        return other

    # --- one candle -------------------------------------------------------------------------------------------------

    def take(self, candle: Any, now: float, known: Known | None = None) -> Signal:
        """The next closed bar of one symbol; ``now`` in milliseconds since 1970.

        ``known`` : features by symbol, where they have been brought forward to this bar already.
        """
        if type(candle) is not dict:
            candle = as_mapping(candle)
        symbol: Any = candle.get("symbol") or self._only
        values = self.features_of(symbol, candle) if known is None else known[symbol]
        state, row = self._remembered_row(symbol, candle, values)
        usual = self.served.screen.passes(row)
        vetoes, scored = self._judged(symbol, state, row, usual, usual or bool(np.isfinite(row).all()), values is None)
        if not scored:
            return self._signal(symbol, state, None, vetoes, now)
        served = self.served
        raw = served.scorer.one(row if served.window == 1 else state.last_rows(served.window), state.code)
        return self._signal(symbol, state, served.signal(raw) - state.level, vetoes, now)

    def take_all(self, candles: Iterable[Any], now: float, known: Known | None = None) -> list[Signal]:
        """The bars of several symbols, one of each; the model is asked about all of them at once. ``known`` as of :meth:`take`.

        A candle that cannot be taken gets a signal with the veto ``refused`` and leaves the others alone; where features
        compare symbols, bars are of one moment, and one of an open symbol that cannot be taken is an error for all.
        """
        served = self.served
        signals: list[Signal | None] = []
        bars: list[tuple[int, str, Mapping[str, Any]]] = []
        for given in candle_rows(candles):
            candle: Mapping[str, Any] = {}
            try:
                candle = given if type(given) is dict else as_mapping(given)
                symbol: Any = candle.get("symbol") or self._only
                self.state_of(symbol)
            except (CandleError, UnknownName) as error:
                signals.append(self.refused(candle.get("symbol"), candle, str(error)))
                continue
            bars.append((len(signals), symbol, candle))
            signals.append(None)
        if known is None and self.compares and bars:
            known = self.compared([candle for _, _, candle in bars])
        taken: dict[str, tuple[int, SymbolState, NDArray[np.float32], bool]] = {}
        for i, symbol, candle in bars:
            try:
                if symbol in taken:
                    raise CandleError(f"{symbol}: two bars were given at once; one of each symbol was expected.")
                values = self.features_of(symbol, candle) if known is None else known[symbol]
            except (CandleError, FeatureError) as error:
                signals[i] = self.refused(symbol, candle, str(error))
                continue
            taken[symbol] = (i, *self._remembered_row(symbol, candle, values), values is None)
        if not taken:
            return [signal for signal in signals if signal is not None]
        usual, whole = served.screen.pass_many(np.stack([row for _, _, row, _ in taken.values()]))
        ready: list[tuple[int, str, SymbolState, NDArray[np.float32], list[Veto]]] = []
        for (symbol, (i, state, row, infinite)), passes, finite in zip(taken.items(), usual.tolist(), whole.tolist()):
            vetoes, scored = self._judged(symbol, state, row, passes, finite, infinite)
            if scored:
                ready.append((i, symbol, state, row, vetoes))
            else:
                signals[i] = self._signal(symbol, state, None, vetoes, now)
        if ready:
            window = served.window
            X = np.stack([row if window == 1 else state.last_rows(window) for _, _, state, row, _ in ready])
            codes = np.array([state.code for _, _, state, _, _ in ready])
            for raw, (i, symbol, state, _, vetoes) in zip(served.scorer.many(X, codes), ready):
                signals[i] = self._signal(symbol, state, served.signal(raw) - state.level, vetoes, now)
        return [signal for signal in signals if signal is not None]

    def compared(self, rows: list[Mapping[str, Any]]) -> Known:
        """Features that compare symbols; None for all of them where one is infinite."""
        before = {symbol: self.features.place(symbol)[0] for symbol in self.features.symbols}
        try:
            return self.features.update_all(rows)
        except FeatureError:
            taken = [symbol for symbol in before if self.features.place(symbol)[0] != before[symbol]]
            if not taken:
                raise
            return dict.fromkeys(taken)

    def features_of(self, symbol: Any, candle: Mapping[str, Any]) -> Mapping[str, float | None] | None:
        """Features of the bar; None where one is infinite, which ends the window but not the stream."""
        before = None
        try:
            if symbol in self.states:
                before = self.features.place(symbol)[0]
        except TypeError:  # a list, say, which is refused as a symbol below
            pass
        try:
            return self.features.update(candle)
        except CandleError as error:
            moment = moment_of(candle.get("ts"))
            if before is not None and moment is not None and moment < before:
                raise CandleError(f"{error} Predictor.fill takes bars that come late.") from error
            raise
        except FeatureError:
            if symbol not in self.states or self.features.place(symbol)[0] == before:
                raise
            return None

    def _remembered_row(
        self, symbol: str, candle: Mapping[str, Any], values: Mapping[str, float | None] | None
    ) -> tuple[SymbolState, NDArray[np.float32]]:
        """Remember the bar; the symbol's state and its row of features, NaN where an indicator gave an infinite value."""
        state = self.states[symbol]
        ts, _, bars = self.features.place(symbol)
        if bars == 1:
            state.restart()
        try:
            numbers = [float(x) for x in _five_of(candle)]
        except (KeyError, TypeError, ValueError):
            numbers = [_number_or_nan(candle.get(name)) for name in CANDLE_VALUES]
        if self.knows_close:
            state.volatility.update(numbers[_CLOSE - 1])
        state.candles.add(ts or 0, numbers)
        if self.regimes is not None:
            state.regime = self.regimes.take(symbol, ts or 0, *numbers[1:])
            state.code = regime_code(state.regime)
        if self.served.labels is not None:
            state.learn_from_candles(self.served.labels, ts or 0, numbers[0], self.bar, bars)
        row = state.next_row()
        row[:] = np.nan if values is None else list(values.values())
        return state, row

    def _judged(
        self, symbol: str, state: SymbolState, row: NDArray[np.float32], usual: bool, whole: bool, infinite: bool
    ) -> tuple[list[Veto], bool]:
        """What speaks against acting on the newest row, and whether it can be scored."""
        if infinite:
            state.run = 0
            return [Veto(VetoKind.INFINITE_FEATURE, "an indicator gave an infinite value")], False
        state.run = state.run + 1 if whole else 0
        if state.run < self.served.window:
            return [self._why_no_score(symbol, row, state.run)], False
        vetoes = [] if usual else self.served.screen.vetoes(row)
        companion = self.served.companion
        if companion is not None and state.run >= companion.window:
            against = companion.veto(state.last_rows(companion.window))
            vetoes += [] if against is None else [against]
        return vetoes, True

    def _why_no_score(self, symbol: str, row: NDArray[np.float32], run: int) -> Veto:
        _, segment, bars = self.features.place(symbol)
        recipe, window = self.features.recipe, self.served.window
        needed = recipe.lookback + window
        if bars < needed:
            kind = VetoKind.GAP if segment else VetoKind.WARMING_UP
            since = "since bars were missing" if segment else "of history"
            return Veto(kind, f"{bars} bars {since}, {needed} are needed")
        if run == 0:
            return self.served.screen.vetoes(row)[0]
        return Veto(VetoKind.MISSING_VALUE, f"{run} whole rows since a feature was missing, {window} are needed")

    def _signal(self, symbol: str, state: SymbolState, score: float | None, vetoes: list[Veto], now: float) -> Signal:
        served = self.served
        ts = self.features.place(symbol)[0] or 0
        decision = ts + self.bar
        if score is not None and score - score != 0.0:
            score = None
            vetoes.append(Veto(VetoKind.MISSING_VALUE, "the model gave no finite number"))
        decides = score is not None and not vetoes and decision <= served.expires
        if stale := now - decision > served.stale_after * self.bar:
            vetoes.append(Veto(VetoKind.STALE, f"the bar closed {(now - decision) / self.bar:.1f} bars ago"))
        if decision > served.expires:
            days = (decision - served.expires) / 86_400_000
            vetoes.append(Veto(VetoKind.EXPIRED, f"the model has been too old for {days:.1f} days"))
        volatility = state.volatility.value
        forecast = probability = low = high = level = None
        if score is not None and served.outlook is not None:
            probability, forecast = served.outlook.of(score)
            scale = volatility if served.scaled else 1.0
            if forecast is not None and state.interval is not None and scale:
                level = state.interval.level
                low, high = state.interval.predict(forecast, scale=scale)
                state.wait_for_label(ts, volatility)
                if low != low:
                    low = high = level = None
        policy = served.policy
        position = 0.0 if served.baseline else None
        if policy is not None:
            decided = policy.decide(score, volatility) if decides and score is not None else 0.0
            state.decisions.append(0.0 if stale else decided)
            position = policy.held(state.decisions)
            if stale:  # that it came late is of this clock; to later bars it is a bar like any other
                state.decisions[-1] = decided
        if ts != self._moment:  # symbols come moment by moment
            self._moment, self._opened = ts, datetime.fromtimestamp(ts / 1_000.0, UTC)
            self._closes = self._opened + self._length
        return Signal(
            symbol,
            self._opened,
            self._closes,
            score,
            forecast,
            probability,
            low,
            high,
            level,
            state.regime,
            position,
            not vetoes,
            tuple(vetoes),
            served.model_id,
            served.alias,
            served.scorer.engine,
            self.notes if decision >= served.learned_until else (*self.notes, served.in_training),
        )

    def state_of(self, symbol: Any) -> SymbolState:
        if not isinstance(symbol, str):
            raise CandleError(f"symbol is {symbol!r:.60}; text was expected.")
        if symbol not in self.states:
            raise nearest_name(symbol, self.states, kind="symbol")
        return self.states[symbol]

    def refused(self, symbol: Any, candle: Mapping[str, Any], why: str) -> Signal:
        """A candle that changed nothing."""
        served = self.served
        told: dict[str, Any] = {"model_id": served.model_id, "alias": served.alias, "engine": served.scorer.engine}
        return refusal(symbol or self._only, candle, why, self.bar, **told, notes=self.notes)

    def learn(self, symbol: str, ts: int, label: float) -> bool:
        """The label of an earlier bar is known; whether an interval waited for it. Intervals skipped over never get theirs."""
        return self.state_of(symbol).learn(ts, label)


def _open_regimes(classifier: RegimeClassifier, history: pl.DataFrame, features: OnlineFeatures) -> OnlineRegime:
    """Regimes that go on from a history."""
    return OnlineRegime.open(classifier, history, bar=timedelta(milliseconds=features.bar_ms), symbols=features.symbols)


def _candles_kept(served: Served) -> int:
    """Candles of a symbol that a fresh start of this version takes, and its labels."""
    warmup = 0 if served.recipe is None else served.recipe.warmup
    labelled = 0 if served.labels is None else served.labels.horizon + 2
    return max(warmup + served.reach + served.horizon, labelled, _FEWEST_CANDLES)


def _number_or_nan(value: Any) -> float:
    """Of a value that the recipe does not read, and nobody checked."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
