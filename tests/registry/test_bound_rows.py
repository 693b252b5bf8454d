"""Rows that decide are held against the audit where they decide, and every one of them by the check of a registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sklearn.linear_model import Ridge

from huracan.errors import ArtifactError, AuditError, RegistryError, StorageError
from huracan.model_info import MarketRegime, ModelInfo, RegimeSkill
from huracan.model_registry import ModelRegistry
from huracan.registry.consistency import check_consistency
from huracan.registry.records import RetentionPolicy
from huracan.serving.routes import holders


@pytest.fixture
def registry(database_url: str, tmp_path: Path, card: ModelInfo) -> Iterator[ModelRegistry]:
    made = ModelRegistry(database_url, artifacts=tmp_path / "artifacts")
    skill = RegimeSkill(
        regime=MarketRegime.RANGING, skill=0.2, ci_low=0.1, ci_high=0.3, p_adjusted=0.01, n_effective=9.0, n_rows=9
    )
    info = card.model_copy(update={"regime_evidence": (skill,)})
    for slope in (1.0, 2.0, 3.0):
        made.register(
            Ridge().fit([[0.0], [1.0]], [0.0, slope]), info, name="btc", metrics={"sharpe": slope}, tags={"approved": "no"}
        )
    made.promote("btc", 1, reason="for all")
    made.promote("btc", 2, symbol="ETH", reason="its own")
    made.promote("btc", 2, regime="volatile", reason="its own")
    made.tag("btc", 1, desk="fx", approved=None)
    yield made
    made.database.close()


def change(registry: ModelRegistry, *statements: str) -> None:
    """Write into the database behind the registry's back."""
    with registry.database.transaction() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def defects_of(registry: ModelRegistry) -> list[str]:
    return check_consistency(registry.database, registry.artifacts).defects


FORGED = {
    "moved": ("update aliases set version = 3 where symbol = '' and regime = ''", {}),
    "gone": ("delete from aliases where symbol = 'ETH'", {"symbol": "ETH"}),
    "of another": ("update aliases set symbol = 'XRP' where symbol = 'ETH'", {"symbol": "XRP", "regime": "trending"}),
    "added": (
        "insert into aliases (name, alias, symbol, regime, version, updated_at) "
        "values ('btc', 'champion', 'ETH', 'ranging', 3, current_timestamp)",
        {"symbol": "ETH", "regime": "ranging"},
    ),
    "since another move": (
        "update aliases set moved_by = (select min(id) from audit where action = 'promote') where symbol = 'ETH'",
        {"symbol": "ETH"},
    ),
    "put back": (
        "update aliases set version = 1, moved_by = (select min(id) from audit where action = 'promote') where symbol = 'ETH'",
        {"symbol": "ETH"},
    ),
}


@pytest.mark.parametrize("what", FORGED)
def test_an_alias_that_was_changed_is_not_followed_and_is_named(registry: ModelRegistry, what: str) -> None:
    statement, whose = FORGED[what]
    change(registry, statement)
    for use in (
        lambda: registry.get("btc", **whose),
        lambda: registry.load("btc", **whose),
        lambda: registry.holder("btc", **whose),
        lambda: registry.aliases("btc"),
        lambda: holders(registry, "btc", "champion"),
    ):
        with pytest.raises(AuditError, match=r"alias 'champion.*' of model 'btc' .*the audit says.*the database was changed"):
            use()
    assert any("alias 'champion'" in said for said in defects_of(registry))
    if what != "moved":
        assert registry.get("btc", symbol="OTHER").version == 1  # others are answered


def test_promoting_the_holder_again_puts_a_changed_alias_right(registry: ModelRegistry) -> None:
    change(registry, FORGED["moved"][0], FORGED["gone"][0], FORGED["added"][0])
    length = registry.history("btc").height
    registry.promote("btc", 1, expected=1, reason="as the audit says")
    registry.promote("btc", 2, symbol="ETH", reason="as the audit says")
    registry.withdraw("btc", symbol="ETH", regime="ranging", reason="nobody held it")
    assert registry.get("btc").version == 1
    assert registry.aliases("btc") == {"champion": 1, "champion@*/volatile": 2, "champion@ETH": 2}
    assert registry.history("btc").height == length
    assert defects_of(registry) == []


def test_a_state_that_the_audit_does_not_tell_is_not_promoted(registry: ModelRegistry) -> None:
    registry.archive("btc", 3, reason="bad model")
    change(registry, "update model_versions set stage = 'active' where version = 3")
    with pytest.raises(
        AuditError, match="version 3 of 'btc' is archived and verified, the audit says, but active and verified"
    ):
        registry.promote("btc", 3, reason="r")
    registry.archive("btc", 3, reason="bad model")
    registry.restore("btc", 3, reason="it may")
    registry.promote("btc", 3, reason="it may")


def test_what_failed_to_verify_or_gave_up_its_files_is_not_promoted(registry: ModelRegistry) -> None:
    model = registry.artifacts.path(registry.get("btc", version=3).digest) / "model.skops"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    registry.verify("btc", 3)
    change(registry, "update model_versions set verified = true")
    with pytest.raises(AuditError, match="is active and not verified, the audit says"):
        registry.promote("btc", 3, reason="r")
    model.write_bytes(whole)
    registry.verify("btc", 3)
    registry.promote("btc", 1, alias="shadow", reason="r")
    registry.withdraw("btc", symbol="ETH", reason="r")
    change(registry, "update model_versions set stage = 'removed' where version = 3")
    with pytest.raises(RegistryError, match="gave up its artifact"):
        registry.promote("btc", 3, reason="r")


def test_what_retention_took_is_not_promoted_whatever_its_row_says(registry: ModelRegistry, card: ModelInfo) -> None:
    registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 4.0]), card, name="btc")
    assert registry.retain(RetentionPolicy(keep_last=1, keep_days=0)).removed == ("btc/3",)
    change(registry, "update model_versions set stage = 'active' where version = 3")
    with pytest.raises(AuditError, match="is removed and verified, the audit says"):
        registry.promote("btc", 3, reason="r")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update model_tags set value = 'yes' where version = 3", "version btc/3: tags approved are not as the audit says"),
        ("insert into model_tags values ('btc', 3, 'gate', 'open')", "version btc/3: tags gate are not"),
        ("insert into model_tags values ('btc', 1, 'approved', 'yes')", "version btc/1: tags approved are not"),
        ("delete from model_tags where version = 1", "version btc/1: tags desk are not"),
        ("update model_regimes set newest = not newest where version = 1", "version btc/1: evidence by regime"),
        ("update model_regimes set learner = 'xgboost' where version = 3", "version btc/3: evidence by regime"),
        (
            "update aliases set moved_by = 1 where symbol = 'ETH'",
            "alias 'champion' of ETH of 'btc' says that audit row 1 moved it",
        ),
        (
            "update model_versions set created_at = '2001-01-01 00:00:00' where version = 3",
            "version btc/3: created_at of its row",
        ),
        ("update model_versions set model_id = 'zzz/9' where version = 3", "version btc/3: model_id of its row"),
        (
            "update registered_models set last_version = 1",
            "'btc' says that its last version is 1, its versions and the audit say 3",
        ),
        ("update models set kind = 'champion' where model_id = 'btc/3'", "table models says that kind of btc/3 is champion"),
        (
            "update models set s3_path = 'elsewhere' where model_id = 'btc/3'",
            "table models says that s3_path of btc/3 is elsewhere",
        ),
        ("delete from models where model_id = 'btc/3'", "table models has no row of btc/3"),
        (
            "delete from promotions where to_model_id = 'btc/1'",
            "table promotions does not tell of the move from nobody to btc/1",
        ),
        ("update model_metrics set sharpe = 9 where model_id = 'btc/3'", "table model_metrics says otherwise of btc/3"),
    ],
)
def test_every_row_that_decides_is_held_against_the_audit(registry: ModelRegistry, statement: str, said: str) -> None:
    assert defects_of(registry) == []
    change(registry, statement)
    assert any(said in defect for defect in defects_of(registry)), defects_of(registry)


def test_rows_of_other_programs_are_no_defect(registry: ModelRegistry) -> None:
    change(
        registry,
        "insert into models (model_id, kind) values ('engine-1', 'champion')",
        "insert into model_metrics (model_id, \"window\", sharpe) values ('btc/1', '30d', 1.0)",
        "insert into promotions (to_model_id, reason) values ('engine-1', 'its own')",
        "update models set params = '{}' where model_id = 'btc/1'",
    )
    assert defects_of(registry) == []


def test_a_champion_that_the_engine_made_is_named_and_promoting_puts_it_right(registry: ModelRegistry) -> None:
    change(
        registry,
        "update models set kind = 'challenger' where kind = 'champion'",
        "update models set kind = 'champion' where model_id = 'btc/3'",
    )
    assert sum("table models says that kind of" in said for said in defects_of(registry)) == 3
    registry.promote("btc", 1, reason="who is champion is said here")
    assert defects_of(registry) == []


def test_an_audit_row_that_was_only_put_in_tells_nothing(registry: ModelRegistry) -> None:
    change(
        registry,
        "update model_versions set digest = (select digest from model_versions where version = 2) where version = 1",
        "insert into audit (action, name, to_version, details, position) values ('register', 'btc', 1, '{}', 0)",
        "insert into audit (action, name, to_version, details) values ('register', 'btc', 1, '{}')",
    )
    with pytest.raises(AuditError, match="in its row digest differ from what the audit says"):
        registry.load("btc")
    change(
        registry,
        "insert into audit (action, name, alias, to_version, position) values ('promote', 'btc', 'champion', 3, 99)",
        "update aliases set version = 3, moved_by = (select max(id) from audit) where symbol = '' and regime = ''",
    )
    with pytest.raises(AuditError, match="points to version 3, the audit says version 1"):
        registry.get("btc")


def test_a_version_that_nobody_registered_is_not_used(registry: ModelRegistry) -> None:
    columns = "name, model_id, kind, digest, info, metrics, provenance, extras, learner, verified, version"
    told = columns.replace("model_id", "'btc/9'").replace("version", "9")
    change(registry, f"insert into model_versions ({columns}) select {told} from model_versions where version = 2")
    for use in (lambda: registry.get("btc", version=9), lambda: registry.promote("btc", 9, reason="r")):
        with pytest.raises(AuditError, match="version 9 of 'btc' was never registered, as far as the audit tells"):
            use()
    assert "version btc/9 was never registered, as far as the audit tells" in defects_of(registry)


def test_retention_lets_nothing_go_by_what_was_changed(registry: ModelRegistry, card: ModelInfo) -> None:
    registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 5.0]), card, name="btc", parent=3)
    registry.promote("btc", 4, reason="its parent stays")
    change(registry, "update model_versions set parent_id = null where version = 4")
    with pytest.raises(AuditError, match="in its row parent_id differ"):
        registry.retain(RetentionPolicy(keep_last=1, keep_days=0))
    assert registry.find(stage="removed") == []


@pytest.mark.parametrize("table", ["models", "model_metrics"])
def test_a_row_of_another_program_in_the_place_of_ours_is_a_sentence(
    registry: ModelRegistry, card: ModelInfo, table: str
) -> None:
    values = {
        "models": "(model_id) values ('eth/1')",
        "model_metrics": "(model_id, \"window\") values ('eth/1', 'out_of_fold')",
    }
    change(registry, f"insert into {table} {values[table]}")
    with pytest.raises(RegistryError, match=f"another program has written a row 'eth/1' into the table {table}"):
        registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), card, name="eth")
    change(registry, "update registered_models set last_version = 1")
    with pytest.raises(AuditError, match="its last version is 1, and version 2 is there already"):
        registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), card, name="btc")


def test_who_was_pointed_to_by_nobody_gets_into_no_history(registry: ModelRegistry) -> None:
    change(registry, FORGED["moved"][0])
    registry.promote("btc", 2, expected=1, reason="better than what the audit says")
    assert registry.history("btc")["from_version"].to_list()[-1] == 1
    assert registry.rollback("btc") == 1
    assert defects_of(registry) == []


def test_a_move_from_somebody_who_did_not_hold_it_is_a_defect(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    from huracan.registry import promotion
    from huracan.registry.alias_moves import Side

    monkeypatch.setattr(promotion, "holder_of", lambda *_: Side(3, {}))
    registry.promote("btc", 2, reason="as earlier code wrote it where the alias was changed before")
    assert any("alias 'champion' is taken from 3, the move before had given it to 1" in said for said in defects_of(registry))


def test_an_audit_row_is_not_replaced(registry: ModelRegistry) -> None:
    if not registry.database.is_sqlite:
        pytest.skip("PostgreSQL has no REPLACE")
    every = "id, at, action, name, alias, to_version, position, symbol, regime"
    forged = "insert or replace into audit ({0}, from_version) select {0}, 2 from audit where position = 4"
    with pytest.raises(StorageError, match="audit rows are never changed"):
        change(registry, forged.format(every))
    with pytest.raises(StorageError, match="audit rows are never changed"):
        change(registry, forged.format(every.removeprefix("id, ")))
    assert registry.verify_audit().intact


@pytest.mark.parametrize("trouble", ["cannot be read", "killed", "none"])
def test_a_machine_that_fails_makes_no_version_unverified(
    registry: ModelRegistry, card: ModelInfo, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    from huracan.registry import round_trip
    from huracan.storage import artifact_reading

    version = registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 5.0]), card, name="btc", probe=[[1.0], [2.0]])

    def too_many(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    if trouble == "cannot be read":
        monkeypatch.setattr(artifact_reading, "read_inside", too_many)
    elif trouble == "killed":
        monkeypatch.setattr(round_trip, "_CHILD", "import os; os.kill(os.getpid(), 9)")
    else:
        monkeypatch.setattr(round_trip.subprocess, "run", too_many)
    with pytest.raises((ArtifactError, RegistryError), match=r"Too many open files|could not be tried just now.*code -9"):
        registry.verify("btc", version)
    monkeypatch.undo()
    assert registry.history("btc")["action"].to_list()[-1] == "register"
    assert registry.get("btc", version=version).verified
