"""Streams: detectors that alarm as River's do, as rarely as was wanted, and how learners fare that train when they alarm."""

from __future__ import annotations

from benchmarks import page_of
from benchmarks.drift_checks import elec2, sea, streams

__all__ = ["main"]


def main() -> str:
    """Parity first, then what is done with it."""
    return page_of("Streams", (streams.check, sea.check, elec2.check))
