"""Walk-forward: always learn from the past, be judged on what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from huracan.errors import DataError
from huracan.validation.folds import Fold, PurgedSplitter, purged_fold
from huracan.validation.row_times import RowTimes

__all__ = ["PurgedWalkForward"]


@dataclass(frozen=True)
class PurgedWalkForward(PurgedSplitter):
    """Split into consecutive test spans, each learned from what was known before it.

    A training row is kept only if its label ended strictly before the first decision of the test span, less the
    embargo. Without this, labels that overlap the span tell the learner part of the answer. All symbols of one time
    fall on the same side.

    Parameters
    ----------
    n_splits : number of test spans, equal in number of times.
    embargo : further distance before the test span: bars (int), share of all times (float), or a timedelta.
    expanding : learn from everything before; else from a window that keeps the length of the first.
    min_train_share : share of all times before the first test span; by default 1 / (n_splits + 1).
    label_horizon : bars until the label is known, where neither ``X`` nor ``groups`` says it.

    Raises
    ------
    NotEnoughData : a fold would have no training or no test row.

    References
    ----------
    López de Prado (2018), "Advances in Financial Machine Learning", sections 7.4 and 12.2.

    Examples
    --------
    >>> for train, test in PurgedWalkForward(3, label_horizon=2).split(np.zeros((16, 1))):
    ...     print(train[[0, -1]].tolist(), test[[0, -1]].tolist())
    [0, 1] [4, 7]
    [0, 5] [8, 11]
    [0, 9] [12, 15]

    Where only a matrix can be handed on, the times go in as ``groups``, or are bound beforehand:

    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import cross_val_score
    >>> from huracan.dataset import TrainingSet
    >>> rows = TrainingSet.from_arrays(np.arange(200.0).reshape(100, 2), np.arange(100.0), label_horizon=3)
    >>> splitter = PurgedWalkForward(4)
    >>> by_groups = cross_val_score(Ridge(), rows.X, rows.y, groups=rows, cv=splitter)
    >>> bound = cross_val_score(Ridge(), rows.X, rows.y, cv=splitter.bind(rows))
    >>> len(bound), bool((by_groups == bound).all())
    (4, True)
    """

    n_splits: int = 5
    expanding: bool = True
    min_train_share: float | None = None

    def __post_init__(self) -> None:
        if self.n_splits < 1:
            raise DataError(f"n_splits is {self.n_splits}; at least 1 was expected.")
        if self.min_train_share is not None and not 0.0 < self.min_train_share < 1.0:
            raise DataError(f"min_train_share is {self.min_train_share}; a share between 0 and 1 was expected.")

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds."""
        return self.n_splits

    def _folds(self, times: RowTimes) -> Iterator[Fold]:
        n = times.n_times
        self._require_times(times, self.n_splits + 1, f"{self.n_splits} walk-forward folds")
        share = 1.0 / (self.n_splits + 1) if self.min_train_share is None else self.min_train_share
        first = min(max(1, int(np.ceil(share * n - 1e-9))), n - self.n_splits)
        edge = np.linspace(first, n, self.n_splits + 1).round().astype(int)
        embargo = times.embargo_length(self.embargo)
        for i in range(self.n_splits):
            begin, end = (int(row) for row in times.first_rows[edge[i : i + 2]])
            lowest = 0 if self.expanding else int(times.first_rows[max(0, edge[i] - first)])
            name = f"walk-forward fold {i + 1} of {self.n_splits}"
            yield purged_fold(times, [(begin, end)], lowest=lowest, highest=begin, gap_before=embargo, name=name)
