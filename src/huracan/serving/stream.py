"""The way of one candle: features, score, veto, position, signal; and the state that it moves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import CandleError, FeatureError, SignatureError, nearest_name
from huracan.preprocessing import OnlineFeatures
from huracan.preprocessing.online_candles import as_mapping
from huracan.regimes import RegimeClassifier
from huracan.regimes.online import OnlineRegime
from huracan.serving.batch import regime_code, rows_of_candles
from huracan.serving.served import Served, require_bar
from huracan.serving.signal import Signal, Veto, VetoKind
from huracan.serving.symbol_state import SymbolState

__all__ = ["Stream"]

_MOST_WAITING = 10_000


class Stream:
    """One version on its way through the candles of its symbols; made by :meth:`open`.

    Not for several threads at once: the predictor takes turns.
    """

    def __init__(self, served: Served, features: OnlineFeatures, bar: int, keep: int, regimes: OnlineRegime | None) -> None:
        """Use :meth:`open`."""
        self.served, self.features, self.bar, self.regimes = served, features, bar, regimes
        self._length = timedelta(milliseconds=bar)
        self._kept = served.candle_columns
        self._close = self._kept.index("close") if "close" in self._kept else None
        width = 1 + len(self._kept)
        self.states = {s: SymbolState(served, s, width=width, keep_candles=keep) for s in features.symbols}
        self._only = features.symbols[0] if len(features.symbols) == 1 else None
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
        keep = recipe.warmup + served.reach + served.horizon
        stream = cls(served, features, features.bar_ms, keep, regimes)
        if history.height > 1:
            stream._remember(history, keep)
        stream._know_regimes()
        return stream

    def _remember(self, history: pl.DataFrame, keep: int) -> None:
        """Take over rows, decisions and volatility as a batch over the history has them."""
        rows = rows_of_candles(self.served, history)
        numbers = history.select(pl.col("ts").dt.epoch("ms"), pl.col(self._kept).cast(pl.Float64)).to_numpy()
        for code, symbol in enumerate(rows.symbols):
            state = self.states[symbol]
            at = np.flatnonzero(rows.code == code)
            last = at[rows.segment[at] == rows.segment[at[-1]]]
            for i in last[-state.capacity :]:
                state.next_row()[:] = rows.X[i]
            state.run = int(rows.run[at[-1]])
            state.decisions.extend(rows.decided[last[-self.served.horizon :]].tolist())
            if self._close is not None:
                for close in numbers[last[-20 * self.served.volatility_span :], 1 + self._close].tolist():
                    state.volatility.update(close)
            for ts, *values in numbers[at[-keep:]].tolist():
                state.candles.add(int(ts), values)

    def _know_regimes(self) -> None:
        if self.regimes is not None:
            for symbol, regime in self.regimes.last.items():
                self.states[symbol].regime = regime

    def candles(self) -> pl.DataFrame:
        """The candles it remembers, canonical, sorted by symbol and time."""
        schema = dict.fromkeys(("ts", *self._kept), pl.Float64)
        frame = pl.concat(
            pl.DataFrame(state.candles.table(), schema=schema, orient="row").select(pl.lit(symbol).alias("symbol"), pl.all())
            for symbol, state in self.states.items()
        )
        opened = pl.from_epoch(pl.col("ts").cast(pl.Int64), time_unit="ms").dt.replace_time_zone("UTC")
        return frame.with_columns(opened.cast(pl.Datetime("ms", "UTC")).alias("ts")).sort("symbol", "ts")

    # --- another version --------------------------------------------------------------------------------------------

    def hand_over(self, served: Served) -> Stream | None:
        """A stream of another version that goes on with these features and rows; None where it needs others.

        What the other version would have decided on the last bars is computed, so that no position is made of two versions'
        decisions. This stream is not to be used any more.
        """
        mine = self.served
        same = served.recipe is not None and mine.recipe is not None and served.recipe.hash == mine.recipe.hash
        reach = served.reach + served.horizon
        targets = served.policy is not None and served.policy.policy.volatility_target is not None
        if (
            not same
            or served.volatility_span != mine.volatility_span
            or reach > min(state.capacity for state in self.states.values())
            or (targets and served.horizon > 1)
        ):
            return None
        require_bar(served, self.bar)
        regimes = self.regimes
        if served.classifier != mine.classifier and served.classifier is not None:
            regimes = _open_regimes(served.classifier, self.candles(), self.features)
        other = Stream(served, self.features, self.bar, 1, regimes)
        other.states = self.states
        # all that can fail comes first: until then this stream is as it was
        decided = {symbol: other._decided_before(symbol, state) for symbol, state in self.states.items()}
        for symbol, state in self.states.items():
            state.serve(served, symbol, decided[symbol])
        other._know_regimes()
        return other

    def _decided_before(self, symbol: str, state: SymbolState) -> list[float]:
        """What this version would have decided on the last rows of the unbroken run."""
        served, policy = self.served, self.served.policy
        n = min(state.run - served.window + 1, served.horizon)
        if policy is None or served.horizon == 1 or n < 1:
            return []
        rows = state.last_rows(n + served.window - 1)
        X = rows if served.window == 1 else np.stack([rows[i : i + served.window] for i in range(n)])
        codes = np.full(n, regime_code(state.regime))
        level = served.level(symbol)
        scores = [served.signal(raw) - level for raw in served.scorer.many(np.ascontiguousarray(X), codes)]
        newest = rows[served.window - 1 :]
        usual = [served.screen.passes(row) and self._usual_window(state, n - 1 - i) for i, row in enumerate(newest)]
        return [policy.decide(score) if passes else 0.0 for score, passes in zip(scores, usual)]

    def _usual_window(self, state: SymbolState, ago: int) -> bool:
        companion = self.served.companion
        if companion is None or state.run - ago < companion.window:
            return True
        return companion.veto(state.last_rows(companion.window + ago)[: companion.window]) is None

    def catch_up(self, other: Stream, now: float) -> None:
        """Take the candles that another stream of the same symbols has taken since this one was opened; go on with its regimes
        where they are told by the same rules, since those remember more.
        """
        late = []
        for symbol, state in other.states.items():
            last = self.features.place(symbol)[0]
            for ts, *values in state.candles.table().tolist():
                if last is None or ts > last:
                    named = dict(zip(self._kept, values))
                    late.append({"symbol": symbol, "ts": int(ts), "closed": True, **named})
        late.sort(key=itemgetter("ts"))
        for _, moment in groupby(late, key=itemgetter("ts")):
            self.take_all(moment, now)
        if self.served.classifier == other.served.classifier:
            self.regimes = other.regimes
            self._know_regimes()

    # --- one candle -------------------------------------------------------------------------------------------------

    def take(self, candle: Any, now: float) -> Signal:
        """The next closed bar of one symbol; ``now`` in milliseconds since 1970."""
        if type(candle) is not dict:
            candle = as_mapping(candle)
        symbol: Any = candle.get("symbol") or self._only
        values = self._features_of(symbol, candle)
        row, state, vetoes, scored = self._row(symbol, candle, values)
        if not scored:
            return self._signal(symbol, state, None, vetoes, now)
        served = self.served
        raw = served.scorer.one(row if served.window == 1 else state.last_rows(served.window), regime_code(state.regime))
        return self._signal(symbol, state, served.signal(raw) - state.level, vetoes, now)

    def take_all(self, candles: Iterable[Any], now: float) -> list[Signal]:
        """The bars of several symbols; the model is asked about all of them at once.

        A candle that cannot be taken gets a signal with the veto ``refused`` and leaves the others alone; where features
        compare symbols, bars are of one moment, and one that cannot be taken is an error for all.
        """
        served, rows = self.served, [candle if type(candle) is dict else as_mapping(candle) for candle in candles]
        for candle in rows:
            self._state_of(candle.get("symbol") or self._only)  # a symbol that is not open is refused before any is taken
        together = self._compared(rows) if self.compares and rows else None
        signals: list[Signal | None] = [None] * len(rows)
        asked: list[int] = []
        ready: list[tuple[str, SymbolState, NDArray[np.float32], list[Veto]]] = []
        for i, candle in enumerate(rows):
            symbol: Any = candle.get("symbol") or self._only
            try:
                values = self._features_of(symbol, candle) if together is None else together[symbol]
            except CandleError as error:
                signals[i] = self._refused(symbol, candle, str(error))
                continue
            row, state, vetoes, scored = self._row(symbol, candle, values)
            if scored:
                asked.append(i)
                ready.append((symbol, state, row, vetoes))
            else:
                signals[i] = self._signal(symbol, state, None, vetoes, now)
        if ready:
            window = served.window
            X = np.stack([row if window == 1 else state.last_rows(window) for _, state, row, _ in ready])
            codes = np.array([regime_code(state.regime) for _, state, _, _ in ready])
            for i, raw, (symbol, state, _, vetoes) in zip(asked, served.scorer.many(X, codes), ready):
                signals[i] = self._signal(symbol, state, served.signal(raw) - state.level, vetoes, now)
        return [signal for signal in signals if signal is not None]

    def _compared(self, rows: list[Mapping[str, Any]]) -> Mapping[str, Mapping[str, float | None] | None]:
        """Features that compare symbols; None for all of them where one is infinite."""
        before = {symbol: self.features.place(symbol)[0] for symbol in self.states}
        try:
            return self.features.update_all(rows)
        except FeatureError:
            taken = [symbol for symbol in self.states if self.features.place(symbol)[0] != before[symbol]]
            if not taken:
                raise
            return dict.fromkeys(taken)

    def _features_of(self, symbol: Any, candle: Mapping[str, Any]) -> Mapping[str, float | None] | None:
        """Features of the bar; None where one is infinite, which ends the window but not the stream."""
        before = self.features.place(symbol)[0] if symbol in self.states else None
        try:
            return self.features.update(candle)
        except FeatureError:
            if symbol not in self.states or self.features.place(symbol)[0] == before:
                raise
            return None

    def _row(
        self, symbol: str, candle: Mapping[str, Any], values: Mapping[str, float | None] | None
    ) -> tuple[NDArray[np.float32], SymbolState, list[Veto], bool]:
        """Remember the bar; its row of features, what speaks against acting on it, and whether it can be scored."""
        state = self.states[symbol]
        ts, segment, bars = self.features.place(symbol)
        if bars == 1:
            state.restart()
        numbers = [float(candle[name]) for name in self._kept]
        if self._close is not None:
            state.volatility.update(numbers[self._close])
        state.candles.add(ts or 0, numbers)
        if self.regimes is not None:
            state.regime = self.regimes.take(symbol, ts or 0, *numbers[1:5])
        row = state.next_row()
        if values is None:
            row[:] = np.nan
            state.run = 0
            return row, state, [Veto(VetoKind.INFINITE_FEATURE, "an indicator gave an infinite value")], False
        row[:] = list(values.values())
        screen = self.served.screen
        usual = screen.passes(row)
        state.run = state.run + 1 if usual or np.isfinite(row).all() else 0
        if state.run >= self.served.window:
            return row, state, self._unlike_training(row, state, usual), True
        return row, state, [self._why_no_score(row, segment, bars, state.run)], False

    def _unlike_training(self, row: NDArray[np.float32], state: SymbolState, usual: bool) -> list[Veto]:
        vetoes = [] if usual else self.served.screen.vetoes(row)
        companion = self.served.companion
        if companion is not None and state.run >= companion.window:
            against = companion.veto(state.last_rows(companion.window))
            vetoes += [] if against is None else [against]
        return vetoes

    def _why_no_score(self, row: NDArray[np.float32], segment: int, bars: int, run: int) -> Veto:
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
        if now - decision > served.stale_after * self.bar:
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
                state.waiting.append(ts)
                if len(state.waiting) > _MOST_WAITING:  # nobody tells labels
                    state.waiting.popleft()
                    state.interval.update(math.nan)
                if low != low:
                    low = high = None
        policy = served.policy
        position = 0.0 if served.baseline else None
        if policy is not None:
            state.decisions.append(0.0 if score is None or vetoes else policy.decide(score, volatility))
            position = policy.held(state.decisions)
        opened = datetime.fromtimestamp(ts / 1_000.0, UTC)
        return Signal(
            symbol,
            opened,
            opened + self._length,
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
            served.notes,
        )

    def _state_of(self, symbol: Any) -> SymbolState:
        if not isinstance(symbol, str):
            raise CandleError(f"symbol is {symbol!r}; text was expected.")
        if symbol not in self.states:
            raise nearest_name(symbol, self.states, kind="symbol")
        return self.states[symbol]

    def _refused(self, symbol: Any, candle: Mapping[str, Any], why: str) -> Signal:
        """A candle that changed nothing; its signal bears the time it came with, where that is one."""
        served, ts = self.served, candle.get("ts")
        opened = (
            ts if isinstance(ts, datetime) else datetime.fromtimestamp((self.features.place(symbol)[0] or 0) / 1_000.0, UTC)
        )
        nothing = (None,) * 8
        veto = (Veto(VetoKind.REFUSED, why),)
        told = (served.model_id, served.alias, served.scorer.engine, served.notes)
        return Signal(str(symbol), opened, opened + self._length, *nothing, False, veto, *told)

    def learn(self, symbol: str, ts: int, label: float) -> bool:
        """The label of an earlier bar is known; whether an interval waited for it. Intervals skipped over never get theirs."""
        state = self._state_of(symbol)
        if state.interval is None or ts not in state.waiting:
            return False
        while state.waiting:
            first = state.waiting.popleft()
            state.interval.update(label if first == ts else math.nan)
            if first == ts:
                break
        return True


def _open_regimes(classifier: RegimeClassifier, history: pl.DataFrame, features: OnlineFeatures) -> OnlineRegime:
    """Regimes that go on from a history."""
    return OnlineRegime.open(classifier, history, bar=timedelta(milliseconds=features.bar_ms), symbols=features.symbols)
