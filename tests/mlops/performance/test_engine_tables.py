"""The bot's tables as they are: what can be used is used, what is rubbish is counted, nothing is written."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.mlops.performance.live_rows import HOUR, outcomes, predictions

from huracan.errors import DataError
from huracan.mlops import PerformanceStore
from huracan.storage import Database
from huracan.storage.tables import daily_equity, live_trades

TRADE = ("trade_id", "time", "symbol", "side", "size", "entry", "exit", "fees", "net_pnl", "model_id")


def insert(store: PerformanceStore, table: str, **values: Any) -> None:
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    with store.database.transaction() as connection:
        connection.execute(sa.text(f"insert into {table} ({names}) values ({marks})"), values)


def test_trades_and_equity_are_read_as_the_bot_writes_them(any_store: PerformanceStore) -> None:
    with any_store.database.transaction() as connection:
        day = datetime(2025, 11, 11, 12, tzinfo=UTC)
        values = dict(zip(TRADE, ("t1", day, "BTC-USD", "BUY", 0.5, 100.0, 101.0, 0.1, 0.4, "m")))
        connection.execute(sa.insert(live_trades).values(**values))
        connection.execute(sa.insert(live_trades).values(trade_id="t0", time=day.replace(hour=3), symbol="ETH-USD"))
        connection.execute(sa.insert(daily_equity).values(date=date(2025, 11, 12), nav=1010.0, max_dd=0.02))
        connection.execute(sa.insert(daily_equity).values(date=date(2025, 11, 11), nav=1000.0))
    trades, equity = any_store.trades(), any_store.equity()
    assert trades.frame.rows()[1] == ("t1", day, "BTC-USD", "long", 0.5, 100.0, 101.0, 0.1, 0.4, "m")
    assert trades.frame["trade_id"].to_list() == ["t0", "t1"] and trades.sentence == "All 2 rows of live_trades can be used."
    assert equity.frame.rows() == [
        (date(2025, 11, 11), 1000.0, None, None, None),
        (date(2025, 11, 12), 1010.0, 0.02, None, None),
    ]
    for since in (day, day.replace(tzinfo=None)):
        assert any_store.trades(since=since).frame["trade_id"].to_list() == ["t1"]
    with pytest.raises(DataError, match="trades since '2025' were asked for; a datetime"):
        any_store.trades(since="2025")  # type: ignore[arg-type]


def test_rubbish_of_every_kind_is_counted_and_the_rest_is_used(store: PerformanceStore) -> None:
    good = {"time": "2025-11-11 12:00:00", "symbol": "BTC-USD", "net_pnl": 1.0}
    bad: list[dict[str, Any]] = [
        {"time": "yesterday"}, {"time": 1e300}, {"time": None}, {"symbol": "  "}, {"symbol": None}, {"side": "sideways"},
        {"size": "much"}, {"entry": -5.0}, {"exit": 0.0}, {"fees": float("inf")}, {"net_pnl": b"\xff\xfe"}, {"trade_id": " "},
        {"time": b"\xff\x00"},
    ]  # fmt: skip
    for number, change in enumerate(bad):
        insert(store, "live_trades", **{"trade_id": f"b{number}", **good, **change})
    fine: list[dict[str, Any]] = [
        {}, {"time": "2025-11-11T14:00:00+02:00"}, {"time": "2025-11-11"}, {"size": "0.25"}, {"model_id": b"\xffm"},
    ]  # fmt: skip
    for number, change in enumerate(fine):
        insert(store, "live_trades", **{"trade_id": f"a{number}", **good, **change})
    trades = store.trades()
    assert trades.frame["trade_id"].to_list() == ["a2", "a0", "a1", "a3", "a4"]
    assert trades.frame["time"][1] == trades.frame["time"][2] == datetime(2025, 11, 11, 12, tzinfo=UTC)
    assert sum(trades.refused.values()) == len(bad)
    assert trades.refused["time is no time"] == 3 and trades.refused["symbol is missing"] == 2
    said = {"entry is not above 0", "exit is not above 0", "fees is not finite", "size is no number", "net_pnl is no number"}
    assert said < set(trades.refused)
    assert trades.sentence.startswith("13 of 18 rows of live_trades cannot be used: time is no time (3), symbol is")


def test_text_that_is_no_text_does_not_stop_the_reading(store: PerformanceStore) -> None:
    with store.database.transaction() as connection:
        for what in (
            "live_trades (trade_id, time, symbol) values ('a', '2025-11-11', cast(x'ff42' as text))",
            "daily_equity (date, nav) values (cast(x'ff' as text), 5), ('2025-11-11', 'all'), ('2025-11-12', 7)",
        ):
            connection.exec_driver_sql(f"insert into {what}")
    assert store.trades().frame["symbol"].to_list() == ["\ufffdB"]
    equity = store.equity()
    assert equity.frame["nav"].to_list() == [7.0] and equity.refused == {"date is no date": 1, "nav is no number": 1}


def test_times_without_end_of_postgresql_are_counted(any_store: PerformanceStore) -> None:
    endless = "infinity" if not any_store.database.is_sqlite else "never"
    insert(any_store, "live_trades", trade_id="t", time=endless, symbol="BTC-USD")
    insert(any_store, "daily_equity", date=endless, nav=1.0)
    insert(any_store, "daily_equity", date="2025-11-11", nav=float("nan") if not any_store.database.is_sqlite else "nan")
    assert any_store.trades().refused == {"time is no time": 1}
    assert set(any_store.equity().refused) <= {"date is no date", "nav is not finite"}
    assert sum(any_store.equity().refused.values()) == 2


def test_reading_writes_nothing(store: PerformanceStore) -> None:
    insert(store, "live_trades", trade_id="t", time="never", symbol="x")
    said: list[str] = []
    with store.database.reading() as connection:
        connection.connection.driver_connection.set_trace_callback(said.append)  # type: ignore[union-attr]
    store.trades()
    store.equity()
    with store.database.reading() as connection:
        connection.connection.driver_connection.set_trace_callback(None)  # type: ignore[union-attr]
    with store.database.reading() as connection:
        assert connection.execute(sa.text("select count(*) from live_trades")).scalar_one() == 1
    ran = {text.split()[0].upper() for text in said}
    assert "SELECT" in ran and ran <= {"SELECT", "BEGIN", "ROLLBACK", "PRAGMA"}


@pytest.mark.parametrize(
    ("time", "read"),
    [
        (1_762_862_400, True), (1_762_862_400_000, True), ("1762862400", True), ("1762862400000.0", True),
        ("2025-11-11 12:00:00 UTC", True), ("2025-11-11T12:00:00Z", True), ("2025-11-11 12:00:00 +0000", True),
        (1_762_862_400_000_000, True), (1_762_862_400_000_000_000, True), ("1762862400000000000", True),
        ("9999-12-31T23:59:59Z", "is of the year 9999; 1970 to 2099 were expected"),
        ("1969-12-31", "is of the year 1969; 1970 to 2099 were expected"),
        ("2025-11-11 12:00 GMT", True), ("2025-11-11 14:00:00 +02:00", True),
        ("20240101", "may be a day without dashes or a number since 1970"), (42, "is no time"),
        ("11/10/2025 12:00", "has a day and a month whose order is not known"), ("2025-13-99", "is no time"),
    ],
)  # fmt: skip
def test_times_are_read_as_bots_write_them_and_refused_where_they_may_be_two(
    store: PerformanceStore, time: Any, read: bool | str
) -> None:
    insert(store, "live_trades", trade_id="t", time=time, symbol="BTC-USD")
    trades = store.trades()
    if read is True:
        assert trades.frame["time"].to_list() == [datetime(2025, 11, 11, 12, tzinfo=UTC)]
    else:
        assert trades.refused == {f"time {read}": 1}


def test_fees_slippage_and_equity_are_told_beside_what_the_positions_made(store: PerformanceStore) -> None:
    """By hand: entries at 101 (long) and 198 (short) where bars opened at 100 and 200 are 100 bps worse each."""
    noon = datetime(2025, 11, 11, 12, tzinfo=UTC)
    ms = round(noon.timestamp() * 1_000)
    insert(store, "live_trades", trade_id="a", time=ms + 60_000, symbol="A", side="buy", size=2, entry=101, fees=0.5, net_pnl=3)
    insert(store, "live_trades", trade_id="b", time=ms, symbol="B", side="sell", size=1, entry=198, fees=0.5, net_pnl=-1)
    insert(store, "live_trades", trade_id="c", time=ms + 9 * HOUR, symbol="A", side="buy", entry=500)  # no bar of it
    for day, nav in (("2025-11-11", 100.0), ("2025-11-12", 103.0)):
        insert(store, "daily_equity", date=day, nav=nav, max_dd=0.02)
    first = ms // HOUR + 13  # the second day, of which the equity tells; the first bar is of the day before
    with store.database.transaction() as connection:
        for version, role, net in ((7, "champion", [0.5, 0.04, 0.02]), (8, "challenger", [-0.2, -0.2, -0.2])):
            for symbol in "AB":
                told = {"version": version, "symbol": symbol, "first": first - 2}
                store.predicted(connection, predictions(3, role=role, **told))
                store.known(connection, outcomes(3, net_return=net, **told))
    opens = pl.DataFrame({"symbol": ["A", "A", "B"], "ts": [ms, ms + HOUR, ms], "open": [100.0, 110.0, 200.0]})
    found = store.account(opens=opens)
    assert (found.trades, found.net_pnl, found.fees, found.n_slipped) == (3, 2.0, 1.0, 2)
    assert found.slippage_bps == pytest.approx(100.0)
    assert found.fees_bps == pytest.approx(10_000 * 1.0 / 400.0)
    assert found.equity_return == pytest.approx(0.03) and found.model_return == pytest.approx(1.04 * 1.02 - 1.0)
    assert found.sentences == [
        "The bot made 3 trades: net 2, fees 1 (25 bps of what was entered).",
        "Its entries were 100 bps worse than the open of their bar (2 trades).",
        "Its equity changed by +3.00% from 2025-11-11 to 2025-11-12; what champions said made +6.08% net.",
    ]


def test_positions_are_those_of_whoever_was_champion_each_at_its_time_bar_on_bar(any_store: PerformanceStore) -> None:
    """A champion that lost and was followed by one that had earned in its shadow: the loss counts, the shadow does not."""
    day, bars = 24, 48
    before, after = [-0.01] * bars, [0.02] * bars
    with any_store.database.transaction() as connection:
        for date_, nav in ((date(1970, 1, 1), 100.0), (date(1970, 1, 11), 60.0)):
            connection.execute(sa.insert(daily_equity).values(date=date_, nav=nav, max_dd=-0.4))
        for version, role, first, net in (
            (1, "champion", 2 * day, before), (2, "challenger", 2 * day, after), (2, "champion", 4 * day, after),
            (1, "beside", 4 * day, before),
        ):  # fmt: skip
            any_store.predicted(connection, predictions(bars, version=version, role=role, first=first))
            any_store.known(connection, outcomes(bars, version=version, first=first, net_return=net))
    found = any_store.account()
    assert found.model_return == pytest.approx(0.99**bars * 1.02**bars - 1.0)
    assert (found.model_since, found.worst_drawdown) == ("1970-01-03", 0.4)
    assert found.sentences[-1].endswith("net from 1970-01-03 on, before which single bars are not known.")


def test_a_bot_that_wrote_nothing_has_nothing_to_tell(store: PerformanceStore) -> None:
    assert store.account().sentences == []


def test_a_table_that_lacks_a_column_is_told_and_stops_nothing(any_store: PerformanceStore) -> None:
    insert(any_store, "live_trades", trade_id="a", symbol="A", net_pnl=1.0)
    insert(any_store, "daily_equity", date="2025-11-11", nav=100.0)
    with any_store.database.transaction() as connection:
        connection.execute(sa.text("alter table live_trades rename column net_pnl to pnl"))
    try:
        assert any_store.trades().refused == {"the table has no column net_pnl": 1}
        assert any_store.account().sentences == [
            "1 of 1 rows of live_trades cannot be used: the table has no column net_pnl (1)."
        ]
        assert any_store.equity().frame.height == 1
    finally:  # the database is that of other tests, too
        with any_store.database.transaction() as connection:
            connection.execute(sa.text("alter table live_trades rename column pnl to net_pnl"))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_worst_drawdown_is_the_deepest_whichever_sign_the_bot_writes(store: PerformanceStore, sign: float) -> None:
    for day, drawdown in (("2025-11-11", 0.02), ("2025-11-12", 0.2), ("2025-11-13", 0.1), ("9999-12-31", 0.9)):
        insert(store, "daily_equity", date=day, nav=100.0, max_dd=sign * drawdown)
    assert store.account().worst_drawdown == 0.2
    assert store.equity().refused == {"date is of the year 9999; 1970 to 2099 were expected": 1}


def test_a_table_that_is_not_there_is_as_good_as_empty(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'own.db'}")
    database.upgrade()
    with database.transaction() as connection:
        connection.execute(sa.text("drop table daily_equity"))
    store = PerformanceStore(database, "btc")
    assert store.equity().frame.is_empty() and store.account().equity_return is None
    database.close()
