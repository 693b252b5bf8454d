"""The alias moves while candles come: another version answers, as if it had always done so, or the old one goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan import ModelRegistry, TrainingSet
from huracan.catalogue import build_model
from huracan.errors import AuditError, RegistryError
from huracan.preprocessing import FeatureRecipe, feature
from huracan.serving import SKETCH_FILE, Champions, Predictor, Signal

NAME = "champion.simulated"
Bars = list[dict[str, Any]]
OVERLAP = {"holding": "overlap", "horizon": 4, "mode": "scaled", "scale": 0.5}


@pytest.fixture
def copy(registry: ModelRegistry, request: pytest.FixtureRequest) -> Callable[..., int]:
    """``copy(model=None, **extras)``: the champion once more, under the name of the test, with other things kept beside it."""

    def make(model: Any = None, info: dict[str, Any] | None = None, **extras: Any) -> int:
        first = registry.get(NAME)
        card = (first.info if model is None else model.model_info()).model_copy(update=info or {})
        return registry.register(
            registry.load(NAME) if model is None else model,
            card,
            name=request.node.name,
            extras={**first.extras, **extras},
            provenance=first.provenance,
            attachments={} if model is not None else {SKETCH_FILE: registry.attachments(NAME, first.version)[SKETCH_FILE]},
        )

    return make


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return request.node.name


def followed(registry: ModelRegistry, name: str, history: pl.DataFrame, **how: Any) -> Predictor:
    asked = {"history": history, "refresh": None, "max_age": None, "stale_after": None, **how}
    return Predictor.from_registry(registry, name, **asked)


def policy(registry: ModelRegistry, **changes: Any) -> dict[str, Any]:
    return {**registry.get(NAME).extras["policy"], **changes}


def assert_same(mine: list[Signal], theirs: list[Signal], tolerance: float = 1e-6) -> None:
    for one, other in zip(mine, theirs, strict=True):
        assert (one.symbol, one.ts, one.model_id, one.regime) == (other.symbol, other.ts, other.model_id, other.regime)
        assert [veto.kind for veto in one.vetoes] == [veto.kind for veto in other.vetoes]
        for number in ("score", "probability", "forecast", "low", "high", "position"):
            a, b = getattr(one, number), getattr(other, number)
            assert (a is None) == (b is None), number
            assert a is None or a == pytest.approx(b, abs=tolerance), number


def test_behind_a_swap_answers_are_those_of_a_version_that_was_always_there(
    registry: ModelRegistry, copy: Callable[..., int], name: str, history: pl.DataFrame, later: Bars
) -> None:
    """Positions too, which are made of decisions from before the swap."""
    copy()
    copy(policy=policy(registry, **OVERLAP), levels={"all": 0.01})
    registry.promote(name, 1, reason="first")
    predictor, second = followed(registry, name, history), followed(registry, name, history, version=2)
    first = [predictor.update(bar) for bar in later[:60]]
    registry.promote(name, 2, reason="better")
    assert predictor.refresh()
    assert not predictor.refresh()
    expected = [second.update(bar) for bar in later[:120]][60:]
    assert {signal.model_id for signal in first} == {f"{name}/1"}
    assert_same([predictor.update(bar) for bar in later[60:120]], expected)


def other_model(history: pl.DataFrame, recipe: FeatureRecipe) -> Any:
    X = recipe.compute(history).drop_nulls().select(recipe.columns).to_numpy()
    return build_model("ridge").fit(TrainingSet.from_arrays(pl.DataFrame(X, schema=list(recipe.columns)), X[:, 0]))


def test_a_version_with_another_recipe_is_warmed_up_on_the_candles_that_came(
    registry: ModelRegistry, copy: Callable[..., int], name: str, history: pl.DataFrame, later: Bars
) -> None:
    recipe = FeatureRecipe([feature("rsi_scaled", window=14), feature("efficiency_ratio", window=24)])
    copy()
    copy(other_model(history, recipe), recipe=recipe.to_json())
    registry.promote(name, 1, reason="first")
    predictor, second = followed(registry, name, history), followed(registry, name, history, version=2)
    for bar in later[:40]:
        predictor.update(bar)
    registry.promote(name, 2, reason="other features")
    assert predictor.refresh()
    expected = [second.update(bar) for bar in later[:100]][40:]
    # opened on fewer candles, features remember where they began to 1e-6 of their deviation
    assert_same([predictor.update(bar) for bar in later[40:100]], expected, tolerance=1e-4)


def test_a_version_that_reads_another_column_is_taken_over_where_candles_had_it(
    registry: ModelRegistry, copy: Callable[..., int], name: str, history: pl.DataFrame, later: Bars
) -> None:
    """The first reads closes alone. Candles that came without volume are no ground for the second; a history with it is."""
    closes = FeatureRecipe([feature("rsi_scaled", window=14)])
    copy(other_model(history, closes), recipe=closes.to_json())
    copy()
    registry.promote(name, 1, reason="first")
    predictor, without = followed(registry, name, history), followed(registry, name, history)
    for bar in later[:40]:
        predictor.update(bar)
        without.update({key: value for key, value in bar.items() if key != "volume"})
    registry.promote(name, 2, reason="reads volume")
    second = followed(registry, name, history)
    expected = [second.update(bar) for bar in later[:60]][40:]
    assert predictor.refresh()
    assert not without.refresh()
    assert "reads 'volume', and candles came without; once open(history) was called" in without.notes[-1]
    assert without.update(later[40]).model_id == f"{name}/1"
    assert_same([predictor.update(bar) for bar in later[40:60]], expected, tolerance=1e-4)
    without.open(history)
    assert without.refresh()
    assert without.update(later[0]).model_id == f"{name}/2"


def test_going_back_is_a_swap_too(
    registry: ModelRegistry, copy: Callable[..., int], name: str, history: pl.DataFrame, later: Bars
) -> None:
    copy(), copy(levels={"all": 1.0})
    registry.promote(name, 1, reason="first")
    registry.promote(name, 2, reason="second")
    predictor = followed(registry, name, history)
    high = predictor.update(later[0]).score
    registry.rollback(name)
    assert predictor.refresh()
    assert predictor.model_id == f"{name}/1"
    assert predictor.update(later[2]).score is not None
    assert high is not None


def test_who_was_withdrawn_goes_on_with_a_note_until_somebody_follows(
    registry: ModelRegistry, copy: Callable[..., int], name: str, history: pl.DataFrame, later: Bars
) -> None:
    copy(), copy(levels={"all": 1.0})
    registry.promote(name, 1, reason="first")
    predictor = followed(registry, name, history)
    registry.withdraw(name, reason="it broke")
    assert not predictor.refresh()
    assert "what it pointed to is served: model" in predictor.update(later[0]).notes[-1]
    with pytest.raises(RegistryError, match="no version of it is promoted any more"):
        followed(registry, name, history)
    registry.promote(name, 2, reason="second")
    assert predictor.refresh()
    assert predictor.update(later[2]).model_id == f"{name}/2"


def test_an_alias_that_was_changed_in_the_database_is_not_followed(
    registry: ModelRegistry, copy: Callable[..., int], name: str, history: pl.DataFrame, later: Bars
) -> None:
    copy(), copy(levels={"all": 1.0})
    registry.promote(name, 1, reason="first")
    predictor = followed(registry, name, history)
    with registry.database.transaction() as connection:
        connection.exec_driver_sql(f"update aliases set version = 2 where name = '{name}'")
    assert not predictor.refresh()
    said = predictor.update(later[0])
    assert said.model_id == f"{name}/1"
    assert "points to version 2, the audit says version 1" in said.notes[-1]
    with pytest.raises(AuditError, match="the database was changed"):
        followed(registry, name, history)


def test_a_damaged_version_is_noted_and_the_old_one_goes_on(
    registry: ModelRegistry, copy: Callable[..., int], name: str, history: pl.DataFrame, later: Bars
) -> None:
    copy(), copy(levels={"all": 0.5})
    registry.promote(name, 1, reason="first")
    predictor = followed(registry, name, history)
    damaged = next(
        path
        for path in Path(registry.artifacts.path(registry.get(name, version=2).digest)).iterdir()
        if path.suffix == ".skops"
    )
    content = damaged.read_bytes()
    damaged.chmod(0o600)
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    registry.promote(name, 2, reason="not known to be damaged")
    assert not predictor.refresh()
    assert predictor.update(later[0]).model_id == f"{name}/1"
    assert "not served" in predictor.notes[-1]
    damaged.write_bytes(content)
    assert predictor.refresh()
    assert predictor.model_id == f"{name}/2"
    assert not any("not served" in note for note in predictor.notes)


def test_what_failed_is_not_loaded_again_at_every_look_of_the_thread(
    registry: ModelRegistry, copy: Callable[..., int], name: str, history: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note stays; another move is followed at once, and so is a look that was asked for."""
    copy()
    copy()
    registry.promote(name, 1, reason="first")
    tried, moment = [], [0.0]
    predictor = followed(registry, name, history)
    champions = Champions.from_registry(registry, name, history=history, refresh=None)
    for one in (predictor, champions):
        monkeypatch.setattr(one._patience, "_clock", lambda: moment[0])

    def fail(*asked: Any) -> Any:
        tried.append(asked)
        raise RegistryError("it is broken")

    for owner, attribute in ((predictor, "_load"), (champions, "_load")):
        monkeypatch.setattr(owner, attribute, fail)
    registry.promote(name, 2, reason="second")
    for one in (predictor, champions):
        tried.clear()
        moment[0] = 0.0
        for look in range(240):  # twenty minutes
            moment[0] = 5.0 * look
            assert not one._look()
            assert "it is broken" in one.notes[-1]
        assert 5 <= len(tried) <= 10
        one.refresh()
        assert len(tried) <= 11
    monkeypatch.undo()
    registry.promote(name, 1, reason="back")
    for one in (predictor, champions):
        one._look()
        assert not any("broken" in note for note in one.notes)


