"""How far back a challenger learns: the stretch that is configured, or as many bars as a first champion needs, the longer one.

Bars are counted as moments, whatever the number of symbols. Folds are cut by time, the symbols of one moment are averaged
before anything is tested, and markets that move together say little more at a moment than one of them does: with pairwise
correlations of .7, forty symbols are worth 1.4. Rows of forty symbols would make up for missing time on paper only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from huracan.config import HuracanConfig
from huracan.config.section import milliseconds
from huracan.integration.feedback.candle_window import CandleWindow
from huracan.integration.feedback.cleaned_window import CleanedWindow

__all__ = ["TrainingSpan", "bars_needed", "longest_stretch", "training_span"]

_FOLDS = 4
"""Times ``retrain.min_new_rows`` bars that a first champion needs: two folds need a past each."""


@dataclass(frozen=True)
class TrainingSpan:
    """What there is to learn from.

    Attributes
    ----------
    first : open of its first bar at the earliest, milliseconds UTC. bars : moments in it of which some symbol has a bar,
        counted no further than is needed. needed : so many a first champion needs.
    """

    first: int
    bars: int
    needed: int

    @property
    def missing(self) -> int:
        """Bars that have to come before a first champion can be trained."""
        return max(self.needed - self.bars, 0)


def bars_needed(config: HuracanConfig) -> int:
    """Bars that have to be there before a first champion is trained.

    >>> bars_needed(HuracanConfig())
    1000
    """
    return _FOLDS * config.retrain.min_new_rows


def longest_stretch(config: HuracanConfig, bar: int) -> int:
    """How far back is learned from where no bar is missing, milliseconds.

    Parameters
    ----------
    bar : length of a bar, milliseconds.

    Examples
    --------
    >>> hour = 3_600_000
    >>> [longest_stretch(HuracanConfig(), bar * hour) // (24 * hour) for bar in (1, 4, 24)]
    [90, 166, 1000]
    """
    return max(milliseconds(config.mechanic.train), bars_needed(config) * bar)


def training_span(
    candles: CandleWindow, config: HuracanConfig, until: int, symbols: Sequence[str] | None = None
) -> TrainingSpan:
    """What there is to learn from at a moment.

    That is ``mechanic.train``; where fewer bars lie in it than a first champion needs, since bars are long or markets are
    closed at times, it is the newest so many of the symbols that still have candles, however far back they reach.

    Parameters
    ----------
    until : the moment; bars that close later are not looked at. symbols : of which is learned; None for all.

    Examples
    --------
    >>> from huracan.integration.feedback.candle_window import FrameWindow
    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=5_000, n_symbols=2, seed=0).candles
    >>> hour, last = 3_600_000, int(candles["ts"].dt.epoch("ms").max())
    >>> window = FrameWindow(candles, hour)
    >>> span = training_span(window, HuracanConfig(), last + hour)
    >>> span.bars, (last + hour - span.first) // (24 * hour)
    (1000, 90)
    >>> span = training_span(window, HuracanConfig(mechanic={"train": "10d"}), last + hour)
    >>> span.bars, (last + hour - span.first) // hour
    (1000, 1000)
    """
    source = candles.source if isinstance(candles, CleanedWindow) else candles  # bars that were put in count for nothing
    needed, usual = bars_needed(config), until - milliseconds(config.mechanic.train)
    newest = max(usual, until - 2 * needed * source.bar)  # mostly enough, and soon looked through
    for first in (newest, usual):
        there = source.bars(first, until - source.bar, symbols)
        opens = there["ts"].dt.epoch("ms").unique()
        if len(opens) >= needed:
            return TrainingSpan(usual, needed, needed)
    alive = there["symbol"].unique().sort().to_list()
    if not alive:
        return TrainingSpan(usual, 0, needed)
    all_there = source.bars(0, until - source.bar, alive)["ts"].dt.epoch("ms").unique().to_numpy()
    kept = np.sort(all_there)[-needed:]
    return TrainingSpan(min(usual, int(kept[0])), len(kept), needed)
