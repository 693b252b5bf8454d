"""An export is only what was checked: on real rows, in batch and one by one, and on rows that lie on the trees' thresholds."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from huracan.baselines.wrapper import TabularLearner
from huracan.dataset import REGIME_ORDER, TrainingSet
from huracan.ensembles.base import MemberEstimator
from huracan.errors import ArtifactError, DataError, DependencyMissing
from huracan.models.windowed_rows import WindowedRows
from huracan.registry.exports.emitting import graph_of, window_of
from huracan.registry.exports.graph import OPSET, ExportRefused, Graph

__all__ = ["TOLERANCE", "Export", "export_checked", "unit_of"]

TOLERANCE = 1e-5
"""Largest difference of a graph's answer from the model's own: in probability, in margin, or in deviations of the label."""

_ROWS, _ONE_BY_ONE, _PROBE = 512, 32, 8


@dataclass(frozen=True, eq=False)
class Export:
    """What serving needs to know of a model's graph.

    Attributes
    ----------
    onnx : the graph, or None where there is none that says the same.
    engine : "onnx"; "native", the library that fitted the model; or "constant", a rule computed directly.
    reason : why it is not "onnx", else None. difference : the largest that was seen, in the unit of ``TOLERANCE``, or None.
    n_checked : rows that were compared. opset : of ONNX, or None. versions : package -> version it was made with.
    probe, expected : a few real rows, float32 (m, d) or (m, window, d), and the model's own answers, float64 (m, outputs).
    """

    onnx: bytes | None
    engine: Literal["onnx", "native", "constant"]
    reason: str | None
    difference: float | None
    n_checked: int
    opset: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    probe: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    expected: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))

    def to_state(self) -> dict[str, Any]:
        """Plain JSON values of all but the graph itself.

        >>> export = Export(None, "native", "it has ties", None, 0)
        >>> Export.from_state(export.to_state()).reason
        'it has ties'
        """
        return {
            **{name: getattr(self, name) for name in ("engine", "reason", "difference", "n_checked", "opset")},
            "versions": dict(self.versions),
            "probe": _packed(self.probe),
            "expected": _packed(self.expected),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], onnx: bytes | None = None) -> Self:
        """What :meth:`to_state` gave, with the graph that was kept beside it.

        Raises
        ------
        ArtifactError : the state is damaged.
        """
        try:
            plain = {name: state[name] for name in ("engine", "reason", "difference", "n_checked", "opset", "versions")}
            probe, expected = _unpacked(state["probe"], np.float32), _unpacked(state["expected"], np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"what is stored of an export is damaged: {error!r}.") from error
        return cls(onnx=onnx, **plain, probe=probe, expected=expected)


def export_checked(model: Any, rows: TrainingSet | NDArray[np.float32], *, tolerance: float = TOLERANCE) -> Export:
    """Export a fitted model and compare the graph with it; never fails for what cannot be exported, and says why instead.

    Parameters
    ----------
    model : as of :func:`~huracan.registry.exports.emitting.export_model`.
    rows : real rows, as many as there are, of which up to 512 are compared: a ``TrainingSet``, a matrix (n, d) that is one
        series in time order, or windows (n, window, d).
    tolerance : see ``TOLERANCE``.

    Raises
    ------
    DataError : ``rows`` are of another shape than the model takes.

    Examples
    --------
    >>> from huracan.catalogue import build_model
    >>> X = np.random.default_rng(0).standard_normal((600, 3)).astype(np.float32)
    >>> export = export_checked(build_model("extra_trees", n_estimators=5).fit(X, X[:, 0]), X)
    >>> export.engine, export.n_checked > 512, export.difference < 1e-6
    ('onnx', True, True)
    >>> export_checked(build_model("knn", task="regression").fit(X, X[:, 0]), X).reason
    'all rows at the k-th distance count, which no operator of ONNX does'
    """
    if isinstance(model, TabularLearner) and model.spec.is_rule:
        return Export(None, "constant", "a rule is computed directly", None, 0)
    real = _real_rows(model, rows)
    real = real[np.isfinite(real).all(axis=tuple(range(1, real.ndim)))]
    if not len(real):
        reason = f"no row has its {window_of(model)} bars, all finite, so that nothing could be compared"
        return Export(None, "native", reason, None, 0)
    try:
        return _compared(model, real, tolerance)
    except (ExportRefused, ArtifactError, DependencyMissing) as refused:
        return Export(None, "native", str(refused), None, 0)


def unit_of(model: Any, expected: NDArray[np.float64]) -> float:
    """What an answer's difference is divided by: 1, and where answers are in the label's own unit its standard deviation."""
    if isinstance(model, TabularLearner) or hasattr(model, "classes_"):
        return 1.0
    if isinstance(model, MemberEstimator) and (scales := [_label_scale(member) for member in model.members_.values()]):
        known = [scale for scale in scales if scale is not None]
        if known:
            return max(known)
    return float(np.std(expected)) or 1.0


def _compared(model: Any, real: NDArray[np.float32], tolerance: float) -> Export:
    from huracan.registry.exports.scorers import OnnxScorer, native_scorer

    graph, answer = graph_of(model)
    content = graph.model(answer)
    scorer, native = OnnxScorer(content), native_scorer(model)
    asked = np.concatenate([real, *_on_thresholds(graph, real)])
    codes = np.arange(len(asked)) % (len(REGIME_ORDER) + 1) - 1 if graph.reads_regime else np.full(len(asked), -1)
    own = _own_answers(model, native, asked, codes)
    in_batch = scorer.many(asked, codes)
    some = np.linspace(0, len(asked) - 1, min(_ONE_BY_ONE, len(asked))).astype(int)
    alone = np.stack([scorer.one(asked[i], int(codes[i])) for i in some])
    if own.shape != in_batch.shape:
        return Export(None, "native", f"the graph gives {in_batch.shape[1:]} numbers a row, the model {own.shape[1:]}", None, 0)
    unit = unit_of(model, own)
    difference = max(float(np.abs(in_batch - own).max()), float(np.abs(alone - own[some]).max())) / unit
    if not difference <= tolerance:  # a NaN is no agreement either
        reason = f"the graph differs by {difference:.1e} on {len(asked)} rows; at most {tolerance:g} was expected"
        return Export(None, "native", reason, difference, len(asked))
    probe = real[:: max(1, len(real) // _PROBE)][:_PROBE]
    expected = _own_answers(model, native, probe, np.full(len(probe), -1))
    return Export(content, "onnx", None, difference, len(asked), OPSET[""], _versions(), probe, expected)


def _own_answers(model: Any, native: Any, asked: NDArray[np.float32], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """By the wrapper that everyone calls, where there is one."""
    if isinstance(model, TabularLearner):
        return np.asarray(model._raw(asked), np.float64).reshape(len(asked), -1)
    return native.many(asked, codes)


def _real_rows(model: Any, rows: Any) -> NDArray[np.float32]:
    """Up to 512 rows (n, d), or whole windows (n, window, d), spread over those given."""
    window, values = window_of(model), rows.X if isinstance(rows, TrainingSet) else np.asarray(rows, np.float32)
    width = getattr(model, "n_features_in_", values.shape[-1])
    if values.ndim not in (2, 3) or values.shape[-1] != width or (values.ndim == 3 and values.shape[1] != window):
        raise DataError(f"rows to check an export on have shape {values.shape}; (n, {width}) was expected, or windows of it.")
    if values.ndim == 3:
        return np.ascontiguousarray(_spread(values))
    if window == 1:
        return np.ascontiguousarray(_spread(values))
    series = WindowedRows.of(rows if isinstance(rows, TrainingSet) else values)
    place = series.place[_spread(np.flatnonzero(series.complete(window)))]
    bars = place[:, None] - np.arange(window - 1, -1, -1)
    return values[bars if series.order is None else series.order[bars]]


def _spread(rows: NDArray[Any]) -> NDArray[Any]:
    """Up to 512 of them drawn at random, because rows of several symbols are in turn; the same every time."""
    if len(rows) <= _ROWS:
        return rows
    return rows[np.sort(np.random.default_rng(0).choice(len(rows), _ROWS, replace=False))]


def _on_thresholds(graph: Graph, real: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Rows whose every value that a tree asks about is one of its thresholds, or a neighbour of one in float32."""
    if real.ndim == 3 or not graph.splits:
        return []
    rng = np.random.default_rng(0)
    rows = real[rng.integers(len(real), size=_ROWS)]
    for column, found in graph.splits.items():
        if column < 0:  # a tree over answers of members
            continue
        at = rng.choice(np.concatenate(found), size=_ROWS)
        toward = rng.choice(np.array([-np.inf, np.inf], np.float32), size=_ROWS)
        beside = np.where(rng.random(_ROWS) < 1 / 3, at, np.nextafter(at, toward))
        rows[:, column] = np.where(np.isfinite(beside), beside, rows[:, column])
    return [rows]


def _label_scale(model: Any) -> float | None:
    if isinstance(model, MemberEstimator):
        return max((s for s in map(_label_scale, model.members_.values()) if s is not None), default=None)
    scales = getattr(model, "target_scales_", None)
    if scales is not None:
        return float(np.max(scales))
    return getattr(model, "target_scale_", None)


def _versions() -> dict[str, str]:
    found = {}
    for name in ("onnx", "onnxruntime", "torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _packed(values: NDArray[Any]) -> dict[str, Any]:
    return {"shape": list(values.shape), "base64": base64.b64encode(values.tobytes()).decode()}


def _unpacked(packed: Mapping[str, Any], dtype: Any) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(packed["base64"]), dtype).reshape(packed["shape"])
