"""The files of a registered version, given out only where row, audit and manifest say the same of it."""

from __future__ import annotations

from typing import Any

from huracan.errors import ArtifactError, AuditError, RegistryError
from huracan.registry.formats import load_model
from huracan.registry.records import ModelVersion
from huracan.registry.registered_facts import in_manifest_otherwise
from huracan.registry.round_trip import PROBE, Verification, verify_fresh
from huracan.storage import ArtifactStore

__all__ = ["stored_files", "verification_of"]


def stored_files(artifacts: ArtifactStore, found: ModelVersion) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest and files of a version's artifact, each file verified.

    Raises
    ------
    RegistryError : it gave up its artifact to retention.
    AuditError : the version's row says something else than the audit, or than the manifest of its artifact.
    ArtifactError : the artifact is missing or damaged.
    """
    if found.stage == "removed":
        raise RegistryError(
            f"version {found.version} of '{found.name}' gave up its artifact to retention; its card and history are left."
        )
    found.require_unchanged()
    manifest, files = artifacts.read(found.digest)
    if other := in_manifest_otherwise(manifest, found.kind, found.texts):
        raise AuditError(
            f"version {found.version} of '{found.name}' is not what its artifact was stored as: the manifest of {found.digest} "
            f"tells {', '.join(other)} otherwise than its row; restore the database from a backup, or register the model again."
        )
    return manifest, files


def verification_of(artifacts: ArtifactStore, found: ModelVersion) -> Verification:
    """Hold a version's row against audit and manifest, hash and rebuild the model, and ask it in a fresh process.

    It is asked about the rows that were stored with it, where there are any.
    """
    try:
        _, files = stored_files(artifacts, found)
        if found.serving_digest is not None:
            artifacts.get(found.serving_digest)
        if PROBE in files:
            return verify_fresh(artifacts.folder, found.digest)
        load_model(files)
    except (ArtifactError, AuditError) as error:
        return Verification(found.digest, 0, 0, str(error))
    return Verification(found.digest, 0, 0, None)
