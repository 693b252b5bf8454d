"""What is published is of all names of a database, whoever turned last; signs of life are each Mechanic's own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.integration.feedback.living import HOUR, NAME, SmallRun, alive, turn

from huracan import Mechanic, UnifiedMLPipeline
from huracan.errors import StorageError
from huracan.integration.feedback import publishing
from huracan.integration.feedback.answers import ANSWERS, answers_there
from huracan.integration.feedback.clock import SimulatedClock
from huracan.integration.feedback.feeds import FrameFeed
from huracan.integration.feedback.loop_state import put_state
from huracan.storage import Database, from_json
from huracan.storage.folder_lock import lock
from huracan.storage.whole_files import aside_of

ONE, OTHER = "SIM01-USD", "SIM02-USD"


def _of_one_symbol(run: SmallRun, home: Path, symbol: str) -> Mechanic:
    """The Mechanic of one symbol's models, whose champion is that of the small run under a name of its own."""
    told = run.config.model_dump(mode="json") | {"home": str(home)}
    told["training"] |= {"pooling": "per_symbol"}
    told["mechanic"] |= {"symbols": [symbol]}
    told["retrain"] |= {"max_age": None}
    pipeline = UnifiedMLPipeline(told)
    mechanic = Mechanic(
        pipeline,
        name=f"{NAME}.{symbol}",
        source=FrameFeed(run.candles),
        clock=SimulatedClock(run.end_of_training),
        channels=(),
    )
    registry = pipeline.registry
    if mechanic.name in registry.names():
        return mechanic
    found, model = registry.get(NAME, version=1), registry.load(NAME, version=1)
    kept = {"provenance": found.provenance, "extras": found.extras, "attachments": registry.attachments(NAME, 1)}
    registry.register(model, found.info, name=mechanic.name, **kept)
    registry.promote(mechanic.name, 1, reason="of its symbol")
    return mechanic


def _read(home: Path, *names: str | Path) -> Any:
    return from_json((home / "outbox").joinpath(*names).read_text())


def test_of_several_names_each_symbols_champion_stays_in_the_pointer(champion: SmallRun, tmp_path: Path) -> None:
    home = tmp_path / "home"
    for_all = alive(champion, home)
    turn(for_all, champion, 0)
    digest = for_all.pipeline.registry.get(NAME, version=1).digest
    two = [_of_one_symbol(champion, home, symbol) for symbol in (ONE, OTHER)]
    own = two[0].pipeline.registry.get(two[0].name, version=1).digest
    assert own != digest
    for bars in (1, 2):
        for mechanic in two:
            assert turn(mechanic, champion, bars).predictions == 1
            if bars == 2:
                pointer = _read(home, "champion", "latest.json")["models"]
                assert {symbol: path.endswith(own) for symbol, path in pointer.items()} == {ONE: True, OTHER: True}
    turn(for_all, champion, 3)  # its champion answers for all, and a symbol's own goes before it
    assert all(path.endswith(own) for path in _read(home, "champion", "latest.json")["models"].values())
    day = next((home / "outbox").glob("2*/manifest.json"))
    assert list(from_json(day.read_text())["mechanics"]) == [NAME, f"{NAME}.{ONE}", f"{NAME}.{OTHER}"]
    for mechanic, bars in ((for_all, 3), (two[0], 2), (two[1], 2)):
        tick = champion.end_of_training + bars * HOUR
        assert publishing.published_tick(home / "outbox", mechanic.name) == tick
        assert _read(home, publishing.heartbeat_of(mechanic.name))["name"] == mechanic.name


def test_a_name_whose_files_are_missing_writes_them_whatever_others_wrote(champion: SmallRun, tmp_path: Path) -> None:
    home = tmp_path / "home"
    for_all, one = alive(champion, home), None
    turn(for_all, champion, 0)
    one = _of_one_symbol(champion, home, ONE)
    turn(one, champion, 0)
    before = {file: file.read_bytes() for file in (home / "outbox").rglob("*") if file.is_file()}
    (home / "outbox" / publishing.heartbeat_of(NAME)).unlink()
    assert not turn(for_all, champion, 0).done
    assert {file: file.read_bytes() for file in (home / "outbox").rglob("*") if file.is_file()} == before


