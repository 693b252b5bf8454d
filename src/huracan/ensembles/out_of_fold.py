"""What members said of rows that none of them had learned from, with the times that prove it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.dataset import TrainingSet
from huracan.ensembles.members import Task, answers_on, checked_members, fit_member, seeded, task_of
from huracan.errors import DataError, NotEnoughData
from huracan.validation.folds import PurgedSplitter
from huracan.validation.row_losses import LEAST_PROBABILITY, row_losses

__all__ = ["OutOfFold", "out_of_fold_predictions"]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Out-of-fold predictions of m members on n rows.

    Attributes
    ----------
    names : of the members, in the order of the columns.
    predictions : float64 (n, m): forecasts, or probabilities of up (of the second class); with k > 2 classes (n, m, k). NaN
        where no fold answers.
    target : float64 (n,): what is predicted: the label, or the class's code; NaN where it is not known.
    rows : the rows without their features: times, symbols, regimes, weights.
    known_until : datetime64[ms] (n,): the latest ``label_end`` that any model behind a row's predictions learned from; NaT
        where no fold answers, or where nobody knows.
    fold : int32 (n,), the fold that answers, -1 where none does. task : ``"regression"`` or ``"classification"``.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from huracan.validation import PurgedWalkForward
    >>> rng = np.random.default_rng(0)
    >>> rows = TrainingSet.from_arrays(rng.standard_normal((100, 3)), rng.standard_normal(100), label_horizon=4)
    >>> made = out_of_fold_predictions({"ridge": Ridge()}, rows, PurgedWalkForward(4))
    >>> int(made.answered.sum()), bool(np.all(made.known_until[made.answered] < rows.decision_time[made.answered]))
    (80, True)
    """

    names: tuple[str, ...]
    predictions: NDArray[np.float64]
    target: NDArray[np.float64]
    rows: TrainingSet
    known_until: NDArray[np.datetime64]
    fold: NDArray[np.int32]
    task: Task

    def __post_init__(self) -> None:
        n = len(self.rows)
        if self.predictions.ndim not in (2, 3) or self.predictions.shape[:2] != (n, len(self.names)):
            raise DataError(
                f"predictions have shape {self.predictions.shape}; ({n}, {len(self.names)}) was expected: a column a member."
            )
        for name in ("target", "known_until", "fold"):
            if getattr(self, name).shape != (n,):
                raise DataError(f"{name} has shape {getattr(self, name).shape}; ({n},) was expected.")

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return (
            f"<OutOfFold: {len(self.names)} members, {int(self.answered.sum()):,} of {len(self):,} rows answered, {self.task}>"
        )

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Rows on which every member answers."""
        return np.asarray(np.isfinite(self.predictions.reshape(len(self), -1)).all(axis=1))

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Rows that can be learned from: every member answers and the label is known."""
        return self.answered & np.isfinite(self.target)

    @property
    def decision_time(self) -> NDArray[np.datetime64]:
        """Moment each row is decided."""
        return self.rows.decision_time

    @property
    def label_end(self) -> NDArray[np.datetime64]:
        """Moment each row's label is known."""
        return self.rows.label_end

    def losses(self) -> NDArray[np.float64]:
        """Loss of each usable row and member: squared error, or log-loss of the class that came true (probability >= 1e-15)."""
        said, target = self.predictions[self.usable], self.target[self.usable]
        if said.ndim == 2:
            return row_losses("squared_error" if self.task == "regression" else "log_loss", target[:, None], said)
        true = np.take_along_axis(said, target.astype(np.int64)[:, None, None], axis=2)[:, :, 0]
        return -np.log(np.clip(true, LEAST_PROBABILITY, 1.0))

    def take(self, rows: ArrayLike | slice) -> OutOfFold:
        """The same for some rows."""
        at = rows if isinstance(rows, slice) else np.asarray(rows)
        parts = {name: getattr(self, name)[at] for name in ("predictions", "target", "known_until", "fold")}
        return replace(self, rows=self.rows.take(at), **parts)

    def select(self, names: tuple[str, ...] | list[str]) -> OutOfFold:
        """The same for some members, in the order given."""
        missing = [name for name in names if name not in self.names]
        if missing or not names:
            raise DataError(f"member {missing[0] if missing else '(none)'!r} is not among {', '.join(self.names)}.")
        at = [self.names.index(name) for name in names]
        return replace(self, names=tuple(names), predictions=self.predictions[:, at])

    @classmethod
    def from_arrays(
        cls,
        predictions: ArrayLike,
        rows: TrainingSet,
        *,
        names: tuple[str, ...] | None = None,
        known_until: ArrayLike | None = None,
        target: ArrayLike | None = None,
        fold: ArrayLike | None = None,
        task: Task = "regression",
    ) -> OutOfFold:
        """Predictions that were made elsewhere.

        Without ``known_until`` nobody knows what they learned from, and what needs out-of-fold predictions refuses them; see
        :func:`~huracan.ensembles.leak_check.assert_out_of_fold`. ``target`` defaults to the label, or to its direction.

        >>> rows = TrainingSet.from_arrays(np.zeros((3, 1)), [0.1, -0.2, 0.3])
        >>> OutOfFold.from_arrays([0.0, 0.0, 0.1], rows).known_until.astype(str).tolist()
        ['NaT', 'NaT', 'NaT']
        """
        said = np.asarray(predictions, dtype=np.float64)
        said = said[:, None] if said.ndim == 1 else said
        n = len(rows)
        nobody_knows = np.full(n, np.datetime64("NaT", "ms"))
        answered = np.isfinite(said).all(axis=tuple(range(1, said.ndim)))
        return cls(
            names=tuple(f"member {i}" for i in range(said.shape[1])) if names is None else tuple(names),
            predictions=said,
            target=_target(rows, task) if target is None else np.asarray(target, dtype=np.float64),
            rows=rows.without_features(),
            known_until=nobody_knows if known_until is None else np.asarray(known_until, dtype="datetime64[ms]"),
            fold=np.asarray(np.where(answered, 0, -1) if fold is None else fold, dtype=np.int32),
            task=task,
        )


