"""One fold, and what the purged splitters have in common: finding times, purging, refusing empty folds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.dataset import TrainingSet
from huracan.errors import DataError, NotEnoughData
from huracan.validation.row_times import Embargo, RowTimes

__all__ = ["Fold", "PurgedSplitter"]

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows to learn from and rows to be judged on.

    Attributes
    ----------
    train, test : row numbers, ascending.
    test_start, test_end : first and last decision time of the test rows (row numbers where the rows have no times).
    n_purged : rows left out between or beside the two because their label, or the embargo, reaches across.
    test_groups : for combinatorial folds, the groups that form the test.

    Examples
    --------
    >>> fold = Fold(np.arange(5), np.arange(6, 9), 6, 8, n_purged=1)
    >>> fold.train_rows, fold.test_rows
    (slice(0, 5, None), slice(6, 9, None))
    """

    train: Rows
    test: Rows
    test_start: Any
    test_end: Any
    n_purged: int
    test_groups: tuple[int, ...] = ()

    @property
    def train_rows(self) -> slice | Rows:
        """Training rows, as a slice where they lie together, so that ``TrainingSet.take`` copies nothing."""
        return _as_slice(self.train)

    @property
    def test_rows(self) -> slice | Rows:
        """Test rows, as a slice where they lie together."""
        return _as_slice(self.test)


@dataclass(frozen=True, kw_only=True)
class PurgedSplitter(ABC):
    """Common part of the purged splitters; use one of those.

    A training row before a test span is kept only if its label ends strictly before the first decision of the span; one
    after it only if it is decided strictly after the last label end of the span plus the embargo.
    """

    embargo: Embargo = 0
    label_horizon: int = 1
    bound: RowTimes | None = field(default=None, repr=False, compare=False)

    def bind(self, rows: TrainingSet) -> Self:
        """Remember the times of ``rows``, for use where only a matrix arrives, as in ``cross_val_score``.

        Returns a new splitter; it then splits only data of as many rows.

        Raises
        ------
        DataError : ``rows`` is no ``TrainingSet``.
        """
        if not isinstance(rows, TrainingSet):
            raise DataError(f"bind got a {type(rows).__name__}; a TrainingSet was expected.")
        return replace(self, bound=RowTimes.of(rows))

    def split(
        self,
        X: Any,
        y: Any = None,
        groups: Any = None,
        *,
        decision_time: ArrayLike | None = None,
        label_end: ArrayLike | None = None,
    ) -> Iterator[tuple[Rows, Rows]]:
        """Yield ``(train, test)`` row numbers, as scikit-learn's splitters do.

        Parameters
        ----------
        X : a ``TrainingSet``; or a frame with times in its index or a column ``ts``; or any rows, with ``decision_time`` (and
            ``label_end``) given, with times bound by :meth:`bind`, else taken as one series in time order.
        y : not used.
        groups : the ``TrainingSet`` whose rows ``X`` holds, where only a matrix can be handed on, as by
            ``cross_val_score(model, rows.X, rows.y, groups=rows, cv=splitter)``; anything else is refused.
        decision_time, label_end : datetime64 (n,); without ``label_end`` a label ends ``label_horizon`` bars later.
        """
        for fold in self._folds(self._times(X, decision_time, label_end, groups)):
            yield fold.train, fold.test

    def folds(self, X: Any, *, decision_time: ArrayLike | None = None, label_end: ArrayLike | None = None) -> Iterator[Fold]:
        """Yield each :class:`Fold` with its times and the number of rows purged; takes what :meth:`split` takes."""
        yield from self._folds(self._times(X, decision_time, label_end))

    @abstractmethod
    def _folds(self, times: RowTimes) -> Iterator[Fold]: ...

    def _times(self, X: Any, decision_time: ArrayLike | None, label_end: ArrayLike | None, groups: Any = None) -> RowTimes:
        if groups is not None:
            return self._times_of_groups(X, decision_time, label_end, groups)
        if self.bound is None or decision_time is not None or isinstance(X, TrainingSet):
            return RowTimes.of(X, decision_time=decision_time, label_end=label_end, label_horizon=self.label_horizon)
        return _for_rows(self.bound, X, "the splitter is bound to the times of {n}; bind it to these rows.")

    def _times_of_groups(self, X: Any, decision_time: ArrayLike | None, label_end: ArrayLike | None, groups: Any) -> RowTimes:
        if not isinstance(groups, TrainingSet):
            raise DataError(
                f"groups is a {type(groups).__name__}; the TrainingSet that X was taken from, or None, was expected: "
                "these splits go by time, not by group."
            )
        if decision_time is not None or label_end is not None or (isinstance(X, TrainingSet) and X is not groups):
            raise DataError("times were given twice, by groups and otherwise; one of the two was expected.")
        return _for_rows(RowTimes.of(groups), X, "groups has {n}; the TrainingSet that X was taken from was expected.")

    def _require_times(self, times: RowTimes, blocks: int, what: str) -> None:
        if times.n_times < blocks:
            raise NotEnoughData(
                f"{len(times)} rows at {times.n_times} different times cannot make {what}; {blocks} are needed."
            )


