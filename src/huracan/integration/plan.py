"""How the time of one run is divided, before anything is trained or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from huracan.config import HuracanConfig
from huracan.dataset import TrainingSet
from huracan.errors import DataError
from huracan.validation import Fold, HoldOut, PurgedWalkForward, lock_hold_out

__all__ = ["Plan", "make_plan"]

_FEWEST = 50


@dataclass(frozen=True)
class Plan:
    """A first stretch that only trains, fold 0 that only tunes, the folds that are judged, the locked hold-out.

    Attributes
    ----------
    rows : every row with features in time order, labelled or not. Models answer on all of them; labels serve training
        and judging only.
    development : the labelled rows before the hold-out, and ``where`` they stand in ``rows``.
    folds : in row numbers of ``development``. spans : the slice of ``rows`` each fold answers on, one behind the other.
    hold_out : None where nothing is held out. embargo : kept before everything that is judged.
    """

    rows: TrainingSet
    development: TrainingSet
    where: NDArray[np.intp]
    folds: Sequence[Fold]
    spans: Sequence[slice]
    hold_out: HoldOut | None
    embargo: np.timedelta64

    @cached_property
    def times(self) -> TrainingSet:
        """``rows`` without their features, for judging."""
        return self.rows.without_features()

    @property
    def judged_span(self) -> slice:
        """The rows that folds 1, 2, ... answer on."""
        return slice(self.spans[1].start, self.spans[-1].stop)

    def tested(self, fold: int) -> NDArray[np.intp]:
        """Labelled rows of one fold, as indices into ``rows``."""
        return self.where[self.folds[fold].test]

    @cached_property
    def judged(self) -> NDArray[np.intp]:
        """Labelled rows of folds 1, 2, ..., as indices into ``rows``, in time order."""
        return np.concatenate([self.tested(k) for k in range(1, len(self.folds))])

    def known_before(self, fold: int) -> NDArray[np.intp]:
        """Tested rows whose label is known, embargo included, before ``fold`` begins (past the last: before the hold-out)."""
        tested = np.concatenate([self.tested(k) for k in range(min(fold, len(self.folds)))])
        if fold < len(self.folds):
            begins = self.rows.decision_time[self.spans[fold].start]
        elif self.hold_out is not None:
            begins = self.hold_out.start
        else:
            return tested
        return tested[self.rows.label_end[tested] < begins - self.embargo]

    def mean_label(self, fold: int) -> NDArray[np.float64]:
        """Mean training label of each symbol (past the last fold: over all development rows).

        A symbol with fewer than 50 training rows takes the mean over all symbols.
        """
        rows = self.development
        train = rows.take(self.folds[fold].train_rows) if fold < len(self.folds) else rows
        counts = np.bincount(train.symbol_code, minlength=len(rows.symbols))
        sums = np.bincount(train.symbol_code, weights=train.y, minlength=len(rows.symbols))
        own = np.divide(sums, counts, out=np.zeros(len(counts)), where=counts > 0)
        return np.where(counts >= _FEWEST, own, train.y.mean())


def make_plan(config: HuracanConfig, rows: TrainingSet, *, n_splits: int | None = None) -> Plan:
    """Divide the rows as the configuration says; ``n_splits`` folds are judged, by default as many as the profile has.

    Raises
    ------
    NotEnoughData : a part would be empty. DataError : every label points the same way.
    """
    labelled = rows.labelled_only()
    direction = labelled.direction()
    if direction.min() == direction.max():
        way = "above zero" if direction[0] else "at or below zero"
        raise DataError(f"all {len(labelled)} labels are {way}; a market that moves both ways was expected.")
    settings = config.validation
    development, hold_out = labelled, None
    if settings.hold_out_share > 0:
        development, hold_out = lock_hold_out(labelled, share=settings.hold_out_share, embargo=settings.embargo_bars)
    splitter = PurgedWalkForward(
        n_splits=(config.active_profile.n_splits if n_splits is None else n_splits) + 1,
        embargo=settings.embargo_bars,
        min_train_share=settings.min_train_share,
    )
    folds = list(splitter.folds(development))
    starts = [int(np.searchsorted(rows.decision_time, fold.test_start)) for fold in folds]
    end = len(rows) if hold_out is None else int(np.searchsorted(rows.decision_time, hold_out.start))
    spans = [slice(first, last) for first, last in zip(starts, [*starts[1:], end])]
    where = np.searchsorted(_keys(rows), _keys(development))
    embargo = settings.embargo_bars * rows.bar_length.astype("timedelta64[ms]")
    return Plan(rows, development, where, folds, spans, hold_out, embargo)


def _keys(rows: TrainingSet) -> NDArray[np.int64]:
    """One increasing number for each (decision time, symbol)."""
    return rows.decision_time.astype(np.int64) * len(rows.symbols) + rows.symbol_code
