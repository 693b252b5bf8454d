"""What of the candles a turn is about: those that came, late, revised or refused, and how new each symbol's newest is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from huracan.integration.feedback.candle_window import CandleWindow

__all__ = ["FAR_BARS", "CandleFeed", "Intake"]

FAR_BARS = 24
"""Bars beyond all candles after which a clock is not believed."""


@dataclass(frozen=True)
class Intake:
    """What a feed has for a turn; times are opens, milliseconds UTC.

    Attributes
    ----------
    newest : symbol -> its newest bar that is closed. late : symbol -> bars that came after later ones were there; they are
        stored, and never predicted as if they had been known. revised : symbol -> bars whose values were changed.
    refused : symbol -> why its candles were not taken, in a sentence; ``*`` for all of them.
    """

    newest: Mapping[str, int]
    late: Mapping[str, int] = field(default_factory=dict)
    revised: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def quiet(self) -> bool:
        """Whether taking again tells the same: nothing was late, revised or refused, which a store tells once."""
        return not (self.late or self.revised or self.refused)

    def with_earlier(self, earlier: Intake) -> Intake:
        """What both tell, where the newest bars are these."""
        late, revised = ({**b, **{s: n + b.get(s, 0) for s, n in a.items()}} for a, b in self._counts(earlier))
        return Intake(self.newest, late, revised, {**earlier.refused, **self.refused})

    def _counts(self, earlier: Intake) -> tuple[tuple[Mapping[str, int], Mapping[str, int]], ...]:
        return (self.late, earlier.late), (self.revised, earlier.revised)


class CandleFeed(CandleWindow, Protocol):
    """Where the Mechanic's candles come from."""

    @property
    def newest(self) -> int | None:
        """Open of the newest bar of any symbol, milliseconds UTC; None where there is none."""
        ...

    def take(self, until: int) -> Intake:
        """Have every bar that is closed by ``until``; taking again changes nothing."""
        ...
