"""Which revision of the schema a database has, and the way to the newest."""

from __future__ import annotations

import sqlite3
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from huracan.errors import SchemaTooNew

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

__all__ = [
    "UPGRADE_LOCK",
    "VERSION_TABLE",
    "downgrade",
    "is_current",
    "revision_of",
    "upgrade",
    "upgrade_to",
    "use_write_ahead_log",
]

VERSION_TABLE = "huracan_schema"
"""Holds the revision; not Alembic's default name, so that another program's Alembic can live in the same database."""

UPGRADE_LOCK = 0x48757261
"""Key of the PostgreSQL advisory lock that an upgrade holds."""

_MIGRATIONS = Path(__file__).parent / "migrations"


@cache
def _script() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(_MIGRATIONS))


def revision_of(connection: sa.Connection) -> str | None:
    """The revision that the database says it has; ``None`` where it has no tables of ours."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.text(f"select version_num from {VERSION_TABLE}")).scalar_one_or_none()


def is_current(connection: sa.Connection, where: str) -> bool:
    """Whether the schema is the newest this code knows.

    Raises
    ------
    SchemaTooNew : the database was written by a newer version.
    """
    revision = revision_of(connection)
    if revision is None:
        return False
    known = [script.revision for script in _script().walk_revisions()]
    if revision not in known:
        raise SchemaTooNew(
            f"{where} has schema revision '{revision}', which this version of Huracan does not know (it knows up to "
            f"'{known[0]}'): a newer version wrote it; upgrade huracan."
        )
    return revision == known[0]


def upgrade(connection: sa.Connection) -> None:
    """Run the missing revisions inside the transaction that ``connection`` is in."""
    upgrade_to(connection, "head")


def upgrade_to(connection: sa.Connection, revision: str) -> None:
    """Run the missing revisions up to ``revision``, to see what a later one does with an earlier one's rows."""
    script = _script()
    _run(connection, lambda current, _context: script._upgrade_revs(revision, current))


def downgrade(connection: sa.Connection, revision: str) -> None:
    """Take back every revision after ``revision``, so that an earlier version of Huracan can use the database again.

    What the later revisions added is lost. Before the first, ``base``, only the Engine's tables are left.
    """
    script = _script()
    _run(connection, lambda current, _context: script._downgrade_revs(revision, current))


def _run(connection: sa.Connection, steps: Any) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    with EnvironmentContext(Config(), _script(), fn=steps) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE)
        environment.run_migrations()


def use_write_ahead_log(raw: sqlite3.Connection, patience: float) -> None:
    """Switch a SQLite file to WAL; the switch ignores the busy timeout, so it is tried again while others hold the file."""
    if raw.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    deadline = time.monotonic() + patience
    while True:
        try:
            raw.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
