"""A PostgreSQL cluster of one's own: it listens on a Unix socket in a folder of its own and leaves nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

__all__ = ["NoPostgreSQL", "new_database", "own_postgresql"]


class NoPostgreSQL(Exception):
    """Why there can be no cluster here."""


@contextmanager
def own_postgresql(*, durable: bool = False) -> Iterator[str]:
    """Folder of the socket of a fresh cluster, which ends with the block.

    Parameters
    ----------
    durable : whether a commit waits for the disk, as PostgreSQL does where nobody told it otherwise; tests need not wait.

    Raises
    ------
    NoPostgreSQL : its programs are not installed, or nobody can run them.
    """
    programs = _programs()
    root = Path(tempfile.mkdtemp(prefix="huracan_pg"))
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        user = _other_user()
        shutil.chown(root, user)

    def call(*command: str) -> None:
        subprocess.run([programs / command[0], *command[1:]], user=user, check=True, capture_output=True, cwd=root, timeout=120)

    data = str(root / "data")
    call("initdb", "-D", data, "-U", "huracan", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
    options = f"-c listen_addresses='' -c unix_socket_directories={root} -c shared_buffers=16MB"
    options += "" if durable else " -c fsync=off"
    call("pg_ctl", "-D", data, "-w", "-l", str(root / "log"), "-o", options, "start")
    try:
        yield str(root)
    finally:
        call("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(root, ignore_errors=True)


def new_database(server: str) -> str:
    """URL of an empty database in the cluster of a folder."""
    name = f"t{uuid.uuid4().hex}"
    engine = sa.create_engine(f"postgresql+psycopg://huracan@/postgres?host={server}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"create database {name}")
    engine.dispose()
    return f"postgresql+psycopg://huracan@/{name}?host={server}"


def _programs() -> Path:
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    raise NoPostgreSQL("PostgreSQL's initdb and pg_ctl are not installed")


def _other_user() -> str:
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    user = next((name for name in ("postgres", "nobody") if name in names), None)
    if user is None:
        raise NoPostgreSQL("this process runs as root, and there is no user to run PostgreSQL as")
    return user
