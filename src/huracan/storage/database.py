"""``Database``: one way to SQLite and PostgreSQL, with transactions that fail in sentences."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import StaticPool

from huracan.errors import ConnectionLost, DependencyMissing, StorageError
from huracan.storage import schema
from huracan.storage.failures import explain, is_lost, is_passing
from huracan.storage.json_values import from_json, to_json
from huracan.storage.tables import utc_now

__all__ = ["Database"]

T = TypeVar("T")

_WRITES = "huracan_writes"
_FIRST_PAUSE = 0.1  # seconds before the second attempt of a transaction; four times as long before each further one


class Database:
    """A SQLite file or a PostgreSQL database that holds registry, runs and audit.

    SQLite runs in WAL mode with foreign keys, ``synchronous`` and a busy timeout; a writing transaction takes the
    write lock when it begins, so two processes queue instead of failing half-way.

    Parameters
    ----------
    url : ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``sqlite://`` (in memory) or
        ``postgresql+psycopg://user:password@host/name``.
    busy_timeout : seconds to wait for a lock before giving up.
    synchronous : of SQLite: ``full``, or ``normal``, with which a power cut may undo what was last kept (a killed process does
        not), for what can be done again.

    Raises
    ------
    StorageError : the URL cannot be read or names another kind of database.
    DependencyMissing : PostgreSQL is asked for and psycopg is not installed.

    Examples
    --------
    >>> database = Database("sqlite://")
    >>> database.upgrade()
    >>> with database.reading() as connection:
    ...     connection.execute(sa.text("select count(*) from models")).scalar_one()
    0
    """

    def __init__(self, url: str, *, busy_timeout: float = 30.0, synchronous: Literal["full", "normal"] = "full") -> None:
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError as error:
            raise StorageError(
                f"'{url}' is not a database URL; expected sqlite:///file.db or postgresql+psycopg://user@host/name."
            ) from error
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
            raise StorageError(
                f"database kind '{parsed.drivername}' is not supported; expected sqlite:///file.db or "
                "postgresql+psycopg://user@host/name."
            )
        self.url = parsed
        self.busy_timeout = busy_timeout
        self.synchronous = synchronous

    def __repr__(self) -> str:
        return f"Database({self.where!r})"

    @property
    def where(self) -> str:
        """The URL without its password, as error messages show it."""
        return self.url.render_as_string(hide_password=True)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite rather than PostgreSQL."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def _in_memory(self) -> bool:
        return self.is_sqlite and self.url.database in (None, "", ":memory:")

    @cached_property
    def engine(self) -> sa.Engine:
        """The SQLAlchemy engine; made on first use."""
        options: dict[str, Any] = {"json_serializer": to_json, "json_deserializer": from_json}
        if self._in_memory:
            options |= {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
        elif self.is_sqlite:
            options |= {"connect_args": {"timeout": self.busy_timeout}}
        else:
            options |= {"pool_pre_ping": True, "connect_args": {"connect_timeout": max(2, int(self.busy_timeout))}}
        try:
            engine = sa.create_engine(self.url, **options)
        except ModuleNotFoundError as error:
            raise DependencyMissing("PostgreSQL needs psycopg, which is not installed; install huracan[postgres].") from error
        if self.is_sqlite:
            sa.event.listen(engine, "connect", self._prepare_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
        else:
            sa.event.listen(engine, "connect", self._prepare_postgresql)
        return engine

    def upgrade(self) -> None:
        """Create the tables, or bring an older schema up to this version; does nothing where it is current.

        Safe when several processes do it at once: one does the work, the others wait.

        Raises
        ------
        StorageError : the schema is newer than this code, or the database refuses.
        """
        if self.is_sqlite and not self._in_memory:
            folder = Path(str(self.url.database)).parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(f"cannot make the folder {folder} of {self.where}: {error.strerror}.") from error
        with self.reading() as connection:
            if schema.is_current(connection, self.where):
                return
        with self.transaction() as connection:
            if not self.is_sqlite:
                connection.execute(sa.text("select pg_advisory_xact_lock(:key)"), {"key": schema.UPGRADE_LOCK})
            if not schema.is_current(connection, self.where):
                schema.upgrade(connection)

    def check(self) -> None:
        """Make sure the schema is the one this code was written for.

        Raises
        ------
        StorageError : it is newer (upgrade huracan) or older (call :meth:`upgrade`).
        """
        with self.reading() as connection:
            if not schema.is_current(connection, self.where):
                raise StorageError(
                    f"the schema of {self.where} is older than this version of Huracan; call Database.upgrade()."
                )

    @contextmanager
    def reading(self, *, one_moment: bool = False) -> Iterator[sa.Connection]:
        """A connection that only reads; all in it sees one moment on SQLite, and on PostgreSQL where ``one_moment`` is set."""
        with self._translated(), self.engine.connect() as connection:
            if one_moment and not self.is_sqlite:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A connection whose work is kept as a whole when the block ends, and undone when it raises."""
        with (
            self._translated(),
            self.engine.connect() as plain,
            plain.execution_options(**{_WRITES: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def read(self, look: Callable[[sa.Connection], T], *, one_moment: bool = False, attempts: int = 3) -> T:
        """What ``look`` finds on a connection that only reads; looked at again where the connection was lost.

        Parameters are those of :meth:`run` and :meth:`reading`.

        Raises
        ------
        ConnectionLost : the connection was lost at every attempt.
        StorageError : the database refused for another reason.
        """

        def attempt() -> T:
            with self.reading(one_moment=one_moment) as connection:
                return look(connection)

        return _again(attempt, attempts, "nothing was being changed")

    def run(self, work: Callable[[sa.Connection], T], *, attempts: int = 3) -> T:
        """Do ``work`` in one transaction; once more from its start where the connection was lost or others were in the way.

        Parameters
        ----------
        work : gets the connection. It may run several times, so it changes nothing but the database. A connection that is lost
            during commit leaves open whether the work was kept: work for which that matters looks first whether it was done.
        attempts : how often it is begun, at most; between two there is a pause that grows from 0.1 s.

        Raises
        ------
        ConnectionLost : the connection was lost at every attempt.
        StorageError : the database refused for another reason.

        Examples
        --------
        >>> database = Database("sqlite://")
        >>> database.run(lambda connection: connection.execute(sa.text("select 42")).scalar_one())
        42
        """

        def attempt() -> T:
            with self.transaction() as connection:
                return work(connection)

        return _again(attempt, attempts, "what was being done may be kept or not: look, then do it again")

    def now(self, connection: sa.Connection) -> datetime:
        """The time by the database's clock, one for all hosts; SQLite's is that of the one host that uses it."""
        return utc_now() if self.is_sqlite else connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()

    def insert_new(self, connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> bool:
        """Insert a row unless one of its key is there already; whether it was inserted."""
        dialect = sqlite if self.is_sqlite else postgresql
        key = table.primary_key.columns
        statement = dialect.insert(table).values(**row).on_conflict_do_nothing().returning(*key)
        return connection.execute(statement).one_or_none() is not None

    def close(self) -> None:
        """Let go of every connection; the next use opens new ones."""
        if "engine" in self.__dict__:
            self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            file = Path(str(self.url.database)) if self.is_sqlite and not self._in_memory else None
            raise StorageError(explain(error, self.where, self.busy_timeout, file)) from error

    def _prepare_sqlite(self, raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # the "begin" event says BEGIN; sqlite3's own guess would split transactions
        for pragma in (
            "foreign_keys = ON",
            f"busy_timeout = {int(self.busy_timeout * 1000)}",
            f"synchronous = {self.synchronous}",
        ):
            raw.execute(f"PRAGMA {pragma}")
        if not self._in_memory:
            schema.use_write_ahead_log(raw, self.busy_timeout)

    def _prepare_postgresql(self, raw: Any, _record: Any) -> None:
        with raw.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {int(self.busy_timeout * 1000)}")
            cursor.execute("SET TIME ZONE 'UTC'")
        raw.commit()


def _again(attempt: Callable[[], T], attempts: int, in_doubt: str) -> T:
    """What ``attempt`` gives, begun again after a pause where the connection was lost or others were in the way."""
    for count in range(attempts):
        try:
            return attempt()
        except StorageError as error:
            lost = is_lost(error.__cause__)
            if not lost and not is_passing(error.__cause__):
                raise
            if count + 1 == attempts:
                if not lost:
                    raise
                raise ConnectionLost(f"{error} The connection was lost {attempts} times; {in_doubt}.") from error
        time.sleep(_FIRST_PAUSE * 4**count)
    raise StorageError(f"{attempts} attempts were asked for; at least 1 was expected.")


def _begin_sqlite(connection: sa.Connection) -> None:
    begin = "BEGIN IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "BEGIN"
    raw: Any = connection.connection.driver_connection
    try:
        raw.execute(begin)  # in a fifth of the time that SQLAlchemy takes around it
    except sqlite3.Error as error:
        raise sa.exc.DBAPIError.instance(begin, (), error, sqlite3.Error, dialect=connection.dialect) from error
