"""Purged k-fold: every row is judged once, by a learner that knows the past and the future but not its neighbourhood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from huracan.errors import DataError
from huracan.validation.folds import Fold, PurgedSplitter, purged_fold
from huracan.validation.row_times import RowTimes

__all__ = ["PurgedKFold"]


@dataclass(frozen=True)
class PurgedKFold(PurgedSplitter):
    """Split time into ``n_splits`` spans and test on each in turn, purging on both sides.

    Learners see data from after the test span: right for comparing settings on little data, optimistic as a forecast
    of live results where markets change. Prefer :class:`PurgedWalkForward` for those.

    Parameters
    ----------
    n_splits : number of spans, equal in number of times.
    embargo : after the last label end of the test span, nothing is learned for so long: bars (int), share of all times
        (float), or a timedelta.
    label_horizon : bars until the label is known, where neither ``X`` nor ``groups`` says it.

    Raises
    ------
    NotEnoughData : a fold would have no training or no test row.

    References
    ----------
    López de Prado (2018), "Advances in Financial Machine Learning", section 7.4.

    Examples
    --------
    >>> for train, test in PurgedKFold(3, embargo=1).split(np.zeros((12, 1))):
    ...     print(train.tolist(), test.tolist())
    [6, 7, 8, 9, 10, 11] [0, 1, 2, 3]
    [0, 1, 2, 10, 11] [4, 5, 6, 7]
    [0, 1, 2, 3, 4, 5, 6] [8, 9, 10, 11]

    Where only a matrix can be handed on, the times go in as ``groups``, or are bound beforehand:

    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import cross_val_score
    >>> from huracan.dataset import TrainingSet
    >>> rows = TrainingSet.from_arrays(np.arange(200.0).reshape(100, 2), np.arange(100.0), label_horizon=3)
    >>> splitter = PurgedKFold(4)
    >>> by_groups = cross_val_score(Ridge(), rows.X, rows.y, groups=rows, cv=splitter)
    >>> bound = cross_val_score(Ridge(), rows.X, rows.y, cv=splitter.bind(rows))
    >>> len(bound), bool((by_groups == bound).all())
    (4, True)
    """

    n_splits: int = 5

    def __post_init__(self) -> None:
        if self.n_splits < 2:
            raise DataError(f"n_splits is {self.n_splits}; at least 2 were expected.")

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds."""
        return self.n_splits

    def _folds(self, times: RowTimes) -> Iterator[Fold]:
        self._require_times(times, self.n_splits, f"{self.n_splits} folds")
        edge = times.first_rows[np.linspace(0, times.n_times, self.n_splits + 1).round().astype(int)]
        embargo = times.embargo_length(self.embargo)
        for i in range(self.n_splits):
            span = (int(edge[i]), int(edge[i + 1]))
            yield purged_fold(times, [span], embargo=embargo, name=f"fold {i + 1} of {self.n_splits}")
