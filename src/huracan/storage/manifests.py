"""The manifest of an artifact: what it lists, how it is written so that its hash can be a name, how it is believed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from huracan.errors import ArtifactDamaged, ArtifactError, StorageError
from huracan.storage.json_values import from_json, to_json

__all__ = ["FILE_NAME", "MANIFEST", "MOST_BYTES", "library_versions", "manifest_of", "manifest_text", "other_hash"]

MANIFEST = "manifest.json"
MOST_BYTES = 64 << 20
"""The most that a manifest may hold."""

FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_OURS = ("format", "files", "versions")
_FIRST_FORMAT = b'{\n "created_at": '
_LIBRARIES = (
    *("huracan", "numpy", "polars", "scipy", "bottleneck", "TA-Lib"),
    *("scikit-learn", "skops", "xgboost-cpu", "xgboost", "lightgbm", "torch"),
)


def library_versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that a result or a stored model depends on."""
    return dict(_versions())


@cache  # looking them up reads a file each; what is imported does not change while the process lives
def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def manifest_text(files: Mapping[str, bytes], facts: Mapping[str, Any]) -> bytes:
    """The bytes of the manifest: canonical, without the time of writing, so equal content has an equal digest.

    Raises
    ------
    ArtifactError : a fact is no JSON, has the name of one of the store's own, or all are too large.
    """
    taken = sorted(set(facts) & set(_OURS))
    if taken:
        raise ArtifactError(f"the fact '{taken[0]}' cannot be given; the artifact store writes {', '.join(_OURS)} itself.")
    entries = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}
    try:
        text = to_json({**facts, "format": 2, "files": entries, "versions": library_versions()}, where="fact").encode()
    except (StorageError, UnicodeEncodeError) as error:
        raise ArtifactError(f"the facts of the artifact cannot be kept: {error}") from error
    if len(text) > MOST_BYTES:
        raise ArtifactError(f"the facts of the artifact have {len(text)} bytes; at most {MOST_BYTES} are kept.")
    return text


def manifest_of(text: bytes, digest: str, *, most: int) -> dict[str, Any]:
    """What a stored manifest says, once it is shown to be that of the artifact ``digest``; it is hashed before it is parsed.

    Parameters
    ----------
    most : bytes that the artifact's files may have together.

    Raises
    ------
    ArtifactDamaged : it is not what was stored. ArtifactError : it is of a format that is not known, or lists too much.
    """
    actual = hashlib.sha256(text).hexdigest()
    first = actual != digest
    if first and not text.startswith(_FIRST_FORMAT):
        raise other_hash(digest, MANIFEST, actual, digest)
    wrong = ArtifactDamaged if first else ArtifactError
    try:
        manifest = from_json(text)
    except StorageError as error:
        raise wrong(f"{MANIFEST} of artifact {digest} is damaged: {error}") from error
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or not all(_is_entry(name, entry) for name, entry in files.items()):
        raise wrong(f"{MANIFEST} of artifact {digest} is damaged: it does not list its files.")
    if first and _first_digest(files) != digest:
        raise ArtifactDamaged(f"{MANIFEST} of artifact {digest} lists files that are not the artifact's; it was changed.")
    if not first and manifest.get("format") != 2:
        raise ArtifactError(f"artifact {digest} is of a format this version does not know; upgrade huracan.")
    if sum(entry["bytes"] for entry in files.values()) > most:
        raise ArtifactError(f"artifact {digest} is larger than the {most} bytes allowed.")
    return manifest


def other_hash(digest: str, name: str, actual: str, expected: str) -> ArtifactDamaged:
    """Why a file of an artifact is not believed."""
    return ArtifactDamaged(
        f"file '{name}' of artifact {digest} is damaged: its SHA-256 is {actual[:12]}..., {expected[:12]}... was expected; "
        "restore it from a backup."
    )


def _is_entry(name: str, entry: object) -> bool:
    return (
        FILE_NAME.fullmatch(name) is not None
        and isinstance(entry, dict)
        and isinstance(entry.get("sha256"), str)
        and isinstance(entry.get("bytes"), int)
        and entry["bytes"] >= 0
    )


def _first_digest(entries: Mapping[str, Mapping[str, object]]) -> str:
    """The name of an artifact of format 1: a hash over names, hashes and sizes of its files."""
    lines = (f"{name}\x00{entry['sha256']}\x00{entry['bytes']}\n" for name, entry in sorted(entries.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
