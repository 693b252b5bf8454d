"""Combinatorial purged cross-validation: many backtest paths from one history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.errors import DataError
from huracan.validation.folds import Fold, PurgedSplitter, purged_fold
from huracan.validation.row_times import RowTimes

__all__ = ["CombinatorialPurgedCV"]


@dataclass(frozen=True)
class CombinatorialPurgedCV(PurgedSplitter):
    """Test on every choice of ``n_test_groups`` out of ``n_groups`` spans of time, purging around each.

    Every group is predicted by several learners that never saw it, so the predictions form several whole histories
    (:attr:`paths`): a distribution of backtests instead of one.

    Parameters
    ----------
    n_groups : spans of time, equal in number of times.
    n_test_groups : how many of them are tested at once, fewer than ``n_groups``.
    embargo : as for :class:`PurgedKFold`.
    label_horizon : bars until the label is known, where neither ``X`` nor ``groups`` says it.

    Raises
    ------
    NotEnoughData : a fold would have no training or no test row.

    References
    ----------
    López de Prado (2018), "Advances in Financial Machine Learning", section 12.3.

    Examples
    --------
    >>> cv = CombinatorialPurgedCV(n_groups=6, n_test_groups=2)
    >>> cv.get_n_splits(), cv.n_paths
    (15, 5)
    >>> cv.paths[0].tolist()
    [0, 0, 1, 2, 3, 4]

    Where only a matrix can be handed on, the times go in as ``groups``, or are bound beforehand:

    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import cross_val_score
    >>> from huracan.dataset import TrainingSet
    >>> rows = TrainingSet.from_arrays(np.arange(200.0).reshape(100, 2), np.arange(100.0), label_horizon=3)
    >>> splitter = CombinatorialPurgedCV(n_groups=4, n_test_groups=2)
    >>> by_groups = cross_val_score(Ridge(), rows.X, rows.y, groups=rows, cv=splitter)
    >>> bound = cross_val_score(Ridge(), rows.X, rows.y, cv=splitter.bind(rows))
    >>> len(bound), bool((by_groups == bound).all())
    (6, True)
    """

    n_groups: int = 6
    n_test_groups: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.n_test_groups < self.n_groups:
            raise DataError(
                f"n_test_groups is {self.n_test_groups} of {self.n_groups}; at least 1 and fewer than all were expected."
            )

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds: the number of ways to choose the test groups."""
        return comb(self.n_groups, self.n_test_groups)

    @property
    def n_paths(self) -> int:
        """Number of whole histories the predictions form."""
        return comb(self.n_groups - 1, self.n_test_groups - 1)

    @property
    def paths(self) -> NDArray[np.int64]:
        """Which fold predicts each group on each path, (n_paths, n_groups)."""
        table = np.empty((self.n_paths, self.n_groups), dtype=np.int64)
        seen = [0] * self.n_groups
        for fold, chosen in enumerate(self._choices()):
            for group in chosen:
                table[seen[group], group] = fold
                seen[group] += 1
        return table

    def _choices(self) -> Iterator[tuple[int, ...]]:
        return combinations(range(self.n_groups), self.n_test_groups)

    def _folds(self, times: RowTimes) -> Iterator[Fold]:
        self._require_times(times, self.n_groups, f"{self.n_groups} groups")
        edge = times.first_rows[np.linspace(0, times.n_times, self.n_groups + 1).round().astype(int)]
        embargo = times.embargo_length(self.embargo)
        for chosen in self._choices():
            spans: list[tuple[int, int]] = []
            for group in chosen:  # neighbouring groups are one span
                begin, end = int(edge[group]), int(edge[group + 1])
                if spans and spans[-1][1] == begin:
                    begin = spans.pop()[0]
                spans.append((begin, end))
            name = f"the fold that tests groups {', '.join(map(str, chosen))} of {self.n_groups}"
            yield purged_fold(times, spans, embargo=embargo, name=name, test_groups=chosen)
