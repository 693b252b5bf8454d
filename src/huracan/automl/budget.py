"""How long a search may go on: a number of trials, or seconds that hold for everything, the final fit included."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from huracan.errors import ConfigError

__all__ = ["Budget"]

_KEPT_FOR_ENDING = 0.02
_LEAST_KEPT = 0.25
_SLOWER = 1.3
_FOR_MEMBERS = 0.12
"""Most of the time that is kept for fitting more than the best trial in the end; members of least weight give way."""
_FIRST_LOOK = 0.4
"""Share of the time after which, where not a single fold has been answered, searching gives way to fitting one setting."""


@dataclass
class Budget:
    """What may be spent.

    Parameters
    ----------
    seconds : wall-clock time for search and final fit together; None for no limit. trials : settings tried; None for no limit.

    Raises
    ------
    ConfigError : neither is given, or one is not above 0.
    """

    seconds: float | None = None
    trials: int | None = None
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.seconds is None and self.trials is None:
            raise ConfigError("neither time_budget nor max_trials is given; one of them says when a search ends.")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise ConfigError(f"time_budget is {self.seconds!r}; seconds above 0 were expected.")
        if self.trials is not None and (isinstance(self.trials, bool) or self.trials != int(self.trials) or self.trials < 1):
            raise ConfigError(f"max_trials is {self.trials!r}; a whole number of at least 1 was expected.")

    @property
    def spent(self) -> float:
        """Seconds since the search began."""
        return time.monotonic() - self.began

    @property
    def end(self) -> float | None:
        """Moment (monotonic) at which everything is done."""
        return None if self.seconds is None else self.began + self.seconds

    @property
    def room(self) -> float:
        """Seconds that final fits may take from now on, by estimate: what is left, less what ending and slow fits need."""
        return math.inf if self.end is None else (self.end - time.monotonic() - self._kept) / _SLOWER

    def end_of_search(self, least: float | None, wanted: float | None = None, choosing: float = 0.0) -> float | None:
        """Moment at which searching stops; None where there is no limit by the clock.

        Parameters
        ----------
        least : seconds that fitting the best trial will take; None where nothing is known of it yet.
        wanted : that fitting all members will take, ``least`` by default; they get what they want up to a share of the budget.
        choosing : that choosing the members will take, at most.
        """
        if self.seconds is None:
            return None
        if least is None:
            return self.began + _FIRST_LOOK * self.seconds
        final = max(least, min(least if wanted is None else wanted, _FOR_MEMBERS * self.seconds))
        return self.began + max(0.0, self.seconds - self._kept - choosing - _SLOWER * final)

    @property
    def _kept(self) -> float:
        return 0.0 if self.seconds is None else max(_LEAST_KEPT, _KEPT_FOR_ENDING * self.seconds)
