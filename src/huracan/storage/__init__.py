"""Rows and bytes: the database, its schema, the run log and the artifact store; knows nothing of models."""

from huracan.storage.artifacts import ArtifactRef, ArtifactStore, library_versions
from huracan.storage.database import Database
from huracan.storage.json_values import from_json, to_json
from huracan.storage.runs import HoldOutUse, Run, RunLog, RunStatus

__all__ = [
    "ArtifactRef",
    "ArtifactStore",
    "Database",
    "HoldOutUse",
    "Run",
    "RunLog",
    "RunStatus",
    "from_json",
    "library_versions",
    "to_json",
]
