"""What cleaning may do. The default repairs nothing: it refuses what cannot be and flags what is strange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from huracan.errors import CandleError

__all__ = ["CleaningPolicy"]

_CHOICES = {
    "unsorted": ("refuse", "sort"),
    "duplicates": ("refuse", "exact", "first", "last"),
    "invalid": ("refuse", "drop"),
    "outliers": ("keep", "flag", "clip", "winsorise", "drop"),
    "gaps": ("split", "forward_fill", "drop"),
}


@dataclass(frozen=True)
class CleaningPolicy:
    """How :func:`clean_candles` treats each kind of fault. The steps run in the order of the parameters.

    The default alters no price and removes no bar. A flash crash is a price that was traded: it is flagged, and who wants
    it gone must say so. Whether a policy uses what was not known at the time is told by :attr:`looks_ahead`.

    Parameters
    ----------
    unsorted : ``"refuse"`` times that go back, or ``"sort"`` them. Symbols may be interleaved either way.
    duplicates : two bars of one symbol and time. ``"refuse"``; ``"exact"`` keeps one of rows that agree in every value and
        refuses contradictions; ``"first"`` and ``"last"`` keep the first or last row of the source and list what it
        contradicts. ``"last"`` takes a correction as if it had been there at the time.
    invalid : what no market makes: a price that is missing, infinite, zero or negative, a volume that is missing,
        infinite or negative, either so large that money overflows, high below low, open or close outside them, a time off
        the grid of the symbol's first bars. ``"refuse"``, or ``"drop"`` the bar, which leaves a gap.
    outliers : a bar is an outlier where its log return from the close before, or a shadow (log distance of high or low
        from the body), is outside the usual range of the returns before it. Where outliers are looked for, a volume of more
        than 10,000 times the median of the last ``outlier_window`` bars that traded is flagged too, and only flagged.

        * ``"keep"`` does not look; ``"flag"`` adds a column ``outlier``.
        * ``"drop"`` removes the bar, which leaves a gap. At t nobody knows whether a price will come back, so of a bad
          tick both bars go, the tick and the return from it; so do the bars of a real crash.
        * ``"clip"`` cuts shadows to the range ``outlier_width`` gives, ``"winsorise"`` to the range of
          ``outlier_quantiles``: by the close of the bar it is known that the price came back. Opens and closes stay: to
          cut a close is to invent the price an order would have got, and a level that really changed would be approached
          in steps that never were. Only with ``offline=True`` is the close of a single bar repaired too, where the *next*
          bar shows the price back at its old level.
    offline : allow repairs that need the next bar. Such candles may be looked at, but a model must not be judged on them:
        the result says so.
    outlier_window : returns of the symbol that a bar is compared with, the ones before it; until there are so many,
        bars are not judged.
    outlier_width : half width of the usual range in robust standard deviations (1.4826 MAD): Hampel's filter.
    outlier_floor : least standard deviation, as a log return: a first tick after a flat stretch is not an outlier.
    outlier_quantiles : the usual range for ``"winsorise"``.
    gaps : missing bars. ``"split"`` leaves them; a new ``segment`` begins. ``"forward_fill"`` puts flat bars at the last
        close with volume 0 in the first ``fill_limit`` missing places of a gap, marked in a column ``filled``; what is
        missing beyond stays a gap. (Filling only gaps that turn out short would look ahead.) ``"drop"`` removes segments of
        fewer than ``min_segment`` bars, known only when the segment has ended.
    fill_limit, min_segment : see ``gaps``.

    Raises
    ------
    CandleError : a value is not one of its choices or out of bounds.

    Examples
    --------
    >>> CleaningPolicy().looks_ahead
    ()
    >>> CleaningPolicy(outliers="clip", offline=True).looks_ahead[0]
    "With offline=True, outliers='clip' repairs closes by what the next bar shows."
    """

    unsorted: Literal["refuse", "sort"] = "refuse"
    duplicates: Literal["refuse", "exact", "first", "last"] = "refuse"
    invalid: Literal["refuse", "drop"] = "refuse"
    outliers: Literal["keep", "flag", "clip", "winsorise", "drop"] = "flag"
    offline: bool = False
    outlier_window: int = 240
    outlier_width: float = 10.0
    outlier_floor: float = 1e-4
    outlier_quantiles: tuple[float, float] = (0.005, 0.995)
    gaps: Literal["split", "forward_fill", "drop"] = "split"
    fill_limit: int = 5
    min_segment: int = 2

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise CandleError(f"{name} is {getattr(self, name)!r}; one of {', '.join(allowed)} was expected.")
        if not isinstance(self.offline, bool):
            raise CandleError(f"offline is {self.offline!r}; True or False was expected.")
        for name, least in (("outlier_window", 20), ("fill_limit", 1), ("min_segment", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise CandleError(f"{name} is {value!r}; a whole number of at least {least} was expected.")
        for name, lowest in (("outlier_width", 1.0), ("outlier_floor", 0.0)):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and np.isfinite(value) and value >= lowest):
                raise CandleError(f"{name} is {value!r}; a finite number of at least {lowest:g} was expected.")
        object.__setattr__(self, "outlier_quantiles", tuple(self.outlier_quantiles))
        if len(self.outlier_quantiles) != 2 or not 0.0 < self.outlier_quantiles[0] < self.outlier_quantiles[1] < 1.0:
            raise CandleError(f"outlier_quantiles are {self.outlier_quantiles}; 0 < low < high < 1 was expected.")
        needed = int(np.ceil(1.0 / min(self.outlier_quantiles[0], 1.0 - self.outlier_quantiles[1]) - 1e-9))
        if self.outliers == "winsorise" and self.outlier_window < needed:
            raise CandleError(
                f"outlier_window is {self.outlier_window}; quantiles {self.outlier_quantiles} need at least {needed} returns, "
                "for beyond that they are the window's extremes."
            )

    @property
    def looks_ahead(self) -> tuple[str, ...]:
        """What of the result was not known at the time of the bar, one sentence each; empty for a policy fit for backtests."""
        said = []
        if self.offline and self.outliers in ("clip", "winsorise"):
            said.append(f"With offline=True, outliers='{self.outliers}' repairs closes by what the next bar shows.")
        if self.duplicates == "last":
            said.append("By duplicates='last' a later row of the source replaces the one that was there first.")
        if self.gaps == "drop":
            said.append("By gaps='drop' short segments are gone, and that they stay short was known only at their end.")
        return tuple(said)
