"""A stream of candles and a batch of them are answered alike, by the model that was registered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan import ModelRegistry, TrainingSet
from huracan.catalogue import build_model
from huracan.errors import DataError, RegistryError, SignatureError
from huracan.integration.trained_models import forecast_registered
from huracan.serving import Predictor, Signal, VetoKind
from huracan.serving.served import IN_TRAINING

NUMBERS = ("score", "forecast", "probability", "low", "high", "position")
Opened = Callable[..., Predictor]


def table(signals: list[Signal]) -> pl.DataFrame:
    """What a batch would give, of signals."""
    rows = [
        {
            "symbol": one.symbol,
            "ts": one.ts,
            "regime": None if one.regime is None else str(one.regime),
            "do_predict": one.do_predict,
            "vetoes": [str(veto.kind) for veto in one.vetoes],
            **{name: getattr(one, name) for name in NUMBERS},
        }
        for one in signals
    ]
    schema = {"symbol": pl.String, "ts": pl.Datetime("ms", "UTC"), "regime": pl.String, "do_predict": pl.Boolean}
    return pl.DataFrame(rows, schema={**schema, "vetoes": pl.List(pl.String), **dict.fromkeys(NUMBERS, pl.Float64)})


def assert_alike(stream: pl.DataFrame, batch: pl.DataFrame, *names: str) -> None:
    joined = stream.join(batch, on=["symbol", "ts"], how="left", suffix=" in batch")
    assert len(joined) == len(stream)
    for name in names:
        mine, theirs = joined[name], joined[f"{name} in batch"]
        if mine.dtype == pl.Float64:
            assert mine.is_null().eq(theirs.is_null()).all(), name
            np.testing.assert_allclose(mine.drop_nulls(), theirs.drop_nulls(), rtol=1e-6, atol=1e-9, err_msg=name)
        else:
            assert mine.eq_missing(theirs).all(), name


def test_a_stream_says_what_a_batch_of_the_same_candles_says(
    opened: Opened, candles: pl.DataFrame, later: list[dict[str, Any]]
) -> None:
    predictor = opened()
    stream = table([predictor.update(bar) for bar in later])
    assert stream["position"].abs().max() > 0
    assert_alike(stream, predictor.predict(candles), *NUMBERS, "do_predict", "vetoes")


def test_scores_are_those_of_the_registered_model(opened: Opened, registry: ModelRegistry, candles: pl.DataFrame) -> None:
    """Oracle: the batch forecast of the pipeline, by other code."""
    said = forecast_registered(registry, "champion.simulated", candles)
    answered = opened().predict(candles).filter(pl.col("score").is_not_null())
    joined = said.join(answered, on=["symbol", "ts"], how="inner", suffix=" served")
    assert len(joined) == len(said)
    np.testing.assert_allclose(joined["score served"], joined["score"], rtol=1e-5, atol=1e-6)


def test_many_symbols_at_once_are_answered_like_one_after_the_other(opened: Opened, later: list[dict[str, Any]]) -> None:
    one_by_one, together = opened(), opened()
    several = [signal for i in range(0, 100, 2) for signal in together.update_all(later[i : i + 2])]
    single = [one_by_one.update(bar) for bar in later[:100]]
    assert [signal.symbol for signal in several] == [bar["symbol"] for bar in later[:100]]
    assert_alike(table(several), table(single), *NUMBERS, "do_predict", "vetoes")


def test_the_baseline_holds_nothing_and_says_so(
    registry: ModelRegistry, history: pl.DataFrame, candles: pl.DataFrame, later: list[dict[str, Any]]
) -> None:
    first = registry.get("champion.simulated")
    columns = first.info.signature.columns
    rows = TrainingSet.from_arrays(pl.DataFrame(np.random.default_rng(0).standard_normal((200, len(columns))), schema=columns))
    model = build_model("majority", task="regression").fit(rows.X, np.ones(200))
    card = model.model_info().model_copy(update={"signature": first.info.signature})
    registry.register(model, card, name="nothing", kind="baseline", extras={"recipe": first.extras["recipe"]})
    registry.promote("nothing", 1, reason="nothing beats it")
    predictor = Predictor.from_registry(registry, "nothing", history=history, refresh=None, stale_after=None)
    signal = predictor.update(later[0])
    assert (signal.score, signal.position, signal.do_predict, signal.engine) == (0.0, 0.0, True, "constant")
    assert signal.notes == ("the baseline holds nothing.",)
    assert predictor.predict(candles)["position"].unique().to_list() == [0.0]


@pytest.mark.parametrize(("task", "learner"), [("generation", "gan"), ("control", "dqn"), ("representation", "autoencoder")])
def test_what_has_no_score_is_refused_with_the_reason(registry: ModelRegistry, task: str, learner: str) -> None:
    first = registry.get("champion.simulated")
    name = f"no score: {learner}"
    card = first.info.model_copy(update={"task": task, "name": learner})
    version = registry.register(registry.load("champion.simulated"), card, name=name)
    with pytest.raises(RegistryError, match=f"is for {task}"):
        Predictor.from_registry(registry, name, version=version)


def test_a_model_without_a_recipe_answers_rows_of_features_and_no_candles(
    registry: ModelRegistry, later: list[dict[str, Any]]
) -> None:
    first = registry.get("champion.simulated")
    version = registry.register(registry.load("champion.simulated"), first.info, name="plain")
    predictor = Predictor.from_registry(registry, "plain", version=version)
    rows = pl.DataFrame(np.zeros((2, len(predictor.columns))), schema=list(predictor.columns))
    assert predictor.predict(rows)["score"].is_not_null().all()
    with pytest.raises(SignatureError, match="without its recipe"):
        predictor.update(later[0])


def test_what_a_version_cannot_be_vetoed_for_is_in_its_notes(registry: ModelRegistry, later: list[dict[str, Any]]) -> None:
    """Registered by hand, without provenance, range and sketch: silence would read as a check that was passed."""
    first = registry.get("champion.simulated")
    signature = first.info.signature.model_copy(update={"low": (), "high": ()})
    card = first.info.model_copy(update={"signature": signature})
    registry.register(registry.load(first.name), card, name="bare", extras={"recipe": first.extras["recipe"]})
    predictor = Predictor.from_registry(registry, "bare", version=1, symbols=[later[0]["symbol"]], bar="1h")
    signal = predictor.update(later[0])
    for said in ("never counts as expired", "nothing counts as out of it", "none counts as far from them"):
        assert sum(said in note for note in signal.notes) == 1
    assert len(Predictor.from_registry(registry, "bare", version=1, max_age=None).notes) == 2
    assert Predictor.from_registry(registry, first.name).notes == ()


def test_bars_that_the_model_learned_from_are_marked(
    opened: Opened, candles: pl.DataFrame, history: pl.DataFrame, later: list[dict[str, Any]]
) -> None:
    """In a frame and in a stream alike: an answer on them is no evidence of anything."""
    rest = opened()
    until = rest._served.version.provenance.trained_until
    answers = rest.predict(candles)
    learned = answers["notes"].list.len() == 1
    assert learned.to_list() == (answers["decision_time"] < until).to_list()
    assert 0 < learned.sum() < len(answers)
    assert IN_TRAINING in answers.filter(learned)["notes"][0][0]
    early = history.filter(pl.int_range(pl.len()).over("symbol") < 500)
    stream, told = opened(history=early), {(row["symbol"], row["ts"]): row["notes"] for row in answers.iter_rows(named=True)}
    bars = candles.filter(pl.int_range(pl.len()).over("symbol") >= 500).sort("ts", "symbol").head(20)
    for bar in bars.iter_rows(named=True):
        assert list(stream.update(bar).notes) == told[bar["symbol"], bar["ts"]] != []
    assert rest.update(later[0]).notes == ()


def test_candles_before_anything_is_open_are_refused(opened: Opened, later: list[dict[str, Any]]) -> None:
    with pytest.raises(RegistryError, match="takes no candles yet"):
        opened(history=None).update(later[0])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"refresh": -1}, "refresh is -1; a finite number of seconds above 0"),
        ({"refresh": 0.0}, "refresh is 0.0"),
        ({"refresh": float("nan")}, "refresh is nan"),
        ({"refresh": float("inf")}, "refresh is inf"),
        ({"refresh": "5"}, "refresh is '5'"),
        ({"stale_after": -2.0}, "stale_after is -2.0; a finite number of bars above 0"),
        ({"max_age": timedelta(days=-1)}, "max_age is -86400.0"),
        ({"max_age": "for ever"}, "max_age is 'for ever'; a length of time, None, or 'auto' was expected"),
        ({"anomaly_share": 1.5}, "anomaly_share is 1.5; a share of usual windows above 0 and up to 1"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_its_value(opened: Opened, given: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        opened(history=None, **given)


def test_a_second_bar_of_a_symbol_in_one_call_is_refused(opened: Opened, later: list[dict[str, Any]]) -> None:
    predictor, whole = opened(), opened()
    first, second, other = predictor.update_all([later[0], later[2], later[1]])
    assert [veto.kind for veto in second.vetoes] == [VetoKind.REFUSED]
    assert "two bars were given at once" in second.vetoes[0].why
    assert first.score == pytest.approx(whole.update(later[0]).score)
    assert other.score == pytest.approx(whole.update(later[1]).score)
    assert predictor.update(later[2]).score == pytest.approx(whole.update(later[2]).score)
