"""Shared fixtures: where the real market data lies, and an empty database of each kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.automl_checks.own_postgresql import NoPostgreSQL, new_database, own_postgresql

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def market_data() -> Path:
    """Folder with real candles and published benchmarks; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("HURACAN_TEST_DATA", _ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real market data is not at {folder}; set HURACAN_TEST_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Folder of the Unix socket of a fresh cluster; it listens on nothing else."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (huracan[postgres])")
    try:
        with own_postgresql() as folder:
            yield folder
    except NoPostgreSQL as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/huracan.db"
    return new_database(request.getfixturevalue("postgresql_server"))
