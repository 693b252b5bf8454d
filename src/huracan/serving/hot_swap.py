"""Following an alias: who holds it, and a thread that looks from time to time."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from huracan.logs import logger
from huracan.model_registry import ModelRegistry

__all__ = ["Patience", "Watcher", "pointer"]

_LONGEST = 300.0
"""Seconds after which at the latest what failed is tried again."""


def pointer(
    registry: ModelRegistry, name: str, alias: str, symbol: str | None, regime: str | None
) -> Callable[[], tuple[int, int]]:
    """A look at who holds an alias: the version, and the generation, which is another after each move."""
    return lambda: registry.holder(name, alias, symbol=symbol, regime=regime)


class Patience:
    """When what failed is tried again: something else at once, the same after pauses that double up to five minutes.

    >>> moment = [0.0]
    >>> patience = Patience(clock=lambda: moment[0])
    >>> patience.failed("m/2", "its file is damaged")
    >>> patience.allows("m/2"), patience.allows("m/3")
    (False, True)
    >>> moment[0] = 10.0
    >>> patience.allows("m/2")
    True
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._what: Any = None
        self.why = ""
        self._pause, self._again = 0.0, 0.0

    def allows(self, what: Any) -> bool:
        """Whether ``what`` may be tried now."""
        return what != self._what or self._clock() >= self._again

    def failed(self, what: Any, why: str = "") -> None:
        """It was tried, and failed for this reason."""
        self.why = why
        self._pause = min(2.0 * self._pause, _LONGEST) if what == self._what else 10.0
        self._what, self._again = what, self._clock() + self._pause


class Watcher:
    """Calls a method every so many seconds in a thread of its own, as long as its object lives.

    Parameters
    ----------
    look : bound method. seconds : between the end of one call and the next.
    """

    def __init__(self, look: Callable[[], Any], seconds: float) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=_watch, args=(weakref.WeakMethod(look), self._stop, seconds), name="huracan-alias", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a call under way is waited for."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()


def _watch(look: Any, stop: threading.Event, seconds: float) -> None:
    while not stop.wait(seconds):
        method = look()
        if method is None:
            return
        try:
            method()
        except Exception as error:  # noqa: BLE001 - the thread goes on: what it serves must not hang on one look
            logger().warning("the alias could not be looked at", reason=f"{type(error).__name__}: {error}")
        del method
