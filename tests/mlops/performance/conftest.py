"""Empty stores: one in memory, and one of each kind of database. The databases are made once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from benchmarks.automl_checks.own_postgresql import new_database

from huracan.mlops.performance import PerformanceStore
from huracan.storage import Database
from huracan.storage.feedback_tables import FEEDBACK_TABLES
from huracan.storage.tables import SHARED_TABLES, model_versions, registered_models


@pytest.fixture(scope="session")
def sqlite_in_memory() -> Iterator[Database]:
    """A SQLite database."""
    database = Database("sqlite://")
    database.upgrade()
    yield database
    database.close()


@pytest.fixture(scope="session")
def one_postgresql(postgresql_server: str) -> Iterator[Database]:
    """A PostgreSQL database."""
    database = Database(new_database(postgresql_server))
    database.upgrade()
    yield database
    database.close()


@pytest.fixture
def store(sqlite_in_memory: Database) -> PerformanceStore:
    """An empty store in memory."""
    return emptied(sqlite_in_memory)


@pytest.fixture(params=["sqlite_in_memory", "one_postgresql"], ids=["sqlite", "postgresql"])
def any_store(request: pytest.FixtureRequest) -> PerformanceStore:
    """An empty store, once on SQLite and once on PostgreSQL."""
    return emptied(request.getfixturevalue(request.param))


def emptied(database: Database) -> PerformanceStore:
    """A store in a database of which all that these tests write is deleted."""
    with database.transaction() as connection:
        for table in (*FEEDBACK_TABLES, *SHARED_TABLES, model_versions, registered_models):
            connection.execute(sa.delete(table))
    return PerformanceStore(database, "btc")
