"""The Mechanic: markets whose edge changes, lives that are killed, the speed of a replay, two Mechanics on one database."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import ShortOfBar
from benchmarks.mechanic_checks import Section, changing_markets, kills, leases, replay_speed

__all__ = ["main"]


def main() -> str:
    """Measure, check, and tell what falls short."""
    sections = [changing_markets.check(), kills.check(), leases.check(), replay_speed.check()]
    page = _page(sections)
    short = [said for section in sections for said in section.short]
    if short:
        raise ShortOfBar(short, page)
    return page


def _page(sections: Sequence[Section]) -> str:
    parts = [f"## {section.title}\n\n{section.text.strip()}" for section in sections]
    return "\n\n".join(["# The Mechanic", *parts])
