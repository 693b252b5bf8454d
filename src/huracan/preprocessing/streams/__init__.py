"""Bar-by-bar forms of the operations indicators are written with.

Each operation of whole series (:func:`~huracan.preprocessing.tracing.operation`) that is to run online has a stream: a class
that is opened on history with the state the batch run over that history would have left, and then takes one bar at a time
in constant time. A new one is attached by :func:`stream_for` in a module of this folder; all of them are loaded together.
"""

from __future__ import annotations

from huracan.preprocessing.streams.register import Stream, open_stream, stream_for

__all__ = ["Stream", "open_stream", "stream_for"]
