"""The rows of a study, prepared once: folds, newest first, and what every fit shares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.automl.losses import FoldTarget, Metric, metric_of, row_losses
from huracan.baselines.spec import SupervisedTask
from huracan.dataset import TrainingSet
from huracan.models.binned_rows import BinnedRows
from huracan.statistics import average_by_time
from huracan.validation import PurgedWalkForward
from huracan.validation.folds import Fold, PurgedSplitter

__all__ = ["StudyRows"]


@dataclass(frozen=True, eq=False)
class StudyRows:
    """Labelled rows and the purged folds that every trial is judged on.

    Attributes
    ----------
    rows : all of them have a label. folds : newest first, so that a hopeless trial is stopped by what is most like tomorrow.
    """

    rows: TrainingSet
    task: SupervisedTask
    folds: tuple[Fold, ...]
    shared_bins: bool = True

    @classmethod
    def of(
        cls, rows: TrainingSet, task: SupervisedTask, splitter: PurgedSplitter | None = None, *, shared_bins: bool = True
    ) -> StudyRows:
        """Divide the labelled rows.

        Raises
        ------
        NotEnoughData : too few rows for the folds.
        """
        labelled = rows.labelled_only()
        folds = tuple((PurgedWalkForward(4) if splitter is None else splitter).folds(labelled))
        return cls(labelled, task, folds[::-1], shared_bins)

    @property
    def metric(self) -> Metric:
        """The loss of the task."""
        return metric_of(self.task)

    @cached_property
    def targets(self) -> tuple[FoldTarget, ...]:
        """Of each fold."""
        return tuple(FoldTarget.of(self.rows, self.task, fold.train, fold.test) for fold in self.folds)

    @cached_property
    def bins(self) -> BinnedRows:
        """Bins for boosters, from rows that all folds train on."""
        common = self.folds[0].train
        for fold in self.folds[1:]:
            common = np.intersect1d(common, fold.train, assume_unique=True)
        return BinnedRows(self.rows.X, common)

    def prepared(self, fold: int) -> Any:
        """What a booster's fit on a fold shares with other fits; None where nothing is shared."""
        if not self.shared_bins or not len(self.bins.first):
            return None
        return self.bins.of_fold(fold, self.folds[fold].train)

    def gains(self, fold: int, answer: NDArray[np.float64]) -> NDArray[np.float64]:
        """Loss of the constant less the loss of the answers, one a moment of the fold, weighted rows of a moment averaged.

        In units of the constant's mean loss over all folds, so that folds add up and scores can be read.
        """
        target = self.targets[fold]
        gain = (target.losses - row_losses(self.metric, target.y, answer)) / self.unit
        return average_by_time(gain, self.rows.decision_time[self.folds[fold].test])[1]

    @cached_property
    def unit(self) -> float:
        """Mean loss of the constant forecast."""
        losses = np.concatenate([target.losses for target in self.targets])
        return float(losses.mean()) or 1.0
