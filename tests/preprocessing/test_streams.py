"""Every stream, opened anywhere on a series, goes on bit for bit as the batch run does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from huracan.errors import FeatureError
from huracan.preprocessing import rolling
from huracan.preprocessing.streams import open_stream, stream_for
from huracan.preprocessing.streams.register import _STREAMS, stream_class
from huracan.preprocessing.ta import ta
from huracan.preprocessing.tracing import CannotTrace, operation

OPERATIONS: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
    (rolling.rolling_max, (13,), {}),
    (rolling.rolling_max, (1,), {}),
    (rolling.rolling_min, (48,), {}),
    (rolling.rolling_rank, (13,), {}),
    (rolling.rolling_rank, (1,), {}),
    (rolling.rolling_rank, (2,), {}),
    (rolling.lag, (1,), {}),
    (rolling.lag, (17,), {}),
    (rolling.first_value, (), {}),
    (rolling.running_max, (), {}),
]
NAMES = [f"{o.__name__}{c}{k or ''}" for o, c, k in OPERATIONS]


def series(kind: str, n: int = 400) -> np.ndarray:
    """Series that have gone wrong somewhere before."""
    rng = np.random.default_rng(len(kind))
    x = rng.standard_t(3, n)
    if kind == "late":
        x[:31] = np.nan
    elif kind == "holed":
        x[:3] = np.nan
        x[rng.integers(0, n, 30)] = np.nan
        x[200:260] = np.nan
    elif kind == "flat":
        x[100:180] = x[100]
        x[300:] = 0.0
    elif kind == "spiked":
        x[50] = 1e12
        x[220:225] = -1e9
    elif kind == "ties":
        x = np.round(x)
    elif kind == "empty":
        x[:] = np.nan
    return x


def continued(function: Any, constants: Any, keywords: Any, values: list[np.ndarray], at: int) -> np.ndarray:
    stream = open_stream(function, constants, keywords, [x[:at] for x in values])
    return np.array([stream.update(*row) for row in zip(*(x[at:].tolist() for x in values))])


@pytest.mark.parametrize("kind", ["plain", "late", "holed", "flat", "spiked", "ties", "empty"])
@pytest.mark.parametrize(("function", "constants", "keywords"), OPERATIONS, ids=NAMES)
def test_a_stream_goes_on_where_batch_stands(function: Any, constants: Any, keywords: Any, kind: str) -> None:
    x = series(kind)
    batch = function(x, *constants, **keywords)
    for at in (0, 1, 2, 4, 5, 6, 7, 8, 11, 12, 13, 23, 24, 25, 31, 43, 44, 48, 49, 120, 199, 230, 262, 301, 330, 399):
        np.testing.assert_array_equal(continued(function, constants, keywords, [x], at), batch[at:], err_msg=f"opened at {at}")


@settings(max_examples=60, deadline=None)
@given(
    x=st.lists(st.sampled_from([0.0, 0.0, 1.0, -1.0, 1e-8, 3.7, 1e9, float("nan")]), min_size=1, max_size=60),
    window=st.integers(2, 9),
    cut=st.floats(0, 1),
)
def test_any_series_any_window_any_cut(x: list[float], window: int, cut: float) -> None:
    values, at = np.array(x), int(cut * len(x))
    for function in (rolling.rolling_min, rolling.rolling_rank, rolling.rolling_max):
        batch = function(values, window)
        np.testing.assert_array_equal(continued(function, (window,), {}, [values], at), batch[at:])


TALIB = [
    ("SMA", 1, {"timeperiod": 5}),
    ("EMA", 1, {"timeperiod": 12}),
    ("RSI", 1, {"timeperiod": 14}),
    ("MACD", 1, {"fastperiod": 5, "slowperiod": 9, "signalperiod": 3}),
    ("BBANDS", 1, {"timeperiod": 20, "nbdevup": 2.0, "nbdevdn": 2.0}),
    ("LINEARREG_SLOPE", 1, {"timeperiod": 10}),
    ("KAMA", 1, {"timeperiod": 10}),
    ("ADX", 3, {"timeperiod": 7}),
    ("CCI", 3, {"timeperiod": 11}),
    ("CDLDOJI", 4, {}),
]


@pytest.mark.parametrize("holed", [False, True])
@pytest.mark.parametrize(("name", "inputs", "parameters"), TALIB, ids=[t[0] for t in TALIB])
def test_talib_goes_on_where_batch_stands(name: str, inputs: int, parameters: dict[str, Any], holed: bool) -> None:
    rng = np.random.default_rng(4)
    close = 50.0 + np.cumsum(rng.standard_normal(300))
    high, low = close + rng.exponential(1.0, 300), close - rng.exponential(1.0, 300)
    values = {1: [close], 3: [high, low, close], 4: [close - rng.normal(0, 0.01, 300), high, low, close]}[inputs]
    if holed:
        values = [x.copy() for x in values]
        values[0][:9] = np.nan
        values[0][[100, 111, 112, 180]] = np.nan
        values[-1][60] = np.inf
    batch = ta(name, *values, **parameters)
    batch = np.column_stack(batch) if isinstance(batch, tuple) else batch
    for at in (0, 1, 3, 8, 14, 25, 59, 60, 61, 62, 90, 112, 150, 200, 299):
        ours = continued(ta, (name,), parameters, values, at)
        np.testing.assert_array_equal(ours, batch[at:], err_msg=f"opened at {at}")


def test_talib_begins_anew_after_a_hole_as_on_a_series_of_its_own() -> None:
    x = np.random.default_rng(0).standard_normal(100)
    holed = x.copy()
    holed[40] = np.nan
    np.testing.assert_array_equal(ta("EMA", holed, timeperiod=6)[41:], talib.EMA(x[41:], 6))
    np.testing.assert_array_equal(ta("EMA", holed, timeperiod=6)[:40], talib.EMA(x[:40], 6))
    assert np.isnan(ta("EMA", holed, timeperiod=6)[40])


def test_an_operation_without_a_stream_says_so() -> None:
    @operation
    def reversed_series(x: np.ndarray) -> np.ndarray:
        return x[::-1]

    with pytest.raises(CannotTrace, match="'reversed_series' has no bar-by-bar form"):
        open_stream(reversed_series, (), {}, [np.zeros(3)])


def test_streams_are_attached_once_and_to_operations_only() -> None:
    with pytest.raises(FeatureError, match="'rolling_max' has a stream already: RollingMax"):
        stream_for(rolling.rolling_max)
    with pytest.raises(FeatureError, match="is no operation"):
        stream_for(np.log)


def test_every_stream_is_tried_here() -> None:
    """A stream that is added without a line above is found."""
    stream_class(rolling.lag)
    tried = {function for function, _, _ in OPERATIONS} | {ta}
    ours = {f for f in _STREAMS if f.__module__ in (rolling.__name__, rolling.lag.__module__, ta.__module__)}
    assert ours == tried