def _for_rows(times: RowTimes, X: Any, otherwise: str) -> RowTimes:
    n = X.shape[0] if hasattr(X, "shape") else len(X)
    if n != len(times):
        raise DataError(f"X has {n} rows, but {otherwise.format(n=len(times))}")
    return times


def purged_fold(
    times: RowTimes,
    spans: Sequence[tuple[int, int]],
    *,
    lowest: int = 0,
    highest: int | None = None,
    embargo: int = 0,
    gap_before: int = 0,
    name: str,
    test_groups: tuple[int, ...] = (),
) -> Fold:
    """Make a fold from test spans, given as ranges of sorted rows that begin and end between two times.

    ``lowest`` and ``highest`` bound the rows that may train; ``gap_before`` widens the distance before a span.
    """
    highest = len(times) if highest is None else highest
    allowed: list[Rows] = []
    ends = times.sorted_label_end
    free = -(2**62)
    edges = [lowest, *(edge for span in spans for edge in span), max(highest, spans[-1][1])]
    for i in range(len(spans) + 1):
        begin, end = edges[2 * i], min(edges[2 * i + 1], highest)
        if i > 0:  # after a span: decided once every label of the spans so far is known, and the embargo has passed
            free = max(free, int(ends[spans[i - 1][0] : spans[i - 1][1]].max()) + embargo)
            begin = max(begin, int(np.searchsorted(times.sorted_decision, free, side="right")))
        if begin >= end:
            continue
        if i == len(spans):
            allowed.append(np.arange(begin, end))
            continue
        start = int(times.sorted_decision[spans[i][0]]) - gap_before  # before a span: the label is known by then
        whole = min(max(int(np.searchsorted(times.latest_label_end, start, side="left")), begin), end)
        allowed.append(np.arange(begin, whole))
        if whole < end:
            allowed.append(whole + np.flatnonzero(ends[whole:end] < start))
    train = _joined(allowed)
    test = _joined([np.arange(*span) for span in spans])
    for label, rows in (("training", train), ("test", test)):
        if not len(rows):
            raise NotEnoughData(
                f"{name} has no {label} row: of {len(times)} rows {len(test)} are test and the labels or the embargo of the "
                "others reach across; use fewer folds, a shorter label or embargo, or more rows."
            )
    inside = sum(max(0, min(end, highest) - max(begin, lowest)) for begin, end in spans)
    return Fold(
        train=times.rows_at(train),
        test=times.rows_at(test),
        test_start=times.moment(times.sorted_decision[spans[0][0]]),
        test_end=times.moment(times.sorted_decision[spans[-1][1] - 1]),
        n_purged=highest - lowest - inside - len(train),
        test_groups=test_groups,
    )


def _joined(parts: Sequence[Rows]) -> Rows:
    parts = [part for part in parts if len(part)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty(0, np.intp)


def _as_slice(rows: Rows) -> slice | Rows:
    together = len(rows) > 0 and int(rows[-1]) - int(rows[0]) + 1 == len(rows)
    return slice(int(rows[0]), int(rows[-1]) + 1) if together else rows
