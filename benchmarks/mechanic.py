"""The Mechanic: markets whose edge changes, lives that are killed, the speed of a replay, two Mechanics on one database."""

from __future__ import annotations

from benchmarks import page_of
from benchmarks.mechanic_checks import changing_markets, kills, leases, replay_speed

__all__ = ["main"]


def main() -> str:
    """Measure, check, and tell what falls short."""
    return page_of("The Mechanic", (changing_markets.check, kills.check, leases.check, replay_speed.check))
