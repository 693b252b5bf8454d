"""Aliases move while candles come: who is champion now answers as if always asked; what cannot be served changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan import ModelRegistry, TrainingSet
from huracan.catalogue import build_model
from huracan.errors import ArtifactError, HuracanError
from huracan.preprocessing import FeatureRecipe, feature
from huracan.regimes.online import OnlineRegime
from huracan.registry.scopes import Scope
from huracan.serving import Champions, Predictor, Signal, VetoKind
from huracan.serving.stream import Stream

FIRST, SECOND = "SIM01-USD", "SIM02-USD"
Bars = list[dict[str, Any]]
Follow = Callable[..., Champions]
Move = Callable[..., None]
Pinned = Callable[[int], Predictor]
Same = Callable[..., None]


def moments(bars: Bars) -> list[Bars]:
    return [bars[i : i + 2] for i in range(0, len(bars), 2)]


def version_of(model_id: str) -> int:
    return int(model_id.rpartition("/")[2])


def by_version(said: dict[int, list[Signal]], signal: Signal, place: int) -> Signal:
    return said[version_of(signal.model_id)][place]


@pytest.fixture
def remove(registry: ModelRegistry, crowd: str, alias: str) -> Callable[..., None]:
    """Withdraw the test's alias in a scope."""

    def make(symbol: str | None = None, regime: str | None = None) -> None:
        registry.withdraw(crowd, alias, symbol=symbol, regime=regime, reason="the test says so")

    return make


@pytest.fixture
def damage(registry: ModelRegistry, crowd: str) -> Callable[[int], Callable[[], None]]:
    """``damage(version)`` changes one byte of its model and gives what repairs it."""

    def make(version: int) -> Callable[[], None]:
        folder = Path(registry.artifacts.path(registry.get(crowd, version=version).digest))
        file = next(path for path in folder.iterdir() if path.suffix == ".skops")
        content = file.read_bytes()
        file.chmod(0o600)
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        return lambda: (file.write_bytes(content), None)[1]

    return make


def test_scopes_that_move_appear_and_vanish_are_followed(
    follow: Follow, move: Move, remove: Callable[..., None], pinned: Pinned, later: Bars, assert_same: Same
) -> None:
    """Behind each move answers are those of a version that was always there, positions included; nobody else is disturbed."""
    move(1)
    champions, alone = follow(), {version: pinned(version) for version in (1, 2, 3, 4)}
    steps: dict[int, Callable[[], None]] = {
        10: lambda: move(2, symbol=FIRST),
        20: lambda: [move(3, symbol=FIRST, regime=regime) for regime in ("trending", "ranging")] and None,
        60: lambda: move(2),
        70: lambda: move(4, symbol=SECOND),
        90: lambda: remove(FIRST),
        110: lambda: [remove(FIRST, regime) for regime in ("trending", "ranging")] and None,
    }
    seen: dict[str, set[int]] = {FIRST: set(), SECOND: set()}
    for i, bars in enumerate(moments(later[:260])):
        if i in steps:
            steps[i]()
            assert champions.refresh()
            assert not champions.refresh()
        said = {version: one.update_all(bars) for version, one in alone.items()}
        for place, signal in enumerate(champions.update_all(bars)):
            assert_same(signal, by_version(said, signal, place))
            seen[signal.symbol].add(version_of(signal.model_id))
    assert seen == {FIRST: {1, 2, 3}, SECOND: {1, 2, 4}}
    assert {version_of(model_id) for model_id in champions.table["model_id"]} == {2, 4}
    assert champions.notes == ()


def test_what_an_interval_has_learned_is_kept_when_others_move(
    follow: Follow, move: Move, pinned: Pinned, later: Bars, assert_same: Same
) -> None:
    move(1)
    champions, alone = follow(), pinned(1)
    for bars in moments(later[:60]):
        signals, said = champions.update_all(bars), alone.update_all(bars)
        for one in (champions, alone):
            for bar in bars:
                one.learn(bar["symbol"], bar["ts"], 0.2)
    move(2, symbol=FIRST)
    assert champions.refresh()
    for bars in moments(later[60:80]):
        signals, said = champions.update_all(bars), alone.update_all(bars)
        assert version_of(signals[0].model_id) == 2
        assert_same(signals[1], said[1])


