"""What ``benchmarks/mechanic.py`` measures: changing markets, kills, speed of replays, and two Mechanics on one database."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Section"]


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes
    ----------
    title, text : heading, and what was done with the table in it. short : what falls short of its bar.
    """

    title: str
    text: str
    short: tuple[str, ...] = ()
