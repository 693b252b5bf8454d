"""Promotion on both databases: exactly one winner, an audit of every step, the Engine's tables told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sklearn.linear_model import Ridge

from huracan.errors import PromotionConflict, RegistryError
from huracan.model_info import ModelInfo
from huracan.model_registry import ModelRegistry
from huracan.storage.tables import aliases, model_metrics, models, promotions


@pytest.fixture
def registry(database_url: str, tmp_path: Path) -> Iterator[ModelRegistry]:
    made = ModelRegistry(database_url, artifacts=tmp_path / "artifacts")
    yield made
    made.database.close()


def line(slope: float) -> Any:
    return Ridge().fit([[0.0], [1.0]], [0.0, slope])


@pytest.fixture
def three(registry: ModelRegistry, card: ModelInfo) -> ModelRegistry:
    for slope in (1.0, 2.0, 3.0):
        registry.register(line(slope), card, name="btc", metrics={"sharpe": slope})
    return registry


def rows(registry: ModelRegistry, *columns: Any) -> list[tuple[Any, ...]]:
    with registry.database.reading() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(columns[0]))]


def test_versions_are_counted_by_the_database(three: ModelRegistry) -> None:
    found = three.versions("btc")
    assert [version.version for version in found] == [1, 2, 3]
    assert len({version.digest for version in found}) == 3
    with three.database.transaction() as connection:  # a number is never given twice, even after a deletion
        connection.exec_driver_sql("delete from model_regimes where version = 3")
        connection.exec_driver_sql("delete from model_versions where version = 3")
        connection.exec_driver_sql("delete from models where model_id = 'btc/3'")
        connection.exec_driver_sql("delete from model_metrics where model_id = 'btc/3'")
    assert three.register(line(4.0), found[0].info, name="btc") == 4


def test_expected_is_compared_before_it_is_set(three: ModelRegistry) -> None:
    with pytest.raises(PromotionConflict, match=r"points to nobody, version 2 was expected"):
        three.promote("btc", 1, expected=2, reason="r")
    three.promote("btc", 1, expected=None, reason="first")
    with pytest.raises(PromotionConflict, match=r"points to version 1, nobody was expected"):
        three.promote("btc", 2, expected=None, reason="r")
    three.promote("btc", 2, expected=1, reason="better")
    three.promote("btc", 3, reason="not checked")
    assert three.aliases("btc") == {"champion": 3}
    assert three.history("btc").filter(action="promote")["reason"].to_list() == ["first", "better", "not checked"]


def test_a_conflict_leaves_no_trace(three: ModelRegistry) -> None:
    three.promote("btc", 1, reason="first")
    before = (three.history("btc"), rows(three, models.c.model_id, models.c.kind), rows(three, promotions.c.id))
    with pytest.raises(PromotionConflict):
        three.promote("btc", 2, expected=3, reason="r")
    after = (three.history("btc"), rows(three, models.c.model_id, models.c.kind), rows(three, promotions.c.id))
    assert before[0].equals(after[0])
    assert before[1:] == after[1:]


def test_the_engine_sees_every_change_of_champion(three: ModelRegistry) -> None:
    three.promote("btc", 1, reason="first", metrics={"p": 0.01})
    three.promote("btc", 2, reason="better")
    three.promote("btc", 3, alias="shadow", reason="watch it")
    three.rollback("btc", reason="it broke")
    kinds = rows(three, models.c.model_id, models.c.kind)
    assert kinds == [("btc/1", "champion"), ("btc/2", "challenger"), ("btc/3", "challenger")]
    told = rows(three, promotions.c.id, promotions.c.from_model_id, promotions.c.to_model_id, promotions.c.reason)
    assert [row[1:] for row in told] == [
        (None, "btc/1", "first"),
        ("btc/1", "btc/2", "better"),
        ("btc/2", "btc/1", "it broke"),
    ]
    assert rows(three, promotions.c.id, promotions.c.snapshot)[0][1]["metrics"] == {"p": 0.01}
    assert rows(three, model_metrics.c.model_id, model_metrics.c.sharpe, model_metrics.c.promoted) == [
        ("btc/1", 1.0, True),
        ("btc/2", 2.0, True),
        ("btc/3", 3.0, False),
    ]


def test_a_baseline_can_be_champion_and_stays_a_baseline(three: ModelRegistry, card: ModelInfo) -> None:
    version = three.register(line(0.0), card, name="btc", kind="baseline")
    three.promote("btc", version, reason="nothing beats it")
    assert three.get("btc").kind == "baseline"
    three.promote("btc", 1, reason="now something does")
    assert dict(rows(three, models.c.model_id, models.c.kind))["btc/4"] == "baseline"


def test_rollback_goes_back_step_by_step(three: ModelRegistry) -> None:
    for version in (1, 2, 3):
        three.promote("btc", version, reason="better")
    assert three.rollback("btc") == 2
    assert three.rollback("btc") == 1
    assert three.rollback("btc") is None
    with pytest.raises(RegistryError, match="nobody held it before, and nobody holds it now"):
        three.rollback("btc")
    three.promote("btc", 1, reason="after all")
    three.promote("btc", 3, reason="again")
    assert three.rollback("btc", reason="again wrong") == 1
    assert three.history("btc")["to_version"].to_list() == [1, 2, 3, 1, 2, 3, 2, 1, None, 1, 3, 1]


def test_promoting_the_holder_again_changes_nothing(three: ModelRegistry) -> None:
    three.promote("btc", 1, reason="first")
    three.promote("btc", 2, reason="better")
    three.promote("btc", 2, expected=2, reason="still")
    assert three.rollback("btc") == 1


RACER = """
import sys
from huracan.errors import PromotionConflict
from huracan.model_registry import ModelRegistry

