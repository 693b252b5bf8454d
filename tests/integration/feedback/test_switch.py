"""The kill switch: a row, or a file for who cannot reach the database."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import huracan.cli
import huracan.integration
from huracan.errors import PromotionsFrozen, StorageError
from huracan.integration.feedback.switch import EVERY_NAME, Frozen, Switch, switches_by_name
from huracan.storage import Database


def _switch(home: Path) -> Switch:
    database = Database("sqlite://")
    database.upgrade()
    return Switch(database, "btc", home)


def test_frozen_until_thawed_by_name(tmp_path: Path) -> None:
    switch = _switch(tmp_path)
    assert switch.state() == Frozen(False)
    switch.freeze("the exchange migrates", actor="ann", at=5)
    assert switch.state() == Frozen(True, "the exchange migrates", "ann", 5)
    assert not Switch(switch.database, "eth", tmp_path).state().frozen
    switch.freeze("and longer", actor="bob", at=6)
    switch.thaw("it is done", actor="ann", at=7)
    assert switch.state() == Frozen(False, "it is done", "ann", 7)


def test_a_file_freezes_as_well_and_thawing_names_it(tmp_path: Path) -> None:
    switch = _switch(tmp_path)
    (tmp_path / "FREEZE").write_text("no access to the database\nsecond line")
    written = (tmp_path / "FREEZE").stat().st_mtime_ns // 1_000_000
    assert switch.state() == Frozen(True, "no access to the database", "the file FREEZE", written)
    with pytest.raises(StorageError, match="FREEZE still freezes Mechanic 'btc'; remove the file"):
        switch.thaw("try", actor="ann", at=0)
    (tmp_path / "FREEZE").unlink()
    assert not switch.state().frozen


def test_an_empty_file_freezes_too(tmp_path: Path) -> None:
    (tmp_path / "FREEZE").touch()
    assert _switch(tmp_path).state().reason == "no reason given"


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_reason_is_needed(tmp_path: Path, reason: str) -> None:
    with pytest.raises(StorageError, match="need a reason in words"):
        _switch(tmp_path).freeze(reason, actor="ann", at=0)


def test_every_mechanic_is_frozen_at_once_whatever_its_name_will_be(tmp_path: Path) -> None:
    switch = _switch(tmp_path)
    every = Switch(switch.database, EVERY_NAME, tmp_path)
    every.freeze("not yet", actor="ann", at=5)
    assert switch.state() == Switch(switch.database, "not there yet").state() == Frozen(True, "not yet", "ann", 5)
    with pytest.raises(StorageError, match="still frozen together with every other one"):
        switch.thaw("mine", actor="bob", at=6)
    switch.freeze("mine", actor="bob", at=7)
    every.thaw("now", actor="ann", at=8)
    assert not switch.state().frozen and not Switch(switch.database, "not there yet").state().frozen


def test_what_moves_champions_is_told_since_when_by_whom_and_why(database_url: str, tmp_path: Path) -> None:
    database = Database(database_url)
    database.upgrade()
    switch = Switch(database, "btc", tmp_path)
    database.run(switch.require)
    switch.freeze("the exchange migrates.", actor="ann", at=3_600_999)
    told = "of 'btc' stays as it is: promotions are frozen since 1970-01-01 01:00 UTC by ann: the exchange migrates[.]$"
    with pytest.raises(PromotionsFrozen, match=told):
        switch.database.run(switch.require)
    assert switches_by_name(switch.database) == {"btc": Frozen(True, "the exchange migrates.", "ann", 3_600_999)}
    switch.database.run(Switch(switch.database, "eth", tmp_path).require)


def test_whatever_moves_a_champion_by_itself_asks_the_switch() -> None:
    """Jobs, the Mechanic and commands reach the registry's moves only with something that is asked, but for other aliases."""
    asked, unasked = 0, []
    for file in [*Path(huracan.integration.__path__[0]).rglob("*.py"), *Path(huracan.cli.__path__[0]).rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                said = {one.arg for one in node.keywords}
                alias = [one.value for one in node.keywords if one.arg == "alias"] + node.args[1:]
                other = any(isinstance(one, ast.Name) and one.id == "CHALLENGER" for one in alias)
                if node.func.attr in ("promote", "rollback", "withdraw") and not other:
                    asked += "require" in said
                    unasked += [] if "require" in said else [f"{file.name}:{node.lineno}"]
    assert unasked == [] and asked >= 6  # of the command line three, of the Mechanic two, of a run one
