"""The loop around turns: on the grid of the clock, until it is told to stop, and through what passes by itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

from huracan.errors import ConfigError, HuracanError, LeaseLost
from huracan.integration.feedback.clock import Clock
from huracan.logs import logger

__all__ = ["Stopped", "next_on_grid", "stop_on_signals", "work_on"]


class Stopped(Exception):
    """The loop was told to stop between two stages."""


def next_on_grid(now: int, every: timedelta) -> int:
    """The next moment after ``now`` that is a multiple of ``every`` since 1970, milliseconds UTC.

    >>> next_on_grid(5_000, timedelta(hours=1)), next_on_grid(3_600_000, timedelta(hours=1))
    (3600000, 7200000)
    """
    step = round(every.total_seconds() * 1_000)
    if step < 1:
        raise ConfigError(f"a turn every {every} was asked for; a length of time above 0 was expected.")
    return (now // step + 1) * step


def work_on(
    turn: Callable[[], object],
    every: timedelta,
    clock: Clock,
    stop: Callable[[], bool],
    *,
    told: Callable[[str], None],
    delay: int = 0,
    failed: Callable[[str], None] = lambda why: None,
) -> None:
    """Do a turn now and one at each moment of the grid, until ``stop()``.

    A turn that fails for a reason that is not ours (the database or the disk is not there, candles cannot be used) is told, and
    the next one goes on where it stopped. So does one that fails for a reason that nobody foresaw, as in a source of one's own;
    the log then has where.

    Parameters
    ----------
    delay : after each moment of the grid, milliseconds. failed : hears why a turn was not finished.

    Raises
    ------
    LeaseLost : another works by now.
    """
    while not stop():
        try:
            turn()
        except LeaseLost:
            raise
        except HuracanError as error:
            told(f"the turn was not finished: {error}")
            logger().warning("a turn was not finished", kind=type(error).__name__, reason=str(error))
            failed(str(error))
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - of feeds and clocks that others wrote: the next turn may go well
            why = f"{type(error).__name__}: {error}"
            told(f"the turn was not finished: {why}")
            logger().error("a turn failed", reason=why, exc_info=True)
            failed(why)
        clock.sleep_until(next_on_grid(clock.now() - delay, every) + delay, stop)


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or SIGINT came, within the block; a second SIGINT interrupts at once. Of the main thread only."""
    asked = threading.Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
