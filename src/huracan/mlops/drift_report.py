"""What a drift check found: one row a column, all columns together, and the sentence a person reads first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import DataError, UnknownName, nearest_name

__all__ = ["ColumnDrift", "ColumnKind", "DistributionPair", "DriftReport", "JointDrift"]

ColumnKind = Literal["number", "category"]

_SCHEMA = {
    "feature": pl.String,
    "statistic": pl.Float64,
    "p_value": pl.Float64,
    "q_value": pl.Float64,
    "psi": pl.Float64,
    "psi_p_value": pl.Float64,
    "n_eff": pl.Float64,
    "drifted": pl.Boolean,
    "wasserstein": pl.Float64,
    "kind": pl.String,
    "note": pl.String,
    "testable": pl.Boolean,
}
_NAMED = 3


@dataclass(frozen=True)
class ColumnDrift:
    """One column of a window against its reference; None where something could not be computed, and ``note`` says why.

    Attributes
    ----------
    feature, kind : which column; "number" or "category".
    statistic : largest distance of the two distribution functions; of categories chi-square for independent rows.
    p_value, q_value : of the null that nothing changed; the latter corrected over all columns. Of a column that drifted
        without a test both are None.
    psi, psi_p_value, psi_critical : population stability index on reference deciles, its own p-value, and what it exceeds
        with probability alpha when nothing changed. They inform; ``q_value`` decides.
    wasserstein : average move in units of the reference's robust standard deviation, where it has one.
    n_eff : independent rows that the window's moments are worth, at the median.
    at : value at which the evidence is strongest. direction : "higher", "lower" or "", where the window lies.
    drifted : whether ``q_value`` is at most alpha, or the column changed in kind: gone, all missing, never seen values.
    testable, needed : whether so many moments can show drift of this column at all, and about how many can; one that cannot
        is left out of the correction.
    """

    feature: str
    kind: ColumnKind
    statistic: float | None = None
    p_value: float | None = None
    q_value: float | None = None
    psi: float | None = None
    psi_p_value: float | None = None
    psi_critical: float | None = None
    wasserstein: float | None = None
    n_eff: float | None = None
    at: float | None = None
    direction: str = ""
    drifted: bool = False
    note: str = ""
    testable: bool = True
    needed: int | None = None


@dataclass(frozen=True)
class JointDrift:
    """All numeric columns together.

    Attributes
    ----------
    p_value : of the smallest of all tests, times their number; None where the test was not run, and ``note`` says why.
    q_value : with the share of the level that it has beside the columns. drifted : whether it is at most alpha.
    where : what moved most: how much columns go together, or an axis, with the columns that weigh most on it.
    n_rows, left_out : rows of the window tested, and those with a missing value.
    """

    p_value: float | None
    drifted: bool
    where: str = ""
    n_rows: int = 0
    left_out: int = 0
    note: str = ""
    q_value: float | None = None


@dataclass(frozen=True, eq=False)
class DistributionPair:
    """Two distributions of one column, ready to be drawn.

    Attributes
    ----------
    values : (k,) ascending, where both distribution functions are known. reference, current : (k,) shares at or below.
    at : value of the strongest evidence.
    edges : (B - 1,) inner bounds of the bins, or names of the categories. reference_bins, current_bins : (B,) shares.
    """

    feature: str
    values: NDArray[np.float64]
    reference: NDArray[np.float64]
    current: NDArray[np.float64]
    at: float | None
    edges: tuple[float, ...] | tuple[str, ...]
    reference_bins: NDArray[np.float64]
    current_bins: NDArray[np.float64]


@dataclass(frozen=True)
class DriftReport:
    """Result of :meth:`huracan.mlops.DriftDetector.detect`.

    Attributes
    ----------
    columns : one a column of the reference. joint : all together; None where it was not asked for.
    missing, new : columns that the window lacks, and that the reference does not know. renamed : of the missing, those that
        look like one of the new: a hint, nothing was renamed.
    n_reference, n_current : moments compared. span : first and last time of the window, where it has times.
    alpha, correction, dependence : as asked. assumption : what the p-values rest on, in a sentence.
    min_share : share of the columns that must drift before the columns alone make a drift.
    notes : what a reader should know of the comparison as a whole.
    """

    columns: tuple[ColumnDrift, ...]
    joint: JointDrift | None
    missing: tuple[str, ...]
    new: tuple[str, ...]
    renamed: Mapping[str, str]
    n_reference: int
    n_current: int
    alpha: float
    correction: str
    dependence: str
    assumption: str
    span: tuple[str, str] | None = None
    min_share: float = 0.0
    notes: tuple[str, ...] = ()
    distributions: Mapping[str, DistributionPair] = field(default_factory=dict, repr=False, compare=False)

    @property
    def drifted(self) -> bool:
        """Whether enough columns drifted, or all together did, or a column is missing."""
        enough = bool(self.drifted_features) and self.share >= self.min_share
        return enough or bool(self.missing) or (self.joint is not None and self.joint.drifted)

    @property
    def share(self) -> float:
        """Share of the columns that drifted."""
        return len(self.drifted_features) / len(self.columns) if self.columns else 0.0

    @property
    def drifted_features(self) -> tuple[str, ...]:
        """Those that drifted, strongest evidence first."""
        drifted = [column for column in self.columns if column.drifted]
        return tuple(column.feature for column in sorted(drifted, key=lambda c: -1.0 if c.q_value is None else c.q_value))

    @property
    def sentence(self) -> str:
        """What was found, for a person."""
        found = self.drifted_features
        if found:
            shown = ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
            parts = [f"{len(found)} of {len(self.columns)} columns drifted ({shown})"]
        else:
            parts = [f"none of {len(self.columns)} columns drifted"]
        if unseen := sum(not column.testable and not column.drifted for column in self.columns):
            parts.append(f"{unseen} could not be shown to in so few moments")
        if self.missing:
            parts.append(f"{len(self.missing)} missing ({', '.join(self.missing[:_NAMED])})")
        if self.joint is not None and self.joint.p_value is not None:
            said = f"drifted ({self.joint.where})" if self.joint.drifted else "did not drift"
            parts.append(f"all columns together {said}")
        level = f"level {self.alpha:g} ({self.correction})"
        return f"{'; '.join(parts)}: {self.n_current:,} moments against {self.n_reference:,}, {level}."

    def __str__(self) -> str:
        return self.sentence

    def column(self, feature: str) -> ColumnDrift:
        """What was found of one column.

        Raises
        ------
        UnknownName : no column is named so.
        """
        for column in self.columns:
            if column.feature == feature:
                return column
        raise self._unknown(feature)

    def pairs(self, feature: str) -> DistributionPair:
        """Both distributions of one column, to be drawn.

        Raises
        ------
        UnknownName : none is kept: another name, a column that could not be tested, or a report that was read from JSON.
        """
        if feature not in self.distributions:
            if all(column.feature != feature for column in self.columns):
                raise self._unknown(feature)
            raise UnknownName(
                f"no distributions of column '{feature}' are kept in this report; one it could test was expected."
            )
        return self.distributions[feature]

    def to_frame(self) -> pl.DataFrame:
        """One row a column, in the order of the reference."""
        rows = [{name: getattr(column, name) for name in _SCHEMA} for column in self.columns]
        return pl.DataFrame(rows, schema=_SCHEMA)

    def to_json(self) -> str:
        """Everything but the distributions."""
        told = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "distributions"}
        told["columns"] = [_plain(asdict(column)) for column in self.columns]
        told["joint"] = None if self.joint is None else asdict(self.joint)
        told["renamed"] = dict(self.renamed)
        return json.dumps(told, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> DriftReport:
        """The inverse of :meth:`to_json`.

        Raises
        ------
        DataError : it is no such report.
        """
        try:
            told = json.loads(text)
            columns = tuple(ColumnDrift(**column) for column in told.pop("columns"))
            joint = told.pop("joint")
            span = told.pop("span")
            told |= {name: tuple(told[name]) for name in ("missing", "new", "notes")}
            return cls(
                columns=columns,
                joint=None if joint is None else JointDrift(**joint),
                span=None if span is None else (str(span[0]), str(span[1])),
                **told,
            )
        except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise DataError(f"this is no drift report: {error}.") from error

    def _unknown(self, feature: str) -> UnknownName:
        return nearest_name(feature, [column.feature for column in self.columns], kind="column")


def _plain(told: dict[str, Any]) -> dict[str, Any]:
    """Numbers that are no JSON, such as an infinite threshold, as None."""
    return {name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in told.items()}
