"""Key columns of a frame of features: each is checked, and each fault is one sentence with value and expectation."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from huracan.errors import SignatureError
from huracan.serving.row_keys import RowKeys

START = datetime(2025, 1, 1, tzinfo=UTC)


def read(**columns: Any) -> RowKeys:
    frame = pl.DataFrame(columns)
    return RowKeys.of(frame, frame.height)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"symbol": ["a", None]}, "column 'symbol' is empty in row 1; a name was expected in every row"),
        ({"symbol": [1.5, 2.5]}, "column 'symbol' is Float64; names were expected"),
        ({"ts": ["today", "now"]}, "column 'ts' is String; times were expected"),
        ({"ts": [START, None]}, "column 'ts' is empty in row 1"),
        ({"decision_time": ["2025-01-01", "2025-01-02"]}, "column 'decision_time' is String; times were expected"),
        ({"decision_time": [1, 2]}, "column 'decision_time' is Int64; times were expected"),
        ({"decision_time": [START, None]}, "column 'decision_time' is empty in row 1; a time was expected in every row"),
        ({"segment": ["a", "b"]}, "column 'segment' is String; whole numbers were expected"),
        ({"segment": [0.0, 1.0]}, "column 'segment' is Float64; whole numbers were expected"),
        ({"segment": [0, None]}, "column 'segment' is empty in row 1"),
        ({"segment": [0, 2**40]}, "column 'segment' is 1099511627776 in row 1; a whole number from 0 to 2147483647"),
        ({"volatility": ["low", "high"]}, "column 'volatility' is String; numbers were expected"),
        ({"volatility": [0.1, -0.1]}, "column 'volatility' is -0.1 in row 1; a finite number from 0, or null, was expected"),
        ({"volatility": [np.inf, 0.1]}, "column 'volatility' is inf in row 0"),
        ({"regime": ["trending", "wild"]}, "column 'regime' is 'wild' in row 1; trending, ranging, volatile, illiquid"),
        ({"regime": [1, 2]}, "column 'regime' is Int64; names of regimes were expected"),
        (
            {"ts": [START, START]},
            "row 1 of asset has ts .*, which does not come after .* of row 0; rows of a symbol from old to",
        ),
        (
            {"symbol": ["a", "b", "a"], "decision_time": [START + timedelta(hours=h) for h in (3, 1, 2)]},
            "row 2 of a has decision_time 2025-01-01 02:00:00.*, which does not come after .*03:00:00.* of row 0",
        ),
    ],
)
def test_what_is_not_taken_is_one_sentence(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(SignatureError, match=said):
        read(**columns)


def test_what_is_taken() -> None:
    keys = read(
        symbol=pl.Series(["b", "a", "b"], dtype=pl.Categorical),
        decision_time=[START, START, START + timedelta(hours=1)],
        regime=pl.Series(["ranging", None, "trending"], dtype=pl.Categorical),
        volatility=[None, 0.0, 1.0],
        segment=pl.Series([0, 0, 1], dtype=pl.UInt8),
    )
    assert keys.symbols == ("b", "a")
    assert keys.code.tolist() == [0, 1, 0]
    assert keys.decision is not None
    assert keys.decision[2] - keys.decision[0] == 3_600_000
    assert keys.regime.tolist() == [1, -1, 0]
    assert np.isnan(keys.volatility[0])
    assert keys.segment.tolist() == [0, 0, 1]
    assert list(keys.told) == ["symbol", "decision_time"]


def test_rows_of_each_symbol_are_in_order_by_themselves_and_days_are_times() -> None:
    days = [date(2025, 1, 2), date(2025, 1, 1), date(2025, 1, 3)]
    assert read(symbol=["a", "b", "a"], ts=days, decision_time=days).decision is not None
    assert read(ts=[1, 2, 3]).decision is None


def test_without_keys_all_rows_are_of_one_symbol() -> None:
    keys = RowKeys.of(pl.DataFrame(), 2)
    assert (keys.symbols, keys.code.tolist(), keys.told) == (("asset",), [0, 0], {})
