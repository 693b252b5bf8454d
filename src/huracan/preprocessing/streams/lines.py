"""Streams that are a few lines of arithmetic: written into the program itself, where they cost no call.

A stream of this kind gives its lines once, for its arguments; the program puts names and numbers in their places. Called by
itself, the same lines are made into its ``update``, so that there is one text to be right or wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import inf, nan, sqrt
from types import CodeType
from typing import Any

from huracan.preprocessing.rolling import Array
from huracan.preprocessing.streams.register import last_values

__all__ = ["LineStream", "Lines"]


@dataclass(frozen=True)
class Lines:
    """What one bar takes.

    Attributes
    ----------
    text : Python, with ``{x}`` the value, ``{old}`` the one ``reach`` bars earlier, ``{out}`` the result, ``{row}`` the bar's
        number in its segment, ``{ring}`` and ``{place}`` the recent values and where ``{x}`` stands among them, and the names
        of ``state``.
    reach : how many bars back it looks.
    state : names of the numbers kept from bar to bar.
    words : functions the text calls; ``nan`` and ``sqrt`` are there anyway.
    """

    text: str
    reach: int = 0
    state: tuple[str, ...] = ()
    words: Mapping[str, Any] = field(default_factory=dict)

    def written(self, indent: str, **names: str) -> str:
        """The text with everything in its place."""
        return "".join(f"{indent}{line}\n" for line in self.text.format(**names).splitlines())


class LineStream:
    """Base of such streams: ``open`` sets ``state``, in the order of the lines' names."""

    state: tuple[Any, ...]

    def __init__(self, *constants: Any, **parameters: Any) -> None:
        made = self.lines(*constants, **parameters)
        assert made is not None
        self._lines = made

    @classmethod
    def lines(cls, *constants: Any, **parameters: Any) -> Lines | None:
        """The lines for these arguments; None where the stream has to be called."""
        raise NotImplementedError

    def take_state(self, x: Array) -> tuple[Any, ...]:
        """The state after a history."""
        raise NotImplementedError

    def open(self, x: Array) -> None:
        """Take the state after a history, and what of it the lines look back at."""
        self.state = self.take_state(x)
        self._recent = last_values(x, self._lines.reach)
        self.__dict__.pop("update", None)

    @cached_property
    def update(self) -> Callable[[float], float]:
        """The lines as a function of the next value."""
        words: dict[str, Any] = {"nan": nan, "inf": inf, "sqrt": sqrt, **self._lines.words}
        exec(_compiled(self._lines.text, self._lines.reach, self._lines.state), words)
        made: Callable[[float], float] = words["make"](self._recent, *self.state)
        return made


@lru_cache(maxsize=256)
def _compiled(text: str, reach: int, state: tuple[str, ...]) -> CodeType:
    """``make(ring, *state)``, which gives the update of a stream by itself."""
    lines = Lines(text, reach, state)
    body = lines.written(
        "        ", x="x", old="old", out="out", row="row", ring="ring", place="place", **{s: s for s in state}
    )
    back = (
        f"        old = ring[place]\n        ring[place] = x\n        place = place + 1 if place < {reach - 1} else 0\n"
        if reach
        else ""
    )
    kept = ", ".join(("place", *state))
    arguments = ", ".join(("ring", *state))
    source = (
        f"def make({arguments}):\n    place = 0\n    def update(x):\n        nonlocal {kept}\n{back}{body}"
        "        return out\n    return update"
    )
    return compile(source, "<stream>", "exec")
