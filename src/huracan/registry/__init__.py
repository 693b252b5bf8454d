"""Stored models: their records, their safe formats, and the evidence that one suits a regime."""

from huracan.registry.evidence import Evidence, RegimeCandidate
from huracan.registry.formats import dump_model, load_model
from huracan.registry.records import NOT_CHECKED, Expected, ModelKind, ModelVersion, Provenance

__all__ = [
    "NOT_CHECKED",
    "Evidence",
    "Expected",
    "ModelKind",
    "ModelVersion",
    "Provenance",
    "RegimeCandidate",
    "dump_model",
    "load_model",
]
