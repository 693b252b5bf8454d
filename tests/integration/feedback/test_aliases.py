"""Moves of aliases, done again by a turn that was killed after it had done them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.linear_model import Ridge

from huracan.integration.feedback.aliases import CHAMPION, Moved, give_back, holder_of, take_over
from huracan.integration.feedback.switch import Switch
from huracan.model_info import ModelInfo
from huracan.model_registry import ModelRegistry
from huracan.registry.scopes import ALL, Scope

NAME = "desk"
ETH = Scope("ETH", "")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    """Three versions that followed each other as champion of ETH; the first is champion of all."""
    made = ModelRegistry("sqlite://", artifacts=tmp_path / "artifacts")
    card = ModelInfo(
        name="ridge",
        purpose="linear forecast of the next return",
        ideal_dataset_shape="(1_000+ rows, 5-500 features)",
        feature_requirements=("numeric",),
        output_schema={"prediction": "forecast of the label"},
        task="regression",
        market_regimes={"trending": "momentum is close to linear"},
        hyperparameters={},
    )
    for slope in (1.0, 2.0, 3.0):
        version = made.register(Ridge().fit([[0.0], [1.0]], [0.0, slope]), card, name=NAME)
        made.promote(NAME, version, symbol="ETH", reason="it follows")
    made.promote(NAME, 1, reason="for all")
    yield made
    made.database.close()


def again(registry: ModelRegistry, *, before: int = 2) -> Moved:
    return give_back(registry, Switch(registry.database, NAME), NAME, 3, before, ETH, reason="it is worse.")


@pytest.mark.parametrize("archived", [None, 2])
def test_a_scope_that_was_given_back_is_found_given_back(registry: ModelRegistry, archived: int | None) -> None:
    if archived is not None:
        registry.archive(NAME, archived, reason="its data were wrong")
    assert again(registry) == Moved(True)
    holder, length = holder_of(registry, NAME, CHAMPION, ETH), registry.history(NAME).height
    assert holder == (2 if archived is None else 1)
    assert again(registry) == Moved(True)
    assert (holder_of(registry, NAME, CHAMPION, ETH), registry.history(NAME).height) == (holder, length)


def test_what_somebody_else_moved_is_not_given_back(registry: ModelRegistry) -> None:
    registry.promote(NAME, 1, symbol="ETH", reason="by hand")
    registry.promote(NAME, 3, reason="for all")
    registry.rollback(NAME, reason="another scope's")
    assert again(registry) == Moved(False, "Somebody else moved the alias first.")
    registry.rollback(NAME, symbol="ETH", reason="by hand")
    assert again(registry) == Moved(True)
    assert holder_of(registry, NAME, CHAMPION, ETH) == 2
    registry.promote(NAME, 1, symbol="ETH", reason="by hand")
    assert not again(registry).done


def test_what_is_frozen_waits_and_stays_as_it_is(registry: ModelRegistry) -> None:
    switch, moves = Switch(registry.database, NAME), registry.history(NAME).height
    switch.freeze("maintenance", actor="ann", at=0)
    moved = take_over(registry, switch, NAME, 2, ALL, expected=1, reason="it is better.")
    assert moved.waits and not moved.done and "by ann: maintenance" in moved.why
    assert again(registry).waits and registry.history(NAME).height == moves
    switch.thaw("done", actor="ann", at=1)
    assert take_over(registry, switch, NAME, 2, ALL, expected=1, reason="it is better.") == Moved(True)
    assert again(registry) == Moved(True)


def test_who_took_over_is_found_champion(registry: ModelRegistry) -> None:
    length, switch = registry.history(NAME).height, Switch(registry.database, NAME)
    for _ in range(2):
        assert take_over(registry, switch, NAME, 2, ALL, expected=1, reason="it is better.") == Moved(True)
        assert registry.history(NAME).height == length + 1
    assert not take_over(registry, switch, NAME, 3, ALL, expected=1, reason="it is better.").done
