"""Random frames and files: valid canonical candles come out, or a HuracanError does, never anything else."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from huracan.errors import HuracanError
from huracan.market import CANDLE_SCHEMA, candles_hash, ingest_candles, validate_candles, with_segments
from huracan.preprocessing.quality import quality_report

NAMES = [
    "symbol",
    "ts",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "timestamp",
    "date",
    "Close",
    "vol",
    "funding_rate",
    "junk",
    "t",
    "index",
]
NUMBERS = st.one_of(
    st.floats(1, 200), st.floats(), st.sampled_from([0.0, -1.0, 1e308, 5e-324]), st.integers(-(2**63), 2**63 - 1), st.none()
)
TIMES = st.datetimes(dt.datetime(1600, 1, 1), dt.datetime(9000, 1, 1))
ANYTHING = st.one_of(
    NUMBERS,
    TIMES,
    st.text(max_size=8),
    st.booleans(),
    st.dates(),
    st.timedeltas(),
    st.binary(max_size=3),
    st.lists(st.integers()),
)
quietly = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def expect_candles_or_a_sentence(source: Any, **how: Any) -> None:
    said = None
    try:
        read = ingest_candles(source, **how)
    except HuracanError as error:
        said = str(error)
    if said is not None:
        assert said.endswith(".")
        assert "\n" not in said
        return
    assert list(read.candles.schema.items())[:7] == list(CANDLE_SCHEMA.items())
    validate_candles(read.candles)
    with_segments(read.candles)
    assert len(candles_hash(read.candles)) == 64
    assert quality_report(read.candles).ok


@st.composite
def near_candles(draw: st.DrawFn) -> dict[str, list[Any]]:
    """Columns that are nearly candles: good ones, of which a few cells, times, columns or names are spoilt."""
    n = draw(st.sampled_from([12, 7, 3, 12, 7, 2, 1, 0]))
    good = [(1_700_000_000, 60), (1_700_000_000_000, 60_000), (1.7e9, 3600), (1_600_000_000_000_000, 86_400_000_000)]
    start, step = draw(
        st.sampled_from([*good, *good, (0, 60), (-5, 60_000), (2**62, 1), (1_700_000_000, 0), (1_700_000_000, -60)])
    )
    columns: dict[str, list[Any]] = {
        "symbol": ["A"] * n,
        "ts": [start + i * step for i in range(n)],
        "open": [100.0 + i for i in range(n)],
        "high": [102.0 + i for i in range(n)],
        "low": [99.0 + i for i in range(n)],
        "close": [101.0 + i for i in range(n)],
        "volume": [float(i) for i in range(n)],
    }
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(NAMES))
        what = draw(st.sampled_from(["cell", "column", "drop", "rename", "symbols", "times"]))
        if what == "cell" and n and name in columns:
            columns[name][draw(st.integers(0, n - 1))] = draw(ANYTHING)
        elif what == "column":
            columns[name] = draw(st.lists(draw(st.sampled_from([NUMBERS, TIMES, ANYTHING])), min_size=n, max_size=n))
        elif what == "drop":
            columns.pop(name, None)
        elif what == "rename" and name in columns:
            columns[draw(st.sampled_from(NAMES)) + draw(st.sampled_from(["", " ", "_"]))] = columns.pop(name)
        elif what == "symbols" and n:
            columns["symbol"] = draw(st.lists(st.sampled_from(["A", "B", "", " "]), min_size=n, max_size=n))
        elif what == "times" and n:
            columns["ts"] = draw(st.lists(TIMES, min_size=n, max_size=n))
    return columns


POLICIES = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from([None, "A", "Z"]),
        "on_unsorted": st.sampled_from(["refuse", "sort"]),
        "on_duplicate": st.sampled_from(["refuse", "drop_exact"]),
        "drop_open_bar": st.booleans(),
    }
)


@given(near_candles(), POLICIES)
@quietly
def test_any_polars_frame(columns: dict[str, list[Any]], how: dict[str, Any]) -> None:
    try:
        frame = pl.DataFrame([pl.Series(name, values, strict=False) for name, values in columns.items()])
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return  # polars itself cannot hold such a column
    expect_candles_or_a_sentence(frame, **how)


@given(near_candles(), POLICIES, st.booleans())
@quietly
def test_any_pandas_frame(columns: dict[str, list[Any]], how: dict[str, Any], doubled: bool) -> None:
    frame = pd.DataFrame({name: pd.Series(values, dtype=None if values else object) for name, values in columns.items()})
    expect_candles_or_a_sentence(pd.concat([frame, frame], axis=1) if doubled else frame, **how)


@given(data=st.data())
@quietly
def test_any_damage_to_a_file(data: st.DataObject, tmp_path: Path) -> None:
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    good = pl.DataFrame({"ts": [start + i * dt.timedelta(hours=1) for i in range(20)], "open": 1.0, "high": 3.0, "low": 1.0,
                         "close": [1.0 + i % 2 for i in range(20)], "volume": 5.0})  # fmt: skip
    form = data.draw(st.sampled_from(["parquet", "csv", "feather"]))
    path = tmp_path / f"A_1h.{form}"
    {"parquet": good.write_parquet, "csv": good.write_csv, "feather": good.write_ipc}[form](path)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole)
    expect_candles_or_a_sentence(path)


@given(text=st.text())
@quietly
def test_any_text_in_a_csv(text: str, tmp_path: Path) -> None:
    path = tmp_path / "A.csv"
    path.write_text(text, encoding="utf-8", errors="replace")
    expect_candles_or_a_sentence(path)
    path.write_text("ts,open,high,low,close,volume\n" + text, encoding="utf-8", errors="replace")
    expect_candles_or_a_sentence(path)
