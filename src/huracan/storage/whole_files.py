"""Files that are whole or not there: written aside, flushed to the disk, renamed into place."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from huracan.errors import StorageError

__all__ = [
    "LEFT_ASIDE",
    "aside_of",
    "flush_folder",
    "make_folder",
    "put_chunks",
    "put_file",
    "put_folder",
    "refusal",
    "remove_left",
]

LEFT_ASIDE = re.compile(r"\..+\.[0-9a-f]{16}\.aside")
"""Names of what a killed process may leave behind."""


def put_file(path: Path, content: bytes, *, by: str = "") -> None:
    """Write a file aside, flush it to the disk and rename it: ``path`` stays as it was, or is whole; folders are made.

    Parameters
    ----------
    by : name under which one process at a time writes, by which :func:`remove_left` knows what a killed one left behind.

    Raises
    ------
    StorageError : the disk is full or the folder cannot be written; nothing is left behind.
    """
    put_chunks(path, (content,), by=by)


def put_chunks(path: Path, chunks: Iterable[bytes], *, by: str = "") -> None:
    """:func:`put_file` of what is too large to be held at once; an error of ``chunks`` leaves nothing behind either.

    Raises
    ------
    StorageError : the disk is full or the folder cannot be written.
    """
    aside = aside_of(path, by)
    try:
        make_folder(path.parent)
        with aside.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
        flush_folder(path.parent)
    except OSError as error:
        raise refusal(path, "written", error) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def put_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder of a name that is free, all of them or none; folders above are made.

    Raises
    ------
    StorageError : there is something of that name, the disk is full or the folder above cannot be written; nothing is left.
    """
    if folder.exists() or folder.is_symlink():
        raise StorageError(f"{folder} is there already; a new folder was expected.")
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.aside")
    try:
        make_folder(folder.parent)
        aside.mkdir()
        for name, content in files.items():
            with (aside / name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        flush_folder(aside)
        os.rename(aside, folder)
        flush_folder(folder.parent)
    except OSError as error:
        raise refusal(folder, "written", error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def aside_of(path: Path, by: str = "") -> Path:
    """A free place beside ``path`` to write it, whose name tells ``by`` whom it is written where that is given."""
    mark = f"{_mark(by)}{secrets.token_hex(4)}" if by else secrets.token_hex(8)
    return path.with_name(f".{path.name}.{mark}.aside")


def remove_left(folder: Path, by: str) -> None:
    """Remove what killed processes left aside in a folder and those below; only for who alone writes under the name ``by``.

    One that was not killed but only thought dead then cannot finish what it writes. What cannot be removed stays.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> aside_of(folder / "a.json", "btc").touch(), aside_of(folder / "a.json", "eth").touch()
    (None, None)
    >>> remove_left(folder, "btc")
    >>> len(list(folder.iterdir()))
    1
    """
    for left in folder.rglob(f".*.{_mark(by)}*.aside"):
        if LEFT_ASIDE.fullmatch(left.name):
            with suppress(OSError):
                left.unlink(missing_ok=True)


def _mark(by: str) -> str:
    return hashlib.sha256(by.encode()).hexdigest()[:8]


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each flushed to the disk, so that no file in it is lost with its folder."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush_folder(folder.parent)


def refusal(path: Path, what: str, error: OSError) -> StorageError:
    """What the file system refused, in one sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"{path} cannot be {what}: the disk is full; what was stored before is untouched, and the same call completes "
            "once there is space."
        )
    reason = error.strerror or str(error).splitlines()[0]
    return StorageError(f"{path} cannot be {what}: {reason}.")


def flush_folder(folder: Path) -> None:
    """Make names in a folder last: what was put or renamed there is there after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
