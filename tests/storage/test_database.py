"""The database: schema, transactions that hold or vanish, refusals in sentences."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from huracan.errors import StorageError
from huracan.storage import Database, failures
from huracan.storage.schema import VERSION_TABLE, downgrade, revision_of
from huracan.storage.tables import SHARED_TABLES, daily_equity, live_trades, metadata, models, runs

UPGRADE = "import sys; from huracan.storage import Database; Database(sys.argv[1]).upgrade()"


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path}/folder/huracan.db", busy_timeout=0.3)
    made.upgrade()
    return made


def test_the_migrations_make_exactly_the_tables_that_the_code_uses(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_revisions_travel_inside_the_package() -> None:
    folder = resources.files("huracan.storage") / "migrations" / "versions"
    assert (folder / "r0001_first_schema.py").is_file()


def test_an_older_schema_is_brought_up_and_back_and_keeps_its_rows(database: Database) -> None:
    count = sa.text("select count(*) from hold_out_uses where data_hash = 'd'")
    with database.transaction() as connection:
        connection.exec_driver_sql("insert into hold_out_uses (data_hash, why, symbols) values ('d', 'w', '[]')")
        downgrade(connection, "0001")
        assert revision_of(connection) == "0001"
        columns = [column["name"] for column in sa.inspect(connection).get_columns("hold_out_uses")]
        assert columns == ["id", "at", "data_hash", "config_hash", "run_id", "why"]
        assert connection.execute(count).scalar() == 1
    with pytest.raises(StorageError, match=r"older than this version.*upgrade\(\)"):
        database.check()
    database.upgrade()
    test_the_migrations_make_exactly_the_tables_that_the_code_uses(database)
    with database.reading() as connection:
        assert connection.execute(count).scalar() == 1


def test_upgrading_again_changes_nothing(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(sa.insert(models).values(model_id="m1"))
    database.upgrade()
    database.check()
    with database.reading() as connection:
        assert connection.execute(sa.select(models.c.model_id)).scalars().all() == ["m1"]


def test_sqlite_is_durable_and_checked(database: Database) -> None:
    with database.reading() as connection:
        settings = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in _PRAGMAS}
    assert settings == _PRAGMAS


_PRAGMAS = {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 300}


def test_processes_that_create_the_schema_at_once_all_succeed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/huracan.db"
    started = [subprocess.Popen([sys.executable, "-c", UPGRADE, url], stderr=subprocess.PIPE) for _ in range(3)]
    outcomes = [(process.communicate(timeout=120)[1], process.returncode) for process in started]
    assert [code for _, code in outcomes] == [0, 0, 0], outcomes
    Database(url).check()


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    def half() -> None:
        with database.transaction() as connection:
            connection.execute(sa.insert(models).values(model_id="half"))
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        half()
    with database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(models)).scalar() == 0


def test_a_schema_from_the_future_is_refused(database: Database) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql(f"update {VERSION_TABLE} set version_num = '9999'")
    for act in (database.check, database.upgrade):
        with pytest.raises(StorageError, match=r"revision '9999'.*a newer version wrote it; upgrade huracan"):
            act()


def test_check_asks_for_an_upgrade_where_there_is_no_schema(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"older than this version.*upgrade\(\)"):
        Database(f"sqlite:///{tmp_path}/empty.db").check()


def test_a_locked_database_is_a_sentence_not_a_wait_for_ever(database: Database) -> None:
    other = sqlite3.connect(database.url.database or "")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match=r"is locked by another process and stayed so for 0\.3 s"), database.transaction():
        pass
    with database.reading() as connection:  # readers are never blocked by a writer
        assert connection.execute(sa.select(models)).all() == []
    other.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("not a database, but long enough to be looked at " * 50)
    with pytest.raises(StorageError, match="is not a SQLite database"):
        Database(f"sqlite:///{tmp_path}/notes.db").upgrade()


def test_a_folder_in_the_way_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot make the folder"):
        Database(f"sqlite:///{tmp_path}/file/huracan.db").upgrade()
    with pytest.raises(StorageError, match="cannot be opened"):
        Database(f"sqlite:///{tmp_path}").upgrade()


def test_a_full_disk_is_a_sentence_and_changes_nothing(database: Database) -> None:
    def fill() -> None:
        with database.transaction() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            connection.execute(sa.insert(models), [{"model_id": f"{i}" * 500} for i in range(2000)])

    with pytest.raises(StorageError, match="is full; nothing was changed"):
        fill()
    with database.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(models)).scalar() == 0


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="users are changed the POSIX way")
def test_a_read_only_file_can_be_read_and_says_so_when_written(database: Database) -> None:
    path = Path(str(database.url.database))
    code = (
        "import os, sys, sqlalchemy as sa\n"
        "from huracan.storage import Database\n"
        "from huracan.storage.tables import models\n"
        "database = Database(sys.argv[1]); database.upgrade(); database.close()\n"
        "os.chmod(sys.argv[2], 0o444); os.chmod(os.path.dirname(sys.argv[2]), 0o555)\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try:\n"
        "    with database.transaction() as connection: connection.execute(sa.insert(models).values(model_id='m'))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "else: print('written')\n"
    )
    for folder in (path.parent, *path.parents[1:4]):
        if folder.owner() != "root" or os.geteuid() == 0:
            folder.chmod(folder.stat().st_mode | 0o055)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, database.where, str(path)], capture_output=True, text=True, timeout=60
        )
    finally:
        path.parent.chmod(0o755)
    assert done.stdout.startswith("StorageError sqlite:///"), done
    assert "read-only" in done.stdout or "cannot be opened" in done.stdout


@pytest.mark.parametrize(
    ("sign", "state", "said"),
    [
        ("unable to open database file", "no folder", "cannot be opened: its folder is missing"),
        ("unable to open database file", "a folder", "cannot be opened: it is a folder"),
        ("unable to open database file", "read-only folder", "cannot be made: its folder is read-only for this user"),
        ("unable to open database file", "read-only", "is read-only for this user; writing needs file and folder"),
        ("attempt to write a readonly database", "read-only", "is read-only for this user; writing needs file and folder"),
        ("disk I/O error", "full", "the disk that holds it is full; nothing was changed"),
        ("unable to open database file", "full", "the disk that holds it is full; nothing was changed"),
        ("disk I/O error", "", "the disk failed while it was used; nothing was changed"),
    ],
)
def test_what_sqlite_says_of_many_causes_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sign: str, state: str, said: str
) -> None:
    file = tmp_path / "none" / "m.db" if state == "no folder" else tmp_path / "m.db"
    if state == "a folder":
        file.mkdir()
    elif state in ("read-only", "full", ""):
        file.touch()
    if state.startswith("read-only"):
        monkeypatch.setattr(failures, "_writable", lambda _: False)
    if state == "full":
        monkeypatch.setattr(failures.os, "statvfs", lambda _: SimpleNamespace(f_bavail=7, f_frsize=4096))
    error = sa.exc.OperationalError("select", {}, Exception(sign))
    assert said in failures.explain(error, "it", 30.0, file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cannot execute INSERT in a read-only transaction", "it only reads at present, as a standby does"),
        ("permission denied for table audit", "it does not let this user do that"),
        ("could not extend file: No space left on device", "the disk that holds it is full; nothing was changed"),
        ("sorry, too many clients already", "it has no connection left for us"),
    ],
)
def test_what_postgresql_refuses_is_a_sentence(text: str, said: str) -> None:
    assert failures.explain(sa.exc.OperationalError("insert", {}, Exception(text)), "it", 30.0).startswith(said)


@pytest.mark.parametrize("url", ["mysql://host/db", "not a url", "sqlite+aiosqlite:///x.db"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(StorageError, match=r"expected sqlite:///file\.db or postgresql"):
        Database(url)


def test_an_unreachable_server_is_a_sentence_without_the_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        Database("postgresql://someone:hunter2@127.0.0.1:9/none", busy_timeout=2).upgrade()
    assert "hunter2" not in str(caught.value)


def test_times_are_kept_in_utc_whatever_zone_they_came_in(database: Database) -> None:
    there = datetime(2025, 11, 11, 9, 30, tzinfo=timezone(timedelta(hours=9)))
    with database.transaction() as connection:
        connection.execute(sa.insert(runs).values(run_id="r", status="running", started_at=there))
        connection.exec_driver_sql(
            "insert into runs (run_id, status, started_at) values ('t', 'x', '2025-11-11T01:00:00+01:00')"
        )
        assert connection.execute(sa.select(runs.c.started_at)).scalars().all() == [
            datetime(2025, 11, 11, 0, 30, tzinfo=UTC),
            datetime(2025, 11, 11, 0, 0, tzinfo=UTC),
        ]


def test_a_time_without_zone_is_refused(database: Database) -> None:
    with pytest.raises(StorageError, match="has no time zone"), database.transaction() as connection:
        connection.execute(sa.insert(runs).values(run_id="r", status="x", started_at=datetime(2025, 1, 1)))


def test_shared_tables_that_are_there_already_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    raw = sqlite3.connect(path)
    raw.execute(
        "create table daily_equity "
        "(id integer primary key, date date unique, nav real, max_dd real, turnover real, fees_bps real)"
    )
    raw.execute("insert into daily_equity (date, nav) values ('2025-11-11', 1000.0)")
    raw.commit()
    raw.close()
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    with database.reading() as connection:
        assert connection.execute(sa.select(daily_equity.c.nav)).scalar() == 1000.0
        assert connection.execute(sa.select(live_trades)).all() == []


def test_a_shared_table_that_lacks_a_column_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / "engine.db")
    raw.execute("create table promotions (id integer primary key, from_model_id text)")
    raw.close()
    database = Database(f"sqlite:///{tmp_path}/engine.db")
    with pytest.raises(StorageError, match="'promotions' is there already but lacks the column 'to_model_id'"):
        database.upgrade()
    with database.reading() as connection:
        assert sa.inspect(connection).get_table_names() == ["promotions"]


def test_the_shared_tables_have_the_columns_that_the_engine_names() -> None:
    columns = {table.name: [column.name for column in table.columns if column.name != "id"] for table in SHARED_TABLES}
    assert columns == {
        "models": ["model_id", "parent_id", "kind", "created_at", "s3_path", "features_used", "params"],
        "model_metrics": ["model_id", "window", "sharpe", "hit_rate", "drawdown", "net_bps", "cost_bps", "promoted"],
        "promotions": ["from_model_id", "to_model_id", "reason", "at", "snapshot"],
        "live_trades": ["trade_id", "time", "symbol", "side", "size", "entry", "exit", "fees", "net_pnl", "model_id"],
        "daily_equity": ["date", "nav", "max_dd", "turnover", "fees_bps"],
    }
