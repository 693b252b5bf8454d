"""What a version was registered as, told to the audit: by it a row that was changed since is known."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from huracan.errors import StorageError
from huracan.storage import from_json, to_json

__all__ = ["JSON_FACTS", "PLAIN_FACTS", "differing", "in_manifest_otherwise", "told_of"]

PLAIN_FACTS = ("model_id", "digest", "kind", "parent_id", "learner", "run_id", "serving_digest", "created_at")
"""Columns of a version that the audit repeats as they are, the time as text."""

JSON_FACTS = ("info", "metrics", "provenance", "extras", "serving")
"""Columns of a version that hold JSON; the audit has the SHA-256 of their text."""

_IN_MANIFEST = ("info", "metrics", "provenance", "extras")


def told_of(plain: Mapping[str, Any], texts: Mapping[str, str | None]) -> dict[str, Any]:
    """What the audit row of a registration says of the version.

    >>> told = told_of({"digest": "d"}, {"extras": '{"a": 1}'})
    >>> differing(told, {"digest": "d"}, {"extras": '{"a": 1}'}), differing(told, {"digest": "d"}, {"extras": '{"a": 2}'})
    ((), ('extras',))
    """
    return {**{name: plain.get(name) for name in PLAIN_FACTS}, **{name: _hash(texts.get(name)) for name in JSON_FACTS}}


def differing(told: Mapping[str, Any], plain: Mapping[str, Any], texts: Mapping[str, str | None]) -> tuple[str, ...]:
    """Names of the facts given that are not as they were told; what was not told is not compared."""
    changed = [name for name, value in plain.items() if name in told and told[name] != value]
    return (*changed, *(name for name, text in texts.items() if name in told and not _is_text_of(told[name], text)))


def in_manifest_otherwise(manifest: Mapping[str, Any], kind: str, texts: Mapping[str, str | None]) -> tuple[str, ...]:
    """Names of the facts that an artifact's manifest tells otherwise than the version's row; it need not tell all of them."""
    other = ["kind"] if manifest.get("kind", kind) != kind else []
    shared = [name for name in _IN_MANIFEST if name in manifest]
    return (*other, *(name for name in shared if not _says(texts.get(name), manifest[name])))


def _says(text: str | None, value: Any) -> bool:
    try:
        found = None if text is None else from_json(text)
    except StorageError:
        return False
    return found == value or to_json(found) == to_json(value)  # the second for what is not a number, which equals nothing


def _hash(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def _is_text_of(told: str | None, text: str | None) -> bool:
    """Whether a text has the hash, be it written with other spaces or in another order."""
    if text is None or told is None or _hash(text) == told:
        return _hash(text) == told
    try:
        return _hash(to_json(from_json(text))) == told
    except StorageError:
        return False
