"""A store in memory, and one of each kind of database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from huracan.mlops.performance import PerformanceStore
from huracan.storage import Database


@pytest.fixture
def store() -> Iterator[PerformanceStore]:
    """A store in memory."""
    database = Database("sqlite://")
    database.upgrade()
    yield PerformanceStore(database, "btc")
    database.close()


@pytest.fixture
def any_store(database_url: str) -> Iterator[PerformanceStore]:
    """A store, once on SQLite and once on PostgreSQL."""
    database = Database(database_url)
    database.upgrade()
    yield PerformanceStore(database, "btc")
    database.close()
