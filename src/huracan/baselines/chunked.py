"""Predictions in blocks of rows: flat memory, threads that cannot change a result, BLAS where libraries loop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["blocks_of_rows", "neighbor_average", "one_blas_thread", "rbf_decision", "standard_output"]

BLOCK = 32_768
"""Rows a block; fixed, so that results do not depend on the number of threads."""


def one_blas_thread() -> AbstractContextManager[Any]:
    """Hold BLAS at one thread: sums are then made in the same order whatever the machine or ``n_jobs``."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")


def blocks_of_rows(
    function: Callable[[NDArray[np.float32]], NDArray[Any]], X: NDArray[np.float32], n_jobs: int, *, block: int = BLOCK
) -> NDArray[np.float64]:
    """``function`` of consecutive blocks of rows, joined; blocks run in ``n_jobs`` threads.

    >>> blocks_of_rows(lambda rows: rows.sum(axis=1), np.ones((5, 2), np.float32), 2, block=2)
    array([2., 2., 2., 2., 2.])
    """
    pieces = [X[at : at + block] for at in range(0, len(X), block)]
    if n_jobs == 1 or len(pieces) == 1:
        parts = [function(piece) for piece in pieces]
    else:
        with ThreadPoolExecutor(max_workers=min(n_jobs if n_jobs > 0 else 16, len(pieces))) as pool:
            parts = list(pool.map(function, pieces))
    return np.concatenate(parts).astype(np.float64, copy=False)


def standard_output(estimator: Any, X: NDArray[np.float32], n_jobs: int) -> NDArray[np.float64]:
    """What a scikit-learn estimator says: probabilities, else margins for a classifier, else forecasts.

    Trees get float32, which is what they compare; all else sums in float64.
    """
    if hasattr(estimator, "predict_proba"):
        call = estimator.predict_proba
    elif hasattr(estimator, "classes_") and hasattr(estimator, "decision_function"):
        call = estimator.decision_function
    else:
        call = estimator.predict
    if getattr(estimator, "n_jobs", None) not in (None, 1):
        estimator.n_jobs = 1  # threads go over blocks of rows: trees summed in parallel would differ in the last bit
    if hasattr(estimator, "feature_importances_"):
        return blocks_of_rows(call, X, n_jobs)
    return blocks_of_rows(lambda rows: call(rows.astype(np.float64)), X, n_jobs)


def rbf_decision(machine: Any, X: NDArray[np.float32], n_jobs: int) -> NDArray[np.float64]:
    """Decision values of a fitted two-class ``SVC`` or an ``SVR`` with an RBF kernel, in float32 by matrix products.

    ``sum_s alpha_s exp(-gamma |x - s|^2) + b``, with ``|x - s|^2 = |x|^2 - 2 x.s + |s|^2``: the same numbers as
    libsvm's own loop to about 1e-5, many times faster. Three and more classes go through libsvm.
    """
    if len(getattr(machine, "classes_", ())) > 2:
        return blocks_of_rows(machine.decision_function, X, n_jobs)
    support = np.ascontiguousarray(machine.support_vectors_, dtype=np.float32)
    gamma = np.float32(machine.gamma)
    alpha = np.ravel(machine.dual_coef_).astype(np.float32)
    norms = np.einsum("ij,ij->i", support, support)
    doubled = np.ascontiguousarray(2.0 * support.T)
    offset = float(np.ravel(machine.intercept_)[0])

    def block(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        exponent = rows @ doubled
        exponent -= norms
        exponent -= np.einsum("ij,ij->i", rows, rows)[:, None]
        np.minimum(exponent, 0.0, out=exponent)
        exponent *= gamma
        return (np.exp(exponent, out=exponent) @ alpha).astype(np.float64) + offset

    return blocks_of_rows(block, X, n_jobs, block=2_048)


def neighbor_average(machine: Any, X: NDArray[np.float32], n_jobs: int) -> NDArray[np.float64]:
    """Mean target, or share of each class, of the k nearest rows of a fitted k-neighbours estimator (uniform weights).

    Brute force in float32: distances by matrix products, the k-th smallest by selection, the average by another
    product. The numbers of scikit-learn's own ``predict`` and ``predict_proba`` up to ties at the k-th distance (all
    of which count here), several times faster where k is in the hundreds.
    """
    train = np.ascontiguousarray(machine._fit_X, dtype=np.float32)
    classes = getattr(machine, "classes_", None)
    target = np.asarray(machine._y)
    shares = target.astype(np.float32)[:, None] if classes is None else np.eye(len(classes), dtype=np.float32)[target]
    norms = np.einsum("ij,ij->i", train, train)
    doubled = np.ascontiguousarray(-2.0 * train.T)
    last = machine.n_neighbors - 1

    def block(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        distance = rows @ doubled
        distance += norms  # |x|^2 is the same for all neighbours of x
        near = distance <= np.partition(distance, last, axis=1)[:, last : last + 1]
        return (near.astype(np.float32) @ shares).astype(np.float64) / near.sum(axis=1)[:, None]

    average = blocks_of_rows(block, X, n_jobs, block=max(64, 5_000_000 // len(train)))
    return average[:, 0] if classes is None else average
