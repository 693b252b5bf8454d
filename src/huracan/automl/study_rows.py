"""The rows of a study, prepared once: folds, newest first, the span that judges, and what every fit shares."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.automl.losses import METRICS, FoldTarget
from huracan.baselines.spec import SupervisedTask
from huracan.dataset import TrainingSet
from huracan.ensembles.feature_ranking import Ranking, rank_features
from huracan.errors import ConfigError, ModelError, NotEnoughData
from huracan.logs import logger
from huracan.models.binned_rows import BinnedRows
from huracan.statistics import average_by_time
from huracan.validation import PurgedWalkForward
from huracan.validation.folds import Fold, PurgedSplitter, purged_fold
from huracan.validation.metrics import directional_payoff
from huracan.validation.row_losses import Metric, row_losses
from huracan.validation.row_times import RowTimes

__all__ = ["ALL_ROWS", "JUDGED", "VALUED", "StudyRows", "stance_payoff"]

ALL_ROWS, JUDGED, VALUED = -1, -2, -3
"""The "fold" that trains on every row; the one whose test rows the search never sees; none: what the answers to all earn."""

_PERIODS = 2_048


@dataclass(frozen=True, eq=False)
class StudyRows:
    """Labelled rows and the purged folds that every trial is judged on.

    Attributes
    ----------
    rows : all of them have a label. folds : newest first, so that a hopeless trial is stopped by what is most like tomorrow.
    judged : tests on the last span of time, trains on what was known before it, where all folds lie; None: no span is kept.

    A weight says how much a fit listens to a row; rows of weight 0 judge nothing either, all others judge alike.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((1_000, 2))
    >>> study = StudyRows.of(TrainingSet.from_arrays(X, X[:, 0]), "regression", judged_share=0.2)
    >>> len(study.folds), study.fold(JUDGED).test[[0, -1]].tolist()
    (4, [800, 999])
    >>> float(study.gains(0, study.targets[0].y).mean() > 0.5)  # whoever knows the labels loses nothing
    1.0
    """

    rows: TrainingSet
    task: SupervisedTask
    folds: tuple[Fold, ...]
    judged: Fold | None = None
    shared_bins: bool = True
    _rankings: dict[tuple[int, Ranking], NDArray[np.float64]] = field(default_factory=dict, repr=False)
    _seconds: dict[str, float] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        rows: TrainingSet,
        task: SupervisedTask,
        splitter: PurgedSplitter | None = None,
        *,
        judged_share: float = 0.0,
        shared_bins: bool = True,
    ) -> StudyRows:
        """Divide the labelled rows.

        Raises
        ------
        NotEnoughData : too few rows for the folds, or none with a weight to train or judge on.
        ModelError : no fold trains on both classes.
        """
        if not 0.0 <= judged_share < 1.0:
            raise ConfigError(f"judged_share is {judged_share!r}; a share from 0, below 1, was expected.")
        labelled = rows.labelled_only()
        splitter = PurgedWalkForward(4) if splitter is None else splitter
        judged = _last_span(labelled, judged_share, splitter) if judged_share else None
        if judged is None:
            folds = tuple(splitter.folds(labelled))
        else:
            known = judged.train
            folds = tuple(
                replace(fold, train=known[fold.train], test=known[fold.test])
                for fold in splitter.folds(labelled.take(judged.train_rows))
            )
        folds, judged = tuple(_weighed(labelled, fold) for fold in folds), judged and _weighed(labelled, judged)
        folds = _that_teach(labelled, folds, task)
        return cls(labelled, task, folds[::-1], judged, shared_bins)

    def fold(self, number: int) -> Fold:
        """One of ``folds``, or ``judged`` under its number."""
        if number == JUDGED:
            assert self.judged is not None
            return self.judged
        return self.folds[number]

    def train_rows(self, number: int) -> slice | NDArray[np.intp]:
        """Rows that a fit on a fold learns from, or all."""
        return slice(0, len(self.rows)) if number == ALL_ROWS else self.fold(number).train_rows

    @property
    def horizon(self) -> int:
        """Bars from a decision to the end of its label."""
        ahead = (self.rows.label_end - self.rows.decision_time).astype(np.int64)
        return max(1, round(float(np.median(ahead)) / int(self.rows.bar_length.astype("m8[ms]").astype(np.int64))))

    @property
    def metric(self) -> Metric:
        """The loss of the task."""
        return METRICS[self.task]

    @cached_property
    def targets(self) -> Mapping[int, FoldTarget]:
        """Of each fold, by its number."""
        numbers = [*range(len(self.folds)), *([] if self.judged is None else [JUDGED])]
        folds = {number: self.fold(number) for number in numbers}
        return {number: FoldTarget.of(self.rows, self.task, fold.train, fold.test) for number, fold in folds.items()}

    @cached_property
    def bins(self) -> BinnedRows:
        """Bins for boosters, from rows that all folds train on."""
        common = self.folds[0].train
        for fold in self.folds[1:]:
            common = np.intersect1d(common, fold.train, assume_unique=True)
        return BinnedRows(self.rows.X, common)

    def prepared(self, number: int) -> Any:
        """What a booster's fit on a fold shares with other fits; None where nothing is shared."""
        if not self.shared_bins or number == ALL_ROWS or not len(self.bins.first):
            return None
        return self.bins.of_fold(number, self.fold(number).train)

    def ranking(self, number: int, by: Ranking) -> NDArray[np.float64]:
        """What each feature is worth on a fold's training rows."""
        if (number, by) not in self._rankings:
            began, train = time.perf_counter(), self.rows.take(self.train_rows(number))
            self._rankings[number, by] = rank_features(train, by, task=self.task)
            self._seconds[by] = self._seconds.get(by, 0.0) + time.perf_counter() - began
        return self._rankings[number, by]

    @property
    def seconds(self) -> dict[str, float]:
        """Ranking, or booster -> time that preparing folds for it took so far, which fits of other settings have not."""
        bins = self.__dict__.get("bins")  # not made for this question
        return self._seconds | ({} if bins is None else bins.seconds)

    def gains(self, number: int, answer: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Loss of the constant less the loss of the answers, one a moment of the fold, rows of a moment averaged.

        In units of the constant's mean loss over all folds, so that folds add up and scores can be read.
        """
        target = self.targets[number]
        gain = (target.losses - row_losses(self.metric, target.y, np.asarray(answer, np.float64))) / self.unit
        return average_by_time(gain, self.rows.decision_time[self.fold(number).test])[1]

    @cached_property
    def unit(self) -> float:
        """Mean loss of the constant forecast."""
        losses = np.concatenate([self.targets[number].losses for number in range(len(self.folds))])
        return float(losses.mean()) or 1.0

    @cached_property
    def period(self) -> int:
        """Moments that a payoff averages."""
        moments = sum(len(np.unique(self.rows.decision_time[fold.test])) for fold in self.folds)
        return max(1, -(-moments // _PERIODS))

    def payoff(self, answers: Mapping[int, NDArray[np.floating[Any]]]) -> NDArray[np.float64]:
        """What a position as large as the answer would have earned, in units of the label, over all folds in time order.

        A position is the answer less the constant, over its root mean square in the fold, clipped at 3; it is held on the label
        less the constant. Rows of a moment are averaged, and so many moments in a row that all folds have at most 2,048
        periods; a trial that answered some folds has fewer, of the same length.
        """
        parts = []
        for number in sorted(answers, reverse=True):
            target, moments = self.targets[number], self.rows.decision_time[self.fold(number).test]
            earned = stance_payoff(np.asarray(answers[number], np.float64), target.y, target.constant)
            parts.append(average_by_time(earned, moments)[1])
        series, length = np.concatenate(parts), self.period
        whole = len(series) - len(series) % length
        return series[len(series) - whole :].reshape(-1, length).mean(axis=1)


def stance_payoff(answer: NDArray[np.float64], y: NDArray[np.float64], constant: float) -> NDArray[np.float64]:
    """Payoff of each row of a position as large as the answer less the constant, over its root mean square, clipped at 3.

    >>> stance_payoff(np.array([1.0, -1.0, 0.0]), np.array([2.0, 0.5, 9.0]), 0.0).round(2).tolist()
    [2.45, -0.61, 0.0]
    """
    stance = answer - constant
    spread = float(np.sqrt(np.mean(np.square(stance))))
    spread = spread if spread > 1e-9 * (1.0 + abs(constant)) else 0.0
    return directional_payoff(stance, y - constant, center=0.0, spread=spread)


def _last_span(rows: TrainingSet, share: float, splitter: PurgedSplitter) -> Fold:
    times = RowTimes.of(rows)
    first = times.n_times - max(1, int(np.ceil(share * times.n_times - 1e-9)))
    cut = int(times.first_rows[first])
    embargo = times.embargo_length(getattr(splitter, "embargo", 0))
    return purged_fold(times, [(cut, len(times))], gap_before=embargo, name="the span that judges")


def _weighed(rows: TrainingSet, fold: Fold) -> Fold:
    """Without test rows of weight 0."""
    counts = rows.weight[fold.test] > 0
    if counts.all():
        return fold
    if not counts.any():
        span = f"from {fold.test_start} to {fold.test_end}"
        raise NotEnoughData(f"all {len(counts)} rows {span} have weight 0; nothing can be judged.")
    return replace(fold, test=fold.test[counts])


def _that_teach(rows: TrainingSet, folds: tuple[Fold, ...], task: SupervisedTask) -> tuple[Fold, ...]:
    """Folds that have training rows with a weight, of both classes for classification; the others teach nothing."""
    counts, up = rows.weight > 0, rows.direction()

    def teaches(fold: Fold) -> bool:
        known = fold.train[counts[fold.train]]
        return len(known) > 0 and (task == "regression" or 0 < int(up[known].sum()) < len(known))

    kept = tuple(fold for fold in folds if teaches(fold))
    if not kept and not any(counts[fold.train].any() for fold in folds):
        raise NotEnoughData(f"all rows that {len(folds)} fold(s) train on have weight 0; nothing can be learned.")
    if not kept:
        raise ModelError(
            f"all {len(folds)} folds train on one class only; labels above 0 and not were expected among their rows."
        )
    if len(kept) < len(folds):
        why = "train on rows of weight 0" + (" or of one class" if task == "classification" else "")
        logger().warning(f"folds that {why} are left out", left_out=len(folds) - len(kept), kept=len(kept))
    return kept