def out_of_fold_predictions(
    members: Mapping[str, Any],
    rows: TrainingSet,
    splitter: Any,
    random_state: int | None = None,
    *,
    target: ArrayLike | None = None,
    n_classes: int = 2,
) -> OutOfFold:
    """Fit every member on each fold's training rows and let it answer on the fold's test rows.

    Look-ahead warning: only with :class:`~huracan.validation.PurgedWalkForward` are the predictions of a row made from what
    was known before its decision. Any splitter is taken, and ``known_until`` says what came of it;
    :func:`~huracan.ensembles.leak_check.assert_out_of_fold` refuses the rest.

    Parameters
    ----------
    members : name -> unfitted estimator, all regressors or all classifiers with probabilities; they are copied. Models that
        look back get the bars before a fold.
    rows : features, labels and times; rows whose label is not known are answered on and not learned from.
    splitter : a purged splitter, or any with scikit-learn's ``split(X, y)``. No row may be tested twice.
    random_state : a number gives each member a seed of its own; None leaves the members' seeds as they are.
    target : class codes (n,) where there are ``n_classes`` > 2; by default the direction of the label.

    Returns
    -------
    OutOfFold

    Raises
    ------
    ModelError : a member cannot be fitted (member and fold are named), or answers with what is not finite.
    DataError : a row is tested in two folds.
    """
    models = checked_members(members)
    task = task_of(models)
    classes = n_classes if task == "classification" else 0
    wanted = _target(rows, task) if target is None else np.asarray(target, dtype=np.float64)
    if not rows.labelled.any():
        raise NotEnoughData(f"none of {len(rows)} rows has a label; members cannot be fitted.")
    n = len(rows)
    said = np.full((n, len(models), classes) if classes > 2 else (n, len(models)), np.nan)
    known_until, fold = np.full(n, np.datetime64("NaT", "ms")), np.full(n, -1, np.int32)
    for k, (train, test) in enumerate(_splits(splitter, rows)):
        again = fold[test] >= 0
        if again.any():
            raise DataError(f"row {test[again][0]} is tested in folds {fold[test[again][0]]} and {k}; one fold was expected.")
        past = rows.take(_as_slice(train))
        fold[test] = k
        if past.labelled.any():
            known_until[test] = past.label_end[past.labelled].max()
        codes = wanted[_as_slice(train)] if not classes else np.nan_to_num(wanted[_as_slice(train)]).astype(np.int64)
        for j, (name, model) in enumerate(models.items()):
            where = f" on fold {k} (decisions from {rows.decision_time[test[0]]})"
            fitted = fit_member(name, seeded(model, random_state, j), past, codes, classes, where=where)
            said[test, j] = answers_on(name, fitted, rows, _as_slice(test), classes)
    return OutOfFold(tuple(models), said, wanted, rows.without_features(), known_until, fold, task)


def _target(rows: TrainingSet, task: Task) -> NDArray[np.float64]:
    return rows.y.copy() if task == "regression" else np.where(rows.labelled, rows.direction(), np.nan)


def _splits(splitter: Any, rows: TrainingSet) -> Any:
    if not isinstance(splitter, PurgedSplitter):
        return splitter.split(rows.X, rows.y)
    unknown = np.isnat(rows.label_end)  # such rows are not learned from, wherever they fall
    return splitter.split(replace(rows, label_end=np.where(unknown, rows.decision_time, rows.label_end)))


def _as_slice(rows: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    together = len(rows) > 0 and int(rows[-1]) - int(rows[0]) + 1 == len(rows) and bool(np.all(np.diff(rows) == 1))
    return slice(int(rows[0]), int(rows[-1]) + 1) if together else rows