def test_one_writes_at_a_time(champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huracan.storage.folder_lock.PATIENCE", 0.0)
    mechanic = alive(champion, tmp_path / "home")
    with lock(tmp_path / "home" / ".publishing"):
        assert "another Mechanic writes to" in turn(mechanic, champion, 0).note
    turn(mechanic, champion, 0)
    assert publishing.published_tick(tmp_path / "home" / "outbox", NAME) == champion.end_of_training


def test_a_name_that_was_given_up_is_not_told_any_more() -> None:
    database, day = Database("sqlite://"), 24 * HOUR
    database.upgrade()
    with database.transaction() as connection:
        put_state(connection, "old", {ANSWERS: {"BTC": 1, "ETH": 1}}, 0)
        put_state(connection, "new", {ANSWERS: {"BTC": 2}}, 7 * day)
        assert answers_there(connection) == {"BTC": ("new", 2), "ETH": ("old", 1)}
        put_state(connection, "new", {ANSWERS: {"BTC": 2}}, 7 * day + HOUR)
        assert answers_there(connection) == {"BTC": ("new", 2)}


def test_what_nobody_answers_for_leaves_the_pointer(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home", retrain={"min_new_rows": 10_000})  # too few to train another one
    turn(mechanic, champion, 0)
    assert list(_read(tmp_path / "home", "champion", "latest.json")["models"]) == [ONE, OTHER]
    mechanic.pipeline.registry.withdraw(NAME, "champion", reason="none for now")
    turn(mechanic, champion, 1)
    assert _read(tmp_path / "home", "champion", "latest.json")["models"] == {}


class _Killed(BaseException):
    """The process is gone."""


def test_killed_before_any_of_its_files_a_mechanic_leaves_what_it_leaves_otherwise(
    champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lived(home: Path, death: int | None) -> dict[str, bytes]:
        """Files after turns of two names, the second of which dies before so many files of its last turn, and begins again."""
        one, two = alive(champion, home), _of_one_symbol(champion, home, ONE)
        for mechanic in (one, two, one):
            turn(mechanic, champion, 0 if mechanic is one else 1)
        written = []

        def write(whole: Callable[..., None], path: Path, data: bytes, *, by: str) -> None:
            if len(written) == death:
                raise _Killed
            whole(path, data, by=by)
            written.append(path)

        with monkeypatch.context() as dying:
            for name in ("put_file", "_give_sign"):
                dying.setattr(publishing, name, partial(write, getattr(publishing, name)))
            if death is None:
                turn(two, champion, 30)  # on another day
                assert len(written) == 2
            else:
                with pytest.raises(_Killed):
                    turn(two, champion, 30)
        if death is not None:
            turn(_of_one_symbol(champion, home, ONE), champion, 30)
        outbox = home / "outbox"
        return {str(file.relative_to(outbox)): file.read_bytes() for file in outbox.rglob("*") if file.is_file()}

    undisturbed = lived(tmp_path / "undisturbed", None)
    for death in range(2):
        assert lived(tmp_path / f"death-{death}", death) == undisturbed


def test_files_of_a_killed_turn_are_written_anew_and_what_it_left_half_written_goes(champion: SmallRun, tmp_path: Path) -> None:
    mechanic = alive(champion, tmp_path / "home")
    turn(mechanic, champion, 0)
    outbox = tmp_path / "home" / "outbox"
    whole = {file: file.read_bytes() for file in outbox.rglob("*") if file.is_file()}
    heartbeat = outbox / publishing.heartbeat_of(NAME)
    assert publishing.published_tick(outbox, mechanic.name) == champion.end_of_training
    assert publishing.published_tick(outbox, "another") is None
    of_another, pointer = aside_of(heartbeat, "another"), outbox / "champion" / "latest.json"
    for left in (aside_of(heartbeat, mechanic.name), aside_of(pointer, mechanic.name), of_another):
        left.write_bytes(b"{")
    heartbeat.unlink()
    assert not turn(mechanic, champion, 0).done
    of_another.unlink()
    assert {file: file.read_bytes() for file in outbox.rglob("*") if file.is_file()} == whole


def test_files_are_written_at_each_turn_and_written_again_where_that_failed(
    champion: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mechanic = alive(champion, tmp_path / "home")
    outbox = tmp_path / "home" / "outbox"

    def full(path: Path, data: bytes, *, by: str) -> None:
        raise StorageError("the disk is full.")

    with monkeypatch.context() as broken:
        broken.setattr(publishing, "put_file", full)
        report = turn(mechanic, champion, 0)
    assert report.done and report.note == "its files were not written: the disk is full."
    assert not (outbox / "heartbeats").exists()
    assert not turn(mechanic, champion, 0).done
    pointer = from_json((outbox / "champion" / "latest.json").read_text())
    assert set(pointer) == {"date", "run_id", "models", "models_from", "default_costs_bps", "code_hash", "updated_at"}
    assert list(pointer["models"]) == ["SIM01-USD", "SIM02-USD"]
    assert (outbox / "champion" / pointer["models_from"] / pointer["models"]["SIM01-USD"]).is_dir()
    heartbeat = from_json((outbox / publishing.heartbeat_of(NAME)).read_text())
    assert heartbeat["tick"] == champion.end_of_training and heartbeat["report"]["predictions"] == 2
    assert len(list(outbox.glob("*/manifest.json"))) == 1
    before = (outbox / "champion" / "latest.json").stat().st_mtime_ns
    turn(mechanic, champion, 1)
    assert (outbox / "champion" / "latest.json").stat().st_mtime_ns == before
