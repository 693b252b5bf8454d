"""The Engine's own statements, word for word in its dialects, work on our schema; each test once per database."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from huracan.storage import Database, RunLog


class Engine:
    """Another program: talks to the database through the bare driver, knows nothing of Huracan."""

    def __init__(self, database: Database) -> None:
        self.sqlite = database.is_sqlite
        if self.sqlite:
            self.raw: Any = sqlite3.connect(str(database.url.database))
        else:
            import psycopg

            self.raw = psycopg.connect(database.url.set(drivername="postgresql").render_as_string(hide_password=False))

    def run(self, statement: str, *values: Any) -> Any:
        cursor = self.raw.cursor()
        cursor.execute(statement if self.sqlite else statement.replace("?", "%s"), values)
        self.raw.commit()
        return cursor

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.run(statement, *values).fetchall()]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    made.upgrade()
    yield made
    made.close()


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    made = Engine(database)
    yield made
    made.raw.close()


def test_models_insert_upsert_read(engine: Engine) -> None:
    statement = (
        "INSERT INTO models (model_id, parent_id, kind, created_at, s3_path, features_used, params) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (model_id) DO UPDATE SET kind = excluded.kind, params = excluded.params"
    )
    row = ("BTC-1", None, "baseline", "2025-11-11T00:00:00+00:00", "s3://b/m", json.dumps(["rsi"]), json.dumps({"depth": 3}))
    engine.run(statement, *row)
    engine.run(statement, *row[:2], "champion", *row[3:6], json.dumps({"depth": 4}))
    [(kind, path, params)] = engine.rows("SELECT kind, s3_path, params FROM models WHERE model_id = ?", "BTC-1")
    assert (kind, path) == ("champion", "s3://b/m")
    assert (json.loads(params) if isinstance(params, str) else params) == {"depth": 4}


def test_metrics_upsert_by_model_and_window_even_before_the_model_is_there(engine: Engine) -> None:
    statement = (
        'INSERT INTO model_metrics (model_id, "window", sharpe, hit_rate, drawdown, net_bps, cost_bps, promoted) '
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        'ON CONFLICT (model_id, "window") DO UPDATE SET sharpe = excluded.sharpe, promoted = excluded.promoted'
    )
    for sharpe, promoted in ((0.5, False), (1.5, True)):
        engine.run(statement, "ETH-9", "30d", sharpe, 0.51, -0.1, 3.2, 1.1, promoted)
    engine.run(statement, "ETH-9", "7d", 0.1, 0.5, -0.2, 0.0, 1.0, False)
    found = engine.rows('SELECT "window", sharpe, promoted FROM model_metrics WHERE model_id = ? ORDER BY sharpe', "ETH-9")
    assert found == [("7d", 0.1, False), ("30d", 1.5, True)]


def test_promotions_append_without_an_id(engine: Engine) -> None:
    statement = "INSERT INTO promotions (from_model_id, to_model_id, reason, at, snapshot) VALUES (?, ?, ?, ?, ?)"
    for new in ("a", "b"):
        engine.run(statement, None, new, "better", "2025-11-11 00:00:00+00:00", json.dumps({"sharpe": 1}))
    assert engine.rows("SELECT to_model_id FROM promotions ORDER BY at, id") == [("a",), ("b",)]


def test_the_bot_writes_trades_and_equity_and_we_read_them_as_utc(engine: Engine, database: Database) -> None:
    engine.run(
        "INSERT INTO live_trades (trade_id, time, symbol, side, size, entry, exit, fees, net_pnl, model_id) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *("t1", "2025-11-11T08:00:00+02:00", "BTC", "long", 0.5, 1e5, 101_000.0, 12.5, 487.5, "m"),
    )
    upsert = (
        "INSERT INTO daily_equity (date, nav, max_dd, turnover, fees_bps) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (date) DO UPDATE SET nav = excluded.nav"
    )
    for nav in (1000.0, 1010.0):
        engine.run(upsert, "2025-11-11", nav, -0.02, 1.5, 4.0)
    from huracan.storage.tables import daily_equity, live_trades

    with database.reading() as connection:
        trade = connection.execute(sa.select(live_trades)).one()
        day = connection.execute(sa.select(daily_equity)).one()
    assert trade.time.isoformat() == "2025-11-11T06:00:00+00:00"
    assert (trade.net_pnl, str(day.date), day.nav) == (487.5, "2025-11-11", 1010.0)


def test_what_may_be_left_out_may_be_left_out(engine: Engine) -> None:
    engine.run("INSERT INTO models (model_id) VALUES (?)", "m")
    engine.run('INSERT INTO model_metrics (model_id, "window") VALUES (?, ?)', "m", "w")
    engine.run("INSERT INTO promotions (to_model_id) VALUES (?)", "m")
    engine.run("INSERT INTO live_trades (trade_id) VALUES (?)", "t")
    engine.run("INSERT INTO daily_equity (date) VALUES (?)", "2025-11-12")
    assert engine.rows("SELECT kind FROM models") == [("challenger",)]
    assert engine.rows("SELECT count(*) FROM models WHERE created_at IS NOT NULL") == [(1,)]


def test_the_migrations_make_the_tables_of_the_code(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from huracan.storage.schema import VERSION_TABLE
    from huracan.storage.tables import metadata

    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.upgrade()
    database.check()


def test_looks_at_a_hold_out_are_counted_once_a_run_however_many_look_at_once(database: Database) -> None:
    log = RunLog(database)
    for number in range(4):
        log.start_run(run_id=f"r{number}")

    def look(number: int) -> int:
        day = datetime(2025, 1, 1 + number % 4, tzinfo=UTC)
        return log.use_hold_out(
            data_hash="d", symbols=["A"], start=day, end=day + timedelta(days=9), why="w", run_id=f"r{number % 4}"
        )

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(look, range(8)))
    assert sorted(counts) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert counts[:4] == counts[4:]
    assert len(log.hold_out_uses(symbols=["A"])) == 4


def test_an_older_schema_is_brought_up_and_back(database: Database) -> None:
    from huracan.storage.schema import downgrade, revision_of

    with database.transaction() as connection:
        downgrade(connection, "0001")
        assert revision_of(connection) == "0001"
        assert "span_start" not in [column["name"] for column in sa.inspect(connection).get_columns("hold_out_uses")]
    database.upgrade()
    test_the_migrations_make_the_tables_of_the_code(database)


def test_processes_that_create_the_schema_at_once_all_succeed(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("done in tests/storage/test_database.py")
    code = "import sys; from huracan.storage import Database; Database(sys.argv[1]).upgrade()"
    started = [subprocess.Popen([sys.executable, "-c", code, database_url], stderr=subprocess.PIPE) for _ in range(3)]
    outcomes = [(process.communicate(timeout=120)[1], process.returncode) for process in started]
    assert [code for _, code in outcomes] == [0, 0, 0], outcomes
    Database(database_url).check()
