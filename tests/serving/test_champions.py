"""For every symbol its champion in its regime answers, and says what a predictor of that version alone would have said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan import ModelRegistry, TrainingSet
from huracan.catalogue import build_model
from huracan.errors import CandleError, DataError, FeatureError, HuracanError, RegistryError, SignatureError, UnknownName
from huracan.model_info import FeatureSignature
from huracan.preprocessing import FeatureRecipe, OnlineFeatures, feature
from huracan.regimes import RegimeClassifier
from huracan.registry.scopes import Scope
from huracan.serving import Champions, Predictor, VetoKind

FIRST, SECOND = "SIM01-USD", "SIM02-USD"
Bars = list[dict[str, Any]]
Follow = Callable[..., Champions]
Move = Callable[..., None]
Pinned = Callable[[int], Predictor]


def moments(bars: Bars) -> list[Bars]:
    return [bars[i : i + 2] for i in range(0, len(bars), 2)]


def version_of(model_id: str) -> int:
    return int(model_id.rpartition("/")[2])


@pytest.fixture
def scoped(move: Move) -> None:
    """Every kind of scope: all, a regime, a symbol, a symbol in a regime."""
    move(1)
    move(2, regime="trending")
    move(3, symbol=FIRST)
    move(4, symbol=FIRST, regime="ranging")


@pytest.fixture
def regimes(registry: ModelRegistry, candles: pl.DataFrame) -> dict[tuple[str, Any], str]:
    """Oracle: the regimes of all candles, told at once."""
    rules = RegimeClassifier.from_dict(registry.get("champion.simulated").extras["config"]["regimes"])
    told = rules.classify(candles).select("symbol", "ts", "regime").rows()
    return {(symbol, ts): regime for symbol, ts, regime in told}


@pytest.mark.usefixtures("scoped")
@pytest.mark.parametrize("together", [True, False])
def test_the_nearest_champion_answers_as_it_would_have_alone(
    follow: Follow,
    pinned: Pinned,
    later: Bars,
    regimes: dict[tuple[str, Any], str],
    registry: ModelRegistry,
    crowd: str,
    alias: str,
    together: bool,
    assert_same: Callable[..., None],
) -> None:
    """Who that is, the registry says; positions, made of four decisions, are those of a version that was never interrupted."""
    champions, alone = follow(), {version: pinned(version) for version in range(1, 5)}
    seen: dict[str, list[int]] = {FIRST: [], SECOND: []}
    for bars in moments(later[:400]):
        signals = champions.update_all(bars) if together else [champions.update(bar) for bar in bars]
        said = {
            version: one.update_all(bars) if together else [one.update(bar) for bar in bars] for version, one in alone.items()
        }
        for i, signal in enumerate(signals):
            found = registry.get(crowd, alias=alias, symbol=signal.symbol, regime=regimes[signal.symbol, signal.ts])
            assert signal.model_id == found.model_id
            assert signal.alias == Scope(found.symbol, found.regime).written(alias)
            assert_same(signal, said[found.version][i])
            seen[signal.symbol].append(found.version)
    assert {symbol: set(versions) for symbol, versions in seen.items()} == {FIRST: {3, 4}, SECOND: {1, 2}}
    assert min(np.count_nonzero(np.diff(versions)) for versions in seen.values()) >= 4, "regimes went there and back"


@pytest.mark.usefixtures("scoped")
def test_a_frame_is_answered_like_a_stream(follow: Follow, candles: pl.DataFrame, later: Bars) -> None:
    champions = follow()
    answers = champions.predict(candles)
    assert len(answers) == len(candles)
    told = {(row["symbol"], row["ts"]): row for row in answers.iter_rows(named=True)}
    for bar in later[:200]:
        signal = champions.predict(bar)
        row = told[signal.symbol, signal.ts]
        assert (row["model_id"], row["alias"], row["regime"]) == (signal.model_id, signal.alias, str(signal.regime))
        assert (row["do_predict"], row["vetoes"]) == (signal.do_predict, [str(veto.kind) for veto in signal.vetoes])
        assert row["decision_time"] == signal.decision_time
        for number in ("score", "forecast", "probability", "position"):
            assert row[number] == pytest.approx(getattr(signal, number), rel=1e-6, abs=1e-9)


@pytest.mark.usefixtures("scoped")
@pytest.mark.parametrize(
    ("by", "expected"), [((), {1}), (["symbol"], {1, 3}), (["regime"], {1, 2}), (("regime", "symbol"), {1, 2, 3, 4})]
)
def test_scopes_that_do_not_count_are_passed_over(follow: Follow, by: list[str], expected: set[int]) -> None:
    assert {version_of(model_id) for model_id in follow(by=by).table["model_id"]} == expected


@pytest.mark.usefixtures("scoped")
def test_before_a_regime_is_known_the_nearest_scope_without_one_answers(
    follow: Follow, later: Bars, registry: ModelRegistry
) -> None:
    champions = follow(history=None, symbols=[FIRST, SECOND], bar="1h")
    for bars in moments(later[:40]):
        first, second = champions.update_all(bars)
        assert (first.regime, second.regime) == (None, None)
        assert (version_of(first.model_id), version_of(second.model_id)) == (3, 1)


def test_where_nobody_is_champion_the_signal_says_so(
    follow: Follow, move: Move, candles: pl.DataFrame, later: Bars, regimes: dict[tuple[str, Any], str]
) -> None:
    move(1, regime="trending")
    move(2, symbol=SECOND)
    champions = follow()
    kinds = {"trending": 0, "other": 0}
    for bars in moments(later):
        first, second = champions.update_all(bars)
        assert version_of(second.model_id) == 2
        if regimes[FIRST, first.ts] == "trending":
            kinds["trending"] += 1
            assert version_of(first.model_id) == 1
            continue
        kinds["other"] += 1
        assert [veto.kind for veto in first.vetoes] == [VetoKind.NO_CHAMPION]
        assert (first.model_id, first.alias, first.score, first.position, first.do_predict) == ("", None, None, None, False)
        assert first.ts == bars[0]["ts"]
        assert str(first.regime) == regimes[FIRST, first.ts]
    assert min(kinds.values()) > 10
    answers = champions.predict(candles)
    nobody = answers.filter(pl.col("vetoes").list.contains("no_champion"))
    assert nobody["symbol"].unique().to_list() == [FIRST]
    assert not nobody["do_predict"].any()
    assert nobody["decision_time"].null_count() == 0


@pytest.mark.usefixtures("scoped")
def test_features_of_a_recipe_are_computed_once_a_bar(follow: Follow, later: Bars, monkeypatch: pytest.MonkeyPatch) -> None:
    champions, asked = follow(), []
    update = OnlineFeatures.update
    monkeypatch.setattr(OnlineFeatures, "update", lambda self, candle: asked.append(candle) or update(self, candle))
    champions.update(later[0])
    champions.update_all(later[2:4])
    assert asked == [later[0], later[2], later[3]]
    assert len(champions.beside(FIRST)) == 2


@pytest.mark.usefixtures("scoped")
def test_labels_are_told_to_every_version(
    follow: Follow, pinned: Pinned, later: Bars, assert_same: Callable[..., None]
) -> None:
    """An interval is steered by the labels of all bars, also of those that another version answered."""
    champions, alone = follow(), {version: pinned(version) for version in (3, 4)}
    mine = [bar for bar in later if bar["symbol"] == FIRST]
    for i, bar in enumerate(mine):
        signal = champions.update(bar)
        said = {version: one.update(bar) for version, one in alone.items()}
        assert_same(signal, said[version_of(signal.model_id)])
        if i >= 4:
            label = 0.1 if i % 3 else -0.1
            told = [one.learn(FIRST, mine[i - 4]["ts"], label) for one in (champions, *alone.values())]
            assert len(set(told)) == 1
    assert not champions.learn(FIRST, 0, 0.1)


@pytest.mark.usefixtures("scoped")
def test_a_watched_version_speaks_beside_the_champion_and_never_answers(
    follow: Follow, pinned: Pinned, later: Bars, assert_same: Callable[..., None]
) -> None:
    champions, alone = follow(), pinned(5)
    champions.watch(5)
    for bars in moments(later[:40]):
        signals, said = champions.update_all(bars), alone.update_all(bars)
        for signal, theirs in zip(signals, said, strict=True):
            assert signal.model_id != theirs.model_id
            assert_same(champions.beside(signal.symbol)[theirs.model_id], theirs)
    with pytest.raises(RegistryError, match="no version 99"):
        champions.watch(99)
    assert "crowd/5" in champions.beside(FIRST)
    champions.watch()
    champions.update_all(later[40:42])
    assert "crowd/5" not in champions.beside(FIRST)


@pytest.mark.usefixtures("scoped")
def test_candles_that_came_late_are_put_in_for_every_version(
    follow: Follow, pinned: Pinned, candles: pl.DataFrame, later: Bars, assert_same: Callable[..., None]
) -> None:
    """Behind that all answer as if nothing had been missing; before, they say that there is a gap."""
    champions, alone = follow(), {version: pinned(version) for version in range(1, 5)}
    for i, bars in enumerate(moments(later[:120])):
        said = {version: one.update_all(bars) for version, one in alone.items()}
        if i == 20:
            continue
        if i == 40:
            missed = candles.filter(pl.col("ts") == later[40]["ts"])
            assert len(missed) == 2
            champions.fill(missed)
        for place, signal in enumerate(champions.update_all(bars)):
            if i < 20 or i >= 40:
                assert_same(signal, said[version_of(signal.model_id)][place], tolerance=1e-4)
            else:
                assert VetoKind.GAP in {veto.kind for veto in signal.vetoes}
    with pytest.raises(UnknownName, match="XYZ"):
        champions.fill(missed.with_columns(symbol=pl.lit("XYZ")))


@pytest.mark.usefixtures("scoped")
def test_a_version_that_fails_keeps_no_bar_from_the_others(
    follow: Follow, pinned: Pinned, later: Bars, monkeypatch: pytest.MonkeyPatch, assert_same: Callable[..., None]
) -> None:
    """The watched one fails beside the champions; a champion that fails is an error, and nobody misses the bar."""
    champions, alone = follow(), {version: pinned(version) for version in range(1, 5)}
    champions.watch(5)

    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    for i, bars in enumerate(moments(later[:80])):
        said = {version: one.update_all(bars) for version, one in alone.items()}
        with monkeypatch.context() as broken:
            if 10 <= i < 20:
                broken.setattr(champions._now_served.served[5].scorer, "many", fail)
            signals = champions.update_all(bars)
            assert ("crowd/5" in champions.beside(FIRST)) == (not 10 <= i < 20)
        for place, signal in enumerate(signals):
            assert_same(signal, said[version_of(signal.model_id)][place])
    with monkeypatch.context() as broken:
        broken.setattr(champions._now_served.served[version_of(champions.update(later[80]).model_id)].scorer, "one", fail)
        broken.setattr(champions._now_served.served[1].scorer, "one", fail)
        broken.setattr(champions._now_served.served[2].scorer, "one", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            champions.update(later[81])
    for one in alone.values():
        one.update(later[81])
    signal = champions.update(later[83])
    assert signal.score == alone[version_of(signal.model_id)].update(later[83]).score


@pytest.fixture(scope="module")
def comparing(registry: ModelRegistry, crowd: str, history: pl.DataFrame) -> int:
    """A version whose features compare symbols."""
    recipe = FeatureRecipe([feature("log_return_scaled", horizon=6), feature("rsi_scaled", window=14).across("rank")])
    features = recipe.compute(history).drop_nulls().select(recipe.columns)
    model = build_model("ridge").fit(TrainingSet.from_arrays(features, features.to_numpy().sum(axis=1)))
    card = model.model_info().model_copy(update={"signature": FeatureSignature(columns=recipe.columns)})
    return registry.register(model, card, name=crowd, extras={"recipe": recipe.to_json()})


def test_features_that_compare_symbols_compare_all_of_them(
    comparing: int, follow: Follow, move: Move, pinned: Pinned, later: Bars
) -> None:
    """Also where their version is champion of one symbol alone."""
    version = comparing
    move(1)
    move(version, symbol=FIRST)
    champions, alone = follow(), {1: pinned(1), version: pinned(version)}
    for bars in moments(later[:40]):
        first, second = champions.update_all(bars)
        compared, plain = alone[version].update_all(bars)[0], alone[1].update_all(bars)[1]
        assert (first.model_id, second.model_id) == (compared.model_id, plain.model_id)
        assert (first.score, second.score) == pytest.approx((compared.score, plain.score), abs=1e-9)
    with pytest.raises(FeatureError, match="compares symbols"):
        champions.update(later[40])
    with pytest.raises(CandleError, match="its bar is of"):
        champions.update_all([later[40], later[43]])
    assert champions.update_all([]) == []
    expected = alone[version].update_all(later[40:42])[0].score
    assert champions.update_all(later[40:42])[0].score == pytest.approx(expected, abs=1e-9)


def test_late_candles_of_a_symbol_that_is_only_compared_with_are_put_in(
    comparing: int, follow: Follow, move: Move, pinned: Pinned, candles: pl.DataFrame, later: Bars
) -> None:
    """The version that compares is champion of the first symbol alone, and ranks it among both."""
    move(1)
    move(comparing, symbol=FIRST)
    champions, alone = follow(), pinned(comparing)
    missed, ranks = candles.filter((pl.col("ts") == later[20]["ts"]) & (pl.col("symbol") == SECOND)), set()
    for i, bars in enumerate(moments(later[:80])):
        if i == 10:
            bars = [bar for bar in bars if bar["symbol"] == FIRST]
        if i == 11:
            champions.fill(missed)
            alone.fill(missed)
        mine, theirs = champions.update_all(bars)[0], alone.update_all(bars)[0]
        assert (mine.model_id, mine.vetoes) == (theirs.model_id, theirs.vetoes)
        assert mine.score == pytest.approx(theirs.score, abs=1e-9)
        if i > 10:
            ranks.add(float(champions._lanes.streams[comparing].states[FIRST].last_rows(1)[0, 1]))
    assert len(ranks) > 1, "it is compared"


@pytest.mark.usefixtures("scoped")
def test_a_candle_that_cannot_be_taken_changes_nothing(follow: Follow, pinned: Pinned, later: Bars) -> None:
    champions, alone = follow(), pinned(1)
    with pytest.raises(UnknownName, match=f"did you mean '?{FIRST}"):
        champions.update({**later[0], "symbol": "SIM01-USDT"})
    with pytest.raises(CandleError, match="symbol is None"):
        champions.update({**later[0], "symbol": None})
    with pytest.raises(CandleError, match="'high'"):
        champions.update({**later[0], "high": -1.0})
    refused, taken = champions.update_all([{**later[0], "high": "x"}, later[1]])
    assert [veto.kind for veto in refused.vetoes] == [VetoKind.REFUSED]
    assert (refused.symbol, refused.ts, refused.do_predict) == (FIRST, later[0]["ts"], False)
    assert taken.score is not None
    again, twice = champions.update_all([later[3], {**later[3], "ts": later[5]["ts"]}])
    assert again.score is not None
    assert "two bars were given at once" in twice.vetoes[0].why
    assert {signal.ts for signal in champions.beside(SECOND).values()} == {again.ts}, "what was taken counts"
    assert champions.update(later[0]).ts == alone.update(later[0]).ts


@pytest.mark.usefixtures("scoped")
def test_a_symbol_that_is_not_open_keeps_no_bar_from_the_others(
    follow: Follow, pinned: Pinned, later: Bars, assert_same: Callable[..., None]
) -> None:
    """A new listing in every minute's list; and what is no candle at all."""
    champions, alone = follow(), {version: pinned(version) for version in range(1, 5)}
    for bars in moments(later[:20]):
        said = {version: one.update_all(bars) for version, one in alone.items()}
        refused, *signals, last = champions.update_all([{**bars[0], "symbol": "NEW-USD"}, *bars, None])
        assert [veto.kind for veto in (*refused.vetoes, *last.vetoes)] == [VetoKind.REFUSED] * 2
        assert (refused.symbol, refused.ts, refused.model_id, refused.score) == ("NEW-USD", bars[0]["ts"], "", None)
        assert (last.symbol, last.ts, last.decision_time) == ("", None, None)
        for place, signal in enumerate(signals):
            assert_same(signal, said[version_of(signal.model_id)][place])
    assert refused.decision_time == signals[0].decision_time


