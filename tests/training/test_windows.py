"""Windows cut by index are the windows one would copy out, and never cross a symbol, a segment or a missing bar."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.errors import DataError
from huracan.training.windows import WindowTable, bars_before


def table(rows: int = 50, features: int = 3) -> torch.Tensor:
    return torch.arange(float(rows * features)).reshape(rows, features)


@given(st.integers(1, 9), st.integers(10, 60), st.integers(1, 4), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_a_batch_holds_the_rows_above_each_last_row(length: int, rows: int, features: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = table(rows, features)
    last = rng.integers(length - 1, rows, 20).astype(np.int32)
    batch = WindowTable(values, torch.from_numpy(last), length, y=torch.arange(20)).batch(torch.arange(20).flip(0))
    for window, end, y in zip(batch.x, last[::-1], batch.y if batch.y is not None else ()):
        assert torch.equal(window, values[end - length + 1 : end + 1])
        assert last[int(y)] == end


def test_both_ways_of_cutting_give_the_same() -> None:
    windows = WindowTable(table(), torch.tensor([4, 49, 17], dtype=torch.int32), 5)
    fast = windows.batch(torch.tensor([2, 0, 1])).x
    windows.__dict__["_strided"] = None  # what a GPU does
    assert torch.equal(windows.batch(torch.tensor([2, 0, 1])).x, fast)


def test_a_batch_is_a_copy() -> None:
    windows = WindowTable(table(), torch.tensor([4, 5], dtype=torch.int32), 5)
    windows.batch(torch.tensor([0])).x.zero_()
    assert torch.equal(windows.table, table())


def test_windows_that_are_not_there_are_refused() -> None:
    with pytest.raises(DataError, match="windows of 5 rows end in rows 3 to 9 of a table of 50; from 4 to 49"):
        WindowTable(table(), torch.tensor([3, 9], dtype=torch.int32), 5)
    with pytest.raises(DataError, match="y has 3 rows where there are 1 windows"):
        WindowTable(table(), torch.tensor([9], dtype=torch.int32), 5, y=torch.zeros(3))
    with pytest.raises(DataError, match="contiguous rows x features"):
        WindowTable(table().T, torch.tensor([2], dtype=torch.int32), 2)


def test_symbols_segments_and_missing_bars_begin_anew() -> None:
    hour = np.timedelta64(1, "h")
    ts = np.datetime64("2024-01-01", "h") + np.array([0, 1, 2, 4, 5, 0, 1]) * hour
    symbol, segment = np.array([0, 0, 0, 0, 0, 1, 1], np.int32), np.array([0, 0, 1, 1, 1, 0, 0], np.int32)
    assert bars_before(symbol, segment, ts, hour).tolist() == [0, 1, 0, 0, 1, 0, 1]
    assert bars_before(symbol, segment, None, None).tolist() == [0, 1, 0, 1, 2, 0, 1]