def test_a_version_with_another_recipe_is_warmed_up_on_the_candles_that_came(
    registry: ModelRegistry, follow: Follow, move: Move, pinned: Pinned, history: pl.DataFrame, later: Bars, assert_same: Same
) -> None:
    """It reads closes alone, so that it also takes a candle that the others refuse."""
    recipe = FeatureRecipe([feature("rsi_scaled", window=14), feature("efficiency_ratio", window=24)])
    features = recipe.compute(history).drop_nulls().select(recipe.columns)
    model = build_model("ridge").fit(TrainingSet.from_arrays(features, features.to_numpy()[:, 0]))
    other = registry.register(model, name="crowd", extras={"recipe": recipe.to_json()})
    move(1)
    champions, alone = follow(), {1: pinned(1), other: pinned(other)}
    for bars in moments(later[:40]):
        champions.update_all(bars)
        for one in alone.values():
            one.update_all(bars)
    move(other, symbol=FIRST, regime="trending")
    assert champions.refresh()
    seen = set()
    for bars in moments(later[40:240]):
        said = {version: one.update_all(bars) for version, one in alone.items()}
        signal = champions.update_all(bars)[0]
        seen.add(version_of(signal.model_id))
        theirs = by_version(said, signal, 0)
        assert signal.score == pytest.approx(theirs.score, abs=1e-4)
        assert signal.position == pytest.approx(theirs.position, abs=1e-4)
    assert seen == {1, other}
    bare = {**later[240], "volume": None}
    champions.update(bare)
    assert {key: signal.score is None for key, signal in champions.beside(FIRST).items()} == {
        "crowd/1": True,
        f"crowd/{other}": False,
    }


def test_a_damaged_version_leaves_the_one_before_and_is_noted_where_it_matters(
    follow: Follow, move: Move, damage: Callable[[int], Callable[[], None]], later: Bars
) -> None:
    move(1)
    move(2, symbol=FIRST)
    champions = follow()
    repair = damage(5)
    move(5, symbol=FIRST)
    move(3)
    assert champions.refresh(), "what can be served is"
    first, second = champions.update_all(later[:2])
    assert (version_of(first.model_id), version_of(second.model_id)) == (2, 3)
    assert "5, which is not served" in first.notes[-1]
    assert second.notes == ()
    assert len(champions.notes) == 1
    restarted = follow().update(later[0])
    assert version_of(restarted.model_id) == 3, "nobody came before: the next nearest answers"
    assert restarted.notes
    repair()
    assert champions.refresh()
    first = champions.update_all(later[2:4])[0]
    assert (version_of(first.model_id), first.notes, champions.notes) == (5, (), ())


def test_the_only_champion_that_cannot_be_loaded_is_an_error(
    follow: Follow, move: Move, damage: Callable[[int], Callable[[], None]]
) -> None:
    move(4)
    repair = damage(4)
    with pytest.raises(ArtifactError):
        follow()
    repair()
    assert version_of(follow().table["model_id"][0]) == 4


def test_a_version_that_does_not_fit_the_candles_changes_nothing(
    registry: ModelRegistry, follow: Follow, move: Move, later: Bars
) -> None:
    model, card = registry.load("champion.simulated"), registry.get("champion.simulated").info
    without_recipe = registry.register(model, card, name="crowd")
    move(1)
    champions = follow()
    move(without_recipe, regime="trending")
    assert not champions.refresh()
    assert "without its recipe" in champions.notes[0]
    assert {version_of(signal.model_id) for signal in map(champions.update, later[:60])} == {1}


def test_where_nobody_is_left_nobody_answers_until_somebody_is_champion_again(
    follow: Follow, move: Move, pinned: Pinned, monkeypatch: pytest.MonkeyPatch, later: Bars, assert_same: Same
) -> None:
    """Who was champion before takes the candles meanwhile, so that whoever is next answers at once."""
    held = {Scope(): 1, Scope(FIRST): 2}
    monkeypatch.setattr("huracan.serving.symbol_names.holders", lambda *_, **__: dict(held))
    move(1)
    champions, alone = follow(), {version: pinned(version) for version in (1, 2, 3)}
    for i, bars in enumerate(moments(later[:60])):
        if i == 10:
            del held[Scope()]
            assert champions.refresh()
        if i == 15:
            del held[Scope(FIRST)]
            assert champions.refresh()
            assert not champions.refresh()
        if i == 20:
            held[Scope()] = 3
            assert champions.refresh()
        said = {version: one.update_all(bars) for version, one in alone.items()}
        expected = (2, 1) if i < 10 else (2, None) if i < 15 else (None, None) if i < 20 else (3, 3)
        for place, (signal, version) in enumerate(zip(champions.update_all(bars), expected, strict=True)):
            if version is None:
                assert [veto.kind for veto in signal.vetoes] == [VetoKind.NO_CHAMPION]
                assert (signal.model_id, signal.score, signal.ts) == ("", None, bars[place]["ts"])
            else:
                assert_same(signal, said[version][place])
        unled = [symbol for symbol, version in zip((FIRST, SECOND), expected) if version is None]
        more = "; nor of 1 other symbols" if unled[1:] else ""
        said = [f"nobody is {champions.alias}@{symbol}, in any regime, and nobody for all{more}" for symbol in unled[:1]]
        assert list(champions.notes) == said