def test_one_symbol_need_not_be_named(follow: Follow, move: Move, history: pl.DataFrame, later: Bars) -> None:
    move(1)
    move(2, regime="trending")
    champions = follow(history=history.filter(pl.col("symbol") == FIRST))
    bare = {name: value for name, value in later[0].items() if name != "symbol"}
    assert champions.update(bare).symbol == FIRST
    assert champions.update_all([{**bare, "ts": later[2]["ts"]}])[0].symbol == FIRST


@pytest.mark.usefixtures("scoped")
@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"history": None}, RegistryError, "give history or symbols"),
        ({"by": "symbol"}, RegistryError, "by is 'symbol'"),
        ({"by": ["symbols"]}, RegistryError, "by is \\['symbols'\\]"),
        ({"refresh": 0}, DataError, "refresh is 0"),
        ({"stale_after": float("nan")}, DataError, "stale_after is nan"),
        ({"symbols": FIRST}, RegistryError, "symbols is the text"),
        ({"alias": "champoin"}, RegistryError, "champoin"),
        ({"bar": "5m"}, HuracanError, "bar"),
    ],
)
def test_what_cannot_be_meant_is_refused(follow: Follow, changes: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        follow(**changes)


def test_questions_that_cannot_be_answered_are_refused(follow: Follow, move: Move, candles: pl.DataFrame) -> None:
    move(1)
    champions = follow()
    with pytest.raises(SignatureError, match="columns ts, open, high, low, close"):
        champions.predict(pl.DataFrame({"x0": [1.0]}))
    with pytest.raises(UnknownName, match="XYZ"):
        champions.predict(candles.with_columns(symbol=pl.lit("XYZ")))
    with pytest.raises(DataError, match="label is nan"):
        champions.learn(FIRST, 0, float("nan"))
    with pytest.raises(UnknownName):
        champions.beside("XYZ")


def test_a_symbol_without_any_champion_keeps_no_other_from_its_own(
    follow: Follow, move: Move, pinned: Pinned, candles: pl.DataFrame, later: Bars, assert_same: Callable[..., None]
) -> None:
    """A new listing in the history; as a frame, too. Once it has a champion, that one knows the candles that came."""
    move(2, symbol=FIRST)
    champions, alone = follow(), {version: pinned(version) for version in (2, 3)}
    assert "@SIM02-USD, in any regime" in champions.notes[0]
    batch = champions.predict(candles).filter(symbol=SECOND)
    assert batch["vetoes"].to_list() == [["no_champion"]] * len(batch)
    for i, bars in enumerate(moments(later[:40])):
        if i == 10:
            move(3, symbol=SECOND)
            assert champions.refresh()
        said = {version: one.update_all(bars) for version, one in alone.items()}
        mine, other = champions.update_all(bars)
        assert_same(mine, said[2][0])
        if i < 10:
            assert [veto.kind for veto in other.vetoes] == [VetoKind.NO_CHAMPION]
            assert (other.symbol, other.ts, other.model_id) == (SECOND, bars[1]["ts"], "")
        else:
            assert_same(other, said[3][1])
    with pytest.raises(RegistryError, match=r"nobody is .*@SIM02-USD, in any regime"):
        follow(history=candles.filter(symbol=SECOND), by=["regime"])


def test_late_candles_also_mend_regimes_that_no_version_of_the_symbol_tells(
    registry: ModelRegistry, crowd: str, follow: Follow, move: Move, candles: pl.DataFrame, later: Bars
) -> None:
    """The rules of the champion for all decide, and versions of the first symbol go by others."""
    first = registry.get(crowd, version=1)
    rules = {**first.extras["config"]["regimes"], "trend_enter": 2.5, "trend_exit": 2.0}
    config = {**first.extras["config"], "regimes": rules}
    model = registry.load(crowd, version=1)
    version = registry.register(model, first.info, name=crowd, extras={**first.extras, "config": config})
    move(version)
    move(1, symbol=FIRST)
    move(2, symbol=FIRST, regime="ranging")
    champions = follow()
    told = RegimeClassifier.from_dict(rules).classify(candles).filter(pl.col("symbol") == FIRST)
    expected = dict(told.select("ts", "regime").rows())
    mine = [bar for bar in later if bar["symbol"] == FIRST]
    for i, bar in enumerate(mine[:120]):
        if i == 20:
            continue
        if i == 40:
            assert champions._lanes.decider.place(FIRST)[1] is None
            champions.fill(pl.DataFrame([mine[20]], schema=candles.schema))
        signal = champions.update(bar)
        if i < 20:
            assert signal.regime == expected[signal.ts]
        if i >= 40:
            assert champions._lanes.decider.place(FIRST)[1] is not None
