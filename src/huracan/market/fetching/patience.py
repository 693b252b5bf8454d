"""Patience with an exchange: one rate limit for all threads, and which failures are worth another attempt."""

from __future__ import annotations

import email.utils
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["Answer", "Failure", "Patience", "Stopped", "seconds_to_wait"]

T = TypeVar("T")


class Stopped(BaseException):
    """The download was told to stop; raised in threads that wait or are about to ask. Never reaches the caller."""


@dataclass(frozen=True)
class Answer:
    """What HTTP said: status and headers; status 0 where no answer came."""

    status: int = 0
    retry_after: float | None = None


@dataclass(frozen=True)
class Failure:
    """A failed request.

    Attributes
    ----------
    passes : whether it may pass. what : what it was, in words.
    limited : whether the exchange was asked too often.
    retry_after : for how many seconds it asked to wait.
    """

    passes: bool
    what: str
    limited: bool = False
    retry_after: float | None = None


class Patience:
    """The manners of all threads that ask one exchange.

    Requests are spaced by a single clock, as the exchange's limit is on all of them together. After a failure that may pass,
    the request is repeated after a wait that doubles, between half and all of it by chance so that threads part. Where
    the exchange was asked too often, or says how long to wait (``Retry-After``), everybody waits.

    Parameters
    ----------
    attempts : at one request, once the exchange has answered anything; ``first_attempts`` before, so that a missing network
        is said within seconds.
    first_wait, longest_wait : seconds; the wait after the first failure, and where doubling ends.
    longest_pause : seconds; an exchange that asks for more has banned the caller, and that is said instead of waited for.
    notice : called with a sentence before waits of a second and more.
    """

    def __init__(
        self,
        *,
        attempts: int = 10,
        first_attempts: int = 4,
        first_wait: float = 0.25,
        longest_wait: float = 30.0,
        longest_pause: float = 300.0,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.attempts = attempts
        self.first_attempts = first_attempts
        self.first_wait = first_wait
        self.longest_wait = longest_wait
        self.longest_pause = longest_pause
        self.notice = notice
        self.stop = threading.Event()
        self.reached = False
        self.given_up = False
        self._lock = threading.Lock()
        self._next_turn = 0.0
        self._resume_at = 0.0
        self._mine = threading.local()

    def wait_turn(self, seconds: float) -> None:
        """Wait for this thread's turn, and keep others from theirs for ``seconds``."""
        with self._lock:
            turn = max(time.monotonic(), self._next_turn, self._resume_at)
            self._next_turn = turn + seconds
        self._sleep(turn - time.monotonic())

    def heard(self, answer: Answer) -> None:
        """Note what HTTP answered to this thread."""
        self.reached = True
        self._mine.answer = answer

    @property
    def answer(self) -> Answer:
        """What HTTP answered to this thread last."""
        return getattr(self._mine, "answer", Answer())

    @property
    def requests(self) -> int:
        """Requests this thread has made."""
        return getattr(self._mine, "requests", 0)

    @property
    def retries(self) -> int:
        """How many of them repeated a failed one."""
        return getattr(self._mine, "retries", 0)

    def tried(
        self, ask: Callable[[], T], judge: Callable[[Exception], Failure], give_up: Callable[[str, int, float], Exception]
    ) -> T:
        """Ask until there is an answer, the failure is one that does not pass, or the attempts are used up.

        Parameters
        ----------
        ask : makes one request. judge : says what its exception means.
        give_up : makes the error to raise of what failed last, the attempts made and the seconds they took; attempts
            are 0 where the exchange asks for a pause longer than ``longest_pause``.
        """
        began = time.monotonic()
        attempt = 0
        while True:
            self._sleep(self._resume_at - time.monotonic())
            self._mine.answer = Answer()
            self._mine.requests = self.requests + 1
            try:
                return ask()
            except Exception as error:
                failure = judge(error)
                if not failure.passes:
                    raise
                if (failure.retry_after or 0) > self.longest_pause:
                    raise give_up(f"answered {failure.what} and asks to wait {failure.retry_after:.0f} s", 0, 0.0) from error
                attempt += 1
                if attempt >= (self.attempts if self.reached else self.first_attempts):
                    raise give_up(failure.what, attempt, time.monotonic() - began) from error
            self._mine.retries = self.retries + 1
            self._wait_after(failure, attempt)

    def _wait_after(self, failure: Failure, attempt: int) -> None:
        longest = min(self.longest_wait, self.first_wait * 2.0 ** (attempt - 1))
        wait = longest * random.uniform(0.5, 1.0)
        if failure.retry_after is not None:
            wait = max(wait, failure.retry_after + random.uniform(0.0, self.first_wait))
        if failure.limited or failure.retry_after is not None:
            with self._lock:
                self._resume_at = max(self._resume_at, time.monotonic() + wait)
        if wait >= 1:
            self.notice(f"{failure.what}; again in {wait:.0f} s")
        self._sleep(wait)

    def _sleep(self, seconds: float) -> None:
        if self.stop.is_set() or (seconds > 0 and self.stop.wait(seconds)):
            raise Stopped


def seconds_to_wait(headers: Mapping[str, Any] | None) -> float | None:
    """Read ``Retry-After``: seconds, or a moment that becomes seconds from now; None where there is none that can be read.

    >>> seconds_to_wait({"retry-after": "7"}), seconds_to_wait({"Retry-After": "soon"}), seconds_to_wait({})
    (7.0, None, None)
    """
    said = next((str(value) for name, value in (headers or {}).items() if str(name).lower() == "retry-after"), "")
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
