"""Rows binned once for all fits of a study: boosters spend more time on binning than on small, slow trees.

LightGBM's rows are binned at edges that the earliest training rows of the study give, so no fold's bins know of what it is
judged on; a fit takes its rows as a subset. XGBoost's are binned for each fold from its own training rows and kept.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BinnedRows", "FoldRows"]


class BinnedRows:
    """The rows of a study.

    Parameters
    ----------
    X : float32 (n, d), finite. first : row numbers that every fold trains on; their values make LightGBM's bins.

    Attributes
    ----------
    seconds : learner -> time that its binning took so far.
    """

    def __init__(self, X: NDArray[np.float32], first: NDArray[np.integer]) -> None:
        self.X, self.first = X, first
        self._lightgbm: dict[int, Any] = {}
        self._xgboost: dict[tuple[Any, int], Any] = {}
        self.seconds: dict[str, float] = {}

    def of_fold(self, name: Any, rows: NDArray[np.integer]) -> FoldRows:
        """The training rows of one fold, known by a name; the same name always means the same rows."""
        return FoldRows(self, name, rows)

    def lightgbm(self, max_bin: int, n_jobs: int) -> Any:
        """All rows as one constructed ``lightgbm.Dataset``."""
        import lightgbm

        if max_bin not in self._lightgbm:
            began = time.perf_counter()
            settings = {
                "max_bin": max_bin,
                "feature_pre_filter": False,
                "force_col_wise": True,
                "num_threads": n_jobs,
                "verbosity": -1,
            }
            edges = lightgbm.Dataset(self.X[self.first], label=np.zeros(len(self.first)), params=settings).construct()
            everything = edges.create_valid(self.X, label=np.zeros(len(self.X)), params=settings)
            self._lightgbm[max_bin] = everything.construct()
            self._count("lightgbm", began)
        return self._lightgbm[max_bin]

    def xgboost(self, name: Any, rows: NDArray[np.integer], max_bin: int, n_jobs: int) -> Any:
        """The rows of one fold as ``xgboost.QuantileDMatrix``; labels and weights are those of the last fit."""
        import xgboost

        if (name, max_bin) not in self._xgboost:
            began = time.perf_counter()
            self._xgboost[name, max_bin] = xgboost.QuantileDMatrix(self.X[rows], max_bin=max_bin, nthread=n_jobs)
            self._count("xgboost", began)
        return self._xgboost[name, max_bin]

    def _count(self, learner: str, began: float) -> None:
        self.seconds[learner] = self.seconds.get(learner, 0.0) + time.perf_counter() - began


class FoldRows:
    """The training rows of one fold, as boosters take them."""

    def __init__(self, study: BinnedRows, name: Any, rows: NDArray[np.integer]) -> None:
        self._study, self._name, self._rows = study, name, np.sort(rows)

    def lightgbm(
        self, settings: dict[str, Any], y: NDArray[Any], weight: NDArray[np.float64] | None, *, max_bin: int, n_jobs: int
    ) -> Any:
        """A subset of the study's ``lightgbm.Dataset`` with labels and weights."""
        part = self._study.lightgbm(max_bin, n_jobs).subset(self._rows, params=settings).construct()
        part.set_label(y)
        part.set_weight(weight)
        return part

    def xgboost(self, y: NDArray[Any], weight: NDArray[np.float64] | None, *, max_bin: int, n_jobs: int) -> Any:
        """The fold's matrix with labels and weights."""
        rows = self._study.xgboost(self._name, self._rows, max_bin, n_jobs)
        rows.set_info(label=y, weight=np.ones(len(y)) if weight is None else weight)
        return rows
