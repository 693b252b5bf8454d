"""A registry is checked as a whole, on both databases: what is right is passed, each thing that is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from sklearn.linear_model import Ridge

from huracan.errors import SchemaTooNew, StorageError
from huracan.model_info import ModelInfo
from huracan.model_registry import ModelRegistry
from huracan.registry.consistency import check_consistency
from huracan.storage import ArtifactStore, Database
from huracan.storage.exporting import exported_lines


@pytest.fixture
def registry(database_url: str, tmp_path: Path, card: ModelInfo) -> ModelRegistry:
    made = ModelRegistry(database_url, artifacts=tmp_path / "artifacts")
    for slope in (1.0, 2.0):
        made.register(Ridge().fit([[0.0], [1.0]], [0.0, slope]), card, name="btc")
    made.promote("btc", 1, reason="first")
    made.promote("btc", 2, reason="its own", symbol="BTC", regime="trending")
    return made


def defects_of(registry: ModelRegistry) -> list[str]:
    return check_consistency(registry.database, registry.artifacts).defects


def test_a_registry_that_is_whole_has_no_defect(registry: ModelRegistry) -> None:
    found = check_consistency(registry.database, registry.artifacts)
    assert (found.ok, found.defects, found.notes) == (True, [], [])
    assert found.looked_at == {"names of models": 1, "audit rows": 4, "versions": 2, "artifacts": 2}
    registry.promote("btc", 2, reason="better")
    registry.rollback("btc")
    assert defects_of(registry) == []


def test_what_does_not_agree_is_named(registry: ModelRegistry) -> None:
    registry.artifacts.remove(registry.get("btc", version=1).digest)
    with registry.database.transaction() as connection:
        connection.execute(sa.text("update aliases set version = 1 where symbol = 'BTC'"))
        connection.execute(sa.text("update registered_models set audit_hash = 'f'"))
    gone, stray, chain = sorted(defects_of(registry), key=lambda said: ("artifact " in said, "alias" in said), reverse=True)
    assert "was the folder moved or cleaned?; needed by btc/1" in gone
    assert stray == "alias 'champion' of BTC/trending of 'btc' points to version 1, the audit says 2"
    assert chain.startswith("audit of 'btc', row")


def test_damaged_artifacts_that_were_replaced_are_told(registry: ModelRegistry) -> None:
    stray = registry.artifacts.put({"x": b"whole"})
    (registry.artifacts.path(stray.digest) / "x").write_bytes(b"rot")
    registry.artifacts.put({"x": b"whole"})
    found = check_consistency(registry.database, registry.artifacts)
    assert found.ok
    assert found.notes[-1].startswith("1 damaged artifact(s) were replaced and are kept in")
    report = registry.collect()
    assert (report.swept, report.set_aside) == (0, 1)


def test_a_schema_that_is_not_ours_is_a_sentence(registry: ModelRegistry, tmp_path: Path) -> None:
    with registry.database.transaction() as connection:
        connection.execute(sa.text("update huracan_schema set version_num = '9999'"))
    with pytest.raises(SchemaTooNew, match="upgrade huracan"):
        defects_of(registry)
    with pytest.raises(StorageError, match="older than this version"):
        check_consistency(Database(f"sqlite:///{tmp_path}/empty.db"), ArtifactStore(tmp_path))


def test_every_row_is_written_parents_before_children(registry: ModelRegistry) -> None:
    counts: dict[str, int] = {}
    first, *lines = [json.loads(line) for line in exported_lines(registry.database, counts)]
    assert list(first) == ["schema"]
    tables = [line["table"] for line in lines]
    assert sum(counts.values()) == len(lines)
    assert tables.index("registered_models") < tables.index("model_versions") < tables.index("aliases")
    assert {line["row"]["reason"] for line in lines if line["table"] == "audit"} >= {"first", "its own"}
