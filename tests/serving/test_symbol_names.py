"""Models that are registered under a name for each symbol are champions of their symbols, as if under one name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from huracan import ModelRegistry
from huracan.errors import RegistryError
from huracan.registry.scopes import Scope
from huracan.serving import SKETCH_FILE, Champions, Predictor, VetoKind, routes
from huracan.serving.symbol_names import SymbolNames

FIRST, SECOND = "SIM01-USD", "SIM02-USD"
Bars = list[dict[str, Any]]
PAST: dict[str, Any] = {"refresh": None, "max_age": None, "stale_after": None}
Copy = Callable[..., int]


@pytest.fixture
def copy(registry: ModelRegistry) -> Copy:
    """``copy(name, level)``: the champion of the run under another name, ``level`` lower; promoted there."""

    def make(name: str, level: float, *, promoted: bool = True, whole: bool = True) -> int:
        first = registry.get("champion.simulated")
        kept = {**first.extras, "levels": {"all": level}}
        if not whole:
            del kept["recipe"]
        version = registry.register(
            registry.load(first.name),
            first.info,
            name=name,
            extras=kept,
            provenance=first.provenance,
            attachments={SKETCH_FILE: registry.attachments(first.name, first.version)[SKETCH_FILE]},
        )
        if promoted:
            registry.promote(name, version, reason="of the test")
        return version

    return make


def test_each_symbol_is_answered_by_the_champion_of_its_name(
    registry: ModelRegistry, copy: Copy, history: pl.DataFrame, later: Bars, assert_same: Callable[..., None]
) -> None:
    """Both names have a version 1: they are told apart, and each says what a predictor of it alone would have said."""
    for symbol, level in ((FIRST, 0.1), (SECOND, 0.2)):
        copy(f"apart.{symbol}", level)
    champions = Champions.from_registry(registry, "apart", history=history, **PAST)
    alone = {s: Predictor.from_registry(registry, f"apart.{s}", history=history, **PAST) for s in (FIRST, SECOND)}
    for bar in later[:60]:
        signal = champions.update(bar)
        assert_same(signal, alone[bar["symbol"]].update(bar))
        assert (signal.model_id, signal.alias) == (f"apart.{signal.symbol}/1", f"champion@{signal.symbol}")
    assert champions.notes == ()
    asked = champions.predict(history.group_by("symbol", maintain_order=True).tail(60))
    assert dict(asked.select("symbol", "model_id").unique().rows()) == {s: f"apart.{s}/1" for s in (FIRST, SECOND)}


def test_a_move_under_one_name_is_followed_and_no_other_name_is_read_again(
    registry: ModelRegistry, copy: Copy, history: pl.DataFrame, later: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    for symbol in (FIRST, SECOND):
        copy(f"moved.{symbol}", 0.1)
    champions = Champions.from_registry(registry, "moved", history=history, **PAST)
    read: list[str] = []

    def counted(registry: ModelRegistry, name: str, *given: Any, **how: Any) -> Any:
        read.append(name)
        return routes.holders(registry, name, *given, **how)

    monkeypatch.setattr("huracan.serving.symbol_names.holders", counted)
    assert not champions.refresh()
    assert read == []
    copy(f"moved.{SECOND}", 0.3)
    assert champions.refresh()
    assert read == [f"moved.{SECOND}"]
    assert [champions.update(bar).model_id for bar in later[:2]] == [f"moved.{FIRST}/1", f"moved.{SECOND}/2"]
    registry.rollback(f"moved.{SECOND}")
    assert champions.refresh()
    assert {champions.update(bar).model_id for bar in later[2:4]} == {f"moved.{FIRST}/1", f"moved.{SECOND}/1"}


def test_the_name_itself_answers_for_all_others_and_goes_first_where_it_names_the_symbol(
    registry: ModelRegistry, copy: Copy, history: pl.DataFrame, later: Bars
) -> None:
    copy("mixed", 0.1)
    copy(f"mixed.{FIRST}", 0.2)
    champions = Champions.from_registry(registry, "mixed", history=history, **PAST)
    assert [champions.update(bar).model_id for bar in later[:2]] == [f"mixed.{FIRST}/1", "mixed/1"]
    registry.promote("mixed", 1, symbol=FIRST, reason="better there")
    assert champions.refresh()
    assert [champions.update(bar).model_id for bar in later[2:4]] == ["mixed/1", "mixed/1"]
    assert SymbolNames(registry, "mixed", "champion", ("regime",)).holders([FIRST]) == {Scope(): 1}


def test_what_cannot_be_served_is_named_with_its_own_name(
    registry: ModelRegistry, copy: Copy, history: pl.DataFrame, later: Bars
) -> None:
    copy(f"broken.{FIRST}", 0.1)
    copy(f"broken.{SECOND}", 0.1)
    champions = Champions.from_registry(registry, "broken", history=history, **PAST)
    copy(f"broken.{FIRST}", 0.2, whole=False)
    champions.refresh()
    assert champions.notes[0].startswith(f"champion@{FIRST} points to broken.{FIRST}/2, which is not served: ")
    assert champions.update(later[0]).model_id == f"broken.{FIRST}/1"


def test_a_symbol_without_a_name_has_no_champion_and_one_without_anything_is_an_error(
    registry: ModelRegistry, copy: Copy, history: pl.DataFrame, later: Bars
) -> None:
    copy(f"lonely.{FIRST}", 0.1)
    copy(f"lonely.{SECOND}", 0.1, promoted=False)
    champions = Champions.from_registry(registry, "lonely", history=history, **PAST)
    signals = [champions.update(bar) for bar in later[:2]]
    assert signals[0].model_id == f"lonely.{FIRST}/1"
    assert [veto.kind for veto in signals[1].vetoes] == [VetoKind.NO_CHAMPION]
    copy(f"idle.{FIRST}", 0.1, promoted=False)
    with pytest.raises(RegistryError, match=f"nobody is champion@{FIRST}"):
        Champions.from_registry(registry, "idle", symbols=[FIRST], **PAST)
    with pytest.raises(RegistryError, match="unknown model 'unheard'"):
        Champions.from_registry(registry, "unheard", symbols=[FIRST], **PAST)
