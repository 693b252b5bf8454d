"""What a database refused, in one sentence."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

__all__ = ["explain", "is_lost", "is_passing"]

_REASONS: tuple[tuple[str, str], ...] = (
    ("is locked", "{where} is locked by another process and stayed so for {wait:g} s; try again, or end that process"),
    ("lock timeout", "{where} is locked by another session and stayed so for {wait:g} s; try again, or end that session"),
    ("readonly database", "{where} is read-only for this user; writing needs the file and its folder to be writable"),
    ("unable to open database file", "{where} cannot be opened: the folder is missing, or this user may not use it"),
    ("disk is full", "the disk that holds {where} is full; nothing was changed"),
    ("No space left", "the disk that holds {where} is full; nothing was changed"),
    ("file is not a database", "{where} is not a SQLite database, or it is encrypted or damaged"),
    ("malformed", "{where} is damaged; restore it from a backup"),
    ("disk I/O error", "the disk failed while {where} was used; nothing was changed"),
    ("no such table", "{where} lacks a table ({first}); call Database.upgrade()"),
    ("does not exist", "{where} lacks something that is needed ({first}); call Database.upgrade(), or create the database"),
    ("read-only transaction", "{where} only reads at present, as a standby does ({first}); writing needs the primary"),
    ("permission denied", "{where} does not let this user do that: {first}"),
    ("too many clients", "{where} has no connection left for us: {first}; close others, or try again"),
    ("connection slots", "{where} has no connection left for us: {first}; close others, or try again"),
    ("password authentication failed", "{where} refused the user name or password"),
    ("connection is bad", "{where} cannot be reached: {first}"),
    ("connection failed", "{where} cannot be reached: {first}"),
    ("could not connect", "{where} cannot be reached: {first}"),
)
_OF_THE_FILE = ("readonly database", "unable to open database file", "disk I/O error")
_SMALLEST = 1 << 17
"""Bytes without which SQLite cannot even open a file: it writes the index of its log first."""
_LOST = ("connection", "eof detected")
_LOST_STATES = ("57P01", "57P02", "57P03")
_PASSING_STATES = ("40001", "40P01")


def explain(error: sa.exc.SQLAlchemyError, where: str, wait: float, file: Path | None = None) -> str:
    """Turn what SQLAlchemy raised into one sentence that names the database and what to do.

    Parameters
    ----------
    file : of SQLite; it says one and the same of a full disk, a folder that is missing, and one that may not be written.

    >>> explain(sa.exc.OperationalError("insert", {}, Exception("database is locked")), "sqlite:///m.db", 30.0)
    'sqlite:///m.db is locked by another process and stayed so for 30 s; try again, or end that process.'
    """
    text = str(getattr(error, "orig", None) or error)
    first = text.strip().splitlines()[0].rstrip(".") if text.strip() else type(error).__name__
    if file is not None and any(sign in text for sign in _OF_THE_FILE):
        with suppress(PermissionError):  # a folder above it may not be entered: the sentence below says so
            if (reason := _of_the_file(file)) is not None:
                return reason.format(where=where) + "."
    for sign, sentence in _REASONS:
        if sign.lower() in text.lower():
            return sentence.format(where=where, wait=wait, first=first) + "."
    return f"{where} refused: {first}."


def _of_the_file(file: Path) -> str | None:
    """What the file system says of a SQLite file that could not be used; ``None`` where it says nothing."""
    folder = file.absolute().parent
    if not folder.is_dir():
        return "{where} cannot be opened: its folder is missing"
    if file.is_dir():
        return "{where} cannot be opened: it is a folder, and a file was expected"
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < _SMALLEST and _writable(folder):
        return "the disk that holds {where} is full; nothing was changed"
    if not file.exists():
        return None if _writable(folder) else "{where} cannot be made: its folder is read-only for this user"
    if not (_writable(folder) and _writable(file)):
        return (
            "{where} is read-only for this user; writing needs file and folder to be writable, and so does reading while "
            "SQLite's log is not there beside the file: copy it to where they are"
        )
    return None


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def is_lost(error: BaseException | None) -> bool:
    """Whether the database went away, or is not there: what was confirmed is kept, what was not may be or not."""
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated or state in _LOST_STATES or str(state or "").startswith("08"):
        return True
    return isinstance(error, sa.exc.OperationalError) and state is None and any(sign in str(error.orig) for sign in _LOST)


def is_passing(error: BaseException | None) -> bool:
    """Whether PostgreSQL undid a transaction only because of others at the same moment: the same again will do."""
    return isinstance(error, sa.exc.DBAPIError) and getattr(error.orig, "sqlstate", None) in _PASSING_STATES
