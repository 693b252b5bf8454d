"""Networks, traced by PyTorch's own exporter, with the scaling of inputs before them and the link of outputs behind."""

from __future__ import annotations

import io
import logging
import warnings
from typing import Any

import numpy as np

from huracan.models.neural_learner import NeuralLearner
from huracan.registry.exports.formulas import scaled
from huracan.registry.exports.graph import OPSET, ExportRefused, Graph, Rows

__all__ = ["network", "said_of_windows", "traced"]


def network(graph: Graph, rows: Rows, model: NeuralLearner) -> str:
    """What ``model`` says of whole windows, (n, outputs): forecasts of the standardised label, quantiles, or probabilities."""
    ready = scaled(graph, rows.name, model.scaler_)
    if rows.window == 1:
        ready = graph.node("Unsqueeze", ready, graph.constant([1], np.int64))
    output = graph.node("Add", said_of_windows(graph, ready, model.estimator_, rows), graph.constant(model.constant_))
    return graph.node("Softmax", output, axis=1) if hasattr(model, "classes_") else output


def said_of_windows(graph: Graph, windows: str, module: Any, rows: Rows) -> str:
    """What a network of the catalogue says of scaled ``windows`` (n, window, columns of ``rows``): (n, outputs)."""
    from huracan.models.networks import ConvolutionNetwork

    if isinstance(module, ConvolutionNetwork):
        from huracan.registry.exports.convolution import convolution_network

        return convolution_network(graph, windows, module, len(rows.columns), traced)
    return graph.take_in(traced(module, (rows.window, len(rows.columns))), {"x": windows})


def traced(module: Any, shape: tuple[int, ...]) -> bytes:
    """ONNX of a module that takes (n, *shape) to one tensor (n, any number); its input is named "x".

    Raises
    ------
    ExportRefused : the module holds what the exporter does not know.
    """
    import torch

    from huracan.registry.exports.convolution import traceable

    example = torch.randn(2, *shape)
    content: Any = io.BytesIO()
    names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "n"}, "y": {0: "n"}}}
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)  # it warns of what the check on real rows finds out
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(traceable(module).eval(), (example,), content, dynamo=False, opset_version=OPSET[""], **names)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise ExportRefused(f"PyTorch cannot export {type(module).__name__}: {said}") from error
    finally:
        log.setLevel(before)
    return content.getvalue()
