"""A whole copy of a SQLite database while others use it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from huracan.errors import StorageError
from huracan.storage.database import Database

__all__ = ["back_up"]


def back_up(database: Database, file: str | Path) -> int:
    """Copy a SQLite database as it is at one moment, whoever writes meanwhile; its own file alone lacks the last transactions.

    Parameters
    ----------
    file : one that is not there yet; it appears whole or not at all.

    Returns
    -------
    int : its size in bytes.

    Raises
    ------
    StorageError : the database is PostgreSQL, which has ``pg_dump`` for this; the file is there; or the disk refuses.

    Examples
    --------
    >>> import tempfile
    >>> database = Database(f"sqlite:///{tempfile.mkdtemp()}/huracan.db")
    >>> database.upgrade()
    >>> back_up(database, f"{tempfile.mkdtemp()}/copy.db") > 0
    True
    """
    target = Path(file)
    if not database.is_sqlite:
        raise StorageError(f"{database.where} is PostgreSQL, of which pg_dump makes a whole copy; SQLite was expected.")
    if target.exists():
        raise StorageError(f"{target} is there already; a new file was expected.")
    half = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        copy = sqlite3.connect(half)
        try:
            with database.reading() as connection:
                connection.connection.driver_connection.backup(copy)  # type: ignore[union-attr]
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
        finally:
            copy.close()
        with half.open("rb") as written:
            os.fsync(written.fileno())
        os.link(half, target)  # never over one that somebody else has made meanwhile
    except FileExistsError as error:
        raise StorageError(f"{target} is there already; a new file was expected.") from error
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{target} cannot be written: {getattr(error, 'strerror', None) or error}.") from error
    finally:
        half.unlink(missing_ok=True)
    return target.stat().st_size
