"""ONNX Runtime sessions for one row at a time, from bytes that are looked at first."""

from __future__ import annotations

from typing import Any

from huracan.errors import ArtifactError, DependencyMissing

__all__ = ["check_graph", "open_session"]

_DOMAINS = ("", "ai.onnx.ml")
_OPERATORS = frozenset(
    " ".join(
        (
            "Abs Add And ArgMax AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant ConstantOfShape Conv",
            "Cos CumSum Div Einsum Elu Equal Erf Exp Expand Flatten Floor GRU Gather GatherElements GatherND Gemm",
            "GlobalAveragePool Greater GreaterOrEqual HardSigmoid HardSwish Identity InstanceNormalization LSTM",
            "LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max MaxPool Mean Min Mish Mod Mul Neg",
            "Not Or PRelu Pad Pow RNN Range Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum",
            "ReduceSumSquare Relu Reshape Round Selu Shape Sigmoid Sign Sin Slice Softmax Softplus Split Sqrt Squeeze Sub",
            "Sum Tanh Tile Transpose TreeEnsembleRegressor Trilu Unsqueeze Where",
            "Binarizer LinearClassifier LinearRegressor Normalizer SVMClassifier SVMRegressor Scaler TreeEnsembleClassifier",
        )
    ).split(" ")
)
"""Arithmetic on tensors, which networks of one's own may hold, too."""

_MOST_BYTES = 1 << 30


def check_graph(content: bytes) -> Any:
    """The parsed model; refused where it could do more than arithmetic on its inputs.

    Raises
    ------
    ArtifactError : it is damaged, names files outside, holds functions, loops or branches, or an operator beyond
        arithmetic. DependencyMissing : onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise DependencyMissing("onnx is not installed; install it with: pip install 'huracan[serve]'.") from error
    from google.protobuf.message import DecodeError

    if len(content) > _MOST_BYTES:
        raise ArtifactError(f"the ONNX graph has {len(content)} bytes; at most {_MOST_BYTES} were expected.")
    try:
        model = onnx.load_from_string(content)
    except (DecodeError, ValueError) as error:
        raise ArtifactError(f"the ONNX graph is damaged: {error}.") from error
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer:
        raise ArtifactError("the ONNX graph holds functions, training or sparse tensors; plain operators were expected.")
    tensors = list(graph.initializer)
    for node in graph.node:
        if node.domain not in _DOMAINS or node.op_type not in _OPERATORS:
            raise ArtifactError(f"the ONNX graph holds the operator '{node.domain}.{node.op_type}', which is not run.")
        for attribute in node.attribute:
            if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                raise ArtifactError(f"the ONNX graph holds a graph of its own in '{node.op_type}', which is not run.")
            tensors += [attribute.t, *attribute.tensors]
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise ArtifactError(f"the ONNX graph keeps the tensor '{tensor.name}' in a file outside, which is not read.")
    return model


def open_session(content: bytes) -> Any:
    """An ``onnxruntime.InferenceSession`` on one thread that does not spin, after :func:`check_graph`.

    Raises
    ------
    ArtifactError : the graph is refused, or ONNX Runtime cannot run it. DependencyMissing : onnxruntime is not installed.
    """
    check_graph(content)
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyMissing("onnxruntime is not installed; install it with: pip install 'huracan[serve]'.") from error
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class
        raise ArtifactError(f"ONNX Runtime cannot run the graph: {' '.join(str(error).split())[:200]}") from error
