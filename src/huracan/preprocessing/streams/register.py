"""Which stream belongs to which operation."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Protocol, TypeVar

import numpy as np

from huracan.errors import FeatureError
from huracan.preprocessing.rolling import Array
from huracan.preprocessing.tracing import CannotTrace

__all__ = ["Stream", "last_values", "open_stream", "stream_for"]

S = TypeVar("S", bound=Callable[..., Any])

_STREAMS: dict[Callable[..., Any], Callable[..., Any]] = {}


class Stream(Protocol):
    """The bar-by-bar form of an operation.

    It is made with the arguments of the operation that are no series: those given by position in their order, the others by
    keyword. ``open`` may be called with histories of any length, none included, before the first ``update``, and may put
    the function that is to be called into ``self.update``: a closure is the quickest form there is in Python. What takes no
    more than a few lines of arithmetic is better a :class:`~huracan.preprocessing.streams.lines.LineStream`.
    """

    def open(self, *history: Array) -> None:
        """Take the state that the batch run over these series would have left."""

    def update(self, *values: float) -> float | tuple[float, ...]:
        """Take the next bar and give its result, NaN where batch gives NaN."""


def stream_for(operation: Callable[..., Any]) -> Callable[[S], S]:
    """Attach a stream to an operation.

    Raises
    ------
    FeatureError : the operation has a stream already, or is none.

    Examples
    --------
    >>> from huracan.preprocessing.tracing import operation
    >>> @operation
    ... def count_of_bars(x):
    ...     return np.arange(1.0, len(x) + 1.0)
    >>> @stream_for(count_of_bars)
    ... class CountOfBars:
    ...     def open(self, x):
    ...         self.seen = len(x)
    ...     def update(self, x):
    ...         self.seen += 1
    ...         return float(self.seen)
    >>> stream = open_stream(count_of_bars, (), {}, [np.zeros(41)])
    >>> stream.update(0.0)
    42.0
    """
    if not getattr(operation, "is_operation", False):
        raise FeatureError(f"{getattr(operation, '__name__', operation)} is no operation; mark it with @operation first.")
    if operation in _STREAMS:
        raise FeatureError(f"operation '{operation.__name__}' has a stream already: {_STREAMS[operation].__name__}.")

    def attach(stream: S) -> S:
        _STREAMS[operation] = stream
        return stream

    return attach


def open_stream(
    operation: Callable[..., Any], constants: Sequence[Any], parameters: Mapping[str, Any], history: Sequence[Array]
) -> Stream:
    """Make the stream of an operation and open it on history.

    Raises
    ------
    CannotTrace : the operation has no stream.
    """
    stream: Stream = stream_class(operation)(*constants, **parameters)
    stream.open(*(np.ascontiguousarray(x, dtype=np.float64) for x in history))
    return stream


def stream_class(operation: Callable[..., Any]) -> Callable[..., Any]:
    """The stream of an operation; ``CannotTrace`` where it has none."""
    _load()
    if operation not in _STREAMS:
        raise CannotTrace(f"operation '{operation.__name__}' has no bar-by-bar form.")
    return _STREAMS[operation]


def last_values(history: Array, count: int) -> list[float]:
    """The last ``count`` values, oldest first, NaN in front where there are fewer.

    >>> last_values(np.array([1.0, 2.0]), 3)
    [nan, 1.0, 2.0]
    """
    kept: list[float] = history[max(0, len(history) - count) :].tolist()
    return [float("nan")] * (count - len(kept)) + kept


@cache
def _load() -> None:
    from huracan.preprocessing import streams

    for module in pkgutil.iter_modules(streams.__path__):
        import_module(f"{streams.__name__}.{module.name}")
