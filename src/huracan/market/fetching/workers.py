"""Threads that ask: they take tasks, page through them, and hand what arrives to the one thread that writes."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from huracan.market.columns import shown
from huracan.market.fetching.exchange import Exchange
from huracan.market.fetching.pages import DAY, Page, Piece, Span, read_page, walk
from huracan.market.fetching.patience import Stopped
from huracan.market.schema import written_time

__all__ = ["Arrived", "Crew", "Done", "Message", "Notice", "SetAside", "Split", "Task"]

_PAGES_A_TASK = 10
_FUNDING_WINDOW = 7 * DAY


@dataclass(frozen=True)
class Task:
    """Bars (or funding rates, where ``timeframe`` is None) of one symbol in one span.

    Attributes
    ----------
    phase : where bars open on the clock, modulo their length; None until one has been seen.
    whole : whether a long remainder may be cut into tasks for other threads, once the first bar is found.
    """

    symbol: str
    span: Span
    timeframe: str | None
    bar_ms: int = 1
    phase: int | None = None
    whole: bool = True


@dataclass(frozen=True, eq=False)
class Arrived:
    """A piece that is settled, and the exchange's time when it was asked for."""

    task: Task
    piece: Piece
    asked_at: int


@dataclass(frozen=True)
class SetAside:
    """Rows that cannot be true: ``(ts, sentence)``."""

    task: Task
    rows: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Split:
    """The remainder of a task, as tasks."""

    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Done:
    """A task that ended, with the requests it took, and why it ended if not because all was there."""

    task: Task
    requests: int
    retries: int
    error: BaseException | None = None


@dataclass(frozen=True)
class Notice:
    """Something that whoever waits should know."""

    sentence: str


Message = Arrived | SetAside | Split | Done | Notice


class Crew:
    """Threads over one exchange.

    Parameters
    ----------
    exchange : connected. size : how many threads.
    """

    def __init__(self, exchange: Exchange, size: int) -> None:
        self.exchange = exchange
        self.size = size
        self.todo: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self.messages: queue.Queue[Message] = queue.Queue(maxsize=4 * size)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Run the threads; whatever ends the block stops them, and a request under way is not waited for."""
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self.size)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.exchange.patience.stop.set()
            for _ in threads:
                self.todo.put(None)
            for thread in threads:
                thread.join(timeout=0.1)

    def tell(self, message: Message) -> None:
        """Hand a message to the thread that writes; waits while it is behind."""
        while not self.exchange.patience.stop.is_set():
            try:
                return self.messages.put(message, timeout=0.1)
            except queue.Full:
                continue
        raise Stopped

    def _work(self) -> None:
        patience = self.exchange.patience
        try:
            while (task := self.todo.get()) is not None:
                requests, retries, error = patience.requests, patience.retries, None
                try:
                    self._fetch(task)
                except Exception as failure:  # noqa: BLE001 - handed to the thread that writes, which raises it
                    error = failure
                self.tell(Done(task, patience.requests - requests, patience.retries - retries, error))
        except Stopped:
            return

    def _fetch(self, task: Task) -> None:
        for piece, asked_at in self._funding(task) if task.timeframe is None else self._bars(task):
            self.tell(Arrived(task, piece, asked_at))

    def _bars(self, task: Task) -> Iterator[tuple[Piece, int]]:
        exchange, symbol, timeframe = self.exchange, task.symbol, str(task.timeframe)
        page_bars = exchange.page_bars(symbol)
        phase = task.phase
        asked_at = exchange.now()

        def ask(since: int) -> Page:
            nonlocal phase, asked_at
            asked_at = exchange.now()
            answer = exchange.candles(symbol, timeframe, since)
            page = read_page(answer, symbol=symbol, bar_ms=task.bar_ms, phase=phase)
            if phase is None and page.times.size:
                phase = int(page.times[0]) % task.bar_ms
            self._set_aside(task, page)
            return page

        def days(since: int) -> list[int]:
            answer = exchange.candles(symbol, "1d", since)
            return read_page(answer, symbol=symbol, bar_ms=DAY, phase=None).times.tolist()

        has_days = task.bar_ms < DAY and exchange.has_bar("1d")
        longest = _PAGES_A_TASK * page_bars * task.bar_ms
        settled = task.span[0]  # pieces from behind a jump come later than this, and leave it where it is
        for piece in walk(ask, task.span, bar_ms=task.bar_ms, page_bars=page_bars, days=days if has_days else None):
            yield piece, asked_at
            if piece.start != settled:
                continue
            settled = piece.end
            if task.whole and piece.bars.height and task.span[1] - piece.end > longest:
                rest = range(piece.end, task.span[1], longest)
                spans = [(start, min(start + longest, task.span[1])) for start in rest]
                self.tell(Split(tuple(replace(task, span=span, phase=phase, whole=False) for span in spans)))
                return

    def _funding(self, task: Task) -> Iterator[tuple[Piece, int]]:
        exchange, symbol = self.exchange, task.symbol
        asked_at = exchange.now()

        def ask(since: int) -> Page:
            nonlocal asked_at
            asked_at = exchange.now()
            page = _read_rates(exchange.funding(symbol, since), symbol)
            self._set_aside(task, page)
            return page

        for piece in walk(ask, task.span, bar_ms=1, page_bars=_FUNDING_WINDOW, look_again=False):
            yield piece, asked_at

    def _set_aside(self, task: Task, page: Page) -> None:
        rows = page.within(*task.span).set_aside
        if rows:
            self.tell(SetAside(task, rows))


def _read_rates(rows: Sequence[tuple[Any, Any]], symbol: str) -> Page:
    """Read funding rates; those that are none are set aside and named."""
    rates: dict[int, float] = {}
    aside: list[tuple[int, str]] = []
    for ts, rate in rows:
        if not isinstance(ts, int) or ts < 0:
            aside.append((-1, f"{symbol}: a funding rate has the time {shown(ts)}; milliseconds since 1970 were expected"))
        elif not isinstance(rate, int | float) or not math.isfinite(rate):
            aside.append((ts, f"{symbol}: the funding rate at {written_time(ts)} is {shown(rate)}; a finite rate was expected"))
        elif rates.setdefault(ts, float(rate)) != rate:
            aside.append((ts, f"{symbol}: {written_time(ts)} has two funding rates, {rates[ts]} and {rate}"))
    times = sorted(rates.keys() - {ts for ts, _ in aside})
    columns = {"symbol": [symbol] * len(times), "ts": times, "funding_rate": [rates[ts] for ts in times]}
    frame = pl.DataFrame(columns, schema={"symbol": pl.String, "ts": pl.Int64, "funding_rate": pl.Float64})
    frame = frame.with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC")))
    return Page(np.array(times, dtype=np.int64), frame, tuple(aside))
