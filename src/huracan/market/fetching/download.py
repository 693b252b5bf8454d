"""One download: what is to be fetched, handed out to threads, stored as it arrives, and counted."""

from __future__ import annotations

import datetime as dt
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from huracan.errors import ArtifactError, CandleError, DataError, ExchangeError, HuracanError
from huracan.logs import logger
from huracan.market.bar_lengths import first_open, grid_phase, length_in_ms
from huracan.market.fetching.absences import Absences
from huracan.market.fetching.exchange import Exchange
from huracan.market.fetching.pages import DAY, Span
from huracan.market.fetching.patience import Patience
from huracan.market.fetching.plan import (
    SETTLING,
    Moment,
    as_ms,
    coverage_of,
    funding_spans,
    read_moment,
    spans_to_fetch,
)
from huracan.market.fetching.report import FetchReport, SymbolFetch
from huracan.market.fetching.workers import Arrived, Crew, Done, Message, Notice, SetAside, Split, Task
from huracan.market.schema import written_time
from huracan.market.store import CandleStore
from huracan.market.store.moments import utc
from huracan.market.store.partition import CANDLE_VALUES, FUNDING
from huracan.market.store.series import Series

__all__ = ["Download", "Progress"]

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of the whole that this settled."""

_FUNDING_WEIGHT = 0.02
"""Of a span of funding rates in the progress, as they take that much less to ask for than bars."""
_LASTING_SILENCE = 3 * DAY
"""Milliseconds without a funding rate that are remembered as such; every exchange settles more often where it settles."""


@dataclass
class _Tally:
    """Counts of one symbol while they grow."""

    absences: Absences
    funding_absences: Absences
    span: Span = (0, 0)
    added: int = 0
    unchanged: int = 0
    revised: int = 0
    revisions: list[dict[str, Any]] = field(default_factory=list)
    funding_added: int = 0
    funding_revised: int = 0
    requests: int = 0
    retries: int = 0
    set_aside: dict[tuple[bool, int, str], str] = field(default_factory=dict)
    error: HuracanError | None = None


class Download:
    """The one thread that writes: hands out tasks, stores what arrives, counts."""

    def __init__(self, store: CandleStore, exchange: Exchange, bar: str, timeframe: str, tell: Progress) -> None:
        self.store = store
        self.exchange = exchange
        self.bar = bar
        self.bar_ms = length_in_ms(bar)
        self.timeframe = timeframe
        self.tell = tell
        self.tallies: dict[str, _Tally] = {}
        self.tasks: list[Task] = []
        self.span: Span = (0, 0)

    def plan(self, symbols: Sequence[str], since: Moment | None, until: Moment | None, *, funding: bool, again: bool) -> None:
        """Find what is missing of every symbol; ``again`` asks for all of the span."""
        now = self.exchange.now()
        start = None if since is None else read_moment(since, now=now, what="since")
        stop = now if until is None else min(now, read_moment(until, now=now, what="until"))
        if start is not None and start > now:
            raise DataError(f"since is {written_time(start)}, and it is {written_time(now)} now; a time past was expected.")
        end = min(stop, now - SETTLING - self.bar_ms + 1)  # opens before it are of bars that have closed
        if start is not None and start >= stop:
            raise DataError(
                f"since is {written_time(start)} and until is {written_time(stop)}; since before until was expected."
            )
        for symbol in symbols:
            root, name = self.store.root, self.exchange.name
            bars, rates = (Absences(root, name, symbol, what, now=now) for what in (self.bar, FUNDING))
            tally = self.tallies[symbol] = _Tally(bars, rates, span=(end if start is None else start, end))
            try:
                self._require_one_source(symbol)
                if start is None:
                    tally.span = (self._first_open(symbol), end)
                due = (tally.span[0], min(stop, now - SETTLING)) if funding else None
                self.tasks += _whole_tasks(self, symbol, tally.span, due) if again else self._tasks_of(symbol, tally, due)
            except ArtifactError as error:  # said at the end: the other symbols are not concerned
                tally.error = error
        self.span = (min(tally.span[0] for tally in self.tallies.values()), end)

    def _tasks_of(self, symbol: str, tally: _Tally, due: Span | None) -> list[Task]:
        """Bars that are missing, and funding rates that fall due in ``due``."""
        tasks = []
        if tally.span[0] < tally.span[1]:
            page_bars = self.exchange.page_bars(symbol)
            spans = spans_to_fetch(self.store, symbol, self.bar, tally.span, absences=tally.absences, page_bars=page_bars)
            tasks += [Task(symbol, span, self.timeframe, self.bar_ms) for span in spans]
        if due is not None:
            spans = funding_spans(self.store, symbol, due, absences=tally.funding_absences)
            tasks += [Task(symbol, span, None) for span in spans]
        return tasks

    def run(self, crew: Crew) -> None:
        """Hand out the tasks and store what arrives until all have ended."""
        whole = sum((task.span[1] - task.span[0]) * _weight(task) for task in self.tasks) or 1.0
        left = len(self.tasks)
        for task in self.tasks:
            crew.todo.put(task)
        try:
            while left:
                messages = _waiting(crew.messages)
                self._store([message for message in messages if isinstance(message, Arrived)], whole)
                for message in messages:
                    if isinstance(message, Split):
                        left += len(message.tasks)
                        for task in message.tasks:
                            crew.todo.put(task)
                    elif isinstance(message, Notice):
                        self.tell(message.sentence, 0.0)
                    elif isinstance(message, SetAside):
                        self._set_aside(message)
                    elif isinstance(message, Done):
                        left -= 1
                        self._ended(message)
        finally:
            for tally in self.tallies.values():
                tally.absences.save()
                tally.funding_absences.save()

    def report(self, patience: Patience) -> FetchReport:
        """Count what the store holds now.

        Raises
        ------
        ExchangeError : symbols that the exchange refused. ArtifactError : symbols whose files are damaged. The others are
            stored.
        """
        failed = [tally.error for tally in self.tallies.values() if tally.error is not None]
        if failed:
            first, many = str(failed[0]).rstrip("."), len(self.tallies)
            others = f" ({len(failed)} of {many} symbols failed; the others are stored)" if many > 1 else ""
            raise type(failed[0])(f"{first}{others}.") from failed[0]
        entries = tuple(self._entry(symbol, tally) for symbol, tally in self.tallies.items())
        requests = patience.requests + sum(entry.requests for entry in entries)
        retries = patience.retries + sum(entry.retries for entry in entries)
        start, end = (utc(first_open(edge, self.bar_ms, grid_phase(self.bar_ms))) for edge in self.span)
        report = FetchReport(self.exchange.name, self.bar, start, end, entries, requests, retries)
        logger().info("fetched", said=report.sentence)
        return report

    def _first_open(self, symbol: str) -> int:
        first = self.store.first_time(symbol, self.bar)
        if first is None:
            raise DataError(f"{self.store.root} holds no {self.bar} bars of {symbol} to go on from; since must say from when.")
        return as_ms(first)

    def _require_one_source(self, symbol: str) -> None:
        import ccxt

        series = Series(self.store.root, symbol, self.bar)
        ends = [facts for facts in (series.first_facts(), series.last_facts()) if facts is not None]
        others = {source for facts in ends for source in facts.sources} & set(ccxt.exchanges) - {self.exchange.name}
        if others:
            raise CandleError(
                f"{self.store.root} holds {self.bar} bars of {symbol} from {min(others)}; bars of two exchanges would be "
                f"mixed: another folder was expected for {self.exchange.name}."
            )

    def _store(self, arrived: list[Arrived], whole: float) -> None:
        """Store all that waits, a symbol at a time: one write for several pages where writing is the slower part."""
        for symbol, is_funding in dict.fromkeys((one.task.symbol, one.task.timeframe is None) for one in arrived):
            mine = [one for one in arrived if (one.task.symbol, one.task.timeframe is None) == (symbol, is_funding)]
            frames = [one.piece.bars for one in mine if one.piece.bars.height]
            tally, asked_at = self.tallies[symbol], min(one.asked_at for one in mine)
            if frames and tally.error is None:
                try:
                    self._append(tally, pl.concat(frames).sort("ts"), is_funding, utc(asked_at))
                except ArtifactError as error:
                    tally.error = error
            absences, least = (tally.funding_absences, _LASTING_SILENCE) if is_funding else (tally.absences, 0)
            for piece in (one.piece for one in mine):
                lasting = [span for span in piece.absent if span[1] - span[0] > least]
                absences.add(lasting, now=asked_at, twice=piece.twice)
            for one in mine:
                settled = (one.piece.end - one.piece.start) * _weight(one.task)
                what = "funding of " if is_funding else ""
                self.tell(f"{what}{symbol}, {utc(one.piece.end):%Y-%m-%d}", settled / whole)

    def _append(self, tally: _Tally, rows: pl.DataFrame, is_funding: bool, asked_at: dt.datetime) -> None:
        if is_funding:
            said = self.store.append_funding(rows, source=self.exchange.name, fetched_at=asked_at)
            tally.funding_added += said.added
            tally.funding_revised += said.revised
            return
        said = self.store.append(rows, bar=self.bar, source=self.exchange.name, fetched_at=asked_at)
        tally.added += said.added
        tally.unchanged += said.unchanged
        tally.revised += said.revised
        tally.revisions.extend(said.revisions.iter_rows(named=True))

    def _set_aside(self, message: SetAside) -> None:
        tally = self.tallies[message.task.symbol]
        for ts, sentence in message.rows:
            tally.set_aside[message.task.timeframe is None, ts, sentence if ts < 0 else ""] = sentence

    def _ended(self, done: Done) -> None:
        tally = self.tallies[done.task.symbol]
        tally.requests += done.requests
        tally.retries += done.retries
        if done.error is None:
            return
        if not isinstance(done.error, ExchangeError) or self.exchange.patience.given_up:
            raise done.error
        tally.error = tally.error or done.error

    def _entry(self, symbol: str, tally: _Tally) -> SymbolFetch:
        missing, first, last = coverage_of(self.store, symbol, self.bar, tally.span)
        return SymbolFetch(
            symbol=symbol,
            added=tally.added,
            unchanged=tally.unchanged,
            revised=tally.revised,
            revision=_revision(tally.revisions),
            set_aside=tuple(tally.set_aside.values()),
            missing=tuple((utc(start), utc(end)) for start, end in missing),
            missing_bars=sum((end - start) // self.bar_ms for start, end in missing),
            first=None if first is None else utc(first),
            last=None if last is None else utc(last),
            funding_added=tally.funding_added,
            funding_revised=tally.funding_revised,
            requests=tally.requests,
            retries=tally.retries,
        )


def _whole_tasks(job: Download, symbol: str, span: Span, due: Span | None) -> list[Task]:
    bars = [Task(symbol, span, job.timeframe, job.bar_ms)] if span[0] < span[1] else []
    return [*bars, Task(symbol, due, None)] if due is not None and due[0] < due[1] else bars


def _revision(revisions: Sequence[dict[str, Any]]) -> str:
    """The earliest revised bar in words: when, and its close if that changed, else another value that did."""
    if not revisions:
        return ""
    first = min(revisions, key=lambda row: row["ts"])
    name = next(name for name in ("close", *CANDLE_VALUES) if first[f"old_{name}"] != first[f"new_{name}"])
    return f"{name} {first[f'old_{name}']:.10g} became {first[f'new_{name}']:.10g} at {written_time(as_ms(first['ts']))}"


def _weight(task: Task) -> float:
    return _FUNDING_WEIGHT if task.timeframe is None else 1.0


def _waiting(messages: queue.Queue[Message]) -> list[Message]:
    """All messages there are, at least one."""
    found = [messages.get()]
    try:
        while True:
            found.append(messages.get_nowait())
    except queue.Empty:
        return found
