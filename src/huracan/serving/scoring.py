"""The scorer of a version: ONNX Runtime where its export was found exact at registration, else the model itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huracan.model_registry import ModelRegistry
from huracan.registry.exports import Export, Scorer, make_scorer, signal_of
from huracan.registry.records import ModelVersion

__all__ = ["Scorer", "open_scorer"]

EXPORT_FILE = "serving.onnx"
"""Name of the graph in the artifact that ``serving_digest`` names."""


def open_scorer(
    registry: ModelRegistry, version: ModelVersion, model: Any, *, onnx: bool = True
) -> tuple[Scorer, Callable[[NDArray[np.float64]], float], str | None]:
    """The scorer of a version, what makes one score of its outputs, and why it is not ONNX Runtime's where it is not.

    Raises
    ------
    ArtifactError : the graph is missing or damaged, or the model forecasts several values a row.
    """
    export, graph, why = None, None, None
    if not onnx:
        why = "ONNX Runtime was not wanted"
    elif not version.serving:
        why = "it was registered without rows to check an export on"
    else:
        if version.serving_digest is not None:
            graph = registry.artifacts.get(version.serving_digest)[EXPORT_FILE]
        export = Export.from_state(version.serving, graph)
    scorer = make_scorer(model, export, graph)
    return scorer, signal_of(model), why or scorer.reason
