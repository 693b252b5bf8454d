"""A file of an artifact, read whole; what is wrong with it is said: proven damage, or that it could not be read just now."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from huracan.errors import ArtifactDamaged, ArtifactError
from huracan.storage.anchored import NotPlain, read_inside
from huracan.storage.manifests import other_hash

__all__ = ["explained", "read_file", "verified"]


def read_file(folder: int, digest: str, name: str, *, size: int | None = None, at_most: int | None = None) -> bytes:
    """Its bytes, with no claim about them but their number.

    Parameters
    ----------
    folder : of the artifact, held open. size : bytes that there must be. at_most : bytes that there may be.
    """
    with explained(digest, name):
        return read_inside(folder, name, size=size, at_most=at_most)


@contextmanager
def explained(digest: str, name: str) -> Iterator[None]:
    """Say of a file what is wrong with it: proven damage, or that it could not be read just now."""
    try:
        yield
    except FileNotFoundError as error:
        raise ArtifactDamaged(f"file '{name}' of artifact {digest} is missing; restore it from a backup.") from error
    except NotPlain as error:
        raise ArtifactDamaged(f"file '{name}' of artifact {digest} is {error.strerror}; links are not followed.") from error
    except OverflowError as error:
        raise ArtifactDamaged(f"file '{name}' of artifact {digest} is damaged: {error}; restore it from a backup.") from error
    except OSError as error:
        raise ArtifactError(f"file '{name}' of artifact {digest} cannot be read: {error.strerror}.") from error


def verified(folder: int, digest: str, name: str, entry: Mapping[str, Any]) -> bytes:
    """Its bytes, of the size and hash that the manifest's ``entry`` has of it.

    Raises
    ------
    ArtifactDamaged : they are others, or it is not there. ArtifactError : it cannot be read just now.
    """
    data = read_file(folder, digest, name, size=entry["bytes"])
    actual = hashlib.sha256(data).hexdigest()
    if actual != entry["sha256"]:
        raise other_hash(digest, name, actual, entry["sha256"])
    return data