def test_other_rules_of_regimes_decide_from_the_next_bar_on(
    registry: ModelRegistry, follow: Follow, move: Move, later: Bars, candles: pl.DataFrame
) -> None:
    """The champion for all brings rules by which nothing ever trends; they begin on the candles that are remembered."""
    first = registry.get("crowd", version=1)
    rules = {**first.extras["config"]["regimes"], "trend_enter": 100.0, "trend_exit": 99.0}
    config = {**first.extras["config"], "regimes": rules}
    version = registry.register(
        registry.load("crowd", version=1),
        first.info,
        name="crowd",
        extras={**first.extras, "config": config},
        provenance=first.provenance,
    )
    move(1)
    move(2, regime="trending")
    champions = follow()
    assert any(version_of(champions.update(bar).model_id) == 2 for bar in later[:200])
    move(version)
    assert champions.refresh()
    signals = [champions.update(bar) for bar in later[200:]]
    assert {version_of(signal.model_id) for signal in signals} == {version}
    assert "trending" not in {signal.regime for signal in signals}
    assert len({signal.regime for signal in signals} - {None}) > 1


@pytest.mark.parametrize("for_all", [True, False], ids=["takes both symbols", "takes one of two"])
def test_candles_that_come_while_a_version_is_opened_are_made_up_for(
    registry: ModelRegistry,
    follow: Follow,
    move: Move,
    pinned: Pinned,
    later: Bars,
    monkeypatch: pytest.MonkeyPatch,
    for_all: bool,
) -> None:
    """Features and regimes of its own, so that nothing could be gone on from; its rules decide, also where it is not asked."""
    first = registry.get("crowd", version=1)
    recipe = FeatureRecipe.from_json(first.extras["recipe"])
    other = FeatureRecipe([*recipe.features, feature("efficiency_ratio", window=24)])
    rules = {**first.extras["config"]["regimes"], "trend_enter": 2.5, "trend_exit": 2.0}
    config = {**first.extras["config"], "regimes": rules}
    rng = np.random.default_rng(0)
    rows = pl.DataFrame(rng.standard_normal((200, len(other.columns))), schema=list(other.columns))
    model = build_model("ridge").fit(TrainingSet.from_arrays(rows, rng.standard_normal(200)))
    version = registry.register(model, name="crowd", extras={"recipe": other.to_json(), "config": config})
    move(1)
    move(2, regime="illiquid")
    if not for_all:
        move(1, symbol=FIRST)
        move(2, symbol=FIRST, regime="illiquid")
    champions, alone = follow(), pinned(version)
    coming = iter(moments(later[40:60]))
    for bars in moments(later[:40]):
        champions.update_all(bars)
        alone.update_all(bars)
    for opens in (Stream, OnlineRegime):
        original = opens.open.__func__

        def while_bars_come(cls: Any, *given: Any, original: Any = original, **how: Any) -> Any:
            made = original(cls, *given, **how)
            if cls is Stream or "clock" in how:  # not the regimes of a stream, which are opened within
                bars = next(coming)
                assert [version_of(signal.model_id) for signal in champions.update_all(bars)]
                alone.update_all(bars)
            return made

        monkeypatch.setattr(opens, "open", classmethod(while_bars_come))
    move(version)
    assert champions.refresh()
    monkeypatch.undo()
    came = 10 - len(list(coming))
    assert came >= 1
    decider = champions._lanes.decider
    assert decider is not None
    for bars in moments(later[40 + 2 * came : 200]):
        for signal, theirs in zip(champions.update_all(bars), alone.update_all(bars), strict=True):
            assert decider.place(signal.symbol)[1] is not None, "a bar that is missing begins the regimes anew"
            if theirs.model_id in (said := champions.beside(signal.symbol)):
                assert said[theirs.model_id].vetoes == theirs.vetoes
                assert said[theirs.model_id].score == pytest.approx(theirs.score, abs=1e-3)
    assert (theirs.symbol, theirs.model_id) == (SECOND, signal.model_id)


