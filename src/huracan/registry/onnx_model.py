"""``OnnxModel``: a model of anybody's making, brought as an ONNX graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import ArtifactError, DataError

__all__ = ["OnnxModel"]


class OnnxModel:
    """A forecast by an ONNX graph, for models that no other format here can hold.

    The graph has one float32 input, rows of features (n, d) with n free, and its first output is the forecast, (n,) or (n, k).
    It holds plain operators of the standard domains only, and keeps all its tensors in itself.

    Parameters
    ----------
    content : the graph, as ``model.SerializeToString()`` or a ``.onnx`` file has it.

    Raises
    ------
    ArtifactError : the graph is damaged, holds more than plain operators, or has another input than described.
    DependencyMissing : onnx or onnxruntime is not installed (``huracan[serve]``).

    Examples
    --------
    >>> from onnx import TensorProto, helper
    >>> x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    >>> y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    >>> graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negated", [x], [y])
    >>> made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    >>> OnnxModel(made.SerializeToString()).predict([[1.0, -2.0]]).tolist()
    [[-1.0, 2.0]]
    """

    def __init__(self, content: bytes) -> None:
        from huracan.registry.exports.sessions import open_session

        self.content = bytes(content)
        self._session: Any = open_session(self.content)
        given = self._session.get_inputs()
        self._input, shape = given[0].name, given[0].shape
        if len(given) != 1 or given[0].type != "tensor(float)" or len(shape) != 2 or not isinstance(shape[1], int):
            said = ", ".join(f"{item.name} {item.type} {item.shape}" for item in given)
            raise ArtifactError(
                f"the ONNX graph takes {said}; one input of tensor(float), ['n', number of features], was expected."
            )
        if isinstance(shape[0], int):
            raise ArtifactError(f"the ONNX graph takes {shape[0]} row(s) at a time; a free number of rows was expected.")
        self.n_features_in_ = shape[1]

    def __repr__(self) -> str:
        return f"OnnxModel({len(self.content)} bytes, {self.n_features_in_} features)"

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """The graph's first output, (n,) or (n, k), for rows of features (n, d).

        Raises
        ------
        DataError : the rows have another number of features.
        """
        rows = np.ascontiguousarray(X, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.n_features_in_:
            raise DataError(f"the rows have shape {rows.shape}; (n, {self.n_features_in_}) was expected.")
        said = np.asarray(self._session.run(None, {self._input: rows})[0], np.float64)
        return said[:, 0] if said.ndim == 2 and said.shape[1] == 1 else said
