"""Manners towards an exchange: how often is asked, what is asked again, and who waits."""

from __future__ import annotations

import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from huracan.errors import ExchangeError
from huracan.market.fetching.exchange import Exchange
from huracan.market.fetching.patience import Failure, Patience, Stopped, seconds_to_wait

sys.path.insert(0, str(Path(__file__).parent))
from loopback_exchange import LoopbackExchange, Market, ms

NOW = ms("2025-03-02T10:00:30")


class _Sleepless:
    """Stands in for the event that sleeps, and counts instead."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return False


def _tried(patience: Patience, failure: Failure) -> None:
    def ask() -> None:
        raise OSError("no answer")

    patience.tried(ask, lambda _: failure, lambda what, attempts, _: ExchangeError(f"{what} {attempts}"))


def test_waits_double_up_to_a_bound_and_chance_parts_them() -> None:
    patience = Patience(attempts=9, first_wait=1.0, longest_wait=8.0)
    patience.reached = True
    patience.stop = sleepless = _Sleepless()  # type: ignore[assignment]
    with pytest.raises(ExchangeError, match="broken 9"):
        _tried(patience, Failure(True, "broken"))
    longest = [1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0]
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(sleepless.waits, longest, strict=True))
    assert len(set(sleepless.waits)) == len(longest)
    assert (patience.requests, patience.retries) == (9, 8)


def test_before_the_first_answer_patience_is_short() -> None:
    patience = Patience(first_attempts=3)
    patience.stop = _Sleepless()  # type: ignore[assignment]
    with pytest.raises(ExchangeError, match="no network 3"):
        _tried(patience, Failure(True, "no network"))


def test_what_does_not_pass_is_raised_as_it_is() -> None:
    patience = Patience()
    with pytest.raises(OSError, match="no answer"):
        _tried(patience, Failure(False, "bad symbol"))
    assert (patience.requests, patience.retries) == (1, 0)


@pytest.mark.parametrize("failure", [Failure(True, "limit", limited=True), Failure(True, "asked", retry_after=0.3)])
def test_where_one_was_asked_to_wait_everybody_waits(failure: Failure) -> None:
    patience = Patience(attempts=2, first_wait=0.6)
    patience.reached = True
    failed = threading.Event()
    began: list[float] = []

    def first() -> None:
        with pytest.raises(ExchangeError):
            patience.tried(ask, lambda _: failure, lambda *_: ExchangeError("twice"))

    def ask() -> None:
        began.append(time.monotonic())
        failed.set()
        raise OSError

    thread = threading.Thread(target=first)
    thread.start()
    failed.wait()
    time.sleep(0.05)
    patience.wait_turn(0.0)
    assert time.monotonic() - began[0] >= 0.29
    thread.join()


def test_the_limit_is_one_for_all_threads() -> None:
    patience = Patience()
    turns: list[float] = []

    def ask() -> None:
        for _ in range(5):
            patience.wait_turn(0.02)
            turns.append(time.monotonic())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(turns) - min(turns) >= 19 * 0.02 - 0.005


def test_whoever_waits_wakes_when_the_download_stops() -> None:
    patience = Patience()
    threading.Timer(0.05, patience.stop.set).start()
    began = time.monotonic()
    patience.wait_turn(60.0)
    with pytest.raises(Stopped):
        patience.wait_turn(60.0)
    assert time.monotonic() - began < 5


def test_retry_after_may_be_a_date() -> None:
    assert 28 <= (seconds_to_wait({"Retry-After": formatdate(time.time() + 30, usegmt=True)}) or 0) <= 30
    assert seconds_to_wait({"Retry-After": formatdate(time.time() - 30, usegmt=True)}) == 0
    assert seconds_to_wait({"Retry-After": "-1"}) == 0
    assert seconds_to_wait(None) is None


def test_the_clock_of_the_exchange_is_late_by_an_answer_at_most_and_never_early() -> None:
    with LoopbackExchange([Market("BTC/USDT", "BTCUSDT", ms("2025-01-01"))], now=NOW) as loopback:
        exchange = Exchange("binance", loopback.options)
        loopback.script = ["", "", "slow"]
        began = time.monotonic()
        exchange.connect()
        said = exchange.now()
        assert NOW <= said + 1 <= NOW + 1 + (time.monotonic() - began) * 1000
        time.sleep(0.05)
        assert 45 <= exchange.now() - said <= 500


def test_an_exchange_without_a_clock_is_read_by_the_date_of_its_answers() -> None:
    with LoopbackExchange([Market("BTC/USDT", "BTCUSDT", ms("2025-01-01"))], now=NOW) as loopback:
        exchange = Exchange("binance", loopback.options | {"has": {"fetchTime": False}})
        exchange.connect()
        assert loopback.asked("/time") == []
        assert 0 <= exchange.now() - NOW <= 5000
