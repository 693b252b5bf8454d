"""Everything once: what comes twice changes nothing, what comes otherwise is told, what never comes is given up."""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from tests.mlops.performance.live_rows import HOUR, outcomes, predictions

from huracan.errors import DataError
from huracan.mlops import EvidenceKind
from huracan.mlops.performance import PerformanceStore
from huracan.mlops.performance.buckets import BUCKET_KEY, sums_of
from huracan.mlops.performance.rows import OUTCOME_COLUMNS, PREDICTION_COLUMNS
from huracan.storage import Database
from huracan.storage.feedback_tables import live_buckets, live_outcomes, live_predictions


def content(store: PerformanceStore) -> dict[str, list[tuple[object, ...]]]:
    """Everything in the three tables."""
    with store.database.reading() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns))]
            for table in (live_predictions, live_outcomes, live_buckets)
        }


def test_what_was_said_and_what_came_is_kept_as_it_was_given(any_store: PerformanceStore) -> None:
    said, came = predictions(30, probability=0.25), outcomes(30)
    with any_store.database.transaction() as connection:
        assert any_store.predicted(connection, said) == 30
        received = any_store.known(connection, came)
    assert received.known.height == 30
    kept = content(any_store)
    assert kept["live_predictions"] == [
        tuple(row.get(name) for name in PREDICTION_COLUMNS) for row in said.iter_rows(named=True)
    ]
    assert kept["live_outcomes"] == [tuple(row.get(name) for name in OUTCOME_COLUMNS) for row in came.iter_rows(named=True)]
    assert kept["live_buckets"] == sums_of(received.known, any_store.bucket).rows()


def test_twice_is_once(any_store: PerformanceStore) -> None:
    said, came = predictions(40), outcomes(30)
    with any_store.database.transaction() as connection:
        any_store.predicted(connection, said)
        any_store.known(connection, came)
    before = content(any_store)
    with any_store.database.transaction() as connection:
        assert any_store.predicted(connection, said.with_columns(score=pl.lit(9.0))) == 0
        received = any_store.known(connection, came)
    assert (received.known.height, received.same, received.revised.height) == (0, 30, 0)
    assert received.evidence("btc", 0) == ()
    assert content(any_store) == before


def test_the_first_outcome_stays_and_another_one_is_told(any_store: PerformanceStore) -> None:
    with any_store.database.transaction() as connection:
        any_store.predicted(connection, predictions(10))
        any_store.known(connection, outcomes(10, label=[0.5] * 10))
    before = content(any_store)["live_buckets"]
    with any_store.database.transaction() as connection:
        again = outcomes(10, label=[0.5] * 7 + [0.25, math.nan, 0.5])
        received = any_store.known(connection, again)
        (seen,) = received.evidence("btc", 99 * HOUR)
    assert (received.same, received.revised["label_before"].to_list()) == (8, [0.5, 0.5])
    assert seen.kind is EvidenceKind.REVISED and not seen.strong
    assert (seen.id, seen.since, seen.details["moments"]) == (f"btc:BTC:*:revised:{99 * HOUR}", 7 * HOUR, [7 * HOUR, 8 * HOUR])
    assert seen.sentence == (
        "2 outcomes of BTC came a second time and were others, first at 1970-01-01 07:00: 0.5 became 0.25; the first ones stay."
    )
    kept = content(any_store)
    states, labels = zip(*((row[3], row[5]) for row in kept["live_outcomes"]))
    assert states == ("known",) * 7 + ("revised",) * 2 + ("known",) and set(labels) == {0.5}
    assert kept["live_buckets"] == before


def test_an_outcome_twice_in_one_batch_is_as_if_it_came_later(store: PerformanceStore) -> None:
    with store.database.transaction() as connection:
        store.predicted(connection, predictions(3))
        first = outcomes(3, label=0.5)
        received = store.known(connection, pl.concat([first, first.head(1), outcomes(2, first=1, label=0.7)]))
    assert (received.known.height, received.same, received.revised["ts"].to_list()) == (3, 1, [HOUR, 2 * HOUR])


