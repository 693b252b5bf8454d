"""Detectors for leaks across a split: labels that reach over, and fits that look at the test rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.dataset import TrainingSet
from huracan.errors import DataError, LeakageError, NotEnoughData
from huracan.validation.row_times import Embargo, RowTimes

__all__ = ["assert_fit_ignores_test", "assert_purged"]


def assert_purged(training_set: TrainingSet, train: ArrayLike, test: ArrayLike, *, embargo: Embargo = 0) -> None:
    """Prove that no training label overlaps a test label in time.

    A label lives from its decision to its ``label_end``, both included. A training row offends if its life meets that
    of a test row, or if it is decided after a test label ended, but not by more than the embargo.

    Parameters
    ----------
    training_set : with the times. train, test : row numbers.
    embargo : after a test label: bars (int), share of all times (float), or a timedelta.

    Raises
    ------
    LeakageError : with the first offending training row, its symbol and times, and the test row it meets.

    Examples
    --------
    >>> rows = TrainingSet.from_arrays(np.zeros((10, 1)), np.arange(10), label_horizon=3)
    >>> assert_purged(rows, train=[0, 1], test=[5, 6])
    >>> assert_purged(rows, train=[0, 1, 2], test=[5, 6])  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    huracan.errors.LeakageError: training row 2 ...
    """
    times = RowTimes.of(training_set)
    learned, judged = _row_numbers(train, len(times), "train"), _row_numbers(test, len(times), "test")
    tested = np.zeros(len(times), dtype=bool)
    tested[judged] = True
    shared = learned[tested[learned]]
    if len(shared):
        raise LeakageError(f"row {shared[0]} is in both the training and the test rows ({len(shared)} such rows).")
    judged = judged[np.argsort(times.decision[judged], kind="stable")]
    start, end = times.decision[judged], times.label_end[judged]
    latest = np.maximum.accumulate(end)
    known = np.searchsorted(start, times.label_end[learned], side="right") - 1  # test rows decided while the label lives
    offends = (known >= 0) & (latest[known] + times.embargo_length(embargo) >= times.decision[learned])
    if not offends.any():
        return
    row = int(learned[np.argmax(offends)])
    reach = end[: known[np.argmax(offends)] + 1] + times.embargo_length(embargo)
    met = int(judged[np.flatnonzero(reach >= times.decision[row])[0]])
    raise LeakageError(
        f"training row {row} ({_describe(training_set, row)}) overlaps test row {met} ({_describe(training_set, met)}); "
        f"{int(offends.sum())} of {len(learned)} training rows do."
    )


def assert_fit_ignores_test(
    fit: Callable[[TrainingSet, NDArray[np.intp], NDArray[np.intp]], Any],
    training_set: TrainingSet,
    train: ArrayLike,
    test: ArrayLike,
    *,
    random_state: int = 0,
) -> None:
    """Prove that what is learned on a fold does not depend on rows outside its training rows.

    The features, then the labels, then both, of every row outside ``train`` are replaced by noise of another scale;
    what is learned must stay the same, bit for bit. Catches scalers, feature selection, target encoding, calibration
    and early stopping that saw the full sample.

    Parameters
    ----------
    fit : called as ``fit(rows, train, test)``; returns what was learned: numbers, names, arrays, frames, or mappings and
        sequences of them (means of a scaler, selected columns, coefficients, or predictions of the *training* rows).
        It must be seeded.
    training_set : all rows. train, test : row numbers of a fold.
    random_state : seed of the noise.

    Raises
    ------
    LeakageError : says which part of the test rows it looked at, and where the result changed.
    DataError : two fits on the same rows differ, or the result is of a kind that cannot be compared.

    Examples
    --------
    >>> rows = TrainingSet.from_arrays(np.arange(20.0).reshape(10, 2), np.arange(10))
    >>> assert_fit_ignores_test(lambda r, train, test: r.X[train].mean(0), rows, range(6), range(7, 10))
    >>> assert_fit_ignores_test(lambda r, train, test: r.X.mean(0), rows, range(6), range(7, 10))
    Traceback (most recent call last):
    huracan.errors.LeakageError: what is learned depends on the features of rows outside the training rows: value 0 is ...
    """
    learned_on, judged_on = _row_numbers(train, len(training_set), "train"), _row_numbers(test, len(training_set), "test")
    outside = np.setdiff1d(np.arange(len(training_set)), learned_on)
    first = fit(training_set, learned_on, judged_on)
    again = _first_difference(first, fit(training_set, learned_on, judged_on), "")
    if again:
        raise DataError(f"two fits on the same rows differ, {again}; seed the fit so that it can be checked.")
    rng = np.random.default_rng(random_state)
    X, y = training_set.X.copy(), training_set.y.copy()
    spread = np.maximum(X.std(axis=0, dtype=np.float64), 1.0)
    X[outside] = (X[outside] + spread * rng.normal(3.0, 5.0, (len(outside), X.shape[1]))).astype(np.float32)
    y[outside] = -y[outside] + max(float(y.std()), 1.0) * rng.normal(1.0, 5.0, len(outside))
    for what, altered in (
        ("features", replace(training_set, X=X)),
        ("labels", replace(training_set, y=y)),
        ("features and labels together", replace(training_set, X=X, y=y)),
    ):
        changed = _first_difference(first, fit(altered, learned_on, judged_on), "")
        if changed:
            raise LeakageError(f"what is learned depends on the {what} of rows outside the training rows: {changed}.")


def _row_numbers(rows: ArrayLike, n: int, name: str) -> NDArray[np.intp]:
    at = np.asarray(rows)
    if at.ndim != 1 or not (at.dtype.kind in "iu" or not len(at)):
        raise DataError(f"{name} is {at.dtype} of shape {at.shape}; a list of row numbers was expected.")
    if not len(at):
        raise NotEnoughData(f"{name} holds 0 rows; at least 1 is needed.")
    bad = (at < 0) | (at >= n)
    if bad.any():
        raise DataError(f"{name} names row {at[np.argmax(bad)]}; rows are 0 to {n - 1}.")
    return at.astype(np.intp)


def _describe(rows: TrainingSet, row: int) -> str:
    return f"{rows.symbols[rows.symbol_code[row]]}, decided {rows.decision_time[row]}, label known {rows.label_end[row]}"


def _first_difference(a: Any, b: Any, place: str) -> str | None:
    """Where two results differ, in words; None where they are the same."""
    where = place or "the result"
    if type(a) is not type(b):
        return f"{where} is a {type(a).__name__}, then a {type(b).__name__}"
    if isinstance(a, Mapping):
        if list(a) != list(b):
            return f"{where} holds {list(a)}, then {list(b)}"
        parts = ((a[key], b[key], f"{place}[{key!r}]") for key in a)
        return next((found for found in (_first_difference(*part) for part in parts) if found), None)
    if isinstance(a, set | frozenset):
        return None if a == b else f"{where} is {sorted(map(str, a))}, then {sorted(map(str, b))}"
    if hasattr(a, "to_numpy"):
        if list(getattr(a, "columns", ())) != list(getattr(b, "columns", ())):
            return f"the columns of {where} are {list(a.columns)}, then {list(b.columns)}"
        a, b = a.to_numpy(), b.to_numpy()
    if isinstance(a, np.ndarray):
        return _first_difference_of_arrays(a, b, place)
    if isinstance(a, Sequence) and not isinstance(a, str | bytes):
        if len(a) != len(b):
            return f"{where} has {len(a)} entries, then {len(b)}"
        steps = ((x, y, f"{place}[{i}]") for i, (x, y) in enumerate(zip(a, b)))
        return next((found for found in (_first_difference(*step) for step in steps) if found), None)
    if a is None or isinstance(a, str | bytes | bool | int | float | np.generic):
        same = a == b or (a != a and b != b)
        return None if same else f"{where} is {a!r}, then {b!r}"
    raise DataError(f"{where} is a {type(a).__name__}, which cannot be compared; return numbers, names or arrays.")


def _first_difference_of_arrays(a: NDArray[Any], b: NDArray[Any], place: str) -> str | None:
    if a.shape != b.shape:
        return f"{place or 'the result'} has shape {a.shape}, then {b.shape}"
    same = (a == b) | ((a != a) & (b != b))
    if np.all(same):
        return None
    at = tuple(map(int, np.argwhere(~np.atleast_1d(same))[0]))
    first, second = np.atleast_1d(a)[at], np.atleast_1d(b)[at]
    return f"value {at[0] if len(at) == 1 else at}{' of ' + place if place else ''} is {first}, then {second}"
