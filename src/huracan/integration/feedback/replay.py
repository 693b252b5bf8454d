"""A life with the Mechanic over history: the same stages, turn after turn, with a clock that waits for nobody.

Nothing in a stage knows that it is replayed. A replay has a folder of its own under ``home/replays`` with database, artifacts
and published files; one that was killed goes on there when it is asked for again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from huracan.config import HuracanConfig, feedback_hash, milliseconds
from huracan.errors import NotEnoughData
from huracan.integration.evidence import Progress
from huracan.integration.feedback.candle_window import CandleWindow, FrameWindow
from huracan.integration.feedback.cleaned_window import cleaned, require_known_in_time, rows_only, without_filled
from huracan.integration.feedback.clock import SimulatedClock
from huracan.integration.feedback.feeds import FrameFeed
from huracan.integration.feedback.mechanic_report import MechanicReport
from huracan.integration.feedback.strays import stray_told, without_strays
from huracan.integration.feedback.tick_log import last_tick
from huracan.integration.feedback.training_span import bars_needed
from huracan.integration.mechanic import Mechanic
from huracan.integration.preparation import Source, read_source
from huracan.integration.unified_pipeline import UnifiedMLPipeline
from huracan.market import bar_length, candles_hash
from huracan.market.schema import written_time
from huracan.memory import give_back_freed_memory, keep_freed_memory
from huracan.model_registry import ModelRegistry
from huracan.storage import Database
from huracan.storage.folder_lock import held
from huracan.storage.manifests import library_versions
from huracan.version import source_hash

__all__ = ["Replay", "replay"]

_FOLDER = "replays"
_LEAST_SHARE = 3
"""Of candles shorter than so many times ``mechanic.train`` the first part of as many is learned from before the first turn."""
_FOR_EVER = "36500d"
_TIDIED = 24
"""Turns after which memory that was freed and kept is given back, so that a long life needs no more than a short one."""


@dataclass(frozen=True, eq=False)
class Replay:
    """A life that was replayed to its end.

    Attributes
    ----------
    pipeline : with the registry of the replay, whose ``config.home`` is its folder. name : of the models. source : the candles
        as they came.
    bar, every : milliseconds. first, last : of the turns, milliseconds UTC. why_then : the first turn is at that time.
    """

    pipeline: UnifiedMLPipeline
    name: str
    source: Source
    bar: int
    every: int
    first: int
    last: int
    why_then: str = ""

    @property
    def folder(self) -> Path:
        """Where all of it is kept."""
        return self.pipeline.config.home

    @cached_property
    def window(self) -> CandleWindow:
        """The candles as models read them, cleaned as they would have come."""
        return cleaned(FrameWindow(self.source.candles, self.bar), self.pipeline.config)

    @cached_property
    def candles(self) -> pl.DataFrame:
        """Those that were lived through and those before, cleaned, without bars that were put in."""
        opens = self.source.candles["ts"].dt.epoch("ms")
        return without_filled(self.window.bars(int(opens.min()), int(opens.max())))  # type: ignore[arg-type]


def replay(
    config: HuracanConfig,
    candles: Any = None,
    *,
    every: str | None = None,
    start: int | None = None,
    until: int | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    told: Callable[[str], None] = lambda sentence: None,
) -> Replay:
    """Live through candles with the Mechanic, from nobody being champion.

    At each turn only bars that were closed by then are seen. Single predictions are kept for as long as the replay lasts,
    whatever ``mechanic.keep_raw`` says; that changes no decision.

    Parameters
    ----------
    candles : as of :meth:`UnifiedMLPipeline.run`; None takes ``data.source``, and without that a simulated market.
    every : time between turns, ``mechanic.every`` by default; a multiple of a bar is taken.
    start, until : of the first and the last turn, milliseconds UTC; by default after ``mechanic.train``, or a third of shorter
        candles, and not before the bars that a first champion needs are there; and the close of the last bar.
    folder : in which to live; by default one under ``home`` that is known by data, settings and code.
    progress : called after each turn with its time and its share of the work.
    told : hears the sentence of each turn that did something beside predicting.

    Raises
    ------
    NotEnoughData : the candles are too short for a single turn. FolderInUse : another process replays this.
    ConfigError : cleaning is configured to look ahead.
    HuracanError : what is wrong with data, configuration or environment, in one sentence.
    """
    keep_freed_memory()  # before threads have arenas of their own
    require_known_in_time(config)
    source = _believed(_watched(read_source(rows_only(config), candles), config), told)
    feed = FrameFeed(source.candles)
    step = milliseconds(every or config.mechanic.every)
    step += -step % feed.bar
    first, last, why_then = _span(config, source.candles, feed, step, start, until)
    home = folder or config.home / _FOLDER / _key(config, source.candles, step, first, last)[:16]
    with held(home):
        pipeline = _pipeline(config, home, step)
        clock = SimulatedClock(first)
        mechanic = Mechanic(pipeline, source=feed, clock=clock)
        with mechanic.working():
            before = last_tick(pipeline.registry.database, mechanic.name)
            begin = first if before is None else max(first, before[0])
            turns = range(begin, last + 1, step)
            for number, moment in enumerate(turns):
                if number % _TIDIED == 0:
                    give_back_freed_memory()
                clock.set(moment)
                report = mechanic.tick()
                if progress is not None:
                    progress(written_time(moment), 1.0 / len(turns))
                if _is_worth_telling(report):
                    told(report.sentence)
    return Replay(pipeline, mechanic.name, source, feed.bar, step, first, last, why_then)


def _is_worth_telling(report: MechanicReport) -> bool:
    return bool(report.done and (report.challengers or report.trials or report.trouble or report.refused))


def _watched(source: Source, config: HuracanConfig) -> Source:
    wanted = config.mechanic.symbols
    if not wanted:
        return source
    kept = source.candles.filter(pl.col("symbol").is_in(wanted))
    there = kept["symbol"].unique().to_list()
    if missing := [symbol for symbol in wanted if symbol not in there]:
        raise NotEnoughData(f"mechanic.symbols names {', '.join(missing)}, of which {source.name} has no candle.")
    return Source(kept, source.name, source.notes, source.truth, source.cleaning, source.filled)


def _believed(source: Source, told: Callable[[str], None]) -> Source:
    """Without newest candles of which nothing beside them tells that it is so late, as a life refuses them."""
    bar = int(bar_length(source.candles).total_seconds() * 1_000)
    candles, strays = without_strays(source.candles, {}, bar, now=0)
    front = int(candles["ts"].dt.epoch("ms").max())  # type: ignore[arg-type]
    for symbol, ts in strays.select("symbol", pl.col("ts").dt.epoch("ms")).iter_rows():
        told(stray_told(symbol, ts, front, bar))
    return replace(source, candles=candles) if strays.height else source


def _span(
    config: HuracanConfig, candles: pl.DataFrame, feed: FrameFeed, step: int, start: int | None, until: int | None
) -> tuple[int, int, str]:
    """First and last turn, on the grid of ``step`` since 1970; and why the first is where it is."""
    opens = candles["ts"].dt.epoch("ms").unique().sort()
    oldest, newest = int(opens[0]), int(opens[-1]) + feed.bar
    needed = bars_needed(config)
    warm, why = milliseconds(config.mechanic.train), f"mechanic.train ({config.mechanic.train}) after the first candle"
    if (third := (newest - oldest) // _LEAST_SHARE) < warm:
        warm, why = third, "a third of the candles lies before it"
    first = oldest + warm
    if len(opens) >= needed and int(opens[needed - 1]) + feed.bar > first:
        first = int(opens[needed - 1]) + feed.bar
        why = f"the {needed:,} bars that a first champion needs (four times retrain.min_new_rows) are there then"
    if start is not None:
        first, why = start, "that was asked for"
    first = max(first, oldest + feed.bar)
    first += -first % step
    last = newest if until is None else min(until, newest)
    last -= last % step
    if last < first:
        raise NotEnoughData(
            f"the candles reach from {written_time(oldest)} to {written_time(newest)}: no turn lies between "
            f"{written_time(first)} and {written_time(last)}; longer candles, or an earlier start, were expected."
        )
    return first, last, why


def _key(config: HuracanConfig, candles: pl.DataFrame, step: int, first: int, last: int) -> str:
    """By data, settings, turns and code."""
    told = [candles_hash(candles), feedback_hash(config), step, first, last, source_hash(), library_versions()]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _pipeline(config: HuracanConfig, home: Path, step: int) -> UnifiedMLPipeline:
    """The configuration at home in the folder of the replay, with a database and artifacts of its own."""
    told = {"keep_raw": _FOR_EVER, "webhook_url": None, "metrics_port": None, "every": f"{step // 1_000}s"}
    mechanic = config.mechanic.model_copy(update=told)
    registry = config.registry.model_copy(update={"url": None})
    pipeline = UnifiedMLPipeline(config.model_copy(update={"home": home, "mechanic": mechanic, "registry": registry}))
    database = Database(f"sqlite:///{home / 'huracan.db'}", synchronous=config.mechanic.replay_synchronous)
    pipeline.registry = ModelRegistry(database, artifacts=home / "artifacts")
    return pipeline