def test_no_call_is_lost_and_no_answer_is_of_two_versions_while_aliases_move(
    follow: Follow, move: Move, pinned: Pinned, later: Bars, assert_same: Same
) -> None:
    move(1)
    stop, failed = threading.Event(), []
    with follow(refresh=0.005) as champions:

        def promote() -> None:
            scopes = [{}, {"symbol": FIRST}, {"regime": "trending"}, {"symbol": SECOND, "regime": "ranging"}]
            for i in range(1_000):
                if stop.wait(0.005):
                    return
                move(1 + (i // 4 + i) % 5, **scopes[i % 4])

        def read() -> None:
            while not stop.is_set():
                try:
                    champions.table, champions.notes, champions.beside(FIRST), champions.refresh()
                except Exception as error:  # noqa: BLE001 - told below, in the thread of the test
                    failed.append(error)

        threads = [threading.Thread(target=work) for work in (promote, read)]
        for thread in threads:
            thread.start()
        signals = []
        for bars in moments(later[:300]):
            signals += champions.update_all(bars)
            time.sleep(0.003)
        stop.set()
        for thread in threads:
            thread.join()
    alone = {version: pinned(version) for version in range(1, 6)}
    said = {version: [one.update(bar) for bar in later[:300]] for version, one in alone.items()}
    assert not failed
    assert len(signals) == 300
    assert len({signal.model_id for signal in signals}) >= 3
    for place, signal in enumerate(signals):
        assert_same(signal, by_version(said, signal, place), tolerance=1e-6)


def test_a_quiet_look_is_one_query(
    registry: ModelRegistry, follow: Follow, move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    for symbol in (FIRST, SECOND):
        for version, regime in enumerate(("trending", "ranging", "volatile", "illiquid"), start=1):
            move(version, symbol=symbol, regime=regime)
    move(5)
    champions, asked = follow(), []
    monkeypatch.setattr("huracan.serving.routes.alias_rows", lambda *at: asked.append(at) or _rows(*at))
    assert not champions.refresh()
    assert len(asked) == 1


def _rows(*at: Any) -> Any:
    from huracan.registry.alias_holders import alias_rows

    return alias_rows(*at)


def test_an_alias_that_was_withdrawn_is_answered_for_by_the_next_nearest(
    registry: ModelRegistry, follow: Follow, move: Move, later: Bars
) -> None:
    move(1)
    move(2, symbol=FIRST)
    champions = follow()
    registry.withdraw(champions.name, champions.alias, symbol=FIRST, reason="it broke")
    assert champions.refresh()
    assert {signal.alias for signal in champions.update_all(later[:2])} == {champions.alias}
    registry.withdraw(champions.name, champions.alias, reason="all stop")
    assert champions.refresh()
    for signal in champions.update_all(later[2:4]):
        assert [veto.kind for veto in signal.vetoes] == [VetoKind.NO_CHAMPION]
    assert f"nobody is {champions.alias}@" in " ".join(champions.notes)


def test_champions_that_are_gone_leave_no_thread(follow: Follow, move: Move) -> None:
    move(1)
    champions = follow(refresh=0.01)
    assert champions._watcher is not None
    thread = champions._watcher._thread
    del champions
    thread.join(5.0)
    assert not thread.is_alive()


@pytest.mark.slow
def test_four_hundred_symbols_with_champions_of_their_own(
    registry: ModelRegistry, crowd: str, alias: str, move: Move, history: pl.DataFrame, later: Bars
) -> None:
    names = [f"COIN{i:03d}" for i in range(400)]
    recent = history.filter(pl.col("symbol") == FIRST)[-600:]
    many = pl.concat([recent.with_columns(symbol=pl.lit(name)) for name in names])
    move(1)
    for i, name in enumerate(names):
        move(1 + i % 5, symbol=name)
        move(1 + (i + 1) % 5, symbol=name, regime="trending")
    champions = Champions.from_registry(
        registry, crowd, alias=alias, history=many, refresh=None, max_age=None, stale_after=None
    )
    bars = [bar for bar in later if bar["symbol"] == FIRST]
    for bar in bars[:20]:
        signals = champions.update_all([{**bar, "symbol": name} for name in names])
        trending = signals[0].regime == "trending"
        assert [version_of(signal.model_id) for signal in signals] == [1 + (i + trending) % 5 for i in range(400)]
        assert len({signal.score for signal in signals}) == 5


def test_a_failed_look_is_noted_until_one_succeeds(
    follow: Follow, move: Move, later: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    move(1)
    champions = follow()

    def lost(*_: Any, **__: Any) -> None:
        raise HuracanError("the database went away")

    with monkeypatch.context() as broken:
        broken.setattr("huracan.serving.symbol_names.holders", lost)
        assert not champions.refresh()
        assert "the database went away" in champions.notes[0]
        assert champions.update(later[0]).score is not None
    assert not champions.refresh()
    assert champions.notes == ()
