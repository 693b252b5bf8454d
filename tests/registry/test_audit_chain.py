"""The audit's chain: whatever is changed behind the registry's back is found; whatever is tried twice is done once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sklearn.linear_model import Ridge

from huracan.errors import ConnectionLost, PromotionConflict, RegistryError, StorageError
from huracan.model_info import ModelInfo
from huracan.model_registry import ModelRegistry
from huracan.registry.statements import Statement
from huracan.storage.tables import models, promotions


@pytest.fixture
def registry(database_url: str, tmp_path: Path, card: ModelInfo) -> Iterator[ModelRegistry]:
    made = ModelRegistry(database_url, artifacts=tmp_path / "artifacts")
    for slope in (1.0, 2.0):
        made.register(Ridge().fit([[0.0], [1.0]], [0.0, slope]), card, name="btc", metrics={"sharpe": slope})
    made.promote("btc", 1, expected=None, reason="first", metrics={"worst": -1.5})
    made.promote("btc", 2, expected=1, reason="better", evidence=["run-7", "comparison-3"], actor="Mechanic")
    yield made
    made.database.close()


def tamper(registry: ModelRegistry, *statements: str) -> None:
    """Change rows as somebody who owns the database can: without the triggers."""
    sqlite = registry.database.is_sqlite
    with registry.database.transaction() as connection:
        for event in ("update", "delete"):
            on = "" if sqlite else " on audit"
            connection.exec_driver_sql(f"drop trigger audit_never_{event}d{on}")
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_a_chain_that_nobody_touched_holds(registry: ModelRegistry) -> None:
    registry.rollback("btc", reason="it broke")
    report = registry.verify_audit("btc")
    assert report.intact
    assert (report.names, report.rows) == (1, 5)
    told = registry.history("btc")
    assert told["evidence"].to_list() == [None, None, None, '["run-7", "comparison-3"]', None]
    assert told["actor"][3] == "Mechanic"
    assert told["metrics_before"].to_list()[3:] == ['{"sharpe": 1.0}', '{"sharpe": 2.0}']
    assert told["metrics_after"].to_list()[3:] == ['{"sharpe": 2.0}', '{"sharpe": 1.0}']


@pytest.mark.parametrize(
    ("statement", "position", "why"),
    [
        ("update audit set reason = 'worse' where position = 3", 3, "changed after it was written"),
        ('update audit set details = \'{"metrics": {"worst": 9}}\' where position = 3', 3, "changed after"),
        ("update audit set to_version = 1 where position = 4", 4, "changed after"),
        ("update audit set evidence = null where position = 4", 4, "changed after"),
        ("update audit set at = '2020-01-01 00:00:00' where position = 1", 1, "changed after"),
        ("delete from audit where position = 2", 2, "3 follows"),
        ("delete from audit where position = 4", 4, "4 rows were written, 3 are there"),
        ("delete from audit", 1, "4 rows were written, 0 are there"),
        ("insert into audit (action, name, position, hash, previous_hash) values ('promote', 'btc', 5, 'x', 'y')", 5, "follow"),
        ("insert into audit (action, name) values ('promote', 'btc')", 5, "None follows"),
        ("update registered_models set audit_hash = 'x'", 4, "not the one that was written last"),
    ],
)
def test_whatever_is_changed_is_found_and_where(registry: ModelRegistry, statement: str, position: int, why: str) -> None:
    tamper(registry, statement)
    report = registry.verify_audit()
    assert not report.intact
    assert report.broken[0].position == position, report.broken
    assert why in report.broken[0].why


def test_a_promotion_that_failed_half_way_leaves_alias_audit_and_engine_as_they_were(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything() -> list[Any]:
        with registry.database.reading() as connection:
            tables = (models, promotions)
            rows = [connection.execute(sa.select(table).order_by(*table.primary_key)).all() for table in tables]
        return [*rows, registry.history("btc").to_dicts(), registry.aliases("btc")]

    before = everything()
    monkeypatch.setattr("huracan.registry.alias_moves._MARK_PROMOTED", Statement(sa.text("nonsense")))
    with pytest.raises(StorageError):
        registry.promote("btc", 1, reason="again")
    assert everything() == before
    assert registry.verify_audit().intact


class Cut:
    """Cuts connections to the server, as a restart or a firewall does."""

    def __init__(self, registry: ModelRegistry) -> None:
        self.registry = registry
        self.other = sa.create_engine(registry.database.url, isolation_level="AUTOCOMMIT")

    def others(self) -> None:
        with self.other.connect() as connection:
            connection.exec_driver_sql(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() "
                "and datname = current_database()"
            )


@pytest.fixture
def cut(registry: ModelRegistry) -> Iterator[Cut]:
    if registry.database.is_sqlite:
        pytest.skip("SQLite has no connection to lose")
    made = Cut(registry)
    yield made
    made.other.dispose()


def at_statement(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], None], times: int = 1) -> None:
    """Do something just before a statement of a promotion, the first few times it runs."""
    from huracan.registry import alias_moves

    real, left = getattr(alias_moves, name), [times]

    class Disturbed:
        def write(self, connection: sa.Connection, **values: Any) -> int:
            if left[0]:
                left[0] -= 1
                act()
            return int(real.write(connection, **values))

    monkeypatch.setattr(alias_moves, name, Disturbed())


def test_a_connection_lost_before_the_commit_is_tried_again(
    registry: ModelRegistry, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_statement(monkeypatch, "_CROWN", cut.others)
    registry.promote("btc", 1, expected=2, reason="again")
    assert registry.aliases("btc") == {"champion": 1}
    assert registry.history("btc").filter(action="promote")["to_version"].to_list() == [1, 2, 1]
    assert registry.verify_audit().intact


@pytest.mark.parametrize("times", [1, 3])
def test_a_look_whose_connection_is_lost_is_taken_again(
    registry: ModelRegistry, cut: Cut, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    from huracan.registry import alias_holders
    from huracan.registry.scopes import ALL

    real, left = alias_holders._BY_ALIAS[ALL], [times]

    class Disturbed:
        def one(self, connection: sa.Connection, **values: Any) -> Any:
            if left[0]:
                left[0] -= 1
                cut.others()
            return real.one(connection, **values)

    monkeypatch.setitem(alias_holders._BY_ALIAS, ALL, Disturbed())  # type: ignore[arg-type]
    if times == 3:
        with pytest.raises(ConnectionLost, match="lost 3 times; nothing was being changed"):
            registry.get("btc")
    assert registry.get("btc").version == 2


def test_a_connection_lost_every_time_is_reported_once(
    registry: ModelRegistry, cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_statement(monkeypatch, "_CROWN", cut.others, times=3)
    with pytest.raises(ConnectionLost, match="lost 3 times; what was being done may be kept or not: look, then do it again"):
        registry.promote("btc", 1, expected=2, reason="again")
    assert registry.aliases("btc") == {"champion": 2}
    registry.promote("btc", 1, expected=2, reason="again")


@pytest.mark.parametrize("act", ["promote", "rollback", "withdraw", "register", "tag"])
def test_a_connection_lost_after_the_commit_does_nothing_twice(
    registry: ModelRegistry, card: ModelInfo, cut: Cut, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    length = registry.history("btc").height
    engine, left = registry.database.engine, [1]
    real = engine.dialect.do_commit

    def commit(connection: Any) -> None:
        real(connection)
        if left[0]:
            left[0] -= 1
            cut.others()
            connection.execute("select 1")  # what the driver then finds out

    monkeypatch.setattr(engine.dialect, "do_commit", commit)
    if act == "promote":
        registry.promote("btc", 1, expected=2, reason="again")  # a second attempt would find 1 and raise
        assert registry.holder("btc")[0] == 1
    elif act == "rollback":
        assert registry.rollback("btc") == 1
    elif act == "withdraw":
        registry.withdraw("btc", expected=2, reason="it broke")
        assert registry.aliases("btc") == {}
    elif act == "register":
        assert registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 9.0]), card, name="btc") == 3
        assert [version.version for version in registry.versions("btc")] == [1, 2, 3]
    else:
        registry.tag("btc", 1, desk="fx")
        assert registry.tags("btc", 1) == {"desk": "fx"}
    assert left == [0]
    assert registry.history("btc").height == length + 1
    assert registry.verify_audit().intact


def test_the_database_may_tell_transactions_to_begin_again(registry: ModelRegistry) -> None:
    if registry.database.is_sqlite:
        pytest.skip("SQLite's writers queue")
    calls = []

    def work(connection: sa.Connection) -> str:
        calls.append(1)
        if len(calls) == 1:
            connection.exec_driver_sql("do $$ begin raise exception 'x' using errcode = '40001'; end $$")
        return "done"

    assert registry.database.run(work) == "done"
    assert len(calls) == 2


def test_what_is_no_accident_is_not_tried_again(registry: ModelRegistry) -> None:
    calls = []

    def work(connection: sa.Connection) -> None:
        calls.append(1)
        connection.exec_driver_sql("select * from no_such_table")

    with pytest.raises(StorageError):
        registry.database.run(work)
    assert len(calls) == 1


def test_a_clock_that_goes_back_changes_no_order(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    monkeypatch.setattr("huracan.registry.audit_chain.utc_now", lambda: datetime(2001, 1, 1, tzinfo=UTC))
    monkeypatch.setattr("huracan.registry.alias_moves.utc_now", lambda: datetime(2001, 1, 1, tzinfo=UTC))
    registry.promote("btc", 1, expected=2, reason="again")
    assert registry.history("btc")["reason"].to_list()[-1] == "again"
    assert registry.holder("btc")[1] == registry.history("btc")["id"].to_list()[-1]
    assert registry.rollback("btc") == 2
    assert registry.verify_audit().intact


def test_an_alias_may_be_one_symbols_or_one_regimes(registry: ModelRegistry) -> None:
    registry.promote("btc", 1, symbol="ETHUSDT", reason="here it is better")
    registry.promote("btc", 1, regime="volatile", reason="calm models fail there")
    registry.promote("btc", 2, symbol="ETHUSDT", regime="volatile", reason="both")
    found = {
        (symbol, regime): registry.get("btc", symbol=symbol, regime=regime)
        for symbol in (None, "ETHUSDT", "XRPUSDT")
        for regime in (None, "volatile", "trending")
    }
    assert {key: one.version for key, one in found.items()} == {
        (None, None): 2,
        (None, "volatile"): 1,
        (None, "trending"): 2,
        ("ETHUSDT", None): 1,
        ("ETHUSDT", "volatile"): 2,
        ("ETHUSDT", "trending"): 1,
        ("XRPUSDT", None): 2,
        ("XRPUSDT", "volatile"): 1,
        ("XRPUSDT", "trending"): 2,
    }
    assert (found["ETHUSDT", "trending"].symbol, found["ETHUSDT", "trending"].regime) == ("ETHUSDT", "")
    assert registry.aliases("btc") == {
        "champion": 2,
        "champion@*/volatile": 1,
        "champion@ETHUSDT": 1,
        "champion@ETHUSDT/volatile": 2,
    }
    assert registry.get("btc", version=1).aliases == ("champion@*/volatile", "champion@ETHUSDT")
    assert registry.rollback("btc") == 1  # the scopes have histories of their own
    assert registry.holder("btc", symbol="ETHUSDT", regime="volatile")[0] == 2
    with pytest.raises(RegistryError, match="did you mean 'volatile'"):
        registry.get("btc", regime="volatil")
    with pytest.raises(PromotionConflict, match="'champion@ETHUSDT' of model 'btc' points to version 1, nobody was expected"):
        registry.promote("btc", 2, symbol="ETHUSDT", expected=None, reason="r")
    assert registry.rollback("btc", symbol="ETHUSDT") is None
    assert registry.get("btc", symbol="ETHUSDT").version == 1


def test_a_model_stays_the_engines_champion_while_any_scope_has_it(registry: ModelRegistry) -> None:
    registry.promote("btc", 2, symbol="ETHUSDT", reason="r")
    registry.promote("btc", 1, reason="for all the others")
    with registry.database.reading() as connection:
        kinds = dict(connection.execute(sa.select(models.c.model_id, models.c.kind)).all())
        told = connection.execute(sa.select(promotions.c.snapshot).order_by(promotions.c.id)).scalars().all()
    assert kinds == {"btc/1": "champion", "btc/2": "champion"}
    assert [row.get("symbol") for row in told] == [None, None, "ETHUSDT", None]
    registry.promote("btc", 1, symbol="ETHUSDT", reason="r")
    with registry.database.reading() as connection:
        kinds = dict(connection.execute(sa.select(models.c.model_id, models.c.kind)).all())
    assert kinds == {"btc/1": "champion", "btc/2": "challenger"}


def test_the_generation_tells_a_return_from_no_move(registry: ModelRegistry) -> None:
    first = registry.holder("btc")
    registry.promote("btc", 1, reason="away")
    registry.promote("btc", 2, reason="and back")
    again = registry.holder("btc")
    assert first[0] == again[0] == 2
    assert again[1] > first[1]
    assert registry.get("btc").generation == again[1]
