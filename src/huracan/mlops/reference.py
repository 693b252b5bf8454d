"""What is kept of a reference: small enough to be stored with a model version, enough to test any later window."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.errors import ArtifactError
from huracan.mlops.categories import CategoryReference
from huracan.mlops.column_tests import NumberReference
from huracan.mlops.drift_report import ColumnKind
from huracan.mlops.joint_drift import JointReference
from huracan.statistics.quantile_indicators import QuantileIndicators

__all__ = ["REFERENCE_FILE", "Reference", "ReferenceColumn"]

REFERENCE_FILE = "drift.json"
"""Its name among the files of a model."""

ReferenceColumn = NumberReference | CategoryReference

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference prepared once: thresholds, shares and their long-run covariance, column by column and together.

    Attributes
    ----------
    columns : in the order of the table. joint : of all numeric columns, or the sentence why there is none.
    recipe_hash : of the recipe the columns were made by, where known. n_rows, n_moments : of the reference.
    span : its first and last time, where it has times. n_cosines : asked for; 0 where rows were taken as independent.
    n_thresholds, psi_bins : as asked.

    Examples
    --------
    >>> from huracan.mlops import DriftDetector
    >>> made = DriftDetector().fit(np.random.default_rng(0).standard_normal((1_000, 2))).reference_
    >>> back = Reference.from_bytes(made.to_bytes())
    >>> list(back.columns), back.n_moments, back.to_bytes() == made.to_bytes()
    (['x0', 'x1'], 1000, True)
    """

    columns: Mapping[str, ReferenceColumn]
    joint: JointReference | str | None
    recipe_hash: str | None
    n_rows: int
    n_moments: int
    span: tuple[str, str] | None
    n_cosines: int
    n_thresholds: int
    psi_bins: int

    def kinds(self) -> dict[str, ColumnKind]:
        """Whether each column holds numbers or categories."""
        return {name: "number" if isinstance(column, NumberReference) else "category" for name, column in self.columns.items()}

    def to_bytes(self) -> bytes:
        """As JSON, arrays as base64 of little-endian float64: what is read back tests to the same bits."""
        told: dict[str, Any] = {"format": _FORMAT}
        for name in ("recipe_hash", "n_rows", "n_moments", "span", "n_cosines", "n_thresholds", "psi_bins"):
            told[name] = getattr(self, name)
        told["columns"] = [_column_told(column) for column in self.columns.values()]
        told["joint"] = _joint_told(self.joint) if isinstance(self.joint, JointReference) else self.joint
        return json.dumps(told, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Reference:
        """The inverse of :meth:`to_bytes`, but for the single values of the reference, which are not stored.

        Raises
        ------
        ArtifactError : it is no reference of this format.
        """
        try:
            told = json.loads(content)
            if told["format"] != _FORMAT:
                raise ValueError(f"format {told['format']} is not {_FORMAT}")
            columns = [_column_read(column) for column in told["columns"]]
            joint = told["joint"]
            return cls(
                columns={column.name: column for column in columns},
                joint=_joint_read(joint) if isinstance(joint, dict) else joint,
                recipe_hash=told["recipe_hash"],
                n_rows=int(told["n_rows"]),
                n_moments=int(told["n_moments"]),
                span=None if told["span"] is None else (str(told["span"][0]), str(told["span"][1])),
                n_cosines=int(told["n_cosines"]),
                n_thresholds=int(told["n_thresholds"]),
                psi_bins=int(told["psi_bins"]),
            )
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{REFERENCE_FILE} is no reference of drift checks: {error}.") from error


def _column_told(column: ReferenceColumn) -> dict[str, Any]:
    if isinstance(column, CategoryReference):
        return {
            "kind": "category",
            "name": column.name,
            "n_moments": column.n_moments,
            "n_cosines": column.n_cosines,
            "known": list(column.known),
            "bins": column.bins.tolist(),
            "shares": _packed(column.shares),
            "covariance": _packed(column.covariance),
        }
    told: dict[str, Any] = {"kind": "number", "name": column.name, "n_moments": column.n_moments, "n_all": column.n_all}
    told |= {"missing": [column.missing_share, column.missing_variance], "quantiles": _packed(column.quantiles)}
    told |= {"constant": None if column.constant is None else _packed(np.array([column.constant]))}
    told["deciles"] = column.deciles.tolist()
    if column.indicators is not None:
        found = column.indicators
        upper = found.covariance[np.triu_indices(len(found.shares))]
        told["indicators"] = {
            "thresholds": _packed(found.thresholds),
            "shares": _packed(found.shares),
            "covariance": _packed(upper),
            "n_cosines": found.n_cosines,
            "n_moments": found.n_moments,
        }
    return told


def _column_read(told: dict[str, Any]) -> ReferenceColumn:
    name, n_moments = str(told["name"]), int(told["n_moments"])
    if told["kind"] == "category":
        shares = _unpacked(told["shares"])
        covariance = _unpacked(told["covariance"]).reshape(len(shares), len(shares))
        bins = np.array(told["bins"], np.intp)
        known = tuple(str(value) for value in told["known"])
        if len(bins) != len(known) or np.any((bins < 0) | (bins >= len(shares))):
            raise ValueError(f"column '{name}' has {len(known)} categories in {len(shares)} bins")
        return CategoryReference(name, n_moments, known, bins, shares, covariance, int(told["n_cosines"]))
    share, variance = map(float, told["missing"])
    constant = None if told["constant"] is None else float(_unpacked(told["constant"])[0])
    deciles = np.array(told["deciles"], np.intp)
    indicators = None
    if "indicators" in told:
        found = told["indicators"]
        thresholds, shares, upper = (_unpacked(found[part]) for part in ("thresholds", "shares", "covariance"))
        size = len(shares)
        if len(thresholds) != size or len(upper) != size * (size + 1) // 2 or not size or np.any(deciles >= size):
            raise ValueError(f"column '{name}' has {len(thresholds)} thresholds, {size} shares and {len(upper)} covariances")
        covariance = np.zeros((size, size))
        covariance[np.triu_indices(size)] = upper
        covariance += np.triu(covariance, 1).T
        indicators = QuantileIndicators(thresholds, shares, covariance, int(found["n_cosines"]), int(found["n_moments"]))
    quantiles = _unpacked(told["quantiles"])
    return NumberReference(name, n_moments, int(told["n_all"]), indicators, deciles, quantiles, constant, share, variance)


def _joint_told(joint: JointReference) -> dict[str, Any]:
    arrays = {name: _packed(getattr(joint, name)) for name in ("median", "unit", "turn")}
    tests = [_column_told(test) for test in joint.tests]
    return {"columns": list(joint.columns), **arrays, "axes": list(joint.axes), "tests": tests}


def _joint_read(told: dict[str, Any]) -> JointReference:
    names = tuple(str(name) for name in told["columns"])
    d = len(names)
    median, unit = _unpacked(told["median"]), _unpacked(told["unit"])
    turn = _unpacked(told["turn"]).reshape(d, d)
    axes = tuple(int(axis) for axis in told["axes"])
    tests = [_column_read(test) for test in told["tests"]]
    if median.shape != (d,) or unit.shape != (d,) or len(tests) != len(axes) + 1 or any(not 0 <= axis < d for axis in axes):
        raise ValueError(f"the joint reference of {d} columns has {len(axes)} axes and {len(tests)} tests")
    numbers = tuple(test for test in tests if isinstance(test, NumberReference))
    return JointReference(names, median, unit, turn, axes, numbers)


def _packed(array: NDArray[np.float64]) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f8").tobytes()).decode()


def _unpacked(text: str) -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(text, validate=True), "<f8").astype(np.float64)
