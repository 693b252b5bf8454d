"""Rows turned so that nothing in them is correlated and everything varies as much."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["principal_axes", "whitening_matrix"]


def whitening_matrix(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """W with ``W.T @ W`` the inverse of the shrunk covariance of rows z (n, d): (d, d).

    References
    ----------
    Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices".

    Examples
    --------
    >>> z = np.random.default_rng(0).standard_normal((5_000, 2)) @ np.array([[1.0, 0.9], [0.0, 0.4]])
    >>> bool(np.allclose(np.cov(z @ whitening_matrix(z).T, rowvar=False), np.eye(2), atol=0.01))
    True
    """
    values, vectors = principal_axes(z)
    inverse: NDArray[np.float64] = (vectors / np.sqrt(values)).T
    return inverse


def principal_axes(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances, ascending, none below a millionth of the largest, and axes (columns) of the shrunk covariance of rows z."""
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(z)
    values, vectors = np.linalg.eigh(covariance)
    floor = max(float(values.max()), 1e-12) * 1e-6
    return np.maximum(values, floor), vectors
