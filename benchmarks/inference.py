"""Answers in microseconds: one row, a new candle to a signal with its veto, many symbols, champions that change.

Every part compares answers with those of the model itself, or of a batch, before it times.
"""

from __future__ import annotations

from benchmarks import ShortOfBar
from benchmarks.inference_checks import one_row, streaming

__all__ = ["main"]


def main() -> str:
    """Check, then measure."""
    rows, short = one_row.measure()
    stream = streaming.measure()
    page = "\n\n".join(("# Answers in microseconds", rows, stream.text))
    if short := [*short, *stream.short]:
        raise ShortOfBar(short, page)
    return page
