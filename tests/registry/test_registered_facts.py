"""A version's row is bound to the audit and to its artifact: whatever is changed in it is noticed where it would be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sklearn.linear_model import Ridge

from huracan.accounting import PositionPolicy
from huracan.errors import AuditError, RegistryError
from huracan.model_info import MarketRegime, ModelInfo, RegimeSkill
from huracan.model_registry import ModelRegistry
from huracan.registry.consistency import check_consistency
from huracan.registry.registered_facts import JSON_FACTS, PLAIN_FACTS

POLICY = PositionPolicy(cap=0.5).to_dict()


@pytest.fixture
def registry(database_url: str, tmp_path: Path, card: ModelInfo) -> ModelRegistry:
    made = ModelRegistry(database_url, artifacts=tmp_path / "artifacts")
    extras = {"policy": POLICY, "limit": float("inf"), "level": float("nan")}
    for slope in (1.0, 2.0):
        model = Ridge().fit([[0.0], [1.0]], [0.0, slope])
        made.register(model, card, name="btc", metrics={"sharpe": slope}, extras=extras, provenance={"run_id": "r"})
    made.promote("btc", 2, reason="first")
    return made


def change(registry: ModelRegistry, column: str, value: Any, version: int = 1) -> None:
    """Write into a version's row behind the registry's back."""
    with registry.database.transaction() as connection:
        connection.execute(sa.text(f"update model_versions set {column} = :value where version = {version}"), {"value": value})


def altered(registry: ModelRegistry, column: str) -> str | None:
    """Another value that the column could have."""
    if column in ("digest", "serving_digest"):
        return registry.get("btc", version=2).digest
    if column == "extras":
        return json.dumps({"policy": {**POLICY, "cap": 5.0}})
    if column in JSON_FACTS:
        told = json.loads(registry.get("btc", version=1).texts[column] or "{}")
        return json.dumps({**told, "run_id": "other", "sharpe": 9.0, "purpose": "any", "name": "lasso", "engine": "onnx"})
    return {"kind": "baseline", "created_at": "2001-01-01 00:00:00"}.get(column, "other")


@pytest.mark.parametrize("column", [*PLAIN_FACTS, *JSON_FACTS])
def test_a_changed_row_is_not_used_and_is_named(registry: ModelRegistry, column: str) -> None:
    assert check_consistency(registry.database, registry.artifacts).defects == []
    change(registry, column, altered(registry, column))
    said = f"version 1 of 'btc' is not as it was registered: in its row {column} differ"
    for use in (
        lambda: registry.load("btc", version=1),
        lambda: registry.attachments("btc", 1),
        lambda: registry.promote("btc", 1, reason="better"),
        lambda: getattr(registry.get("btc", version=1), column),
    ):
        with pytest.raises(AuditError, match=said):
            use()
    found = check_consistency(registry.database, registry.artifacts)
    assert f"version btc/1: {column} of its row differ from what the audit says" in found.defects
    outcome = registry.verify("btc", 1)
    assert not outcome.ok
    assert said in str(outcome.reason)
    with pytest.raises(RegistryError, match="is not verified"):
        registry.promote("btc", 1, reason="better")
    assert registry.get("btc").version == 2  # others are served on
    registry.load("btc")


def test_json_that_is_written_otherwise_is_the_same(registry: ModelRegistry) -> None:
    found = registry.get("btc", version=1)
    for column in ("info", "metrics", "provenance", "extras"):
        told = json.loads(str(found.texts[column]))
        change(registry, column, json.dumps(dict(reversed(told.items())), indent=3))
    registry.load("btc", version=1)
    assert check_consistency(registry.database, registry.artifacts).ok
    if registry.database.is_sqlite:  # PostgreSQL itself keeps out what is no JSON
        change(registry, "extras", "{")
        with pytest.raises(AuditError, match="in its row extras differ"):
            registry.load("btc", version=1)


def untold(registry: ModelRegistry) -> None:
    """Make registrations as earlier versions of Huracan wrote them: the audit says nothing of what was registered."""
    with registry.database.transaction() as connection:
        connection.exec_driver_sql(f"drop trigger audit_never_updated{'' if registry.database.is_sqlite else ' on audit'}")
        connection.exec_driver_sql("update audit set details = null where action = 'register'")


def test_versions_of_earlier_code_are_held_against_their_artifact_and_noted(registry: ModelRegistry) -> None:
    untold(registry)
    registry.load("btc", version=1)
    registry.promote("btc", 1, reason="it may")
    found = registry.get("btc")
    assert (found.is_bound, found.probe_rows, found.changed()) == (False, None, ())
    notes = check_consistency(registry.database, registry.artifacts).notes
    assert notes[0].startswith("2 version(s) were registered before the audit told what each is")
    change(registry, "extras", altered(registry, "extras"))
    with pytest.raises(AuditError, match=r"the manifest of .* tells extras otherwise than its row"):
        registry.load("btc", version=1)
    defects = check_consistency(registry.database, registry.artifacts).defects
    assert any("version btc/1: extras of its row differ from the manifest of its artifact" in said for said in defects)
    assert "tells extras otherwise" in str(registry.verify("btc", 1).reason)


def test_an_artifact_of_another_version_is_not_taken_for_it(registry: ModelRegistry) -> None:
    untold(registry)
    change(registry, "digest", registry.get("btc", version=2).digest)
    with pytest.raises(AuditError, match="tells metrics otherwise"):
        registry.load("btc", version=1)


@pytest.mark.parametrize(("column", "value"), [("stage", "archived"), ("verified", False)])
def test_a_state_that_the_audit_does_not_tell_is_a_defect(registry: ModelRegistry, column: str, value: Any) -> None:
    registry.archive("btc", 1, reason="old")
    registry.restore("btc", 1, reason="not so old")
    assert check_consistency(registry.database, registry.artifacts).ok
    change(registry, column, value)
    defects = check_consistency(registry.database, registry.artifacts).defects
    assert defects == [f"version btc/1: {column} of its row differ from what the audit says"]


@pytest.mark.parametrize(
    "statement", ["set skill = 0.9 where regime = 'trending'", "set reason = null where regime = 'volatile'"]
)
def test_evidence_by_regime_that_nobody_measured_is_a_defect(registry: ModelRegistry, card: ModelInfo, statement: str) -> None:
    known = {"ci_low": 0.1, "ci_high": 0.3, "p_adjusted": 0.01, "n_effective": 9.5, "n_rows": 10}
    skills = [RegimeSkill(regime=regime, skill=0.2, **known) for regime in ("trending", "ranging")]  # type: ignore[arg-type]
    info = card.model_copy(update={"regime_evidence": tuple(skills[:1]), "market_regimes": {MarketRegime.VOLATILE: "it may"}})
    version = registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 5.0]), info, name="btc")
    registry.record_regimes("btc", version, [skills[1], skills[0].model_copy(update={"skill": 1 / 3})])
    assert check_consistency(registry.database, registry.artifacts).ok
    with registry.database.transaction() as connection:
        connection.exec_driver_sql(f"update model_regimes {statement} and version = {version}")
    defects = check_consistency(registry.database, registry.artifacts).defects
    assert defects == [f"version btc/{version}: evidence by regime of its row differ from what the audit says"]


def test_what_was_tried_of_a_version_is_told(registry: ModelRegistry, card: ModelInfo) -> None:
    model = Ridge().fit([[0.0], [1.0]], [0.0, 3.0])
    registry.register(model, card, name="btc", probe=[[0.0], [1.0], [2.0]])
    assert [version.probe_rows for version in registry.versions("btc")] == [0, 0, 3]
    assert [version.verified for version in registry.versions("btc")] == [True] * 3


@pytest.mark.parametrize("damage", ["gone", "cut", "manifest", "graph"])
def test_what_is_not_there_is_not_promoted(registry: ModelRegistry, card: ModelInfo, damage: str) -> None:
    model = Ridge().fit([[0.0], [1.0]], [0.0, 4.0])
    version = registry.register(model, card, name="btc", probe=[[0.0], [1.0]])
    found = registry.get("btc", version=version)
    folder = registry.artifacts.path(found.digest)
    if damage == "gone":
        registry.artifacts.remove(found.digest)
    elif damage == "cut":
        (folder / "model.skops").write_bytes(b"short")
    elif damage == "manifest":
        (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes().replace(b"ridge", b"lasso"))
    else:
        assert found.serving_digest is not None
        registry.artifacts.remove(found.serving_digest)
    with pytest.raises(RegistryError, match=f"version {version} of 'btc' cannot be promoted: .*artifact"):
        registry.promote("btc", version, reason="better")
    assert registry.get("btc").version == 2
