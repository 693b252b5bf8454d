"""What time it is: the host's clock, or one that a replay sets."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "SimulatedClock", "StandingClock", "SystemClock"]

_NAP = 0.2  # seconds between two looks at whether to stop


class Clock(Protocol):
    """Gives the time of the loop, milliseconds UTC, and waits for one."""

    def now(self) -> int:
        """Milliseconds UTC."""
        ...

    def sleep_until(self, moment: int, stop: Callable[[], bool]) -> None:
        """Come back at ``moment``, or soon after ``stop()`` has become true."""
        ...


class SystemClock:
    """The host's clock.

    >>> SystemClock().now() > 1_700_000_000_000
    True
    """

    def now(self) -> int:
        """Milliseconds UTC."""
        return time.time_ns() // 1_000_000

    def sleep_until(self, moment: int, stop: Callable[[], bool]) -> None:
        """Come back at ``moment``, or soon after ``stop()`` has become true; a clock that is set meanwhile is followed."""
        end = time.monotonic() + (moment - self.now()) / 1_000.0  # put back meanwhile, it would be waited for far too long
        while not stop() and (left := min((moment - self.now()) / 1_000.0, end - time.monotonic())) > 0:
            time.sleep(min(left, _NAP))


class SimulatedClock:
    """A clock that stands until it is waited on, and then is where it was waited for: history at the speed of computing.

    >>> clock = SimulatedClock(0)
    >>> clock.sleep_until(3_600_000, lambda: False)
    >>> clock.now()
    3600000
    """

    def __init__(self, start: int) -> None:
        self._now = start

    def now(self) -> int:
        """Milliseconds UTC."""
        return self._now

    def set(self, moment: int) -> None:
        """Put it to ``moment``, forward or back, as clocks sometimes jump."""
        self._now = moment

    def sleep_until(self, moment: int, stop: Callable[[], bool]) -> None:
        """Be at ``moment``, unless it is over or ``stop()`` is true."""
        if not stop():
            self._now = max(self._now, moment)


class StandingClock:
    """A clock that stands for ever, where there will be no further candles; waiting takes its time all the same.

    >>> clock = StandingClock(3_600_000)
    >>> clock.sleep_until(3_600_050, lambda: False)
    >>> clock.now()
    3600000
    """

    def __init__(self, moment: int) -> None:
        self._moment = moment

    def now(self) -> int:
        """Milliseconds UTC."""
        return self._moment

    def sleep_until(self, moment: int, stop: Callable[[], bool]) -> None:
        """Come back after as long as it would take from here to ``moment``, or soon after ``stop()`` has become true."""
        end = time.monotonic() + (moment - self._moment) / 1_000.0
        while not stop() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _NAP))