def test_an_outcome_that_never_arrives_is_given_up_and_in_no_mean(any_store: PerformanceStore) -> None:
    with any_store.database.transaction() as connection:
        any_store.predicted(connection, predictions(10))
        any_store.predicted(connection, predictions(10, version=2))
        any_store.known(connection, outcomes(4))
        assert any_store.pending(connection, 1, before=8 * HOUR)["ts"].to_list() == [4 * HOUR, 5 * HOUR, 6 * HOUR, 7 * HOUR]
        assert any_store.give_up(connection, 1, before=6 * HOUR, tick=20 * HOUR) == 2
        assert any_store.give_up(connection, 1, before=6 * HOUR, tick=21 * HOUR) == 0
        assert any_store.pending(connection, 1, before=8 * HOUR)["ts"].to_list() == [6 * HOUR, 7 * HOUR]
        assert any_store.pending(connection, 1, before=10 * HOUR, since=9 * HOUR)["ts"].to_list() == [8 * HOUR, 9 * HOUR]
        received = any_store.known(connection, outcomes(10))
    assert (received.known.height, received.same, received.too_late) == (4, 4, 2)
    kept = content(any_store)
    assert [row[3] for row in kept["live_outcomes"]] == ["known"] * 4 + ["never"] * 2 + ["known"] * 4
    assert sum(row[4] for row in kept["live_buckets"]) == 8
    assert len(kept["live_predictions"]) == 20


def test_pending_is_what_was_said_in_full(store: PerformanceStore) -> None:
    said = predictions(5, forecast=0.125, volatility=0.02)
    with store.database.transaction() as connection:
        store.predicted(connection, said)
        waiting = store.pending(connection, 1, before=5 * HOUR)
        assert waiting.columns == list(PREDICTION_COLUMNS)
        assert waiting.select(said.columns).equals(said.cast(waiting.select(said.columns).schema))
        assert store.pending(connection, 2, before=5 * HOUR).is_empty()


def test_an_outcome_of_a_bar_of_which_nothing_was_said_is_counted_and_not_kept(store: PerformanceStore) -> None:
    with store.database.transaction() as connection:
        store.predicted(connection, predictions(5))
        received = store.known(connection, outcomes(8))
    assert (received.known.height, received.without_prediction) == (5, 3)
    assert len(content(store)["live_outcomes"]) == 5


def test_sums_do_not_depend_on_how_outcomes_were_cut_into_ticks(store: PerformanceStore) -> None:
    def grown(at_once: int) -> list[tuple[object, ...]]:
        database = Database("sqlite://")
        database.upgrade()
        one = PerformanceStore(database, "btc")
        with database.transaction() as connection:
            one.predicted(connection, predictions(24, regime=["trending"] * 10 + ["volatile"] * 14))
            for first in range(0, 24, at_once):
                came = outcomes(24, payoff=np.arange(24) / 8 - 1, squared=0.5, net_return=0.25, cost=0.125).slice(
                    first, at_once
                )
                one.known(connection, came)
        return content(one)["live_buckets"]

    whole = grown(24)
    assert grown(1) == grown(7) == whole  # eighths add up without rounding
    assert [row[: len(BUCKET_KEY)] for row in whole] == [
        (1, "BTC", regime, bucket * 4 * HOUR)
        for regime, buckets in (("trending", (0, 1, 2)), ("volatile", (2, 3, 4, 5)))
        for bucket in buckets
    ]


def test_a_payoff_that_is_no_number_is_in_no_mean_but_its_position_earned(store: PerformanceStore) -> None:
    payoff = [0.5, math.nan, -1.0, math.inf]
    with store.database.transaction() as connection:
        store.predicted(connection, predictions(4, vetoes=[0, 3, 0, 0]))
        store.known(connection, outcomes(4, payoff=payoff, squared=payoff, net_return=0.25, cost=0.125))
    (row,) = content(store)["live_buckets"]
    sums = dict(zip(live_buckets.columns.keys(), row))
    assert (sums["n"], sums["answered"], sums["hits"], sums["vetoed"]) == (4, 2, 1, 1)
    assert (sums["payoff"], sums["payoff_squared"], sums["squared"]) == (-0.5, 1.25, -0.5)
    assert (sums["gross"], sums["cost"], sums["net"]) == (1.5, 0.5, 1.0)
    assert [row[7] for row in content(store)["live_outcomes"]] == [0.5, None, -1.0, None]


