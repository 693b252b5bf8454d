"""Rows and bytes: the database, its schema, logs of runs and searches, and the artifact store; knows nothing of models."""

from huracan.storage.artifacts import ArtifactRef, ArtifactStore, library_versions
from huracan.storage.database import Database
from huracan.storage.json_values import from_json, to_json
from huracan.storage.runs import HoldOutUse, Run, RunLog, RunStatus
from huracan.storage.studies import Study, StudyFacts, StudyLog, StudyStatus

__all__ = [
    "ArtifactRef",
    "ArtifactStore",
    "Database",
    "HoldOutUse",
    "Run",
    "RunLog",
    "RunStatus",
    "Study",
    "StudyFacts",
    "StudyLog",
    "StudyStatus",
    "from_json",
    "library_versions",
    "to_json",
]
