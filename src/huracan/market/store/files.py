"""The folder of a candle store: its marker, its names, its locks, and files that are whole or not there."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from huracan.errors import CandleError, StorageError
from huracan.storage.whole_files import LEFT_ASIDE, make_folder, put_file, refusal

__all__ = [
    "MARKER",
    "folder_of_symbol",
    "is_store",
    "locked",
    "make_folder",
    "open_root",
    "put_file",
    "refusal",
    "remove_leftovers",
    "store_around",
    "symbol_of_folder",
]

MARKER = "candle_store.json"
_FORMAT = "huracan candle store"
_VERSION = 1
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_LOCK_WAIT_S = 60.0


def is_store(folder: Path) -> bool:
    """Whether a folder says of itself that it is a candle store."""
    return (folder / MARKER).is_file()


def store_around(path: Path) -> Path | None:
    """The candle store that a path lies inside of, or None."""
    return next((folder for folder in path.absolute().parents if is_store(folder)), None)


def open_root(root: Path) -> None:
    """Make a store of a folder that is missing or empty; check the marker of one that is there.

    Raises
    ------
    StorageError : the folder is something else, of a newer format, damaged, or cannot be made.
    """
    try:
        if not is_store(root):
            foreign = (
                sorted(child.name for child in root.iterdir() if not LEFT_ASIDE.fullmatch(child.name)) if root.exists() else []
            )
            if foreign and not is_store(root):  # another process may have made it meanwhile
                raise StorageError(
                    f"{root} holds '{foreign[0]}' and no {MARKER}; an empty folder or a candle store was expected."
                )
            make_folder(root)
            put_file(root / MARKER, json.dumps({"format": _FORMAT, "version": _VERSION}, indent=1).encode() + b"\n")
        content = (root / MARKER).read_bytes()
    except OSError as error:
        raise refusal(root, "used as a candle store", error) from error
    try:
        said = json.loads(content)
        known = said["format"] == _FORMAT and isinstance(said["version"], int)
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise StorageError(f"{root / MARKER} is damaged: it does not say '{_FORMAT}' and a version; restore that file.")
    if said["version"] > _VERSION:
        raise StorageError(
            f"{root} is a candle store of format {said['version']}; this Huracan reads format {_VERSION}: use a newer Huracan."
        )


def folder_of_symbol(symbol: str) -> str:
    """The name of a symbol's folder: every byte but letters, digits, ``_``, ``-`` and a later ``.`` becomes ``%XX``.

    Raises
    ------
    CandleError : the symbol is empty, holds control characters or spaces around it, or is too long for a file name.

    Examples
    --------
    >>> folder_of_symbol("BTC/USDT:USDT"), folder_of_symbol("..")
    ('BTC%2FUSDT%3AUSDT', '%2E.')
    """
    if not symbol or symbol != symbol.strip() or not symbol.isprintable():
        raise CandleError(
            f"symbol {symbol!r} cannot be stored; a name of printable characters without spaces around was expected."
        )
    name = "".join(
        chr(byte) if byte in _PLAIN or (at and byte == 0x2E) else f"%{byte:02X}" for at, byte in enumerate(symbol.encode())
    )
    if len(name) > 240:
        raise CandleError(f"symbol {symbol[:40]!r}... is {len(symbol)} characters long, more than a file name holds.")
    return name


def symbol_of_folder(name: str) -> str | None:
    """The symbol a folder name stands for, or None where it is no such name.

    >>> symbol_of_folder("BTC%2FUSDT%3AUSDT")
    'BTC/USDT:USDT'
    """
    try:
        symbol = unquote(name, errors="strict")
        return symbol if folder_of_symbol(symbol) == name else None
    except (UnicodeDecodeError, CandleError):
        return None


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left aside; only for who holds the lock of the folder's symbol."""
    for child in os.listdir(folder):
        if LEFT_ASIDE.fullmatch(child):
            (folder / child).unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a symbol's folder; another process, or thread, that wants it waits. A killed one lets go.

    Raises
    ------
    StorageError : somebody else held it for a minute, or the folder cannot be written.
    """
    try:
        make_folder(folder)
        handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise refusal(folder, "written", error) from error
    try:
        _wait_for(handle, folder)
        yield
    finally:
        os.close(handle)


def _wait_for(handle: int, folder: Path) -> None:
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StorageError(
                    f"{folder} is being written by another process for {_LOCK_WAIT_S:.0f} s already; try again."
                ) from None
            time.sleep(0.005)
        except OSError as error:
            raise refusal(folder, "locked", error) from error
        else:
            return