def say(word):
    print(word, flush=True)

registry = ModelRegistry(sys.argv[1], artifacts=sys.argv[2])
say("ready")
for _ in sys.stdin:  # a line starts a round, the next lets all promote at once
    held = registry.aliases("btc").get("champion")
    say("set")
    sys.stdin.readline()
    try:
        registry.promote("btc", 1 + (held or 0) % 3, expected=held, reason="race")
    except PromotionConflict:
        say("lost")
    else:
        say("won")
"""


@pytest.mark.parametrize("rounds", [12])
def test_of_four_processes_that_promote_at_once_one_wins_each_round(three: ModelRegistry, rounds: int) -> None:
    where = (three.database.url.render_as_string(hide_password=False), str(three.artifacts.folder))
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen([sys.executable, "-c", RACER, *where], **pipes) for _ in range(4)]

    def heard() -> list[str]:
        return [racer.stdout.readline().strip() or racer.communicate()[1] for racer in racers]

    def call() -> list[str]:
        for racer in racers:
            racer.stdin.write("go\n")
            racer.stdin.flush()
        return heard()

    try:
        assert heard() == ["ready"] * 4
        for _ in range(rounds):
            assert call() == ["set"] * 4
            assert sorted(call()) == ["lost", "lost", "lost", "won"]
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()
    moves = three.history("btc").filter(action="promote")
    assert moves.height == rounds
    assert moves["from_version"].to_list() == [None, *moves["to_version"].to_list()[:-1]]
    assert rows(three, aliases.c.version) == [(moves["to_version"].to_list()[-1],)]


@pytest.mark.parametrize("alias", ["champion@BTCUSDT", "a/b", "3", "@"])
def test_an_alias_that_reads_as_another_is_refused(three: ModelRegistry, alias: str) -> None:
    with pytest.raises(RegistryError, match=f"alias '{alias}' cannot be used: written down it would mean another"):
        three.promote("btc", 1, alias=alias, reason="r")
    with pytest.raises(RegistryError, match=r"symbol '.*' cannot be used; written behind an alias"):
        three.promote("btc", 1, symbol="BTC/trending", reason="r")
    with pytest.raises(RegistryError, match=r"symbol '\*' cannot be used"):
        three.promote("btc", 1, symbol="*", regime="trending", reason="r")
    three.promote("btc", 1, symbol="BTC/USDT:USDT", reason="a symbol as exchanges write it")
    assert three.aliases("btc") == {"champion@BTC/USDT:USDT": 1}


def test_rollback_follows_the_chain_and_not_the_numbers_of_rows(three: ModelRegistry) -> None:
    for version in (1, 2, 3):
        three.promote("btc", version, reason="better")
    with three.database.transaction() as connection:  # numbers are not hashed: a copied table may have others
        on = "" if three.database.is_sqlite else " on audit"
        connection.exec_driver_sql(f"drop trigger audit_never_updated{on}")
        connection.exec_driver_sql("update audit set id = 1000 - id")
    assert three.verify_audit().intact
    assert three.rollback("btc") == 2
    assert three.rollback("btc") == 1


def test_names_do_not_get_in_each_others_way(three: ModelRegistry, card: ModelInfo) -> None:
    assert three.register(line(0.0), card, name="BTC/USDT:USDT 1h") == 1
    three.promote("BTC/USDT:USDT 1h", 1, reason="first")
    assert three.aliases("btc") == {}
    assert three.names() == sorted(["BTC/USDT:USDT 1h", "btc"])


@pytest.mark.parametrize("version", ["2", 2.0, True, None, 0, 10**20])
def test_what_is_no_number_of_a_version_is_refused_and_the_chain_holds(three: ModelRegistry, version: Any) -> None:
    with pytest.raises(RegistryError, match=r"version is .*number of a version"):
        three.promote("btc", version, reason="r")
    with pytest.raises(RegistryError, match="actor is 5"):
        three.promote("btc", 2, reason="r", actor=5)  # type: ignore[arg-type]
    three.promote("btc", np.int64(2), expected=None, reason="a number of NumPy is one")
    three.promote("btc", 3, expected=np.int64(2), reason="and here")  # type: ignore[arg-type]
    assert three.verify_audit().intact
