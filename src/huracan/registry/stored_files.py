"""The files of a registered version, given out only where row, audit and manifest say the same of it."""

from __future__ import annotations

from typing import Any

from huracan.errors import ArtifactDamaged, ArtifactError, ArtifactMissing, AuditError, RegistryError
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

    Raises
    ------
    RegistryError : it gave up its artifact, or the fresh process failed before it could say anything of the model.
    ArtifactError : the artifact cannot be read just now, which says nothing of it either.
    """
    try:
        _, files = stored_files(artifacts, found)
        if found.serving_digest is not None:
            artifacts.get(found.serving_digest)
    except (ArtifactDamaged, ArtifactMissing, AuditError) as error:
        return Verification(found.digest, 0, 0, str(error))
    try:
        if PROBE not in files:
            load_model(files)
            return Verification(found.digest, 0, 0, None)
        outcome = verify_fresh(artifacts.folder, found.digest)
    except ArtifactError as error:
        if isinstance(error.__cause__, OSError) and not isinstance(error, ArtifactDamaged | ArtifactMissing):
            raise
        return Verification(found.digest, 0, 0, str(error))
    if not outcome.tried:
        raise RegistryError(f"version {found.version} of '{found.name}' could not be tried just now: {outcome.reason}")
    return outcome