def test_forgotten_rows_leave_their_sums_and_what_is_pending(any_store: PerformanceStore) -> None:
    with any_store.database.transaction() as connection:
        any_store.predicted(connection, predictions(20))
        any_store.known(connection, outcomes(10))
    before = content(any_store)["live_buckets"]
    with any_store.database.transaction() as connection:
        assert any_store.forget(connection, 8 * HOUR, at_most=4) == 4
        assert any_store.forget(connection, 8 * HOUR) == 2  # outcomes known at ticks 2 to 7 are older than tick 8
        assert any_store.forget(connection, 8 * HOUR) == 0
    kept = content(any_store)
    assert [row[2] for row in kept["live_outcomes"]] == [bar * HOUR for bar in range(6, 10)]
    assert [row[2] for row in kept["live_predictions"]] == [bar * HOUR for bar in range(6, 20)]
    assert kept["live_buckets"] == before


def test_what_was_forgotten_counts_no_second_time(any_store: PerformanceStore) -> None:
    with any_store.database.transaction() as connection:
        any_store.predicted(connection, pl.concat([predictions(20), predictions(20, symbol="ETH")]))
        any_store.known(connection, pl.concat([outcomes(10), outcomes(20, symbol="ETH")]))
        assert any_store.forget(connection, 8 * HOUR) == 12  # six bars of each symbol
        any_store.forget(connection, 5 * HOUR)
    before, summed = content(any_store), any_store.summary()
    with any_store.database.transaction() as connection:
        assert any_store.predicted(connection, pl.concat([predictions(20), predictions(20, symbol="ETH")])) == 0
        received = any_store.known(connection, pl.concat([outcomes(10), outcomes(20, symbol="ETH")]))
        assert any_store.predicted(connection, predictions(10, version=2)) == 10  # of another version nothing was forgotten
        assert any_store.predicted(connection, predictions(1, first=20)) == 1
    assert (received.known.height, received.same, received.too_late, received.without_prediction) == (0, 18, 12, 0)
    after = content(any_store)
    assert after["live_outcomes"] == before["live_outcomes"] and after["live_buckets"] == before["live_buckets"]
    assert any_store.summary().filter(pl.col("version_id") == 1)["n"].to_list() == summed["n"].to_list()


def test_what_is_written_goes_with_the_transaction(any_store: PerformanceStore) -> None:
    def interrupted(connection: sa.Connection) -> None:
        any_store.predicted(connection, predictions(5))
        any_store.known(connection, outcomes(5))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        any_store.database.run(interrupted)
    assert not any(content(any_store).values())


def test_tuples_are_taken_as_frames_are(store: PerformanceStore) -> None:
    row = {
        "version_id": 1,
        "symbol": "BTC",
        "ts": np.int64(0),
        "role": "champion",
        "tick": HOUR,
        "regime": "",
        "score": np.float64(0.5),
    }
    came = {"version_id": 1, "symbol": "BTC", "ts": 0, "state": "known", "label": 0.5, "tick": HOUR}
    with store.database.transaction() as connection:
        assert store.predicted(connection, [tuple({**row, "vetoes": 0}.get(name) for name in PREDICTION_COLUMNS)]) == 1
        assert store.predicted(connection, []) == 0
        assert store.known(connection, [tuple(came.get(name) for name in OUTCOME_COLUMNS)]).known.height == 1
        assert store.known(connection, []).known.is_empty()
    assert content(store)["live_predictions"][0][2:7] == (0, "champion", HOUR, "", 0.5)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (predictions(2).drop("regime"), "rows for live_predictions have no column 'regime'; given are ts, tick, score"),
        (predictions(2, regime=[None, "trending"]), "column 'regime' of rows for live_predictions has no value in a row"),
        (
            predictions(2, role="king"),
            "role 'king' in rows for live_predictions is none; champion, beside, challenger, late are there",
        ),
        (predictions(2, tick=-HOUR), "a row for live_predictions of BTC has tick -3600000 before its ts 0"),
        (predictions(2).to_dict(), "rows for live_predictions are a dict; a polars frame or plain tuples were expected"),
        (predictions(2, vetoes="many"), "rows for live_predictions cannot be read: conversion from `str` to `i64` failed"),
        ([(1, "BTC", 0)], "a row for live_predictions has 3 values; 12 were expected: version_id, symbol, ts"),
        ([("one", "BTC", 0, "", 0, "", None, None, None, None, None, 0)], "rows for live_predictions cannot be read"),
    ],
)
def test_rows_that_cannot_be_kept_are_refused_in_a_sentence(store: PerformanceStore, rows: object, said: str) -> None:
    with pytest.raises(DataError, match=said), store.database.transaction() as connection:
        store.predicted(connection, rows)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (outcomes(2, state="bogus"), "state 'bogus' in rows for live_outcomes is none; known, never are there"),
        (
            outcomes(2, label_end=1_000 * HOUR),
            "a row for live_outcomes of BTC has tick 7200000 before its label_end 3600000000",
        ),
        (outcomes(2, label_end=None, tick=0), "a row for live_outcomes of BTC has tick 0 before its ts 3600000"),
    ],
)
def test_outcomes_that_cannot_be_are_refused_and_count_nowhere(store: PerformanceStore, rows: pl.DataFrame, said: str) -> None:
    def written(connection: sa.Connection) -> None:
        store.predicted(connection, predictions(2))
        store.known(connection, rows)

    with pytest.raises(DataError, match=said):
        store.database.run(written)
    assert not any(content(store).values())


