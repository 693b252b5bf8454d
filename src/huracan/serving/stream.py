"""The way of one candle: features, score, veto, position, signal; and the state that it moves."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import CandleError, FeatureError, SignatureError
from huracan.model_info import MarketRegime
from huracan.preprocessing import OnlineFeatures
from huracan.preprocessing.online_candles import as_mapping
from huracan.regimes import RegimeClassifier
from huracan.regimes.online import OnlineRegime
from huracan.serving.batch import regime_code, rows_of_candles
from huracan.serving.scalar_policy import RunningVolatility
from huracan.serving.served import Served, require_bar
from huracan.serving.signal import Signal, Veto, VetoKind

__all__ = ["Stream"]

_SPARE_ROWS = 64
_MOST_WAITING = 10_000
_CANDLE = ("ts", "open", "high", "low", "close", "volume")


class SymbolState:
    """What is remembered of one symbol: recent rows of features, recent candles, decisions, forecasts that wait for labels.

    Attributes
    ----------
    run : rows without a missing value, up to the last. regime : at the last bar.
    candles : the newest closed ones, as many as a fresh start takes.
    decisions : of the unbroken stretch, at most ``horizon``. waiting : opens of the bars whose label is not known yet.
    """

    __slots__ = ("_buffer", "_stop", "candles", "decisions", "interval", "level", "regime", "run", "volatility", "waiting")

    def __init__(self, served: Served, symbol: str, keep_candles: int) -> None:
        rows = served.reach + served.horizon + _SPARE_ROWS
        self._buffer = np.full((2 * rows, len(served.columns)), np.nan, np.float32)
        self._stop = 0
        self.run = 0
        self.regime: MarketRegime | None = None
        self.candles: deque[tuple[Any, ...]] = deque(maxlen=keep_candles)
        self.volatility = RunningVolatility(served.volatility_span)
        self.serve(served, symbol)

    def serve(self, served: Served, symbol: str) -> None:
        """Forget what another version decided."""
        self.level = served.level(symbol)
        self.decisions: deque[float] = deque(maxlen=served.horizon)
        self.interval = served.fresh_interval()
        self.waiting: deque[int] = deque()

    @property
    def capacity(self) -> int:
        """Rows that are remembered at any moment."""
        return len(self._buffer) // 2

    def restart(self) -> None:
        """A gap: no window, decision or volatility reaches across it."""
        self.run = 0
        self.decisions.clear()
        self.volatility.restart()

    def next_row(self) -> NDArray[np.float32]:
        """The place (d,) of the next row, to be written into."""
        if self._stop == len(self._buffer):
            half = len(self._buffer) // 2
            self._buffer[:half] = self._buffer[half:]
            self._stop = half
        self._stop += 1
        return self._buffer[self._stop - 1]

    def last_rows(self, n: int) -> NDArray[np.float32]:
        """The newest n rows (n, d)."""
        return self._buffer[self._stop - n : self._stop]


class Stream:
    """One version on its way through the candles of its symbols; made by :meth:`open`.

    Not for several threads at once: the predictor takes turns.
    """

    def __init__(self, served: Served, features: OnlineFeatures, bar: int, keep: int, regimes: OnlineRegime | None) -> None:
        """Use :meth:`open`."""
        self.served, self.features, self.bar, self.regimes = served, features, bar, regimes
        self.states = {symbol: SymbolState(served, symbol, keep) for symbol in features.symbols}
        self._only = features.symbols[0] if len(features.symbols) == 1 else None
        required = features.recipe.required_columns
        self._kept = tuple(name for name in _CANDLE[1:] if name in required)
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
        regimes: OnlineRegime | None = None,
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
        if regimes is None and served.classifier is not None:
            regimes = _open_regimes(served.classifier, history, features)
        keep = 2 * (recipe.warmup + served.reach + served.horizon)
        stream = cls(served, features, features.bar_ms, keep, regimes)
        if history.height > 1:
            stream._remember(history)
        stream._know_regimes()
        return stream

    def _remember(self, history: pl.DataFrame) -> None:
        """Take over rows, decisions and volatility as a batch over the history has them."""
        rows = rows_of_candles(self.served, history)
        names = [name for name in _CANDLE[1:] if name in history.columns]
        for code, symbol in enumerate(rows.symbols):
            state = self.states[symbol]
            at = np.flatnonzero(rows.code == code)
            last = at[rows.segment[at] == rows.segment[at[-1]]]
            for i in last[-state.capacity :]:
                state.next_row()[:] = rows.X[i]
            state.run = int(rows.run[at[-1]])
            state.decisions.extend(rows.decided[last[-self.served.horizon :]].tolist())
            if "close" in names:
                for close in history["close"].gather(last[-20 * self.served.volatility_span :]).to_list():
                    state.volatility.update(float(close))
            kept = history.select(pl.col("ts").dt.epoch("ms"), *names)[at[-(state.candles.maxlen or 0) :].tolist()]
            state.candles.extend(kept.iter_rows())

    def _know_regimes(self) -> None:
        if self.regimes is not None:
            for symbol, regime in self.regimes.last.items():
                self.states[symbol].regime = regime

    def candles(self) -> pl.DataFrame:
        """The candles it remembers, canonical, sorted by symbol and time."""
        names = [name for name in _CANDLE if name in ("ts", *self.features.recipe.required_columns)]
        schema = {name: pl.Int64 if name == "ts" else pl.Float64 for name in names}
        parts = [
            pl.DataFrame(list(state.candles), schema=schema, orient="row").with_columns(symbol=pl.lit(symbol))
            for symbol, state in self.states.items()
            if state.candles
        ]
        frame = pl.concat(parts) if parts else pl.DataFrame(schema={**schema, "symbol": pl.String})
        ts = pl.from_epoch("ts", time_unit="ms").dt.replace_time_zone("UTC").cast(pl.Datetime("ms", "UTC"))
        return frame.with_columns(ts).select("symbol", *names).sort("symbol", "ts")

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
        regimes = self.regimes if served.classifier == mine.classifier else None
        if regimes is None and served.classifier is not None:
            regimes = _open_regimes(served.classifier, self.candles(), self.features)
        other = Stream(served, self.features, self.bar, 0, regimes)
        other.states = self.states
        for symbol, state in other.states.items():
            state.serve(served, symbol)
            state.decisions.extend(other._decided_before(state))
        other._know_regimes()
        return other

    def _decided_before(self, state: SymbolState) -> list[float]:
        """What this version would have decided on the last rows of the unbroken run."""
        served, policy = self.served, self.served.policy
        n = min(state.run - served.window + 1, served.horizon)
        if policy is None or served.horizon == 1 or n < 1:
            return []
        rows = state.last_rows(n + served.window - 1)
        X = rows if served.window == 1 else np.stack([rows[i : i + served.window] for i in range(n)])
        codes = np.full(n, regime_code(state.regime))
        scores = [served.signal(raw) - state.level for raw in served.scorer.many(np.ascontiguousarray(X), codes)]
        newest = rows[served.window - 1 :]
        usual = [served.screen.passes(row) and self._usual_window(state, n - 1 - i) for i, row in enumerate(newest)]
        return [policy.decide(score) if passes else 0.0 for score, passes in zip(scores, usual)]

    def _usual_window(self, state: SymbolState, ago: int) -> bool:
        companion = self.served.companion
        if companion is None or state.run - ago < companion.window:
            return True
        return companion.veto(state.last_rows(companion.window + ago)[: companion.window]) is None

    def catch_up(self, other: Stream, now: float) -> None:
        """Take the candles that another stream of the same symbols has taken since this one was opened."""
        for symbol, state in other.states.items():
            last = self.features.place(symbol)[0]
            for ts, *values in state.candles:
                if last is None or ts > last:
                    self.take({"symbol": symbol, "ts": ts, "closed": True, **dict(zip(self._kept, values))}, now)

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
        score = served.signal(raw) - state.level
        return self._signal(symbol, state, score, vetoes, now)

    def take_all(self, candles: Iterable[Any], now: float) -> list[Signal]:
        """The bars of several symbols; the model is asked about all of them at once.

        A candle that cannot be taken gets a signal with the veto ``refused`` and leaves the others alone; where features
        compare symbols, bars are of one moment, and one that cannot be taken is an error for all.
        """
        served, rows = self.served, [candle if type(candle) is dict else as_mapping(candle) for candle in candles]
        together = self.features.update_all(rows) if self.compares else None
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
        get = candle.get
        close = get("close")
        if close is not None:
            state.volatility.update(float(close))
        state.candles.append((ts, *[get(name) for name in self._kept]))
        if self.regimes is not None:
            high, low, volume = get("high"), get("low"), get("volume")
            state.regime = self.regimes.take(symbol, ts or 0, float(high), float(low), float(close), float(volume))  # type: ignore[arg-type]
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
        return Signal(
            symbol,
            datetime.fromtimestamp(ts / 1_000.0, UTC),
            datetime.fromtimestamp(decision / 1_000.0, UTC),
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

    def _refused(self, symbol: Any, candle: Mapping[str, Any], why: str) -> Signal:
        """A candle that changed nothing; its signal bears the time it came with, where that is one."""
        if symbol not in self.states:
            raise CandleError(why)
        served, ts = self.served, candle.get("ts")
        opened = (
            ts if isinstance(ts, datetime) else datetime.fromtimestamp((self.features.place(symbol)[0] or 0) / 1_000.0, UTC)
        )
        decided = opened + timedelta(milliseconds=self.bar)
        nothing = (None,) * 8
        veto = (Veto(VetoKind.REFUSED, why),)
        told = (served.model_id, served.alias, served.scorer.engine, served.notes)
        return Signal(str(symbol), opened, decided, *nothing, False, veto, *told)

    def learn(self, symbol: str, ts: int, label: float) -> bool:
        """The label of an earlier bar is known; whether an interval waited for it. Intervals skipped over never get theirs."""
        state = self.states[symbol]
        if state.interval is None or ts not in state.waiting:
            return False
        while state.waiting:
            first = state.waiting.popleft()
            state.interval.update(label if first == ts else math.nan)
            if first == ts:
                break
        return True


def _open_regimes(classifier: RegimeClassifier, history: pl.DataFrame, features: OnlineFeatures) -> OnlineRegime | None:
    """Regimes that go on from a history; None for candles without the columns that regimes are told from."""
    if not {"high", "low", "close", "volume"} <= set(features.recipe.required_columns):
        return None
    return OnlineRegime.open(classifier, history, bar=timedelta(milliseconds=features.bar_ms), symbols=features.symbols)
