"""The Mechanic says of a bar what serving says of it, once, whenever it is asked."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from huracan.accounting import PositionPolicy
from huracan.config import LabelConfig
from huracan.errors import SignatureError
from huracan.integration.feedback.before_use import require_usable
from huracan.integration.feedback.candle_window import FrameWindow
from huracan.integration.feedback.feature_feed import FeatureFeed
from huracan.integration.feedback.predicting import NO_SCORE, Predictions, predict, veto_mask, vetoes_in
from huracan.market import simulate_market
from huracan.model_info import MarketRegime
from huracan.serving import VetoKind
from huracan.serving.batch import answer_candles
from huracan.serving.scalar_policy import ScalarPolicy
from huracan.serving.served import Served
from huracan.storage.feedback_tables import live_predictions

HOUR = 3_600_000
PREDICTION_COLUMNS = [column.name for column in live_predictions.columns]


@pytest.fixture(scope="module")
def served(champion) -> Served:
    """The champion with a policy that holds its decisions for five bars."""
    made = champion.served()
    policy = PositionPolicy(mode="scaled", scale=0.5, holding="overlap", horizon=5, spread=made.outlook.spread)
    return replace(made, policy=ScalarPolicy(policy, made.policy.bars_per_year))


def feed_of(candles: pl.DataFrame, symbols: list[str], chunk: int = 10_000) -> FeatureFeed:
    return FeatureFeed(FrameWindow(candles, HOUR), symbols, chunk=chunk * HOUR)


def said(champion, served: Served, first: int, until: int, chunk: int = 10_000) -> Predictions:
    return predict(served, feed_of(champion.candles, champion.symbols, chunk), champion.symbols, first, until, version_id=7)


def test_it_says_what_serving_says_of_the_same_candles(champion, served: Served) -> None:
    """Oracle: the batch of serving, whose own oracle is the stream. Both computed from the same first candle: equal bits."""
    start = champion.end_of_training
    chunk = 10_000
    begins = start // (chunk * HOUR) * chunk * HOUR - served.recipe.warmup * HOUR
    assert begins <= int(champion.candles["ts"].dt.epoch("ms")[0])  # so that all candles are in
    mine = said(champion, served, start, champion.end)
    theirs = answer_candles(served, champion.candles).filter(pl.col("ts").dt.epoch("ms") >= start)
    assert len(mine) == theirs.height == 800
    for name in ("score", "forecast", "probability", "position"):
        np.testing.assert_array_equal(getattr(mine, name), theirs[name].fill_null(np.nan).to_numpy(), err_msg=name)
    assert [[str(kind) for kind in vetoes_in(mask)] for mask in mine.vetoes.tolist()] == theirs["vetoes"].to_list()
    regimes = np.array([*MarketRegime, None], dtype=object)[mine.regime]
    assert [None if one is None else str(one) for one in regimes] == theirs["regime"].to_list()
    assert np.abs(mine.position).max() > 0


def test_bar_by_bar_is_all_at_once(champion, served: Served) -> None:
    """But for the rounding of a matrix product over one row or many."""
    start, until = champion.end_of_training, champion.end_of_training + 120 * HOUR
    at_once = said(champion, served, start, until, chunk=50)
    feed = feed_of(champion.candles, champion.symbols, chunk=50)
    parts = [
        predict(served, feed, champion.symbols, at, at + HOUR, version_id=7).rows(role="champion", tick=0)
        for at in range(start, until, HOUR)
    ]
    frames = [
        pl.DataFrame(rows, schema=PREDICTION_COLUMNS, orient="row", infer_schema_length=None).sort("symbol", "ts")
        for rows in (at_once.rows(role="champion", tick=0), [row for rows in parts for row in rows])
    ]
    for name in PREDICTION_COLUMNS:
        a, b = frames[0][name], frames[1][name]
        if a.dtype == pl.Float64:
            np.testing.assert_allclose(a.to_numpy(), b.to_numpy(), rtol=1e-6, atol=1e-9, err_msg=name)
        else:
            assert a.equals(b), name


def test_what_comes_later_changes_no_bit(champion, served: Served) -> None:
    start, until = champion.end_of_training, champion.end_of_training + 100 * HOUR
    known = champion.candles.filter(pl.col("ts").dt.epoch("ms") < until)
    lived = predict(served, feed_of(known, champion.symbols), champion.symbols, start, until, version_id=7)
    assert lived.rows(role="champion", tick=1) == said(champion, served, start, until).rows(role="champion", tick=1)


def test_rows_have_the_values_of_the_table(champion, served: Served) -> None:
    at = champion.end_of_training
    rows = said(champion, served, at, at + HOUR).rows(role="challenger", tick=at + HOUR)
    assert [dict(zip(PREDICTION_COLUMNS, row))["symbol"] for row in rows] == champion.symbols
    first = dict(zip(PREDICTION_COLUMNS, rows[0]))
    assert first["version_id"] == 7 and first["ts"] == at and first["role"] == "challenger" and first["tick"] == at + HOUR
    assert isinstance(first["score"], float) and 0 < first["probability"] < 1 and first["vetoes"] in (0, 64)


def test_what_has_no_score_is_null_and_vetoed(champion, served: Served) -> None:
    first = int(champion.candles["ts"].dt.epoch("ms")[0])
    made = said(champion, served, first, first + 3 * HOUR)
    assert np.isnan(made.score).all() and (made.vetoes & NO_SCORE > 0).all()
    for row in made.rows(role="champion", tick=0):
        told = dict(zip(PREDICTION_COLUMNS, row))
        assert told["score"] is told["forecast"] is told["probability"] is None and told["position"] == 0.0


def test_only_the_symbols_and_regimes_a_version_answers_for(champion, served: Served) -> None:
    made = said(champion, served, champion.end_of_training, champion.end)
    one, two = champion.symbols
    mine = made.within({one: [MarketRegime.TRENDING, MarketRegime.RANGING], two: [None]})
    rows = made.take(mine)
    assert set(rows.code.tolist()) <= {0, 1} and 0 < len(rows) < len(made)
    assert {rows.regime[i] for i in range(len(rows)) if rows.code[i] == 0} <= {0, 1}
    assert made.within({}).sum() == 0


def test_masks_hold_every_veto() -> None:
    kinds = list(VetoKind)
    masks = veto_mask({kind: np.eye(len(kinds), dtype=bool)[i] for i, kind in enumerate(kinds)})
    assert [vetoes_in(mask) for mask in masks.tolist()] == [(kind,) for kind in kinds]


def with_card(served: Served, change: dict) -> Served:
    """A version whose card says something else."""
    version = copy(served.version)
    version.__dict__["info"] = served.version.info.model_copy(update=change)
    return replace(served, version=version)


class TestBeforeUse:
    """Every way in which a version cannot be asked is refused with its name, what it is, and what was expected."""

    def test_a_champion_of_a_run_is_usable(self, champion) -> None:
        require_usable(champion.served(), bar=HOUR, labels=champion.config.labels)

    def test_other_bars_labels_and_no_recipe(self, champion) -> None:
        good = champion.served()
        with pytest.raises(SignatureError, match=r"bars of 5m; .* was trained on bars of 1h"):
            require_usable(good, bar=300_000)
        with pytest.raises(SignatureError, match="labels with horizon 2; 9 was expected"):
            require_usable(good, bar=HOUR, labels=LabelConfig(horizon=9))
        with pytest.raises(SignatureError, match="without its recipe"):
            require_usable(replace(good, recipe=None), bar=HOUR)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"output_schema": {"embedding": "a vector"}}, "promises embedding; a score takes prediction"),
            ({"feature_requirements": ("numeric", "order book of 20 levels")}, "requires of its features: order book"),
        ],
    )
    def test_a_card_that_asks_or_promises_something_else(self, champion, change: dict, said: str) -> None:
        good = champion.served()
        with pytest.raises(SignatureError, match=said):
            require_usable(with_card(good, change), bar=HOUR)

    @pytest.mark.parametrize(("value", "said"), [(np.nan, "answers nan"), (np.inf, "answers inf")])
    def test_answers_that_are_no_numbers(self, champion, value: float, said: str) -> None:
        good = champion.served()

        class Broken:
            window, n_outputs, engine, reason, reads_regime = 1, 1, "native", None, False

            def many(self, X: np.ndarray, regime: np.ndarray | None = None) -> np.ndarray:
                return np.full((len(X), 1), value)

        with pytest.raises(SignatureError, match=said):
            require_usable(replace(good, scorer=Broken()), bar=HOUR)

    def test_probabilities_beyond_one(self, champion) -> None:
        good = champion.served()

        class Broken:
            window, n_outputs, engine, reason, reads_regime = 1, 2, "native", None, False

            def many(self, X: np.ndarray, regime: np.ndarray | None = None) -> np.ndarray:
                return np.tile([-0.5, 1.5], (len(X), 1))

        card = {"task": "classification", "output_schema": {"class": "likelier", "probability": "0 to 1"}}
        with pytest.raises(SignatureError, match=r"a probability of -0.5; 0 to 1 was expected"):
            require_usable(replace(with_card(good, card), scorer=Broken()), bar=HOUR)


def test_the_same_candles_of_more_symbols(champion, served: Served) -> None:
    """A version answers for its own symbols only, and the same whoever else is looked at."""
    more = pl.concat(
        [champion.candles, simulate_market(n_bars=2_400, n_symbols=1, seed=9).candles.with_columns(symbol=pl.lit("ZZZ"))]
    )
    at, until = champion.end_of_training, champion.end_of_training + 50 * HOUR
    feed = feed_of(more, [*champion.symbols, "ZZZ"])
    assert predict(served, feed, champion.symbols, at, until, version_id=7).rows(role="champion", tick=1) == said(
        champion, served, at, until
    ).rows(role="champion", tick=1)


def test_rows_at_once_are_what_each_alone_is_to_the_last_bit(champion, served: Served) -> None:
    """Oracle: the arithmetic of one row at a time, which a stream uses."""
    start = champion.end_of_training
    answers = answer_candles(served, champion.candles).filter(pl.col("ts").dt.epoch("ms") >= start)
    volatility = said(champion, served, start, champion.end).volatility
    interval = served.fresh_interval()
    assert interval is not None
    for row, scale in zip(answers.iter_rows(named=True), volatility.tolist()):
        if row["score"] is None:
            continue
        probability, forecast = served.outlook.of(row["score"])
        low, high = interval.around(forecast, scale=scale if served.scaled else 1.0)
        assert (row["probability"], row["forecast"], row["low"], row["high"]) == (probability, forecast, low, high)
