"""Principal components of prepared columns: fitted in one pass of blocks, the same bits whatever rows stand beside a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from huracan.errors import FeatureError

__all__ = ["ComponentReduction"]

_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class ComponentReduction:
    """Principal component analysis by the covariance of the fit window.

    scikit-learn's ``PCA`` gives the same numbers; it would copy the whole frame to float64, and its matrix product rounds
    a row by how many rows are beside it, so that one bar online would differ from the same bar in a batch.

    Attributes
    ----------
    center : mean of every column. weights : columns x components, orthonormal; the largest entry in size of each component
        is positive. explained : share of the variance of each component.
    """

    center: NDArray[np.float64]
    weights: NDArray[np.float64]
    explained: NDArray[np.float64]

    @classmethod
    def learn(cls, matrix: NDArray[np.floating], components: int | float) -> Self:
        """Fit.

        Parameters
        ----------
        matrix : rows x columns without missing values. components : how many, or the least share of variance to keep.

        Raises
        ------
        FeatureError : more components than rows or columns, or nothing varies.

        Examples
        --------
        >>> x = np.random.default_rng(0).normal(size=(100, 1))
        >>> reduction = ComponentReduction.learn(np.hstack([x, 2 * x]), components=1)
        >>> (reduction.weights**2).ravel().round(3).tolist(), reduction.explained.round(3).tolist()
        ([0.2, 0.8], [1.0])
        """
        rows, columns = matrix.shape
        if isinstance(components, int) and components > min(rows, columns):
            raise FeatureError(
                f"components is {components}; at most {min(rows, columns)} were expected of {columns} columns that vary "
                f"(n_features={columns}) and {rows} rows (n_samples={rows})."
            )
        center = np.zeros(columns)
        for start in range(0, rows, _BLOCK):
            center += matrix[start : start + _BLOCK].sum(axis=0, dtype=np.float64)
        center /= max(rows, 1)
        covariance = np.zeros((columns, columns))
        for start in range(0, rows, _BLOCK):
            block = matrix[start : start + _BLOCK] - center
            covariance += block.T @ block
        variances, vectors = np.linalg.eigh(covariance)
        variances, vectors = np.maximum(variances[::-1], 0.0), vectors[:, ::-1]
        total = float(variances.sum())
        if not total > 0.0:
            raise FeatureError(
                f"components is {components}, but nothing varies (n_samples={rows}); rows that differ were expected."
            )
        share = variances / total
        kept = components if isinstance(components, int) else int(np.searchsorted(np.cumsum(share), components)) + 1
        weights = vectors[:, : min(kept, columns)]
        largest = np.abs(weights).argmax(axis=0)
        weights = weights * np.where(weights[largest, np.arange(weights.shape[1])] < 0.0, -1.0, 1.0)
        return cls(center, weights, share[: weights.shape[1]])

    @property
    def names(self) -> tuple[str, ...]:
        """``component_0``, ``component_1``, ..., largest variance first."""
        return tuple(f"component_{i}" for i in range(self.weights.shape[1]))

    def apply(self, matrix: NDArray[np.floating]) -> NDArray[np.floating]:
        """Project rows; columns are summed in order, so that a row's bits do not depend on its neighbours."""
        rows, columns = matrix.shape
        result = np.empty((rows, self.weights.shape[1]), matrix.dtype, order="F")
        for start in range(0, rows, _BLOCK):
            block = matrix[start : start + _BLOCK]
            total = np.zeros((self.weights.shape[1], len(block)))
            for j in range(columns):
                total += self.weights[j][:, None] * (block[:, j] - self.center[j])
            result[start : start + _BLOCK] = total.T
        return result

    def to_dict(self) -> dict[str, Any]:
        """Plain lists for JSON, exact to the last bit."""
        return {"center": self.center.tolist(), "weights": self.weights.tolist(), "explained": self.explained.tolist()}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        FeatureError : shapes do not fit each other.
        """
        made = cls(*(np.asarray(document[name], dtype=np.float64) for name in ("center", "weights", "explained")))
        if made.weights.shape != (len(made.center), len(made.explained)):
            raise FeatureError(f"preprocessor state is damaged: component weights of shape {made.weights.shape}.")
        return made
