"""Progress of a search, for whoever waits for it."""

from __future__ import annotations

import time
from typing import Any

from huracan.config import AutoMLConfig
from huracan.integration.evidence import Progress

__all__ = ["SearchTold"]

_OF_THE_WHOLE = 0.95
"""Share of a run that its search is."""


class SearchTold:
    """Tells how many trials are done and which is the best, and how far the search is.

    Parameters
    ----------
    progress : called with a description and the share of the whole that was done since; None for nobody.
    """

    def __init__(self, progress: Progress | None, wanted: AutoMLConfig) -> None:
        self._progress, self._wanted = progress, wanted
        self._began = time.monotonic()
        self._trials, self._done = 0, 0.0

    def __call__(self, trial: Any, best: Any) -> None:
        self._trials = max(self._trials, trial.number + 1)  # those of before a kill count, too
        said = "none finished yet" if best is None else f"best so far {self._worth(best)} ({best.learner})"
        self._tell(f"{self._trials} trial{'s' if self._trials > 1 else ''}, {said}", _OF_THE_WHOLE * self._share())

    def finished(self) -> None:
        """Everything is done."""
        self._tell("report written", 1.0)

    def _worth(self, best: Any) -> str:
        """What a trial is chosen by."""
        first = self._wanted.objectives[0]
        return f"{best.score:+.3g}" if first == "gain" else f"{first.replace('_', ' ')} {best.values[0]:.3g}"

    def _share(self) -> float:
        """How much of the budget is spent, whichever ends first."""
        most, seconds = self._wanted.most_trials, self._wanted.time_budget
        shares = [self._trials / most] if most is not None else []
        shares += [(time.monotonic() - self._began) / seconds] if seconds is not None else []
        return min(1.0, max(shares))

    def _tell(self, said: str, done: float) -> None:
        if self._progress is not None:
            self._progress(said, max(0.0, done - self._done))
        self._done = max(done, self._done)
