"""What speaks against acting: each kind appears when its cause does, says it in words, and leaves when the cause does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan.errors import CandleError
from huracan.preprocessing import FeatureRecipe
from huracan.serving import Predictor, Signal, VetoKind

Opened = Callable[..., Predictor]
Bars = list[dict[str, Any]]
LOOKBACK = FeatureRecipe.minimal().lookback


def kinds(signal: Signal) -> list[VetoKind]:
    return [veto.kind for veto in signal.vetoes]


def of_one(later: Bars) -> Bars:
    return [bar for bar in later if bar["symbol"] == later[0]["symbol"]]


def test_a_usual_bar_is_not_vetoed(opened: Opened, later: Bars) -> None:
    predictor = opened()
    signals = [predictor.update(bar) for bar in later[:200]]
    assert sum(signal.do_predict for signal in signals) > 190


def test_behind_missing_bars_there_is_no_score_until_features_are_back(opened: Opened, later: Bars) -> None:
    predictor, bars = opened(), of_one(later)
    before = predictor.update(bars[0])
    signals = [predictor.update(bar) for bar in bars[5:]]
    assert before.score is not None
    for signal in signals[:LOOKBACK]:
        assert kinds(signal) == [VetoKind.GAP]
        assert signal.score is None
        assert signal.position == 0.0
        assert not signal.do_predict
    assert f"1 bars since bars were missing, {LOOKBACK + 1} are needed" in signals[0].vetoes[0].why
    assert VetoKind.GAP not in kinds(signals[LOOKBACK])
    assert signals[LOOKBACK].score is not None


def test_without_history_features_warm_up_first(opened: Opened, later: Bars) -> None:
    predictor, bars = opened(history=None, symbols=[later[0]["symbol"]]), of_one(later)
    signals = [predictor.update(bar) for bar in bars[: LOOKBACK + 1]]
    assert all(kinds(signal) == [VetoKind.WARMING_UP] for signal in signals[:-1])
    assert signals[-1].score is not None


def test_a_price_that_leaps_is_unlike_training(opened: Opened, later: Bars) -> None:
    predictor, bar = opened(), later[0]
    leap = {**bar, "high": bar["high"] * 2, "close": bar["close"] * 2}
    signal = predictor.update(leap)
    assert set(kinds(signal)) == {VetoKind.OUT_OF_RANGE, VetoKind.FAR_FROM_TRAINING}
    assert signal.score is not None
    assert signal.position == 0.0
    assert "in training" in signal.vetoes[0].why


def test_a_bar_is_stale_two_bars_after_its_close(opened: Opened, later: Bars) -> None:
    closed = later[0]["ts"] + timedelta(hours=1)
    for hours, stale in ((0.0, False), (1.9, False), (2.1, True)):
        now = closed + timedelta(hours=hours)
        signal = opened(clock=lambda now=now: now, stale_after=2.0).update(later[0])
        assert (VetoKind.STALE in kinds(signal)) == stale


def test_a_model_expires(opened: Opened, later: Bars) -> None:
    trained_until = opened()._served.version.provenance.trained_until
    assert trained_until is not None
    age = later[0]["ts"].astimezone(UTC) + timedelta(hours=1) - trained_until
    assert VetoKind.EXPIRED not in kinds(opened(max_age=age).update(later[0]))
    signal = opened(max_age=age - timedelta(minutes=1)).update(later[0])
    assert kinds(signal) == [VetoKind.EXPIRED]
    assert signal.score is not None


def test_a_refused_candle_changes_nothing_and_leaves_the_others_alone(opened: Opened, later: Bars) -> None:
    predictor, whole = opened(), opened()
    with pytest.raises(CandleError, match="'close' is missing"):
        predictor.update({key: value for key, value in later[0].items() if key != "close"})
    first, second = predictor.update_all([{**later[0], "high": -1.0}, later[1]])
    assert kinds(first) == [VetoKind.REFUSED]
    assert "high" in first.vetoes[0].why
    assert first.score is None
    assert second.score == pytest.approx(whole.update(later[1]).score)
    assert predictor.update(later[0]).score == pytest.approx(whole.update(later[0]).score)


@pytest.mark.parametrize(
    ("ts", "told"),
    [
        (1_714_860_000_000, datetime(2024, 5, 4, 22, tzinfo=UTC)),
        (1_714_860_000_000.0, datetime(2024, 5, 4, 22, tzinfo=UTC)),
        (np.datetime64("2024-05-04T22:00"), datetime(2024, 5, 4, 22, tzinfo=UTC)),
        (datetime(2024, 5, 4, 22, tzinfo=UTC), datetime(2024, 5, 4, 22, tzinfo=UTC)),
        (datetime(2024, 5, 4, 22), None),
        (np.datetime64("NaT"), None),
        (10**17, None),
        (253_402_300_799_999, None),
        (True, None),
        (None, None),
    ],
)
def test_a_refused_candle_is_told_with_its_own_time(opened: Opened, later: Bars, ts: Any, told: datetime | None) -> None:
    """Whoever keeps answers by symbol and time must not lose a good one to a refusal."""
    predictor = opened()
    refused, taken = predictor.update_all([{**later[0], "ts": ts}, later[1]])
    assert kinds(refused) == [VetoKind.REFUSED]
    assert (refused.ts, refused.decision_time) == (told, None if told is None else told + timedelta(hours=1))
    assert refused.to_dict()["ts"] == (None if told is None else "2024-05-04T22:00:00+00:00")
    assert taken.score is not None


@pytest.mark.parametrize("kind", ["polars", "pandas"])
def test_a_frame_is_a_list_of_candles_and_one_candle_is_none(opened: Opened, later: Bars, kind: str) -> None:
    predictor, frame = opened(), pl.DataFrame(later[:2])
    expected = opened().update_all(later[:2])
    assert predictor.update_all(frame if kind == "polars" else frame.to_pandas()) == expected
    with pytest.raises(CandleError, match="a dict was given for candles"):
        predictor.update_all(later[2])


def test_a_symbol_that_was_interrupted_keeps_no_bar_from_the_others(opened: Opened, later: Bars) -> None:
    predictor = opened()
    series = predictor._opened().features._series[later[0]["symbol"]]
    series.interrupt(round(later[0]["ts"].timestamp() * 1_000) - 3_600_000)
    first, second = predictor.update_all(later[:2])
    assert kinds(first) == [VetoKind.REFUSED]
    assert "interrupted" in first.vetoes[0].why
    assert second.score is not None


def test_an_infinite_feature_ends_the_window_and_not_the_stream(
    opened: Opened, later: Bars, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huracan.errors import FeatureError

    predictor = opened()
    features = predictor._opened().features
    update = features.update

    def infinite(candle: Any) -> Any:
        update(candle)
        raise FeatureError("feature 'x' is infinite")

    monkeypatch.setattr(features, "update", infinite)
    assert kinds(predictor.update(later[0])) == [VetoKind.INFINITE_FEATURE]
    monkeypatch.setattr(features, "update", update)
    assert predictor.update(later[2]).score is not None


def test_times_of_a_signal_are_those_of_its_bar(opened: Opened, later: Bars) -> None:
    signal = opened().update(later[0])
    assert signal.ts == later[0]["ts"]
    assert signal.decision_time - signal.ts == timedelta(hours=1)
    assert datetime.fromisoformat(signal.to_dict()["ts"]) == signal.ts
