"""What is kept of a reference: small enough to be stored with a model version, enough to test any later window."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.errors import ArtifactError
from huracan.mlops.categories import CategoryReference
from huracan.mlops.column_tests import FEWEST_REFERENCE, LEVELS, NumberReference
from huracan.mlops.drift_report import ColumnKind
from huracan.mlops.honest_tails import FEWEST_COSINES
from huracan.mlops.joint_drift import JointReference
from huracan.mlops.missing_share import MissingShare
from huracan.mlops.symbol_shares import SymbolShares
from huracan.mlops.time_steps import TimeSteps
from huracan.mlops.usual_range import UsualRange
from huracan.statistics.quantile_indicators import QuantileIndicators

__all__ = ["REFERENCE_FILE", "Reference", "ReferenceColumn"]

REFERENCE_FILE = "drift.json"
"""Its name among the files of a model."""

ReferenceColumn = NumberReference | CategoryReference

_FORMAT = 2
_PLAIN = (
    *("recipe_hash", "n_rows", "n_moments", "span", "n_cosines", "n_thresholds", "psi_bins"),
    *("bar_ms", "symbols", "presence"),
)


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference prepared once: thresholds, shares and their long-run covariance, column by column and together.

    Attributes
    ----------
    columns : in the order of the table. joint : of all numeric columns, or the sentence why there is none.
    recipe_hash : of the recipe the columns were made by, where known. n_rows, n_moments : of the reference.
    span : its first and last time, where it has times. n_cosines : asked for; 0 where rows were taken as independent.
    n_thresholds, psi_bins : as asked. bar_ms : length of the bars it is of, where it was made of candles.
    symbols : whose rows it is of, sorted, where that was said. presence : share of the moments at which each has a row.
    by_symbol : of each column, then of each joint test, what each symbol has; empty where there are no two symbols, or more
        than a hundred. steps : how far apart its rows are, where they have times and come evenly.

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
    bar_ms: int | None = None
    symbols: tuple[str, ...] = ()
    presence: tuple[float, ...] = ()
    by_symbol: tuple[SymbolShares, ...] = ()
    steps: TimeSteps | None = None

    def kinds(self) -> dict[str, ColumnKind]:
        """Whether each column holds numbers or categories."""
        return {name: "number" if isinstance(column, NumberReference) else "category" for name, column in self.columns.items()}

    def of_symbols(self, names: Sequence[str]) -> Reference:
        """The reference of some of its symbols alone, each counting the same; needs ``by_symbol``."""
        kept = [i for i, symbol in enumerate(self.symbols) if symbol in names]
        n = len(self.columns)
        columns = {
            name: shares.restricted(column, kept)
            for (name, column), shares in zip(self.columns.items(), self.by_symbol[:n], strict=True)
        }
        joint = self.joint
        if isinstance(joint, JointReference):
            joint = joint.restricted(self.by_symbol[n:], kept)
        symbols, presence = tuple(self.symbols[i] for i in kept), tuple(self.presence[i] for i in kept)
        return replace(self, columns=columns, joint=joint, symbols=symbols, presence=presence, by_symbol=())

    def to_bytes(self) -> bytes:
        """As JSON, arrays as base64 of little-endian numbers: what is read back tests to the same bits."""
        told: dict[str, Any] = {"format": _FORMAT} | {name: getattr(self, name) for name in _PLAIN}
        told["steps"] = None if self.steps is None else self.steps.told()
        told["by_symbol"] = [[_packed(part.shares), _packed(part.missing)] for part in self.by_symbol]
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
                raise ValueError(f"it is of format {told['format']}, and {_FORMAT} is read; make it anew from its rows")
            columns = [_column_read(column) for column in told["columns"]]
            _require_one_dependence(columns, int(told["n_cosines"]))
            joint = told["joint"]
            if joint is not None and not isinstance(joint, dict | str):
                raise ValueError(f"the joint reference is a {type(joint).__name__}")
            if int(told["n_moments"]) < FEWEST_REFERENCE or int(told["n_rows"]) < int(told["n_moments"]):
                raise ValueError(
                    f"{told['n_moments']} moments of {told['n_rows']} rows are none that a reference is made of, which are "
                    f"{FEWEST_REFERENCE} at least"
                )
            return cls(
                columns={column.name: column for column in columns},
                joint=_joint_read(joint, int(told["n_cosines"])) if isinstance(joint, dict) else joint,
                recipe_hash=told["recipe_hash"],
                n_rows=int(told["n_rows"]),
                n_moments=int(told["n_moments"]),
                span=None if told["span"] is None else (str(told["span"][0]), str(told["span"][1])),
                n_cosines=int(told["n_cosines"]),
                n_thresholds=int(told["n_thresholds"]),
                psi_bins=int(told["psi_bins"]),
                bar_ms=None if told.get("bar_ms") is None else int(told["bar_ms"]),
                steps=TimeSteps.read(told.get("steps")),
                **_symbols_read(told, len(columns) + len(joint["tests"] if isinstance(joint, dict) else ())),
            )
        except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise ArtifactError(f"{REFERENCE_FILE} is no reference of drift checks: {error}.") from error


def _symbols_read(told: dict[str, Any], n_parts: int) -> dict[str, Any]:
    symbols, presence = tuple(map(str, told["symbols"])), tuple(map(float, told["presence"]))
    parts = [SymbolShares(_unpacked(shares), _unpacked(missing)) for shares, missing in told["by_symbol"]]
    whole = [len(part.missing) == len(symbols) and len(part.shares) % len(symbols) == 0 for part in parts]
    if len(presence) != len(symbols) or len(parts) not in (0, n_parts) or not all(whole):
        raise ValueError(f"{len(symbols)} symbols have {len(presence)} shares of moments and {len(parts)} of {n_parts} columns")
    by_symbol = tuple(replace(part, shares=part.shares.reshape(len(symbols), -1)) for part in parts)
    return {"symbols": symbols, "presence": presence, "by_symbol": by_symbol}


def _column_told(column: ReferenceColumn) -> dict[str, Any]:
    if isinstance(column, CategoryReference):
        return {
            "kind": "category",
            "name": column.name,
            "n_moments": column.n_moments,
            "known": list(column.known),
            "bins": column.bins.tolist(),
            "shares": _packed(column.shares),
            "projections": _packed(column.projections, "<f4"),
            "unseen": column.unseen,
        }
    told: dict[str, Any] = {"kind": "number", "name": column.name, "n_moments": column.n_moments}
    gone = column.missing
    told |= {"missing": [gone.share, gone.n_moments, _packed(gone.projections, "<f4")], "quantiles": _packed(column.quantiles)}
    told |= {"constant": None if column.constant is None else _packed(np.array([column.constant]))}
    told["deciles"] = column.deciles.tolist()
    if column.indicators is not None:
        found = column.indicators
        told["indicators"] = {
            "thresholds": _packed(found.thresholds),
            "shares": _packed(found.shares),
            "projections": _packed(found.projections, "<f4"),
            "n_moments": found.n_moments,
        }
    if column.usual is not None:
        usual = column.usual
        told["usual"] = _packed(np.array([usual.median, usual.reach, usual.limit, float(usual.longest_still)]))
    return told


def _column_read(told: dict[str, Any]) -> ReferenceColumn:
    name, n_moments = str(told["name"]), int(told["n_moments"])
    if told["kind"] == "category":
        return _categories_read(name, n_moments, told)
    share, n_all, projections = told["missing"]
    missing = MissingShare(float(share), int(n_all), _unpacked(projections, "<f4"))
    constant = None if told["constant"] is None else float(_unpacked(told["constant"])[0])
    quantiles = _unpacked(told["quantiles"])
    indicators = _indicators_read(name, told["indicators"]) if "indicators" in told else None
    deciles = np.array(told["deciles"], np.intp)
    last = 0 if indicators is None else len(indicators.shares)
    if deciles.ndim != 1 or np.any((deciles < 0) | (deciles >= last)):
        raise ValueError(f"column '{name}' has deciles beyond its {last} thresholds")
    if len(quantiles) != (0 if indicators is None and constant is None else LEVELS):
        raise ValueError(f"column '{name}' has {len(quantiles)} quantiles, {LEVELS} were expected")
    if not 0.0 <= missing.share <= 1.0 or missing.n_moments < 1 or not np.isfinite(missing.projections).all():
        raise ValueError(f"column '{name}' misses a share of {missing.share:g} of {missing.n_moments} values")
    usual = None
    if "usual" in told:
        median, reach, limit, still = _unpacked(told["usual"]).tolist()
        if not (limit >= reach >= 0.0 and still >= 1.0):
            raise ValueError(f"column '{name}' reaches {reach:g} of {limit:g}, and stands still for {still:g} rows")
        usual = UsualRange(median, reach, limit, int(still))
    return NumberReference(name, n_moments, indicators, deciles, quantiles, constant, missing, usual)


def _categories_read(name: str, n_moments: int, told: dict[str, Any]) -> CategoryReference:
    shares = _unpacked(told["shares"])
    projections = _unpacked(told["projections"], "<f4").reshape(-1, len(shares))
    bins = np.array(told["bins"], np.intp)
    known = tuple(str(value) for value in told["known"])
    if len(set(known)) != len(known) or bins.shape != (len(known),) or np.any((bins < 0) | (bins >= len(shares))):
        raise ValueError(f"column '{name}' has {len(known)} categories in {len(shares)} bins")
    if not np.isfinite(projections).all() or not np.all((shares >= 0.0) & (shares <= 1.0)):
        raise ValueError(f"column '{name}' has shares or projections that are none")
    _require_cosines(name, len(projections))
    unseen = int(told.get("unseen", 0))
    if not 0 <= unseen <= n_moments:
        raise ValueError(f"column '{name}' has {unseen} spells of values that were new, in {n_moments} moments")
    return CategoryReference(name, n_moments, known, bins, shares, projections, unseen)


def _indicators_read(name: str, told: dict[str, Any]) -> QuantileIndicators:
    thresholds, shares, projections = (
        _unpacked(told["thresholds"]),
        _unpacked(told["shares"]),
        _unpacked(told["projections"], "<f4"),
    )
    size = len(shares)
    if len(thresholds) != size or not size or len(projections) % size:
        raise ValueError(f"column '{name}' has {len(thresholds)} thresholds, {size} shares and {len(projections)} projections")
    if not np.all((shares > 0) & (shares < 1)) or not np.isfinite(projections).all():
        raise ValueError(f"column '{name}' has shares or projections that are none")
    _require_cosines(name, len(projections) // size)
    return QuantileIndicators(thresholds, shares, projections.reshape(-1, size), int(told["n_moments"]))


def _require_cosines(name: str, cosines: int) -> None:
    if cosines != 0 and cosines < FEWEST_COSINES:
        raise ValueError(f"column '{name}' rests on {cosines} cosines, none or {FEWEST_COSINES} at least were expected")


def _require_one_dependence(columns: Sequence[ReferenceColumn], n_cosines: int) -> None:
    """All columns rest on cosines, or none."""
    for column in columns:
        own = column if isinstance(column, CategoryReference) else column.indicators
        if own is not None and (own.n_cosines > 0) != (n_cosines > 0):
            raise ValueError(f"column '{column.name}' rests on {own.n_cosines} cosines, and the reference on {n_cosines}")


def _joint_told(joint: JointReference) -> dict[str, Any]:
    arrays = {name: _packed(getattr(joint, name)) for name in ("median", "unit", "turn")}
    tests = [_column_told(test) for test in joint.tests]
    return {"columns": list(joint.columns), **arrays, "axes": list(joint.axes), "tests": tests}


def _joint_read(told: dict[str, Any], n_cosines: int) -> JointReference:
    names = tuple(str(name) for name in told["columns"])
    d = len(names)
    median, unit = _unpacked(told["median"]), _unpacked(told["unit"])
    turn = _unpacked(told["turn"]).reshape(d, d)
    axes = tuple(int(axis) for axis in told["axes"])
    tests = [_column_read(test) for test in told["tests"]]
    _require_one_dependence(tests, n_cosines)
    if median.shape != (d,) or unit.shape != (d,) or len(tests) != len(axes) + 1 or any(not 0 <= axis < d for axis in axes):
        raise ValueError(f"the joint reference of {d} columns has {len(axes)} axes and {len(tests)} tests")
    numbers = tuple(test for test in tests if isinstance(test, NumberReference))
    return JointReference(names, median, unit, turn, axes, numbers)


def _packed(array: NDArray[np.float64], kind: str = "<f8") -> str:
    return base64.b64encode(np.ascontiguousarray(array, kind).tobytes()).decode()


def _unpacked(text: str, kind: str = "<f8") -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(text, validate=True), kind).astype(np.float64)
