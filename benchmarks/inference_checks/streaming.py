"""From a new one-minute candle to a signal: equal to batch first, then microseconds; 400 symbols; champions that change.

:func:`measure` gives the part of the page, and what falls short of its bar.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import markdown_table
from benchmarks.inference_checks.champions import SEQUENCE, TABULAR, history_and_bars, register, training_rows
from benchmarks.inference_checks.swapping import swaps_under_load
from huracan import ModelRegistry, TrainingSet
from huracan.serving import Predictor

__all__ = ["Part", "measure"]

ROUNDS = 5
PARITY_BARS = 300
SAME = 1e-5
TABULAR_P50, SEQUENCE_P50, P99 = 150.0, 400.0, 1_000.0
SYMBOLS, MANY_BARS, MANY_HISTORY, MANY_MS = 400, 40, 400, 150.0
MANY_OF = ("lightgbm", "lstm")
NUMBERS = ("score", "probability", "forecast", "low", "high", "position")


@dataclass(frozen=True)
class Part:
    """Text of a page, and what in it misses its bar."""

    text: str
    short: tuple[str, ...]


def measure() -> Part:
    """Check, then measure: latency of every champion, many symbols, hot swaps."""
    history, bars = history_and_bars()
    rows = training_rows(history)
    with tempfile.TemporaryDirectory() as folder:
        registry = ModelRegistry(f"sqlite:///{folder}/huracan.db", artifacts=Path(folder) / "artifacts")
        learners = {**TABULAR, **SEQUENCE}
        for learner, settings in learners.items():
            registry.promote(learner, register(registry, learner, rows, learner, settings), reason="benchmark")
        parts = [_latency(registry, history, bars), _many(registry, history, bars), _swaps(registry, history, bars, rows)]
    return Part("\n\n".join(part.text for part in parts), tuple(short for part in parts for short in part.short))


def _open(registry: ModelRegistry, name: str, history: pl.DataFrame, **how: Any) -> Predictor:
    asked: dict[str, Any] = {"history": history, "refresh": None, "max_age": None, "stale_after": None, **how}
    return Predictor.from_registry(registry, name, **asked)


def parity(registry: ModelRegistry, name: str, history: pl.DataFrame, bars: list[dict[str, Any]]) -> float:
    """Largest difference between a stream's answers and a batch's on the same candles.

    Raises
    ------
    AssertionError : it is beyond 1e-5, or one has an answer where the other has none, or another veto or regime.
    """
    predictor = _open(registry, name, history)
    stream = [predictor.update(bar) for bar in bars[:PARITY_BARS]]
    candles = pl.concat([history, pl.DataFrame(bars[:PARITY_BARS], schema=history.schema)])
    batch = predictor.predict(candles)[history.height :]
    worst = 0.0
    for column in NUMBERS:
        mine = np.array([np.nan if (x := getattr(signal, column)) is None else x for signal in stream])
        theirs = batch[column].fill_null(float("nan")).to_numpy()
        assert np.array_equal(np.isnan(mine), np.isnan(theirs)), f"{name}: {column} has no value at different bars"
        worst = max(worst, float(np.nanmax(np.abs(mine - theirs), initial=0.0)))
    assert [str(signal.regime) for signal in stream] == [str(regime) for regime in batch["regime"]], f"{name}: regimes differ"
    told = [[str(veto.kind) for veto in signal.vetoes] for signal in stream]
    assert told == batch["vetoes"].to_list(), f"{name}: vetoes differ"
    assert worst <= SAME, f"{name}: a stream is {worst:.1e} from its batch"
    return worst


def _latency(registry: ModelRegistry, history: pl.DataFrame, bars: list[dict[str, Any]]) -> Part:
    table, short = [], []
    different = {name: parity(registry, name, history, bars) for name in (*TABULAR, *SEQUENCE)}
    times: dict[str, list[Any]] = {name: [] for name in different}
    for _ in range(ROUNDS):
        for name in different:
            times[name].append(_round(_open(registry, name, history), bars))
    for name, rounds in times.items():
        p50, p99 = (float(np.median(np.percentile(rounds, q, axis=1))) for q in (50, 99))
        quickest = float(np.percentile(np.min(rounds, axis=0), 50))
        bar = TABULAR_P50 if name in TABULAR else SEQUENCE_P50
        engine = _open(registry, name, history).engine
        table.append([name, engine, f"{different[name]:.0e}", f"{p50:.0f}", f"{p99:.0f}", f"{quickest:.0f}", f"{bar:.0f}"])
        short += [f"{name}: p50 {p50:.0f} us, at most {bar:.0f} was expected"] * (p50 > bar)
        short += [f"{name}: p99 {p99:.0f} us, at most {P99:.0f} was expected"] * (p99 > P99)
    text = (
        "## From a candle to a signal\n\n"
        f"One `Predictor.update` on real one-minute bars: 40 features, score, regime, veto (range and distance to training), "
        f"interval, position. Median of {ROUNDS} rounds of {len(bars):,} bars, champions in turn; and each bar in its quickest "
        f"round. Before that the answers of {PARITY_BARS} bars are those of a batch, all of them; bar {SAME:g}. Microseconds, "
        f"p99 at most {P99:.0f}.\n\n"
        + markdown_table(["champion", "engine", "from batch", "p50", "p99", "quickest p50", "bar of p50"], table)
    )
    return Part(text, tuple(short))


def _round(predictor: Predictor, bars: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    update, clock = predictor.update, time.perf_counter_ns
    times = np.empty(len(bars))
    for i, bar in enumerate(bars):
        started = clock()
        update(bar)
        times[i] = clock() - started
    return times / 1_000.0


def _many(registry: ModelRegistry, history: pl.DataFrame, bars: list[dict[str, Any]]) -> Part:
    names = [f"COIN{i:03d}" for i in range(SYMBOLS)]
    recent = history[-MANY_HISTORY:]
    together = pl.concat([recent.with_columns(symbol=pl.lit(name)) for name in names])
    table, short = [], []
    for learner in MANY_OF:
        predictor = _open(registry, learner, together)
        times = []
        for bar in bars[:MANY_BARS]:
            moment = [{**bar, "symbol": name} for name in names]
            started = time.perf_counter()
            signals = predictor.update_all(moment)
            times.append((time.perf_counter() - started) * 1_000.0)
            assert len({signal.score for signal in signals}) == 1, f"{learner}: equal candles have unequal scores"
        p50, slowest = float(np.median(times)), float(np.max(times))
        table.append([learner, f"{p50:.0f}", f"{slowest:.0f}"])
        short += [f"{SYMBOLS} symbols by {learner}: {p50:.0f} ms, at most {MANY_MS:.0f} was expected"] * (p50 > MANY_MS)
    text = (
        f"## {SYMBOLS} symbols in one process\n\nOne `update_all` of a minute's candles; milliseconds over {MANY_BARS} minutes,"
        f" at most {MANY_MS:.0f}.\n\n" + markdown_table(["champion", "median", "slowest"], table)
    )
    return Part(text, tuple(short))


def _swaps(registry: ModelRegistry, history: pl.DataFrame, bars: list[dict[str, Any]], rows: TrainingSet) -> Part:
    found = swaps_under_load(registry, history, bars, rows)
    short = [f"hot swap: {found.failed} calls failed"] * (found.failed > 0)
    short += [f"hot swap: {found.mixed} answers are of neither version alone"] * (found.mixed > 0)
    text = (
        f"## Champions that change\n\nThe alias was moved {found.swaps} times between two versions, every move was taken over "
        f"by a predictor that looks every {found.refresh * 1_000:.0f} ms, and candles came all the while. Each answer is "
        "compared, in every number, with that of a predictor that always served the version the answer names.\n\n"
        + markdown_table(
            ["moves", "answers", "failed", "of a mixture", "slowest answer, ms"],
            [[found.swaps, f"{found.answers:,}", found.failed, found.mixed, f"{found.slowest:.1f}"]],
        )
    )
    assert found.swaps == 100, text
    return Part(text, tuple(short))
