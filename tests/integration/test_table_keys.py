"""A table is the same whatever its columns of times and symbols are called and however times are written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from huracan.errors import CandleError
from huracan.integration.table_keys import with_keys

N = 50
TIMES = [datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=i) for i in range(N)]
TABLE = pl.DataFrame(
    {"ts": pl.Series(TIMES, dtype=pl.Datetime("ms", "UTC")), "symbol": ["A"] * N, "a": [float(i) for i in range(N)]}
)
WRITTEN: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "dates": lambda ts: ts,
    "dates without zone": lambda ts: ts.dt.replace_time_zone(None),
    "texts": lambda ts: ts.dt.to_string("%Y-%m-%d %H:%M:%S"),
    "seconds": lambda ts: ts.dt.epoch("s"),
    "milliseconds as floats": lambda ts: ts.dt.epoch("ms").cast(pl.Float64),
    "nanoseconds": lambda ts: ts.dt.epoch("ns"),
}


@pytest.mark.parametrize("name", ["ts", "timestamp", "Open_Time", "Date", "index"])
@pytest.mark.parametrize("written", WRITTEN)
def test_a_time_is_known_by_its_name_and_by_what_it_holds(name: str, written: str) -> None:
    given = TABLE.with_columns(WRITTEN[written](pl.col("ts"))).rename({"ts": name}).reverse()
    assert with_keys(given).equals(TABLE)


@pytest.mark.parametrize("name", ["Symbol", "ticker", "Pair"])
def test_a_symbol_is_known_by_its_name(name: str) -> None:
    assert with_keys(TABLE.rename({"symbol": name})).equals(TABLE)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("time", ["morning", "noon"] * (N // 2)),
        pl.Series("t", [0.5] * N),
        pl.Series("bucket", list(range(N))),
        pl.Series("date", [None] * N, dtype=pl.String),
        pl.Series("ticker", [1.5] * N),
    ],
)
def test_a_feature_that_is_called_so_and_holds_something_else_stays_one(column: pl.Series) -> None:
    table = TABLE.select("a", column)
    assert with_keys(table).equals(table)
    both = TABLE.with_columns(column)
    assert with_keys(both).equals(both)


def test_a_time_that_is_none_is_told_by_its_row() -> None:
    given = TABLE.with_columns(ts=pl.when(pl.int_range(N) == 7).then(pl.lit("2024-13-99")).otherwise(pl.lit("2024-01-01")))
    with pytest.raises(CandleError, match="2024-13-99"):
        with_keys(given)
