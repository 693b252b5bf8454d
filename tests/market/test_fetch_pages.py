"""Paging settles every bar of a span, whatever an exchange's pages are like."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.market import CANDLE_SCHEMA
from huracan.market.fetching.absences import union, without
from huracan.market.fetching.pages import DAY, Page, read_page, walk

MINUTE = 60_000


def _page(times: list[int]) -> Page:
    rows = [[ts, 2.0, 3.0, 1.0, 2.0, 5.0] for ts in times]
    return read_page(rows, symbol="A/B", bar_ms=MINUTE, phase=0)


class _Exchange:
    """Bars at given minutes; every page honest about what it holds, none two alike in form."""

    def __init__(self, minutes: set[int], *, manner: str, page: int, odd: list[int]) -> None:
        self.times = sorted(1000 * DAY + minute * MINUTE for minute in minutes)
        self.manner = manner
        self.page = page
        self.odd = itertools.cycle(odd)
        self.asked = 0

    def ask(self, since: int) -> Page:
        self.asked += 1
        odd = next(self.odd)
        start = since - (odd % 3) * MINUTE  # pages that begin early, and so overlap
        if self.manner == "from":
            found = [ts for ts in self.times if ts >= start][: self.page]
        else:
            window = [ts for ts in self.times if start <= ts < since + self.page * MINUTE]
            found = window if self.manner == "window" else window[-max(1, self.page // 2) :]
        if self.manner != "newest" and odd % 4 == 3:
            after = [ts for ts in found if ts >= since]
            found = found[: len(found) - len(after) // 2]  # a short page
        return _page(found)

    def days(self, since: int) -> list[int]:
        return sorted({ts // DAY * DAY for ts in self.times if ts // DAY * DAY >= since})[:3]


@settings(max_examples=150, deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(0, 6000), st.integers(1, 400)), max_size=4),
    holes=st.sets(st.integers(0, 6400), max_size=60),
    manner=st.sampled_from(["from", "window", "newest"]),
    page=st.integers(20, 300),
    odd=st.lists(st.integers(0, 11), min_size=1, max_size=7),
    span=st.tuples(st.integers(0, 3000), st.integers(1, 4000)),
    with_days=st.booleans(),
)
def test_every_bar_of_a_span_is_settled_once(
    runs: list[tuple[int, int]],
    holes: set[int],
    manner: str,
    page: int,
    odd: list[int],
    span: tuple[int, int],
    with_days: bool,
) -> None:
    minutes = {minute for start, length in runs for minute in range(start, start + length)} - holes
    exchange = _Exchange(minutes, manner=manner, page=page, odd=odd)
    start, end = 1000 * DAY + span[0] * MINUTE, 1000 * DAY + sum(span) * MINUTE
    pieces = list(walk(exchange.ask, (start, end), bar_ms=MINUTE, page_bars=page, days=exchange.days if with_days else None))

    assert union([(piece.start, piece.end) for piece in pieces]) == [(start, end)]
    assert sum(piece.end - piece.start for piece in pieces) == end - start
    found = sorted(ts for piece in pieces for ts in piece.bars["ts"].dt.epoch("ms"))
    expected = [ts for ts in exchange.times if start <= ts < end]
    assert found == expected
    absent = union([hole for piece in pieces for hole in piece.absent])
    assert absent == without([(start, end)], union([(ts, ts + MINUTE) for ts in expected]))
    assert exchange.asked <= 4 + 4 * (end - start) // (page // 4 * MINUTE)


def test_an_exchange_that_gives_only_the_latest_bars_ends_the_walk() -> None:
    latest = [ts * MINUTE for ts in range(99_900, 100_000)]
    asked = []

    def ask(since: int) -> Page:
        asked.append(since)
        return _page(latest)

    pieces = list(walk(ask, (0, 100_000 * MINUTE), bar_ms=MINUTE, page_bars=720))
    assert sum(piece.bars.height for piece in pieces) == 100
    assert [hole for piece in pieces for hole in piece.absent] == [(0, 99_900 * MINUTE)]
    assert len(asked) == 2


def test_a_market_listed_years_later_is_found_by_its_daily_bars() -> None:
    listed = 5 * 365 * DAY + 7 * 3_600_000
    times = [listed + minute * MINUTE for minute in range(3000)]
    asked = []

    def ask(since: int) -> Page:
        asked.append(since)
        return _page([ts for ts in times if since <= ts < since + 300 * MINUTE])

    def days(since: int) -> list[int]:
        asked.append(since)
        return [day for day in range(listed // DAY * DAY, times[-1], DAY) if since <= day < since + 300 * DAY]

    pieces = list(walk(ask, (0, times[-1] + MINUTE), bar_ms=MINUTE, page_bars=300, days=days))
    assert sum(piece.bars.height for piece in pieces) == 3000
    assert len(asked) < 80  # paging alone would take 8,760 empty pages


def test_a_window_smaller_than_ccxt_says_hides_nothing_behind_a_halt() -> None:
    minutes = [*range(400), *range(560, 900)]  # trading goes on within the page that was asked for, beyond what came
    times = [1000 * DAY + minute * MINUTE for minute in minutes]

    def ask(since: int) -> Page:
        return _page([ts for ts in times if since <= ts < since + 120 * MINUTE])

    span = (times[0], times[-1] + MINUTE)
    pieces = list(walk(ask, span, bar_ms=MINUTE, page_bars=300, days=lambda since: [1000 * DAY]))
    assert sum(piece.bars.height for piece in pieces) == len(times)
    absent = union([hole for piece in pieces for hole in piece.absent])
    assert absent == [(times[399] + MINUTE, times[400])]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([MINUTE, 2.0, 1.0, 3.0, 2.0, 5.0], "A/B: high 1.0 is below low 3.0 at 1970-01-01 00:01 UTC"),
        ([MINUTE, -2.0, 3.0, 1.0, 2.0, 5.0], "A/B: 'open' is -2.0 at 1970-01-01 00:01 UTC"),
        ([MINUTE, 2.0, 3.0, 1.0, 9.0, 5.0], "A/B: close 9.0 is outside [1.0, 3.0] at 1970-01-01 00:01 UTC"),
        ([MINUTE, 2.0, 3.0, 1.0, 2.0, None], "A/B: 'volume' is missing at 1970-01-01 00:01 UTC"),
        ([MINUTE, 2.0, 3.0, 1.0, float("nan"), 5.0], "A/B: 'close' is missing at 1970-01-01 00:01 UTC"),
        ([MINUTE + 7, 2.0, 3.0, 1.0, 2.0, 5.0], "A/B: 1970-01-01 00:01:00.007 UTC is off the grid of 1m bars"),
        ([0, 2.0, 3.0, 1.0, 2.5, 5.0], "A/B: 1970-01-01 00:00 UTC is there more than once with different values"),
        ("[[", "A/B: a row is '[['; a time and five numbers were expected"),
        (
            [None, 2.0, 3.0, 1.0, 2.0, 5.0],
            "A/B: a row is [None, 2.0, 3.0, 1.0, 2.0, 5.0]; a time and five numbers were expected",
        ),
        (
            [True, 2.0, 3.0, 1.0, 2.0, 5.0],
            "A/B: a row is [True, 2.0, 3.0, 1.0, 2.0, 5.0]; a time and five numbers were expected",
        ),
        (
            [1e300, 2.0, 3.0, 1.0, 2.0, 5.0],
            "A/B: a row is [1e+300, 2.0, 3.0, 1.0, 2.0, 5.0]; a time and five numbers were expected",
        ),
    ],
)
def test_a_row_that_cannot_be_true_is_set_aside_and_named(row: object, said: str) -> None:
    good = [[minute * MINUTE, 2.0, 3.0, 1.0, 2.0, 5.0] for minute in (0, 2, 3)]
    page = read_page([*good, row], symbol="A/B", bar_ms=MINUTE, phase=0)
    assert [sentence for _, sentence in page.set_aside] == [said]
    assert page.bars.schema == CANDLE_SCHEMA
    times = page.bars["ts"].dt.epoch("ms").to_list()
    assert times == ([2 * MINUTE, 3 * MINUTE] if "more than once" in said else [0, 2 * MINUTE, 3 * MINUTE])


def test_a_bar_set_aside_is_not_called_absent() -> None:
    page = read_page([[0, 2.0, 3.0, 1.0, 2.0, 5.0], [MINUTE, 2.0, 3.0, 1.0, 2.0, None]], symbol="A/B", bar_ms=MINUTE, phase=0)
    pieces = list(walk(lambda _: page, (0, 2 * MINUTE), bar_ms=MINUTE, page_bars=10))
    assert [hole for piece in pieces for hole in piece.absent] == []
    assert pl.concat([piece.bars for piece in pieces]).height == 1


def test_days_that_open_at_another_hour_keep_their_grid() -> None:
    rows = [[day * DAY + 16 * 3_600_000, 2.0, 3.0, 1.0, 2.0, 5.0] for day in range(5)]
    page = read_page(rows, symbol="A/B", bar_ms=DAY, phase=None)
    assert page.times.size == 5
    assert page.set_aside == ()


@given(
    spans=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))),
    removed=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60))),
)
def test_spans_are_sets_of_moments(spans: list[tuple[int, int]], removed: list[tuple[int, int]]) -> None:
    moments = lambda some: {ts for start, end in some for ts in range(start, end)}  # noqa: E731
    merged, taken = union(spans), union(removed)
    assert moments(merged) == moments(spans)
    assert np.all(np.diff([edge for span in merged for edge in span]) > 0)
    assert moments(without(merged, taken)) == moments(spans) - moments(removed)
