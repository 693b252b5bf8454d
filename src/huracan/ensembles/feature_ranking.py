"""How much each feature tells of the label, seen from training rows alone."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.spec import SupervisedTask
from huracan.catalogue import build_model
from huracan.dataset import TrainingSet
from huracan.errors import ModelError
from huracan.validation import PurgedWalkForward
from huracan.validation.row_losses import row_losses

__all__ = ["RANKINGS", "Ranking", "rank_features"]

Ranking = Literal["mutual_information", "importance"]
RANKINGS: tuple[Ranking, ...] = ("mutual_information", "importance")

_INFORMATION_ROWS = 4_000
_IMPORTANCE_ROWS = 20_000
_FOLDS = 2


def rank_features(
    rows: TrainingSet,
    by: Ranking = "mutual_information",
    *,
    task: SupervisedTask = "regression",
    random_state: int = 0,
) -> NDArray[np.float64]:
    """What each feature is worth (d,), larger being better; only the rows given are looked at, so give training rows.

    Parameters
    ----------
    by : "mutual_information" with the label, of each feature by itself (Kraskov, Stögbauer and Grassberger 2004), on 4,000 rows
        drawn at random; "importance": by how much the loss of extra trees on rows they did not learn from grows where the
        feature is shuffled there (Breiman 2001), the mean of two purged walk-forward folds of the most recent 20,000 rows.
    task : the label's value, or whether it is above 0.

    Raises
    ------
    ModelError : there is no such ranking. NotEnoughData : too few rows for the folds.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((1_000, 4))
    >>> rows = TrainingSet.from_arrays(X, 2.0 * np.abs(X[:, 2]) + np.random.default_rng(1).standard_normal(1_000))
    >>> [int(np.argmax(rank_features(rows, by))) for by in RANKINGS]
    [2, 2]
    """
    if by not in RANKINGS:
        raise ModelError(f"features cannot be ranked by {by!r}; {' or '.join(map(repr, RANKINGS))} was expected.")
    known = rows.take(rows.labelled & (rows.weight > 0))
    generator = np.random.default_rng(random_state)
    if by == "importance":
        return _importance(known.most_recent(_IMPORTANCE_ROWS), task, generator)
    return _information(known, task, generator)


def _information(rows: TrainingSet, task: str, generator: np.random.Generator) -> NDArray[np.float64]:
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    if len(rows) > _INFORMATION_ROWS:
        rows = rows.take(np.sort(generator.choice(len(rows), _INFORMATION_ROWS, replace=False)))
    seed = int(generator.integers(2**31))
    if task == "regression":
        return np.asarray(mutual_info_regression(rows.X, rows.y, random_state=seed), np.float64)
    return np.asarray(mutual_info_classif(rows.X, rows.direction(), random_state=seed), np.float64)


def _importance(rows: TrainingSet, task: SupervisedTask, generator: np.random.Generator) -> NDArray[np.float64]:
    total = np.zeros(rows.X.shape[1])
    for fold in PurgedWalkForward(_FOLDS).folds(rows):
        model = build_model("extra_trees", task=task, random_state=int(generator.integers(2**31)))
        model.fit(rows.take(fold.train_rows))
        test = rows.take(fold.test_rows)
        y = test.y if task == "regression" else test.direction().astype(np.float64)

        def loss(X: NDArray[np.float32]) -> float:
            answer = model.predict(X) if task == "regression" else model.predict_proba(X)[:, -1]  # noqa: B023
            return float(row_losses("squared_error" if task == "regression" else "log_loss", y, answer).mean())  # noqa: B023

        plain, shuffled = loss(test.X), test.X.copy()
        for column in range(shuffled.shape[1]):
            shuffled[:, column] = generator.permutation(test.X[:, column])
            total[column] += loss(shuffled) - plain
            shuffled[:, column] = test.X[:, column]
    return total / _FOLDS
