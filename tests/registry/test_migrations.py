"""Every revision goes up and back with rows in its tables, on both databases, and loses only what it says it loses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from huracan.errors import StorageError
from huracan.storage import Database, to_json
from huracan.storage.schema import VERSION_TABLE, downgrade, revision_of, upgrade_to
from huracan.storage.tables import SHARED_TABLES, metadata

CARD = {
    "name": "ridge",
    "market_regimes": {"trending": "momentum", "volatile": "it hopes"},
    "regime_evidence": [
        {
            "regime": "trending",
            "skill": 0.2,
            "ci_low": 0.1,
            "ci_high": 0.3,
            "p_adjusted": 0.01,
            "n_effective": 9.5,
            "n_rows": 10,
        },
    ],
    "hyperparameters": {"missing": float("nan")},
}
AT = ["2025-11-11 00:00:00.250000", "2025-11-11 00:00:01"]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    made.close()
    yield made
    made.close()


def go(database: Database, revision: str) -> None:
    """Bring the schema to a revision, up or down."""
    with database.transaction() as connection:
        here = revision_of(connection)
        if here is None or (revision not in ("base", here) and here < revision):
            upgrade_to(connection, revision)
        else:
            downgrade(connection, revision)


def put(database: Database, table: str, **values: Any) -> None:
    columns = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join(f":{name}" for name in values)
    with database.transaction() as connection:
        connection.execute(sa.text(f"insert into {table} ({columns}) values ({marks})"), values)


def rows(database: Database, table: str, *columns: str) -> list[dict[str, Any]]:
    chosen = ", ".join(f'"{name}"' for name in columns) or "*"
    with database.reading() as connection:
        return [dict(row) for row in connection.execute(sa.text(f"select {chosen} from {table} order by 1, 2")).mappings()]


def fill_first(database: Database) -> None:
    """Rows as the first revision's code wrote them: two versions, moved to and fro, and the Engine's own."""
    put(database, "models", model_id="engine-1", params="{}")
    put(database, "model_metrics", model_id="engine-1", window="30d", sharpe=1.0)
    put(database, "promotions", to_model_id="engine-1", at=AT[0])
    put(database, "live_trades", trade_id="t")
    put(database, "daily_equity", date="2025-11-11")
    put(database, "registered_models", name="btc", last_version=2)
    for version in (1, 2):
        put(
            database,
            "model_versions",
            name="btc",
            version=version,
            model_id=f"btc/{version}",
            kind="challenger",
            digest="0" * 64,
            info=to_json(CARD),
            metrics="{}",
            provenance=to_json({"run_id": f"run{version}"}),
            extras="{}",
        )
    put(database, "aliases", name="btc", alias="champion", version=2, updated_at=AT[0])
    for version in (1, 2):
        details = to_json({"metrics": {"p": 0.1, "worst": float("-inf")}})
        put(database, "audit", action="register", name="btc", to_version=version, actor="me", at=AT[1])
        put(database, "audit", action="promote", name="btc", alias="champion", to_version=version, details=details, at=AT[0])
    put(database, "runs", run_id="r", status="done")
    put(database, "hold_out_uses", data_hash="d", why="w", run_id="r")


def fill_third(database: Database) -> None:
    study = {"name": "s", "data_hash": "d", "task": "regression", "metric": "mse", "status": "running"}
    study |= dict.fromkeys(("symbols", "identity", "versions", "queue"), "{}") | {"n_rows": 1, "n_features": 1}
    put(database, "studies", **study, bar_seconds=60.0, seed=1)
    put(database, "study_owners", token="o", study_id=1, host="h", process_id=1)
    put(database, "study_trials", study_id=1, number=0, state="done", owner="o", attempts=1)


TABLES = ("models", "model_metrics", "promotions", "live_trades", "daily_equity", "registered_models", "model_versions")
TABLES += ("aliases", "audit", "runs", "hold_out_uses")


def everything(database: Database, *tables: str) -> dict[str, Any]:
    return {table: rows(database, table) for table in tables}


def test_each_revision_goes_up_down_and_up_with_its_rows(database: Database) -> None:
    go(database, "0001")
    fill_first(database)
    kept = everything(database, *TABLES)
    for revision, tables in (
        ("0002", TABLES),
        ("0003", TABLES),
        ("0004", (*TABLES, "studies", "study_owners", "study_trials")),
        *(
            (revision, (*TABLES, "studies", "study_owners", "study_trials", "model_tags", "model_regimes"))
            for revision in ("0005", "0006", "0007")
        ),
    ):
        below = f"{int(revision) - 1:04d}"
        before = everything(database, *tables)
        go(database, revision)
        after = everything(database, *tables)
        go(database, below)
        assert everything(database, *tables) == before
        go(database, revision)
        assert without_the_clock(everything(database, *tables)) == without_the_clock(after)
        if revision == "0003":
            fill_third(database)
    go(database, "0001")
    assert everything(database, *TABLES) == kept


def without_the_clock(found: dict[str, Any]) -> dict[str, Any]:
    """Rows less what depends on when a migration ran: the time of its own audit row, and what is hashed with it."""
    told = [row for row in found["audit"] if row["action"] != "migrate"]
    heads = [{**row, "audit_hash": None} for row in found["registered_models"]]
    return {**found, "audit": told, "registered_models": heads}


def test_our_first_revision_goes_and_leaves_what_is_shared(database: Database) -> None:
    go(database, "0004")
    go(database, "0001")
    fill_first(database)
    shared = [table.name for table in SHARED_TABLES]
    before = everything(database, *shared)
    go(database, "base")
    with database.reading() as connection:
        left = set(sa.inspect(connection).get_table_names()) - {VERSION_TABLE, "sqlite_sequence"}
    assert left == set(shared)
    assert everything(database, *shared) == before
    database.upgrade()
    assert everything(database, *shared) == before
    assert rows(database, "registered_models") == []


def test_what_was_there_is_told_in_the_new_columns(database: Database) -> None:
    go(database, "0003")
    fill_first(database)
    database.upgrade()
    versions = rows(database, "model_versions", "version", "learner", "run_id", "stage", "verified")
    assert [tuple(row.values()) for row in versions] == [(1, "ridge", "run1", "active", 1), (2, "ridge", "run2", "active", 1)]
    found = rows(database, "model_regimes", "version_id", "regime", "reason", "skill", "n_rows", "n_spells", "newest")
    assert [tuple(row.values())[1:] for row in found] == [
        ("trending", "momentum", 0.2, 10, 0, 0),
        ("volatile", "it hopes", None, None, None, 0),
        ("trending", "momentum", 0.2, 10, 0, 1),
        ("volatile", "it hopes", None, None, None, 1),
    ]
    told = rows(database, "audit", "id", "position", "action", "previous_hash", "hash")
    assert [row["action"] for row in told] == ["register", "promote", "register", "promote", "migrate"]
    assert [row["position"] for row in told] == [1, 2, 3, 4, 5]
    assert [row["previous_hash"] for row in told] == ["", *(row["hash"] for row in told[:-1])]
    [head] = rows(database, "registered_models", "audit_length", "audit_hash")
    assert head == {"audit_length": 5, "audit_hash": told[-1]["hash"]}
    [alias] = rows(database, "aliases")
    assert (alias["symbol"], alias["regime"], alias["version"], alias["moved_by"]) == ("", "", 2, told[3]["id"])


def test_scoped_aliases_go_with_the_revision_and_their_moves_keep_their_words(database: Database) -> None:
    go(database, "0003")
    fill_first(database)
    database.upgrade()
    put(database, "aliases", name="btc", alias="champion", symbol="ETHUSDT", version=1)
    put(database, "model_tags", name="btc", version=1, key="k", value="v")
    put(database, "audit", action="promote", name="btc", alias="champion", symbol="ETHUSDT", to_version=1, position=6)
    go(database, "0003")
    assert [(row["alias"], row["version"]) for row in rows(database, "aliases")] == [("champion", 2)]
    assert rows(database, "audit")[-1]["action"] == "promote of ETHUSDT/"
    database.upgrade()
    assert len(rows(database, "aliases")) == 1


@pytest.mark.parametrize("statement", ["update audit set reason = 'better'", "delete from audit", "truncate audit"])
def test_an_audit_row_is_never_changed(database: Database, statement: str) -> None:
    if statement.startswith("truncate") and database.is_sqlite:
        pytest.skip("SQLite has no TRUNCATE")
    go(database, "0003")
    fill_first(database)
    database.upgrade()
    before = rows(database, "audit")
    with pytest.raises(StorageError, match="audit rows are never changed"), database.transaction() as connection:
        connection.exec_driver_sql(statement)
    assert rows(database, "audit") == before


def test_the_newest_revision_is_that_of_the_tables(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    for revision in ("0007", "0003", "0007"):
        go(database, revision)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []
        indexes = {index["name"] for index in sa.inspect(connection).get_indexes("model_regimes")}
    assert "ix_model_regimes_newest" in indexes


def test_only_versions_that_can_be_promoted_speak_and_only_with_numbers(database: Database) -> None:
    go(database, "0005")
    put(database, "registered_models", name="btc", last_version=3)
    for version in (1, 2, 3):
        known = {"name": "btc", "version": version, "learner": "ridge"}
        texts = dict.fromkeys(("info", "metrics", "provenance", "extras"), "{}")
        state = {"stage": "archived" if version == 3 else "active", "verified": version != 2}
        put(database, "model_versions", **known, **texts, **state, model_id=f"btc/{version}", kind="challenger", digest="d")
        row = rows(database, "model_versions", "id", "version")[-1]["id"]
        skill = {"skill": 0.1, "p_adjusted": 0.5 if version == 1 else float("nan"), "n_rows": 5}
        for regime, reason in (("trending", None), ("volatile", "it hopes")):
            values = {**known, **skill, "regime": regime, "reason": reason, "newest": version == 3}
            put(database, "model_regimes", version_id=row, **values)
    go(database, "0006")
    found = rows(database, "model_regimes", "version", "regime", "skill", "n_rows", "newest")
    assert [tuple(row.values()) for row in found] == [
        (1, "trending", 0.1, 5, 1),
        (1, "volatile", 0.1, 5, 1),
        (2, "volatile", None, None, 0),
        (3, "volatile", None, None, 0),
    ]
