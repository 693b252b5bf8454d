"""What ``benchmarks/drift.py`` measures: sizes, power, real weeks, many features, PSI, equality with scipy, and speed."""

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
