"""Both databases: SQLite always, PostgreSQL where its programs are installed; the cluster is the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from huracan.model_info import ModelInfo


def _postgresql_programs() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Folder of the Unix socket of a fresh cluster; it listens on nothing else."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (huracan[postgres])")
    programs = _postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL's initdb and pg_ctl are not installed")
    root = Path(tempfile.mkdtemp(prefix="huracan_pg"))
    user = None
    if os.geteuid() == 0:  # the server refuses to run as root
        import pwd

        names = {entry.pw_name for entry in pwd.getpwall()}
        user = next((name for name in ("postgres", "nobody") if name in names), None)
        if user is None:
            pytest.skip("this test runs as root, and there is no user to run PostgreSQL as")
        shutil.chown(root, user)

    def call(*command: str) -> None:
        subprocess.run([programs / command[0], *command[1:]], user=user, check=True, capture_output=True, cwd=root, timeout=120)

    data = str(root / "data")
    call("initdb", "-D", data, "-U", "huracan", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
    options = f"-c listen_addresses='' -c unix_socket_directories={root} -c fsync=off -c shared_buffers=16MB"
    call("pg_ctl", "-D", data, "-w", "-l", str(root / "log"), "-o", options, "start")
    try:
        yield str(root)
    finally:
        call("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/huracan.db"
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"t{uuid.uuid4().hex}"
    engine = sa.create_engine(f"postgresql+psycopg://huracan@/postgres?host={server}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"create database {name}")
    engine.dispose()
    yield f"postgresql+psycopg://huracan@/{name}?host={server}"


@pytest.fixture
def card() -> ModelInfo:
    """A complete model card."""
    return ModelInfo(
        name="ridge",
        purpose="linear forecast of the next return",
        ideal_dataset_shape="(1_000+ rows, 5-500 features)",
        feature_requirements=("numeric", "no nulls"),
        output_schema={"prediction": "forecast of the label"},
        task="regression",
        market_regimes={"trending": "momentum is close to linear"},
        hyperparameters={"alpha": 1.0, "missing": float("nan")},
    )
