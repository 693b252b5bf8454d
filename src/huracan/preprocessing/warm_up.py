"""Rows of candles that a recipe has no features for yet: left empty, counted, and refused where a symbol has no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from huracan.errors import FeatureError

__all__ = ["WarmUp"]


@dataclass(frozen=True, eq=False)
class WarmUp:
    """Where each row of computed features stands in its run of unbroken bars.

    Attributes
    ----------
    lookbacks : column -> rows without a value at the start of a run. symbols : (n,) whose row it is.
    place : (n,) rows of the same run before it.
    """

    lookbacks: Mapping[str, int]
    symbols: NDArray[np.object_]
    place: NDArray[np.int64]

    def empty_rows(self, name: str, values: NDArray[np.floating]) -> NDArray[np.int64]:
        """Rows in which a column has no value because it is warming up; what is undefined later on is not among them.

        >>> warm_up = WarmUp({"x": 2}, np.array(["A"] * 4, dtype=object), np.arange(4))
        >>> warm_up.empty_rows("x", np.array([np.nan, np.nan, np.nan, 1.0]))
        array([0, 1])
        """
        early: NDArray[np.int64] = np.flatnonzero(self.place < self.lookbacks[name])
        return early[np.isnan(values[early])]

    def require_complete_row(self, names: Sequence[str]) -> None:
        """Refuse symbols that end before every column has a value.

        Raises
        ------
        FeatureError : the symbol, its bars, and how many are needed.
        """
        needed = max(self.lookbacks[name] for name in names) + 1
        complete = set(self.symbols[self.place >= needed - 1])
        short = [symbol for symbol in dict.fromkeys(self.symbols) if symbol not in complete]
        if not short:
            return
        own = self.symbols == short[0]
        longest = int(self.place[own].max()) + 1
        bars = f"{int(own.sum()):,} bar{'s' if own.sum() > 1 else ''}"
        broken = f", at most {longest:,} of them without a gap," if longest < own.sum() else ""
        others = f" (and {len(short) - 1} more like it)" if len(short) > 1 else ""
        raise FeatureError(
            f"symbol '{short[0]}'{others} has {bars}{broken} where the first complete row of features takes {needed:,}: "
            "give the history before them, as in transform(history and new bars).tail(new), or use OnlineFeatures."
        )
