"""Candles that come late or were missed are put in, and what follows is as if they had come in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from huracan import ModelRegistry
from huracan.errors import CandleError, UnknownName
from huracan.serving import Predictor, VetoKind

NAME = "champion.simulated"
Opened = Callable[..., Predictor]
Bars = list[dict[str, Any]]


def frame(bars: Bars, history: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame(bars, schema=history.schema)


def kinds(signals: Any) -> list[list[VetoKind]]:
    return [[veto.kind for veto in signal.vetoes] for signal in signals]


def test_behind_a_filled_gap_bars_are_answered_as_if_there_had_been_none(
    opened: Opened, history: pl.DataFrame, later: Bars
) -> None:
    """The other symbol's state stays what it was: the very objects."""
    mine = later[0]["symbol"]
    predictor, whole = opened(), opened()
    missed = [bar for bar in later[20:26] if bar["symbol"] == mine]
    for bar in later[:40]:
        whole.update(bar)
        if bar not in missed:
            predictor.update(bar)
    other = predictor._opened().states[later[1]["symbol"]]
    assert kinds([predictor.update(later[40]), whole.update(later[40])]) == [[VetoKind.GAP], []]
    predictor.fill(frame(missed, history))
    assert predictor._opened().states[later[1]["symbol"]] is other
    for bar in later[41:80]:
        one, expected = predictor.update(bar), whole.update(bar)
        assert kinds([one]) == kinds([expected])
        assert one.regime == expected.regime
        assert one.score == pytest.approx(expected.score, abs=1e-4)
        assert one.position == pytest.approx(expected.position, abs=1e-4)


def test_a_late_bar_is_refused_with_the_way_out(opened: Opened, history: pl.DataFrame, later: Bars) -> None:
    predictor = opened()
    predictor.update(later[4])
    with pytest.raises(CandleError, match=r"comes after .* Predictor.fill takes bars that come late"):
        predictor.update(later[2])
    (refused,) = predictor.update_all([later[2]])
    assert "Predictor.fill" in refused.vetoes[0].why
    with pytest.raises(CandleError, match=r"taken already; each bar is taken once, in order\.$"):
        predictor.update(later[4])
    predictor.fill(frame([later[0], later[2]], history))
    assert kinds([predictor.update(later[6])]) == [[]]


def test_intervals_and_what_they_wait_for_survive(opened: Opened, history: pl.DataFrame, later: Bars) -> None:
    predictor, untaught = opened(), opened()
    for bar in later[:60:2]:
        predictor.update(bar)
        untaught.update(bar)
        if bar is not later[58]:
            predictor.learn(bar["symbol"], bar["ts"], 50.0)
    predictor.fill(frame([later[58]], history))
    assert predictor.learn(later[58]["symbol"], later[58]["ts"], 50.0)
    taught, before = predictor.update(later[60]), untaught.update(later[60])
    assert taught.low is not None and taught.high is not None and before.low is not None and before.high is not None
    assert taught.high - taught.low > 2.0 * (before.high - before.low)


@pytest.mark.parametrize("whole_history", [False, True])
def test_a_regime_that_looks_back_farther_than_what_is_remembered_goes_on_unless_a_history_comes(
    registry: ModelRegistry,
    request: pytest.FixtureRequest,
    history: pl.DataFrame,
    candles: pl.DataFrame,
    later: Bars,
    whole_history: bool,
) -> None:
    first = registry.get(NAME)
    config = {**first.extras["config"], "regimes": {**first.extras["config"]["regimes"], "lookback": 2_200}}
    extras = {**first.extras, "config": config}
    registry.register(registry.load(NAME), first.info, name=request.node.name, extras=extras, provenance=first.provenance)
    how: dict[str, Any] = {"history": history, "version": 1, "refresh": None, "max_age": None, "stale_after": None}
    predictor, gappy, whole = (Predictor.from_registry(registry, request.node.name, **how) for _ in range(3))
    bars = later[:160:2]
    for bar in bars[:40]:
        whole.update(bar)
        if bar not in bars[10:13]:
            predictor.update(bar)
            gappy.update(bar)
    late = candles.filter(pl.col("symbol") == bars[0]["symbol"], pl.col("ts") <= bars[12]["ts"])
    predictor.fill(late if whole_history else frame(bars[10:13], history))
    like = whole if whole_history else gappy
    told = [(predictor.update(bar).regime, like.update(bar).regime) for bar in bars[40:]]
    assert all(mine == theirs for mine, theirs in told)
    assert len({mine for mine, _ in told}) > 1


def test_what_cannot_be_put_in_changes_nothing(opened: Opened, history: pl.DataFrame, later: Bars) -> None:
    predictor, whole = opened(), opened()
    with pytest.raises(UnknownName, match="did you mean"):
        predictor.fill(frame([later[0]], history).with_columns(symbol=pl.lit("SIM1-USD")))
    with pytest.raises(CandleError, match="'close' is missing"):
        predictor.fill(frame([later[0]], history).drop("close"))
    with pytest.raises(CandleError, match="column 'close' is String; numbers were expected"):
        predictor.fill(frame([later[0]], history).with_columns(close=pl.lit("x")))
    with pytest.raises(CandleError, match="close"):
        predictor.fill(frame([later[0]], history).with_columns(close=pl.lit(-1.0)))
    assert predictor.fill(history.clear()) is predictor
    assert predictor.update(later[0]) == whole.update(later[0])


@pytest.mark.parametrize("symbols", [1, 2])
def test_a_history_of_one_bar_is_remembered(opened: Opened, history: pl.DataFrame, later: Bars, symbols: int) -> None:
    """As many bars later as without the first of them, features are there one bar earlier."""
    names = [bar["symbol"] for bar in later[:symbols]]
    first = history.filter(pl.col("symbol").is_in(names)).group_by("symbol", maintain_order=True).last()
    one, none = opened(history=first.select(history.columns)), opened(history=None, symbols=names)
    bars = [bar for bar in later if bar["symbol"] == names[0]][:60]
    scored = [[predictor.update(bar).score is not None for bar in bars] for predictor in (one, none)]
    assert scored[0].index(True) == scored[1].index(True) - 1
    state = one._opened().states[names[0]]
    assert len(state.candles) == 61


def test_a_file_of_one_candle_is_answered(opened: Opened, history: pl.DataFrame, later: Bars) -> None:
    answers = opened().predict(frame(later[:1], history))
    assert answers["vetoes"].to_list() == [["warming_up"]]
