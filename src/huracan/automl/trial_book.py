"""Who gives trials their numbers and keeps what became of them: this process alone, or a study in a database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from huracan.automl.trials import Trial

__all__ = ["LEADERS", "OwnBook", "TrialBook"]

LEADERS = 50
"""Best trials, of different settings, whose answers are kept."""


class TrialBook(Protocol):
    """Numbers, settings and ends of trials, of this process and of others that work on the same study."""

    @property
    def queue(self) -> Sequence[tuple[str, Mapping[str, Any], str]]:
        """Learner, settings and source of the first trials."""

    def reserve(self, most: int | None) -> int | None:
        """A number that nobody else has; None where the study has ``most`` trials."""

    def settle(self, trial: Trial) -> bool:
        """Write down what a reserved trial tries; False where it belongs to another process by now."""

    def end(self, trial: Trial, forget: Sequence[int] = ()) -> bool:
        """Write down how a trial ended, and forget the answers of others; False where it belongs to another by now."""

    def orphan(self) -> Trial | None:
        """A trial whose process is gone: it is this one's now. Without a learner where it had no settings yet."""

    def news(self) -> list[Trial]:
        """Trials of others, running or ended, that are new or were running when last asked."""

    def answers(self, numbers: Iterable[int]) -> dict[int, dict[int, NDArray[Any]]]:
        """Number -> fold -> answers, of trials that others ended."""

    def earlier_trials(self) -> int:
        """Trials that other studies had on the same data."""

    def shared(self) -> bool:
        """Whether processes worked on the study at the same time."""

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write down what came of the study."""

    def close(self) -> None:
        """This process works on the study no more."""


class OwnBook:
    """Of one process, in its memory; nothing is left of it.

    >>> book = OwnBook()
    >>> book.reserve(2), book.reserve(2), book.reserve(2)
    (0, 1, None)
    """

    def __init__(self, queue: Sequence[tuple[str, Mapping[str, Any], str]] = ()) -> None:
        self.queue = queue
        self._next = 0

    def reserve(self, most: int | None) -> int | None:
        if most is not None and self._next >= most:
            return None
        self._next += 1
        return self._next - 1

    def settle(self, trial: Trial) -> bool:
        return True

    def end(self, trial: Trial, forget: Sequence[int] = ()) -> bool:
        return True

    def orphan(self) -> Trial | None:
        return None

    def news(self) -> list[Trial]:
        return []

    def answers(self, numbers: Iterable[int]) -> dict[int, dict[int, NDArray[Any]]]:
        return {}

    def earlier_trials(self) -> int:
        return 0

    def shared(self) -> bool:
        return False

    def finish(self, result: Mapping[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass
