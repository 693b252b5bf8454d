"""Retention: what aliases, rollbacks and lineage need stays; what is registered at the same moment loses nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
import sqlalchemy as sa
from sklearn.linear_model import Ridge

from huracan.errors import RegistryError
from huracan.model_info import ModelInfo
from huracan.model_registry import ModelRegistry
from huracan.registry.records import RetentionPolicy


@pytest.fixture
def registry(database_url: str, tmp_path: Path, card: ModelInfo) -> Iterator[ModelRegistry]:
    made = ModelRegistry(database_url, artifacts=tmp_path / "artifacts")
    for number in range(8):
        model = Ridge().fit([[0.0], [1.0]], [0.0, float(number)])
        made.register(model, card, name="btc", parent=1 if number == 2 else None)
    made.promote("btc", 3, reason="first")
    made.promote("btc", 5, reason="better")
    made.promote("btc", 4, alias="shadow", symbol="ETHUSDT", reason="watch it")
    yield made
    made.database.close()


def test_what_is_old_and_unneeded_gives_up_its_artifact(registry: ModelRegistry) -> None:
    policy = RetentionPolicy(keep_last=2, keep_days=0)
    planned = registry.retain(policy, dry_run=True)
    assert planned.dry_run
    assert registry.find(stage="removed") == []
    report = registry.retain(policy)
    # 7, 8: newest; 5: champion; 3: a rollback reaches it; 1: what 3 was derived from; 4: an alias of one symbol
    assert report.removed == planned.removed == ("btc/6", "btc/2")
    assert report.kept == 6
    assert {one.version for one in registry.find(stage="removed")} == {2, 6}
    with pytest.raises(RegistryError, match="version 6 of 'btc' gave up its artifact to retention"):
        registry.load("btc", version=6)
    with pytest.raises(RegistryError, match="gave up its artifact to retention; it cannot be promoted"):
        registry.promote("btc", 6, reason="r")
    assert registry.get("btc", version=6).info.name == "ridge"
    assert registry.retain(policy).removed == ()
    assert registry.rollback("btc") == 3
    assert registry.verify_audit().intact


def test_the_anomaly_model_of_a_champion_stays(registry: ModelRegistry, card: ModelInfo) -> None:
    for slope in (1.0, 2.0, 3.0):
        registry.register(Ridge().fit([[0.0], [1.0]], [0.0, slope]), card, name="watch")
    model = Ridge().fit([[0.0], [1.0]], [0.0, 9.0])
    version = registry.register(model, card, name="btc", extras={"anomaly_model": "watch/1"})
    registry.promote("btc", version, reason="it is watched")
    removed = registry.retain(RetentionPolicy(keep_last=1, keep_days=0)).removed
    assert "watch/2" in removed
    assert "watch/1" not in removed


def test_who_promotes_meanwhile_is_waited_for_or_waits(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that is promoted while it is decided what goes either stays, or is refused to who promotes it."""
    from huracan.registry import retention

    real, outcome = retention._protected, list[str]()

    def promote() -> None:
        try:
            registry.promote("btc", 6, reason="at this very moment")
            outcome.append("promoted")
        except RegistryError as error:
            outcome.append(str(error))

    def slow(connection: sa.Connection) -> set[str]:
        found = real(connection)
        thread.start()
        thread.join(0.3)  # it waits for this transaction, or would have promoted by then
        return found

    thread = Thread(target=promote)
    monkeypatch.setattr(retention, "_protected", slow)
    removed = registry.retain(RetentionPolicy(keep_last=2, keep_days=0)).removed
    thread.join()
    assert "btc/6" in removed
    assert outcome == ["version 6 of 'btc' gave up its artifact to retention; it cannot be promoted."]
    assert registry.get("btc").version == 5


def test_young_versions_stay(registry: ModelRegistry) -> None:
    assert registry.retain(RetentionPolicy(keep_last=1, keep_days=1)).removed == ()
    with pytest.raises(RegistryError, match="at least 1 version and 0 days were expected"):
        RetentionPolicy(keep_last=0)


def test_a_clock_that_went_back_makes_no_version_old(
    registry: ModelRegistry, card: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huracan.registry.versions.utc_now", lambda: datetime(1970, 1, 1, tzinfo=UTC))
    registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 99.0]), card, name="btc")
    monkeypatch.undo()
    registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 98.0]), card, name="btc")
    assert registry.get("btc", version=9).created_at.year == 1970
    assert registry.retain(RetentionPolicy(keep_last=1, keep_days=1)).removed == ()


def test_only_artifacts_that_nothing_refers_to_are_collected_and_only_after_their_grace(registry: ModelRegistry) -> None:
    stray = registry.artifacts.put({"x": b"left by a killed run"}).digest
    registry.retain(RetentionPolicy(keep_last=2, keep_days=0))
    gone = {registry.get("btc", version=version).digest for version in (2, 6)} | {stray}
    assert registry.collect().removed == ()
    assert registry.collect().waiting == 3
    report = registry.collect(timedelta(0))
    assert set(report.removed) == gone
    assert report.bytes > 0
    kept = [registry.get("btc", version=version).digest for version in (1, 3, 4, 5, 7, 8)]
    assert registry.artifacts.digests() == sorted(kept)
    for version in (1, 3, 4, 5, 7, 8):
        registry.load("btc", version=version)
    with pytest.raises(RegistryError, match="is negative"):
        registry.collect(timedelta(seconds=-1))


def test_an_artifact_that_two_versions_share_stays_for_the_other(registry: ModelRegistry, card: ModelInfo) -> None:
    model = Ridge().fit([[0.0], [1.0]], [0.0, 1.0])  # as version 2
    version = registry.register(model, card, name="btc")
    assert registry.get("btc", version=version).digest == registry.get("btc", version=2).digest
    registry.retain(RetentionPolicy(keep_last=2, keep_days=0))
    registry.collect(timedelta(0))
    registry.load("btc", version=version)


def test_who_registers_while_others_collect_keeps_every_artifact(registry: ModelRegistry, card: ModelInfo) -> None:
    failed: list[BaseException] = []
    done: list[int] = []

    def collect() -> None:
        try:
            while not done:
                registry.collect(timedelta(0))
        except BaseException as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    thread = Thread(target=collect)
    thread.start()
    try:
        for number in range(25):
            registry.register(Ridge().fit([[0.0], [1.0]], [0.0, float(100 + number)]), card, name="busy")
    finally:
        done.append(1)
        thread.join()
    assert failed == []
    for version in registry.versions("busy"):
        assert registry.artifacts.check(version.digest) == []


def test_what_is_collected_between_storing_and_registering_is_stored_again(
    registry: ModelRegistry, card: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huracan.registry import registration

    real = registration.add_version

    def late(connection: sa.Connection, *given: object) -> tuple[int, int]:
        for digest in registry.artifacts.digests():
            if digest not in known:
                registry.artifacts.remove(digest)
        return real(connection, *given)  # type: ignore[arg-type]

    known = set(registry.artifacts.digests())
    monkeypatch.setattr(registration, "add_version", late)
    version = registry.register(Ridge().fit([[0.0], [1.0]], [0.0, 77.0]), card, name="btc")
    registry.load("btc", version=version)
    assert set(registry.artifacts.digests()) - known == {registry.get("btc", version=version).digest}


def test_storing_again_makes_an_artifact_young(registry: ModelRegistry, card: ModelInfo) -> None:
    stray = registry.artifacts.put({"x": b"stray"}).digest
    os.utime(registry.artifacts.path(stray), (time.time() - 7200,) * 2)
    registry.artifacts.put({"x": b"stray"})
    assert registry.collect().removed == ()
