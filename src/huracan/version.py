"""Which version of this package this is, and which code."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

__all__ = ["__version__", "source_hash"]

__version__ = "0.1.0"


@cache
def source_hash() -> str:
    """SHA-256 of the package's source files: what runs and studies that go on were computed by."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
