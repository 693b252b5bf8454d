"""A small builder of ONNX graphs: every exporter reads one tensor and adds nodes until it has its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DependencyMissing, ModelError

__all__ = ["OPSET", "ExportRefused", "Graph", "Rows"]

OPSET = {"": 17, "ai.onnx.ml": 3}
"""Version of each operator set; ONNX Runtime reads them from 1.12 on."""

_IR_VERSION = 8


class ExportRefused(ModelError):
    """There is no graph that says the same as the model; the message gives the reason."""


@dataclass(frozen=True)
class Rows:
    """The tensor that a model reads: float32 (n, columns), or (n, window, columns) where ``window`` is above 1.

    ``columns`` are the numbers that its columns have among those of the whole graph's input.
    """

    name: str
    columns: NDArray[np.intp]
    window: int = 1


@dataclass(eq=False)
class Graph:
    """Nodes and constants so far.

    Parameters
    ----------
    n_features, window : of the input "x", float32 (n, n_features), or (n, window, n_features) where ``window`` is above 1.

    Attributes
    ----------
    splits : column of the input -> float32 thresholds that trees compare it with; a check asks about rows that lie on them.
    reads_regime : whether there is a second input, "regime": int64 (n,), as of ``TrainingSet``, -1 for unknown.

    Examples
    --------
    >>> graph = Graph(n_features=2)
    >>> doubled = graph.node("Mul", graph.rows.name, graph.constant([2.0, 2.0]))
    >>> len(graph.model(doubled)) > 0
    True
    """

    n_features: int
    window: int = 1
    splits: dict[int, list[NDArray[np.float32]]] = field(default_factory=dict)
    reads_regime: bool = False
    _nodes: list[Any] = field(default_factory=list)
    _constants: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            import onnx.helper
        except ImportError as error:
            raise DependencyMissing("onnx is not installed; install it with: pip install 'huracan[serve]'.") from error
        self._onnx = onnx

    @property
    def rows(self) -> Rows:
        """The input as a model reads it."""
        return Rows("x", np.arange(self.n_features), self.window)

    def constant(self, value: ArrayLike, dtype: Any = np.float32) -> str:
        """Name of a constant tensor."""
        name = f"c{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operation with one output, and name that."""
        name = f"t{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(op, list(inputs), [name], domain=domain, **attributes))
        return name

    def newest(self, rows: Rows, window: int) -> Rows:
        """The last ``window`` bars of each row's window; (n, columns) where that is one."""
        if window == rows.window:
            return rows
        if window > rows.window:
            raise ExportRefused(f"a member looks at {window} bars where the rows have {rows.window}")
        if window == 1:
            return replace(rows, name=self.node("Gather", rows.name, self.constant(-1, np.int64), axis=1), window=1)
        bounds = (self.constant([edge], np.int64) for edge in (-window, rows.window, 1))
        return replace(rows, name=self.node("Slice", rows.name, *bounds), window=window)

    def select(self, rows: Rows, places: Sequence[int]) -> Rows:
        """Some columns."""
        at = self.constant(list(places), np.int64)
        axis = 1 if rows.window == 1 else 2
        return replace(rows, name=self.node("Gather", rows.name, at, axis=axis), columns=rows.columns[list(places)])

    def take_in(self, content: bytes, given: Mapping[str, str]) -> str:
        """Add all nodes of a model with one output, its inputs fed from tensors here, and name that output."""
        other = self._onnx.load_from_string(content).graph
        known, prefix = dict(given), f"g{len(self._nodes)}."
        for constant in other.initializer:
            known[constant.name] = constant.name = prefix + constant.name
            self._constants.append(constant)
        for node in other.node:
            node.input[:] = [known[name] if name else "" for name in node.input]
            for i, name in enumerate(node.output):
                if name:
                    known[name] = node.output[i] = prefix + name
            node.name = ""
            self._nodes.append(node)
        return known[other.output[0].name]

    def model(self, answer: str) -> bytes:
        """The finished model, whose output "y" is ``answer``, float32 (n, any number)."""
        make, kinds = self._onnx.helper, self._onnx.TensorProto
        shape = ["n", self.n_features] if self.window == 1 else ["n", self.window, self.n_features]
        inputs = [make.make_tensor_value_info("x", kinds.FLOAT, shape)]
        if self.reads_regime:
            inputs.append(make.make_tensor_value_info("regime", kinds.INT64, ["n"]))
        nodes = [*self._nodes, make.make_node("Identity", [answer], ["y"])]
        graph = make.make_graph(
            nodes, "huracan", inputs, [make.make_tensor_value_info("y", kinds.FLOAT, ["n", None])], self._constants
        )
        opsets = [make.make_opsetid(domain, version) for domain, version in OPSET.items()]
        return make.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString()
