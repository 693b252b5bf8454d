"""Proof, or the best evidence there can be, that predictions were made by models that had not seen the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.dataset import TrainingSet
from huracan.ensembles.out_of_fold import OutOfFold, out_of_fold_predictions
from huracan.errors import DataError, LeakageError, NotEnoughData
from huracan.statistics import adjust_p_values, average_by_time, ewc_t_test
from huracan.validation import PurgedKFold

__all__ = ["ForesightTest", "assert_out_of_fold", "foresight_test", "require_known_origin"]

_FEWEST_TIMES = 60
_FEWEST_COSINES = 4


@dataclass(frozen=True)
class ForesightTest:
    """Result of :func:`foresight_test`, one entry a member.

    Attributes
    ----------
    names : of the members. advantage : mean loss of honest refits less that of the predictions given; above 0 where the latter
        know more. p_value, p_adjusted : one-sided, by EWC t test; Holm over members. n_times : moments compared. alpha : level.
    """

    names: tuple[str, ...]
    advantage: tuple[float, ...]
    p_value: tuple[float, ...]
    p_adjusted: tuple[float, ...]
    n_times: int
    alpha: float

    @property
    def foresighted(self) -> tuple[str, ...]:
        """Members that know what no honest fit can know."""
        return tuple(name for name, p in zip(self.names, self.p_adjusted) if p <= self.alpha)

    def to_frame(self) -> pl.DataFrame:
        """One row a member."""
        columns = ("advantage", "p_value", "p_adjusted")
        return pl.DataFrame({"member": list(self.names), **{name: list(getattr(self, name)) for name in columns}})


def require_known_origin(out_of_fold: OutOfFold) -> None:
    """Refuse predictions that are not known to come from models which learned only what was known before the decision.

    Raises
    ------
    LeakageError : with the first offending row, its symbol and times.
    """
    asked = out_of_fold.answered
    unknown = asked & np.isnat(out_of_fold.known_until)
    if unknown.any():
        row = int(np.argmax(unknown))
        raise LeakageError(
            f"nobody knows what the models behind {int(unknown.sum())} of {int(asked.sum())} predictions learned from, first "
            f"in row {row} ({_described(out_of_fold.rows, row)}); make them with out_of_fold_predictions, or give known_until."
        )
    late = asked & ~(out_of_fold.known_until < out_of_fold.decision_time)
    if late.any():
        row = int(np.argmax(late))
        raise LeakageError(
            f"the models behind row {row} ({_described(out_of_fold.rows, row)}) learned from labels known until "
            f"{out_of_fold.known_until[row]}, not before the decision; {int(late.sum())} of {int(asked.sum())} predictions are "
            "such. A walk-forward splitter makes none."
        )


def assert_out_of_fold(
    out_of_fold: OutOfFold,
    rows: TrainingSet | None = None,
    members: Mapping[str, Any] | None = None,
    *,
    alpha: float = 0.01,
    splitter: Any = None,
    random_state: int | None = None,
) -> ForesightTest | None:
    """Refuse predictions whose models knew what they could not have known.

    Where ``known_until`` says what the models had learned, that decides: it must lie strictly before the decision of each
    row. This finds shuffled folds, k-folds that learn from the future, and labels that reach across, with certainty.

    Where it does not say so (predictions of unknown origin), the members are needed: :func:`foresight_test` then asks whether
    the predictions are better than those of honest refits. That is evidence, with an error rate, not proof.

    Parameters
    ----------
    out_of_fold : the predictions. rows : the rows they belong to; must be given where members are refitted.
    members : name -> unfitted estimator. alpha : error rate of the test, over all members.
    splitter, random_state : of the refits.

    Returns
    -------
    None where the times prove it, else the test.

    Raises
    ------
    LeakageError : the first offending row with its times, or the members that know too much with their p-values.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.model_selection import KFold
    >>> from huracan.validation import PurgedWalkForward
    >>> rng = np.random.default_rng(0)
    >>> rows = TrainingSet.from_arrays(rng.standard_normal((100, 3)), rng.standard_normal(100), label_horizon=4)
    >>> assert_out_of_fold(out_of_fold_predictions({"ridge": Ridge()}, rows, PurgedWalkForward(4)), rows)
    >>> assert_out_of_fold(out_of_fold_predictions({"ridge": Ridge()}, rows, KFold(4, shuffle=True, random_state=0)), rows)
    Traceback (most recent call last):
    huracan.errors.LeakageError: the models behind row 0 (asset, decided 2000-01-02..., label known 2000-01-06...) learned ...
    """
    if rows is not None:
        _require_same_rows(out_of_fold, rows)
    asked = out_of_fold.answered
    if not asked.any():
        raise NotEnoughData(f"none of {len(out_of_fold)} rows is answered by all members; there is nothing to check.")
    unknown = bool(np.isnat(out_of_fold.known_until[asked]).any())
    if not unknown or members is None:
        require_known_origin(out_of_fold)
        return None
    if rows is None:
        raise DataError("members were given without rows; the rows that they are refitted on were expected.")
    test = foresight_test(out_of_fold, members, rows, alpha=alpha, splitter=splitter, random_state=random_state)
    if test.foresighted:
        at = [test.names.index(name) for name in test.foresighted]
        found = ", ".join(f"'{test.names[i]}' (p {test.p_adjusted[i]:.2g})" for i in at)
        raise LeakageError(
            f"predictions of {found} are better than models can be that had not seen the neighbouring labels, over "
            f"{test.n_times} moments; predictions made with purged folds were expected."
        )
    return test


def foresight_test(
    out_of_fold: OutOfFold,
    members: Mapping[str, Any],
    rows: TrainingSet,
    *,
    alpha: float = 0.01,
    splitter: Any = None,
    random_state: int | None = None,
) -> ForesightTest:
    """Test whether predictions of unknown origin are better than honest ones can be.

    Each member is refitted on purged folds that may learn from the past *and* from the future, but not from the span of the
    labels around a fold. An honest prediction knows no more than such a refit; one whose model saw labels that overlap its own
    does. So the loss of the refits less that of the predictions has a mean of at most zero where all is honest, and is tested
    against it with the dependence-robust t test, losses of one moment averaged. It has as many cosines as there are refits: a
    difference between two fits lasts for a fold, and more cosines would take such steps for independent evidence.

    What it cannot see: a leak that helps less than the data's noise hides, or one that is in the features, which the refits
    have, too.

    Parameters
    ----------
    out_of_fold : the predictions, in the unit of the label, or probabilities. members : the same names -> unfitted estimators.
    rows : with features. alpha : error rate over all members (Holm).
    splitter : of the refits; by default ``PurgedKFold(10)`` with an embargo of one label's length.
    random_state : of the refits.

    Raises
    ------
    DataError : members have other names, or predictions and rows do not belong together.
    NotEnoughData : fewer than 60 moments can be compared.

    Examples
    --------
    >>> from sklearn.model_selection import KFold, cross_val_predict
    >>> from sklearn.neighbors import KNeighborsRegressor
    >>> rng = np.random.default_rng(0)
    >>> walk = rng.standard_normal(3_020).cumsum()  # labels of 20 bars overlap, features of 20 bars move slowly
    >>> X = np.stack([walk[20:3_000] - walk[:2_980], walk[20:3_000]], axis=1)
    >>> rows = TrainingSet.from_arrays(X, walk[40:] - walk[20:3_000], label_horizon=20)
    >>> model = KNeighborsRegressor(20)
    >>> shuffled = cross_val_predict(model, rows.X, rows.y, cv=KFold(5, shuffle=True, random_state=0))
    >>> test = foresight_test(OutOfFold.from_arrays(shuffled, rows, names=("near",)), {"near": model}, rows)
    >>> test.foresighted
    ('near',)
    """
    _require_same_rows(out_of_fold, rows)
    other = sorted(set(out_of_fold.names) ^ set(members))
    if other:
        raise DataError(f"member '{other[0]}' has predictions or an estimator, not both; the same names were expected.")
    honest = out_of_fold_predictions(
        {name: members[name] for name in out_of_fold.names}, rows, splitter or _both_sides(rows), random_state
    )
    both = out_of_fold.usable & honest.usable
    given = out_of_fold.take(both).losses()
    advantage = honest.take(both).losses() - given
    times, mean = average_by_time(advantage, rows.decision_time[both])
    if len(times) < _FEWEST_TIMES:
        raise NotEnoughData(f"{len(times)} moments can be compared; at least {_FEWEST_TIMES} are needed.")
    n_cosines = min(max(int(honest.fold.max()) + 1, _FEWEST_COSINES), len(times) - 1)
    p_value = np.array([_p_value(series, n_cosines) for series in mean.T])
    return ForesightTest(
        names=out_of_fold.names,
        advantage=tuple(map(float, mean.mean(axis=0))),
        p_value=tuple(map(float, p_value)),
        p_adjusted=tuple(map(float, adjust_p_values(p_value, "holm"))),
        n_times=len(times),
        alpha=alpha,
    )


def _p_value(series: NDArray[np.float64], n_cosines: int) -> float:
    """Of a mean above 0; 1 where refits and predictions have the same loss throughout."""
    if np.ptp(series) == 0 and series[0] <= 0:
        return 1.0
    return float(ewc_t_test(series, alternative="greater", n_cosines=n_cosines).p_value)


def _both_sides(rows: TrainingSet) -> PurgedKFold:
    known = ~np.isnat(rows.label_end)
    life = (rows.label_end - rows.decision_time)[known]
    return PurgedKFold(10, embargo=life.max() if len(life) else 0)


def _require_same_rows(out_of_fold: OutOfFold, rows: TrainingSet) -> None:
    if len(rows) != len(out_of_fold):
        raise DataError(f"there are predictions of {len(out_of_fold)} rows and {len(rows)} rows; the same rows were expected.")
    for name in ("decision_time", "label_end", "symbol"):
        one, other = getattr(out_of_fold.rows, name), getattr(rows, name)
        differ = (one != other) & ~((one != one) & (other != other))
        if differ.any():
            row = int(np.argmax(differ))
            raise DataError(
                f"{name} of row {row} is {one[row]} for the predictions and {other[row]} in rows; equal was expected."
            )


def _described(rows: TrainingSet, row: int) -> str:
    return f"{rows.symbols[rows.symbol_code[row]]}, decided {rows.decision_time[row]}, label known {rows.label_end[row]}"
