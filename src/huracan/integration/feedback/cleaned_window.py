"""``CleanedWindow``: the candles that models learn from and answer on, cleaned the same by a life and by its replay.

A life meets bars one after the other, a replay and a training have them all at once. Cleaned is therefore as bars are met, and
as far back as is fixed: what is made of a bar depends on the bars before it alone, not on who asks when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from huracan.config import HuracanConfig
from huracan.config.section import milliseconds
from huracan.errors import ConfigError
from huracan.integration.feedback.candle_window import CandleWindow
from huracan.market.schema import CANDLE_SCHEMA, OPTIONAL_COLUMNS
from huracan.preprocessing.cleaning import CleaningPolicy
from huracan.preprocessing.cleaning.candles import clean_as_they_come

__all__ = ["FILLED", "CleanedWindow", "chunk_of", "cleaned", "require_known_in_time", "rows_only", "without_filled"]

FILLED = "filled"
"""Column that marks bars that cleaning put in; there where the policy fills gaps. Nothing is decided on one."""
_ALTERING = ("clip", "winsorise", "drop")


class CleanedWindow:
    """Candles as a policy leaves them, each cleaned by those before it.

    Parameters
    ----------
    candles : as they came. policy : does not look ahead. chunk : milliseconds; time is cleaned in pieces that begin at
        multiples of it, each from a fixed history before it. kept : pieces that are remembered.

    Raises
    ------
    CandleError : when something is asked for, where the policy looks ahead.

    Examples
    --------
    >>> from huracan.integration.feedback.candle_window import FrameWindow
    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=30, n_symbols=1, seed=0).candles
    >>> hour, gone = 3_600_000, candles["ts"][20]
    >>> holed = FrameWindow(candles.filter(pl.col("ts") != gone), hour)
    >>> window = CleanedWindow(holed, CleaningPolicy(gaps="forward_fill"), chunk=24 * hour)
    >>> first = int(candles["ts"].dt.epoch("ms")[0])
    >>> there = window.bars(first, first + 29 * hour)
    >>> there.height, there.filter("filled")["ts"].to_list() == [gone]
    (30, True)
    """

    def __init__(self, candles: CandleWindow, policy: CleaningPolicy, *, chunk: int, kept: int = 4) -> None:
        self.source, self.policy = candles, policy
        self._chunk, self._kept = chunk, kept
        self._parts: dict[tuple[tuple[str, ...] | None, int], pl.DataFrame] = {}
        self._revision = candles.revision

    @property
    def bar(self) -> int:
        """Length of a bar, milliseconds."""
        return self.source.bar

    @property
    def revision(self) -> int:
        """Of the candles as they came."""
        return self.source.revision

    def bars(self, first: int, last: int, symbols: Sequence[str] | None = None) -> pl.DataFrame:
        """See :class:`~huracan.integration.feedback.candle_window.CandleWindow`; with :data:`FILLED` where gaps are filled."""
        if self.source.revision != self._revision:
            self._parts.clear()
            self._revision = self.source.revision
        wanted = None if symbols is None else tuple(sorted(set(symbols)))
        parts = [self._part(wanted, k) for k in range(first // self._chunk, max(first, last) // self._chunk + 1)]
        opens = pl.col("ts").dt.epoch("ms")
        return pl.concat(parts).filter(opens.is_between(first, last)).sort("symbol", "ts", maintain_order=True)

    def _part(self, symbols: tuple[str, ...] | None, k: int) -> pl.DataFrame:
        part = self._parts.pop((symbols, k), None)
        if part is None:
            part = self._cleaned(symbols, k * self._chunk)
        self._parts[symbols, k] = part  # what was used last goes last
        for old in list(self._parts)[: -self._kept]:
            del self._parts[old]
        return part

    def _cleaned(self, symbols: tuple[str, ...] | None, start: int) -> pl.DataFrame:
        last = start + self._chunk - self.bar
        there = self.source.bars(start - self._history * self.bar, last, symbols)
        there = there.select(name for name in (*CANDLE_SCHEMA, *OPTIONAL_COLUMNS) if name in there.columns)
        return clean_as_they_come(there, self.policy, self.bar, until=last).filter(pl.col("ts").dt.epoch("ms") >= start)

    @property
    def _history(self) -> int:
        """Bars before a piece that it is cleaned from: as many as judge the first of those that judge its own bars."""
        judged = 2 * self.policy.outlier_window if self.policy.outliers in _ALTERING else 0
        return judged + (self.policy.fill_limit if self.policy.gaps == "forward_fill" else 0) + 1


def cleaned(candles: CandleWindow, config: HuracanConfig) -> CandleWindow:
    """Candles as the configuration has them cleaned; themselves where it alters none, or where they are cleaned already.

    >>> from huracan.integration.feedback.candle_window import FrameWindow
    >>> from huracan.market import simulate_market
    >>> window = FrameWindow(simulate_market(n_bars=30, n_symbols=1, seed=0).candles, 3_600_000)
    >>> cleaned(window, HuracanConfig()) is window
    True
    """
    policy = CleaningPolicy(**config.cleaning.model_dump())
    alters = policy.outliers in _ALTERING or policy.gaps == "forward_fill"
    if isinstance(candles, CleanedWindow) or not alters:
        return candles
    bars_alone = replace(policy, duplicates="refuse", invalid="drop")  # what concerns single rows is done where they are taken
    return CleanedWindow(candles, bars_alone, chunk=chunk_of(config, candles.bar))


def chunk_of(config: HuracanConfig, bar: int) -> int:
    """``mechanic.chunk`` as a whole number of bars; milliseconds."""
    chunk = milliseconds(config.mechanic.chunk)
    return chunk + -chunk % bar


def require_known_in_time(config: HuracanConfig) -> None:
    """Refuse cleaning that needs what comes later, which nobody who answers bar after bar has.

    >>> require_known_in_time(HuracanConfig(cleaning={"gaps": "drop"}))
    Traceback (most recent call last):
        ...
    huracan.errors.ConfigError: the Mechanic answers when a bar closes, and cleaning looks ahead. By gaps='drop' ...

    Raises
    ------
    ConfigError : closes are repaired by what the next bar shows, or short segments are dropped.
    """
    policy = CleaningPolicy(**config.cleaning.model_dump() | {"duplicates": "refuse"})
    if policy.looks_ahead:
        told = " ".join(policy.looks_ahead)
        raise ConfigError(f"the Mechanic answers when a bar closes, and cleaning looks ahead. {told}")


def rows_only(config: HuracanConfig) -> HuracanConfig:
    """A configuration that brings rows in order as this one does, and leaves every bar as it came."""
    rows = config.cleaning.model_copy(update={"outliers": "keep", "offline": False, "gaps": "split"})
    return config.model_copy(update={"cleaning": rows})


def without_filled(candles: pl.DataFrame) -> pl.DataFrame:
    """Bars that were there, without the column that marks the others."""
    return candles.filter(~pl.col(FILLED)).drop(FILLED) if FILLED in candles.columns else candles
