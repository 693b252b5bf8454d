"""A graph that could do more than arithmetic on its inputs is refused before ONNX Runtime sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from huracan.catalogue import build_model
from huracan.errors import ArtifactError
from huracan.registry.exports import export_checked, export_model, make_scorer
from huracan.registry.exports.sessions import check_graph

onnx = pytest.importorskip("onnx", reason="onnx is not installed (huracan[serve])")

X = np.random.default_rng(0).standard_normal((300, 3)).astype(np.float32)
MODEL = build_model("ridge").fit(X, X[:, 0])


def outside_file(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def hidden_outside_file(model: Any) -> None:
    tensor = onnx.TensorProto(data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["c"], value=tensor))


def own_domain(model: Any) -> None:
    model.graph.node[0].domain = "com.example.shell"


def loop(model: Any) -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", ["", ""], ["z"], body=body))


def function(model: Any) -> None:
    model.functions.append(onnx.FunctionProto(name="f", domain="own"))


@pytest.mark.parametrize("harm", [outside_file, hidden_outside_file, own_domain, loop, function])
def test_more_than_arithmetic_is_refused(harm: Callable[[Any], None]) -> None:
    model = onnx.load_from_string(export_model(MODEL))
    harm(model)
    with pytest.raises(ArtifactError):
        check_graph(model.SerializeToString())
    export = export_checked(MODEL, X)
    scorer = make_scorer(MODEL, export, model.SerializeToString())
    assert scorer.engine == "native" and scorer.reason


@pytest.mark.parametrize("content", [b"", b"no graph at all", b"\x80\x04K\x01."])
def test_what_is_no_graph_leaves_the_model_itself(content: bytes) -> None:
    export = export_checked(MODEL, X)
    scorer = make_scorer(MODEL, export, content)
    assert scorer.engine == "native" and scorer.reason
    np.testing.assert_allclose(scorer.one(X[0]), MODEL._raw(X[:1]))