def test_a_bucket_without_length_is_refused() -> None:
    with pytest.raises(DataError, match="a bucket is 0 ms long"):
        PerformanceStore(Database("sqlite://"), "btc", bucket=0)


def test_what_is_pending_is_found_by_tick_and_not_by_reading_all_that_was_ever_said(store: PerformanceStore) -> None:
    from huracan.mlops.performance.writing import _PENDING

    with store.database.reading() as connection:
        text = str(_PENDING.statement.compile(dialect=connection.dialect))
        plan = connection.exec_driver_sql(f"explain query plan {text}", (1, 5, 0)).all()
    assert any("ix_live_predictions_tick (tick>?)" in row[3] for row in plan), plan


def test_a_versions_name_and_bucket_are_kept_and_another_is_refused(any_store: PerformanceStore) -> None:
    """Nothing is in the registry: the database itself knows whose the rows are."""
    database = any_store.database
    with database.transaction() as connection:
        any_store.predicted(connection, predictions(48))
        any_store.known(connection, outcomes(48))
    eth = PerformanceStore(database, "eth")
    assert eth.summary().is_empty() and any_store.summary().height == 1
    assert eth.rolling("skill", 24 * HOUR).is_empty() and any_store.rolling("skill", 24 * HOUR).height
    told = "version 1 lives under 'btc'; rows of it were given to the store of 'eth'"
    with pytest.raises(DataError, match=told), database.transaction() as connection:
        eth.predicted(connection, predictions(1))
    hourly = PerformanceStore(database, "btc", bucket=HOUR)
    told = "buckets of 14400000 ms; the store was opened with buckets of 3600000 ms"
    with pytest.raises(DataError, match=told):
        hourly.rolling("skill", 24 * HOUR)
    with pytest.raises(DataError, match=told), database.transaction() as connection:
        hourly.predicted(connection, predictions(1))


def test_times_and_lengths_that_are_no_whole_numbers_are_refused(store: PerformanceStore) -> None:
    """One that was cut off would be another bar; one that is a date would be compared with nothing, and find nothing."""
    said = predictions(3)
    date = datetime(2024, 1, 1)
    with store.database.transaction() as connection:
        with pytest.raises(DataError, match=r"column 'ts' of rows for live_predictions holds 1\.5; whole numbers"):
            store.predicted(connection, said.with_columns(ts=pl.lit(1.5)))
        assert store.predicted(connection, said.with_columns(pl.col("ts").cast(pl.Float64))) == 3
        with pytest.raises(DataError, match="rows are forgotten up to datetime"):
            store.forget(connection, date)  # type: ignore[arg-type]
        with pytest.raises(DataError, match="at most -1 rows"):
            store.forget(connection, 0, at_most=-1)
    for wrong in ({"since": date}, {"every": 0.5}, {"window": "7d"}):
        with pytest.raises(DataError, match="whole milliseconds were expected"):
            store.rolling("skill", **{"window": 24 * HOUR, **wrong})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="buckets are counted from"):
        store.against_backtest(1, since=date)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="the id of a version is 'x'; a whole number was expected"):
        store.against_backtest("x")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="the length of a bucket is '4h'"):
        PerformanceStore(store.database, "btc", bucket="4h")  # type: ignore[arg-type]
    assert store.rolling("skill", 24 * HOUR, by="symbol").columns[0] == "symbol"
