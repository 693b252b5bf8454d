"""An alias can be taken away, and rollback goes back as far as there is somebody to go back to; on both databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sklearn.linear_model import Ridge

from huracan.errors import PromotionConflict, RegistryError
from huracan.model_info import ModelInfo
from huracan.model_registry import ModelRegistry
from huracan.registry.consistency import check_consistency
from huracan.registry.records import RetentionPolicy
from huracan.serving.routes import holders
from huracan.storage.tables import models, promotions


@pytest.fixture
def registry(database_url: str, tmp_path: Path, card: ModelInfo) -> Iterator[ModelRegistry]:
    made = ModelRegistry(database_url, artifacts=tmp_path / "artifacts")
    for slope in (1.0, 2.0, 3.0, 4.0):
        made.register(Ridge().fit([[0.0], [1.0]], [0.0, slope]), card, name="btc")
    yield made
    made.database.close()


def rows(registry: ModelRegistry, *columns: Any) -> list[tuple[Any, ...]]:
    with registry.database.reading() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(columns[0]))]


def details(registry: ModelRegistry) -> Any:
    return json.loads(registry.history("btc")["details"].to_list()[-1] or "{}")


def test_a_withdrawn_alias_is_nobodys_and_the_next_nearest_answers(registry: ModelRegistry) -> None:
    registry.promote("btc", 1, reason="for all")
    registry.promote("btc", 2, symbol="ETH", regime="trending", reason="its own")
    with pytest.raises(PromotionConflict, match="points to version 2, version 1 was expected"):
        registry.withdraw("btc", symbol="ETH", regime="trending", expected=1, reason="r")
    registry.withdraw("btc", symbol="ETH", regime="trending", expected=2, reason="it broke", actor="ana")
    assert registry.aliases("btc") == {"champion": 1}
    assert registry.get("btc", symbol="ETH", regime="trending").version == 1
    told = registry.history("btc").to_dicts()[-1]
    assert (told["action"], told["from_version"], told["to_version"], told["actor"]) == ("withdraw", 2, None, "ana")
    registry.promote("btc", 2, reason="for all")  # what follows the general champion follows it again
    assert registry.get("btc", symbol="ETH", regime="trending").version == 2
    assert check_consistency(registry.database, registry.artifacts).defects == []


def test_the_engine_is_told_that_nobody_is_champion(registry: ModelRegistry) -> None:
    registry.promote("btc", 1, reason="first")
    registry.withdraw("btc", reason="all stop")
    assert rows(registry, models.c.model_id, models.c.kind)[0] == ("btc/1", "challenger")
    told = rows(registry, promotions.c.id, promotions.c.from_model_id, promotions.c.to_model_id, promotions.c.snapshot)[-1]
    assert told[1:] == ("btc/1", None, {"alias": "champion", "action": "withdraw"})
    with pytest.raises(RegistryError, match="'btc' has no alias 'champion'; no version of it is promoted any more"):
        registry.get("btc")
    with pytest.raises(RegistryError, match="nobody holds the alias 'champion' of model 'btc'; there is nothing to withdraw"):
        registry.withdraw("btc", reason="again")
    with pytest.raises(RegistryError, match="needs a reason in words"):
        registry.withdraw("btc", reason=" ")
    assert holders(registry, "btc", "champion") == {}  # none, which is no mistake in writing
    with pytest.raises(RegistryError, match="no alias 'shadow'"):
        holders(registry, "btc", "shadow")


def test_a_withdrawal_is_taken_back_and_the_generation_grows(registry: ModelRegistry) -> None:
    registry.promote("btc", 1, reason="first")
    registry.promote("btc", 2, reason="better")
    first = registry.holder("btc")
    registry.withdraw("btc", reason="a false alarm")
    assert registry.rollback("btc") == 2
    again = registry.holder("btc")
    assert (again[0], again[1] > first[1]) == (2, True)
    assert registry.rollback("btc") == 1
    assert registry.rollback("btc") is None
    with pytest.raises(RegistryError, match="nobody held it before, and nobody holds it now"):
        registry.rollback("btc")
    registry.promote("btc", 4, expected=None, reason="anew")
    assert check_consistency(registry.database, registry.artifacts).defects == []
    assert registry.verify_audit().intact


def test_rollback_passes_over_what_cannot_be_promoted_and_says_so(registry: ModelRegistry) -> None:
    for version in (1, 2, 3, 4):
        registry.promote("btc", version, reason="better")
    registry.archive("btc", 3, reason="bad")
    registry.artifacts.remove(registry.get("btc", version=2).digest)
    assert registry.rollback("btc") == 1
    passed = details(registry)["passed"]
    assert [one["version"] for one in passed] == [3, 2]
    assert "is archived" in passed[0]["why"] and "cannot be promoted" in passed[1]["why"]
    assert registry.rollback("btc") is None  # again goes one further back, behind those that were passed over
    registry.promote("btc", 4, reason="anew")
    registry.promote("btc", 1, reason="anew")
    registry.promote("btc", 4, reason="anew")
    registry.archive("btc", 1, reason="bad too")
    with pytest.raises(RegistryError, match=r"none can be promoted \(1: .*archived.*4: it holds it now\); withdraw it instead"):
        registry.rollback("btc")
    assert registry.get("btc").version == 4


def test_who_was_withdrawn_keeps_its_files(registry: ModelRegistry) -> None:
    registry.promote("btc", 1, reason="first")
    registry.withdraw("btc", reason="it broke")
    assert registry.retain(RetentionPolicy(keep_last=1, keep_days=0)).removed == ("btc/3", "btc/2")
    assert registry.rollback("btc") == 1
    registry.withdraw("btc", reason="it broke again")
    registry.archive("btc", 1, reason="nobody points to it")
