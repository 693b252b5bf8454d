"""A Mechanic that works in a loop, as a process: ``python -m benchmarks.mechanic_checks.worker HOME URL LEASE EPOCH``.

A bar of its market lasts a second, counted from EPOCH (seconds since 1970), so that every turn has something to write. It
prints each sentence it hears with the time before it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from benchmarks.mechanic_checks.markets import HOUR, flipping_candles
from huracan import UnifiedMLPipeline
from huracan.config import load_config
from huracan.errors import HuracanError
from huracan.integration.feedback.feeds import FrameFeed
from huracan.integration.feedback.looping import stop_on_signals
from huracan.integration.mechanic import Mechanic

_BARS, _FIRST = 5_000, 100


class _Fast:
    """An hour of its time is a second."""

    def __init__(self, begin: int, epoch: float) -> None:
        self._begin, self._epoch = begin, epoch

    def now(self) -> int:
        return self._begin + round(HOUR * (time.time() - self._epoch))

    def sleep_until(self, moment: int, stop: Callable[[], bool]) -> None:
        while not stop() and self.now() < moment:
            time.sleep(0.02)


def main(home: Path, url: str, lease_seconds: float, epoch: float) -> None:
    """Work until SIGTERM."""
    told = {
        "home": str(home),
        "registry": {"url": url},
        "features": {"recipe": "minimal"},
        "mechanic": {"learners": ["ridge"], "lease_seconds": lease_seconds},
    }
    candles = flipping_candles(_BARS, [], edge=0.2)
    clock = _Fast(int(candles["ts"].dt.epoch("ms")[_FIRST]), epoch)
    mechanic = Mechanic(UnifiedMLPipeline(load_config(told, environ={})), source=FrameFeed(candles), clock=clock)
    with stop_on_signals() as stop:
        try:
            mechanic.run(timedelta(hours=1), stop=stop, told=_say)
        except HuracanError as error:
            _say(f"ended: {type(error).__name__}: {error}")


def _say(sentence: str) -> None:
    print(f"{time.time():.3f} {sentence}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