def test_a_thread_follows_the_alias_and_no_answer_is_of_two_versions(
    registry: ModelRegistry, copy: Callable[..., int], name: str, history: pl.DataFrame, later: Bars
) -> None:
    copy(levels={"all": 0.0}, policy=policy(registry, **OVERLAP))
    copy(levels={"all": 100.0}, policy=policy(registry, **{**OVERLAP, "center": -100.0}))
    registry.promote(name, 1, reason="first")
    signals, moves = [], 0
    with followed(registry, name, history, refresh=0.01) as predictor:
        for i, bar in enumerate(later):
            signals.append(predictor.update(bar))
            if i % 20 == 19 and predictor.model_id == f"{name}/{1 + moves % 2}":
                moves += 1
                registry.promote(name, 1 + moves % 2, reason=f"move {moves}")
                time.sleep(0.03)
    alone = {version: followed(registry, name, history, version=version) for version in (1, 2)}
    expected = [{one.model_id: one for one in (each.update(bar) for each in alone.values())} for bar in later]
    assert len({signal.model_id for signal in signals}) == 2
    assert_same(signals, [told[signal.model_id] for signal, told in zip(signals, expected)])
    assert np.mean([signal.score is not None for signal in signals]) == 1.0


def test_a_predictor_that_is_gone_leaves_no_thread(
    registry: ModelRegistry, copy: Callable[..., int], name: str, history: pl.DataFrame
) -> None:
    copy()
    registry.promote(name, 1, reason="first")
    predictor = followed(registry, name, history, refresh=0.01)
    assert predictor._watcher is not None
    thread = predictor._watcher._thread
    del predictor
    thread.join(5.0)
    assert not thread.is_alive()
