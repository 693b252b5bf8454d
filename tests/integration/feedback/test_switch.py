"""The kill switch: a row, or a file for who cannot reach the database."""

from __future__ import annotations

from pathlib import Path

import pytest

from huracan.errors import StorageError
from huracan.integration.feedback.switch import EVERY_NAME, Frozen, Switch
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
    assert switch.state() == Frozen(True, "no access to the database", "the file FREEZE")
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
