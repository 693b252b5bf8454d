"""Where a hyperparameter may lie: what a search over settings needs to know of a learner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from huracan.errors import ModelError

__all__ = ["Between", "Dimension", "OneOf", "SearchSpace"]


@dataclass(frozen=True)
class Between:
    """A number between two others, both included.

    Parameters
    ----------
    low, high : bounds. log : search evenly in the logarithm. whole : whole numbers only.

    Raises
    ------
    ModelError : bounds that contradict each other, a logarithm of what is not above 0, or broken whole numbers.

    Examples
    --------
    >>> 0.1 in Between(0.01, 1.0, log=True), 2 in Between(3, 8, whole=True)
    (True, False)
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ModelError(f"a search between {self.low} and {self.high} holds nothing; low must not be above high.")
        if self.log and self.low <= 0:
            raise ModelError(f"a search between {self.low} and {self.high} on a log scale needs bounds above 0.")
        if self.whole and (int(self.low) != self.low or int(self.high) != self.high):
            raise ModelError(f"a search over whole numbers from {self.low} to {self.high} needs whole bounds.")

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high and (not self.whole or int(value) == value)


@dataclass(frozen=True)
class OneOf:
    """One of several values.

    Raises
    ------
    ModelError : there are none, or one stands twice.

    Examples
    --------
    >>> "sqrt" in OneOf(("sqrt", 0.5, None))
    True
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values or len(set(map(repr, self.values))) < len(self.values):
            raise ModelError(f"a choice needs values, each of them once; {self.values} was given.")

    def __contains__(self, value: object) -> bool:
        return any(value == known and isinstance(value, bool) == isinstance(known, bool) for known in self.values)


Dimension: TypeAlias = Between | OneOf
SearchSpace: TypeAlias = Mapping[str, Dimension]
