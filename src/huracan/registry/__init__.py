"""Stored models: their records, their safe formats, and the evidence that one suits a regime."""

from huracan.registry.evidence import Evidence, RegimeCandidate
from huracan.registry.formats import dump_model, load_model
from huracan.registry.onnx_model import OnnxModel
from huracan.registry.records import (
    NOT_CHECKED,
    Expected,
    ModelKind,
    ModelVersion,
    Provenance,
    RetentionPolicy,
    VersionSummary,
)

__all__ = [
    "NOT_CHECKED",
    "Evidence",
    "Expected",
    "ModelKind",
    "ModelVersion",
    "OnnxModel",
    "Provenance",
    "RegimeCandidate",
    "RetentionPolicy",
    "VersionSummary",
    "dump_model",
    "load_model",
]
