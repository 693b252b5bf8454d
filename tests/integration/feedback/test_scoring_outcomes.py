"""Live figures are those of a backtest and of judging over the same bars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa

from huracan.accounting import CostModel, backtest
from huracan.config import LabelConfig
from huracan.integration.feedback.candle_window import FrameWindow
from huracan.integration.feedback.feature_feed import FeatureFeed
from huracan.integration.feedback.predicting import predict
from huracan.integration.feedback.scoring_outcomes import OUTCOMES, Rubric, outcomes_of
from huracan.integration.preparation import labels_of
from huracan.serving.signal import VetoKind
from huracan.storage import Database
from huracan.storage.feedback_tables import live_outcomes, live_predictions
from huracan.validation.metrics import classification_metrics, directional_payoff

HOUR = 3_600_000
COSTS = CostModel(fee_bps=5, half_spread_bps=1, slippage_bps=1, borrow_bps_per_bar=0.5)
PREDICTIONS = [column.name for column in live_predictions.columns]


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    database = Database("sqlite://")
    database.upgrade()
    with database.transaction() as connection:
        yield connection


@pytest.fixture
def either(database_url: str) -> Iterator[sa.Connection]:
    """A connection to SQLite, and to PostgreSQL."""
    database = Database(database_url)
    database.upgrade()
    with database.transaction() as connection:
        yield connection


def feed_of(candles: pl.DataFrame, symbols: list[str]) -> FeatureFeed:
    return FeatureFeed(FrameWindow(candles, HOUR), symbols, chunk=500 * HOUR)


def frame_of(rows: list[tuple]) -> pl.DataFrame:
    kinds = {"version_id": pl.Int64, "ts": pl.Int64, "tick": pl.Int64, "vetoes": pl.Int64}
    texts = dict.fromkeys(("symbol", "role", "regime"), pl.String)
    schema = {name: {**kinds, **texts}.get(name, pl.Float64) for name in PREDICTIONS}
    return pl.DataFrame(rows, schema=schema, orient="row")


@pytest.fixture(scope="module")
def rubric(champion) -> Rubric:
    return replace(Rubric.of(champion.served(), COSTS, LabelConfig()), mean_label={champion.symbols[0]: 0.05})


@pytest.fixture(scope="module")
def feed(champion) -> FeatureFeed:
    return feed_of(champion.candles, champion.symbols)


@pytest.fixture(scope="module")
def said(champion, feed: FeatureFeed) -> pl.DataFrame:
    """What the champion said of the bars after its training; positions of all sizes and both signs."""
    served = champion.served()
    made = predict(served, feed, champion.symbols, champion.end_of_training, champion.end, version_id=3)
    rng = np.random.default_rng(0)
    position = np.where(np.arange(len(made)) % 7 < 3, np.round(rng.uniform(-1, 1, len(made)), 2), 0.25)
    return frame_of(replace(made, position=position).rows(role="champion", tick=0))


def keep(connection: sa.Connection, said: pl.DataFrame) -> None:
    connection.execute(sa.insert(live_predictions), said.to_dicts())


def test_what_positions_earned_is_their_backtest(
    champion, connection: sa.Connection, rubric: Rubric, feed: FeatureFeed, said: pl.DataFrame
) -> None:
    """Oracle: the one step formula. Both leave out the same: here a fill changes a weight by ``|p' - p|``, there from the
    weight that drifted meanwhile, and costs come off what is left; each is a cost times a return, or a cost squared."""
    keep(connection, said)
    came = outcomes_of(connection, rubric, said, feed, until=champion.end, tick=1)
    for symbol in champion.symbols:
        mine = came.filter(pl.col("symbol") == symbol)
        held = said.filter(pl.col("symbol") == symbol).head(mine.height)
        targets = held.select("symbol", pl.from_epoch("ts", time_unit="ms").dt.replace_time_zone("UTC"), target="position")
        last = int(mine["ts"][-1])
        candles = champion.candles.filter(pl.col("symbol") == symbol, pl.col("ts").dt.epoch("ms") <= last + 2 * HOUR)
        result = backtest(candles, targets.with_columns(pl.col("ts").cast(pl.Datetime("ms", "UTC"))), COSTS, close_at_end=False)
        net, cost = mine["net_return"].to_numpy(), mine["cost"].to_numpy()
        earned = np.abs(net + cost)
        moved = np.abs(candles["open"].to_numpy()[2:] / candles["open"].to_numpy()[1:-1] - 1.0)[-len(net) :]
        drift = 2.0 * np.convolve(moved, np.ones(8), "full")[: len(net)]  # |p (1 - p)| <= 2, and a target stands 4 bars
        assert len(net) == len(result.returns) == 397
        assert (np.abs(net - result.returns) <= drift * (moved + COSTS.per_side_rate) + cost * (earned + cost) + 1e-15).all()
        assert abs(net.sum() - result.returns.sum()) < 0.02 * np.abs(net).sum()
        paid = result.metrics["cost_bps"] + result.metrics["holding_cost_bps"]
        assert cost.sum() == pytest.approx(paid * 1e-4, rel=0.03)
        assert mine["turnover"].sum() == pytest.approx(result.metrics["turnover"] * len(net), rel=0.03)


def test_payoffs_and_losses_are_those_of_judging(
    champion, connection: sa.Connection, rubric: Rubric, feed: FeatureFeed, said: pl.DataFrame
) -> None:
    """Oracle: the label functions over all candles, and the metrics that judge out of fold."""
    came = outcomes_of(connection, rubric, said, feed, until=champion.end, tick=1)
    labels = labels_of(champion.config.labels, champion.candles).with_columns(pl.col("ts").dt.epoch("ms"))
    both = said.join(labels.drop_nulls("label"), on=["symbol", "ts"], how="inner").filter(
        pl.col("ts") + (champion.config.labels.horizon + 2) * HOUR <= champion.end
    )
    assert came.select("symbol", "ts").equals(both.select("symbol", "ts")) and came.columns == list(OUTCOMES)
    np.testing.assert_allclose(came["label"], both["label"], rtol=1e-4)
    np.testing.assert_array_equal(came["execution_return"], both["execution_return"])
    acted = (both["vetoes"] == 0).to_numpy()
    assert came["payoff"].is_not_null().to_numpy().tolist() == acted.tolist() and 0 < acted.sum() < len(acted)
    mean = both["symbol"].replace_strict({champion.symbols[0]: 0.05}, default=0.0, return_dtype=pl.Float64).to_numpy()
    payoff = directional_payoff(
        both["score"].to_numpy()[acted], (came["label"].to_numpy() - mean)[acted], center=0.0, spread=rubric.spread
    )
    np.testing.assert_allclose(came["payoff"].to_numpy()[acted], payoff, rtol=1e-12)
    truth, probability = came["label"].to_numpy()[acted] > 0, both["probability"].to_numpy()[acted]
    assert came["log_loss"].mean() == pytest.approx(classification_metrics(truth, probability)["log_loss"], rel=1e-9)
    squared = (both["forecast"].to_numpy() - came["label"].to_numpy()) ** 2
    np.testing.assert_allclose(came["squared"].to_numpy()[acted], squared[acted])


def test_tick_by_tick_is_all_at_once(
    champion, connection: sa.Connection, rubric: Rubric, feed: FeatureFeed, said: pl.DataFrame
) -> None:
    """Whatever was scored before, the position before a bar is found."""
    keep(connection, said)
    at_once = outcomes_of(connection, rubric, said, feed, until=champion.end, tick=1).drop("tick")
    done: list[pl.DataFrame] = []
    there = pl.DataFrame(schema={"symbol": pl.String, "ts": pl.Int64})
    for until in range(champion.end_of_training + HOUR, champion.end + HOUR, 5 * HOUR):
        pending = said.filter(pl.col("ts") < until).join(there, on=["symbol", "ts"], how="anti", maintain_order="left")
        done.append(outcomes_of(connection, rubric, pending, feed, until=until, tick=until))
        there = pl.concat([there, done[-1].select("symbol", "ts")])
    together = pl.concat(done).drop("tick").sort("symbol", "ts")
    assert together.equals(at_once.filter(pl.col("ts") <= together["ts"].max()))


def test_a_label_that_is_not_there_yet_is_waited_for(
    champion, connection: sa.Connection, rubric: Rubric, feed: FeatureFeed, said: pl.DataFrame
) -> None:
    at = champion.end_of_training + 20 * HOUR
    pending = said.filter(pl.col("ts") < at)
    horizon = champion.config.labels.horizon
    came = outcomes_of(connection, rubric, pending, feed, until=at, tick=at)
    assert came["ts"].max() == at - (horizon + 2) * HOUR and (came["label_end"] + HOUR <= at).all()
    assert outcomes_of(connection, rubric, pending.clear(), feed, until=at, tick=at).columns == list(OUTCOMES)


def test_positions_over_a_gap_and_after_others_answered(champion, either: sa.Connection, rubric: Rubric) -> None:
    """Over missing candles a position was held; where candles passed of which the version said nothing, it held none."""
    symbol, at = champion.symbols[0], champion.end_of_training
    gone = pl.col("ts").dt.epoch("ms").is_between(at + 10 * HOUR, at + 14 * HOUR)
    candles = champion.candles.filter(~gone)
    rows = [(3, symbol, at + i * HOUR, "champion", 0, "", 0.1, 0.0, 0.5, 0.5, 0.01, 0) for i in (*range(8, 10), 15, 16, 40)]
    said = frame_of(rows)
    keep(either, said)
    short = replace(rubric, labels=LabelConfig(horizon=1, volatility_scaled=False))
    came = outcomes_of(either, short, said, feed_of(candles, champion.symbols), until=at + 60 * HOUR, tick=0)
    turned = dict(zip(((came["ts"] - at) // HOUR).to_list(), came["turnover"].to_list()))
    assert turned == {15: 0.0, 16: 0.0, 40: 0.5}  # 8 and 9 have no label: the series breaks off behind them


def test_without_scale_policy_or_skill(champion, connection: sa.Connection, rubric: Rubric, feed: FeatureFeed) -> None:
    symbol, at = champion.symbols[0], champion.end_of_training
    nothing = frame_of([(3, symbol, at, "champion", 0, "", 0.1, None, None, None, None, 0)])
    row = outcomes_of(connection, replace(rubric, spread=None), nothing, feed, until=champion.end, tick=0).row(0, named=True)
    assert row["label"] is not None
    assert all(row[name] is None for name in ("payoff", "squared", "log_loss", "turnover", "cost", "net_return"))
    constant = replace(rubric, baseline=True)
    held = nothing.with_columns(position=0.0)
    row = outcomes_of(connection, constant, held, feed, until=champion.end, tick=0).row(0, named=True)
    assert row["payoff"] == row["cost"] == row["net_return"] == 0.0


def test_rows_fit_the_table(champion, connection: sa.Connection, rubric: Rubric, feed: FeatureFeed, said: pl.DataFrame) -> None:
    came = outcomes_of(connection, rubric, said, feed, until=champion.end, tick=5)
    connection.execute(sa.insert(live_outcomes), came.to_dicts())
    assert connection.execute(sa.select(sa.func.count()).select_from(live_outcomes)).scalar() == len(came)


def test_an_expired_model_is_scored_and_one_that_is_unsure_of_its_input_is_not(
    champion, connection: sa.Connection, rubric: Rubric, feed: FeatureFeed, said: pl.DataFrame
) -> None:
    """Else nothing could ever be shown to be better than a champion that grew too old."""
    told = {name: 1 << list(VetoKind).index(name) for name in (VetoKind.EXPIRED, VetoKind.OUT_OF_RANGE)}
    fresh = said.with_columns(vetoes=pl.lit(0, pl.Int64))
    payoffs = [
        outcomes_of(connection, rubric, fresh.with_columns(vetoes=pl.lit(mask, pl.Int64)), feed, until=champion.end, tick=1)[
            "payoff"
        ]
        for mask in (0, told[VetoKind.EXPIRED], told[VetoKind.OUT_OF_RANGE], sum(told.values()))
    ]
    assert payoffs[0].null_count() == 0
    assert payoffs[1].equals(payoffs[0])
    assert payoffs[2].null_count() == payoffs[3].null_count() == len(payoffs[0])
