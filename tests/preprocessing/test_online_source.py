"""The text of a program computes what numpy computes, infinities and NaN included, and refuses what it cannot."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

from huracan.preprocessing.indicators import Bars
from huracan.preprocessing.online_arithmetic import EXPRESSIONS, HELPERS, INLINE
from huracan.preprocessing.online_program import RunningProgram, compiled_program, record_program
from huracan.preprocessing.online_source import needed_nodes, step_source
from huracan.preprocessing.rolling import from_row, lag, log_ratio, ratio, rolling_max, rolling_mean
from huracan.preprocessing.spec import feature
from huracan.preprocessing.ta import ta
from huracan.preprocessing.tracing import ELEMENTWISE, CannotTrace, Graph

SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -2.0,
    3.0,
    1e-300,
    -1e-300,
    1e308,
    -1e308,
    710.0,
    math.inf,
    -math.inf,
    math.nan,
]
FINITE = [x for x in SPECIAL if math.isfinite(x)]
CONDITIONS = {"logical_and", "logical_or", "logical_not"}


def value_of(function: Any, *arguments: float | bool) -> Any:
    """What the text of a recorded function gives."""
    graph = Graph()
    series = [graph.input(name) for name in ("volume", "ts")[: len(arguments)]]
    result = function(*series)
    words: dict[str, Any] = dict(HELPERS)
    exec(step_source(graph, [result.number], {}, masked=False), words)
    step, _ = words["make"]({}, {}, {}, 1.0)
    volume, ts = (*arguments, 0.0)[:2]
    return step(0, ts, 0.0, 0.0, 0.0, 0.0, volume)[0]


def assert_same(ours: Any, theirs: Any, context: Any) -> None:
    ours, theirs = float(ours), float(theirs)
    if math.isnan(theirs) or math.isinf(theirs):
        assert ours == theirs or (math.isnan(ours) and math.isnan(theirs)), (context, ours, theirs)
    else:
        assert ours == pytest.approx(theirs, rel=4e-16, abs=0.0), (context, ours, theirs)


def test_every_elementwise_function_has_a_text() -> None:
    assert set(ELEMENTWISE.values()) | {"where"} == set(EXPRESSIONS)


@pytest.mark.parametrize("ufunc", list(ELEMENTWISE), ids=lambda u: u.__name__)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_each_function_is_numpys_on_special_values(ufunc: np.ufunc) -> None:
    grid: list[Any] = [True, False] if ELEMENTWISE[ufunc] in CONDITIONS else SPECIAL
    grid = FINITE if ELEMENTWISE[ufunc] in ("remainder", "floor_divide") else grid
    with np.errstate(all="ignore"):
        for a in grid:
            if ufunc.nin == 1:
                assert_same(value_of(ufunc, a), ufunc(a), (ufunc.__name__, a))
                continue
            for b in grid:
                x, y = np.array([a, a]), np.array([b, b])
                assert_same(value_of(ufunc, a, b), ufunc(x, y)[0], (ufunc.__name__, a, b))
                if ELEMENTWISE[ufunc] not in CONDITIONS:
                    assert_same(value_of(lambda v, b=b: ufunc(v, b), a), ufunc(x, b)[0], (ufunc.__name__, a, "constant", b))
                    assert_same(value_of(lambda v, b=b: ufunc(b, v), a), ufunc(b, x)[0], (ufunc.__name__, "constant", b, a))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_operations_written_in_place_are_their_batch_selves() -> None:
    assert {f.__name__ for f in INLINE} == {"ratio", "log_of_size"}
    for a in SPECIAL:
        for b in SPECIAL:
            x, y = np.array([a]), np.array([b])
            for otherwise in (math.nan, 0.0, -1.5):
                batch = ratio(x, y, otherwise=otherwise)[0]
                assert_same(value_of(lambda p, q, o=otherwise: ratio(p, q, otherwise=o), a, b), batch, (a, b, otherwise))
            assert_same(value_of(lambda p, q: log_ratio(p, q, softness=0.01), a, b), log_ratio(x, y, softness=0.01)[0], (a, b))


def test_python_operators_where_and_clip_are_recorded() -> None:
    assert value_of(lambda x: np.where((x > 1.0) & ~(x >= 3.0), -x, x**2 % 4.0), 2.0) == -2.0
    assert value_of(lambda x: np.where((x > 1.0) & ~(x >= 3.0), -x, x**2 % 4.0), 3.0) == 1.0
    assert value_of(lambda x: np.clip(x, -1.0, 1.0), 7.0) == 1.0
    assert math.isnan(value_of(lambda x: np.clip(x, -1.0, 1.0), math.nan))
    assert value_of(lambda x: (x > 1.0).astype(float) + (x > 0.0).astype(np.float64), 2.0) == 2.0
    assert value_of(lambda x: np.float64(2.0) * x + np.int64(1), 2.0) == 5.0


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: x[1:], "sliced"),
        (len, "sliced, counted"),
        (lambda x: 1 if x > 0 else 2, "used as a condition"),
        (float, "used as a condition"),
        (list, "looped over"),
        (np.asarray, "bar-by-bar"),
        (np.cumsum, "cumsum has no bar-by-bar form"),
        (np.add.accumulate, "add \\(accumulate\\) has no bar-by-bar form"),
        (lambda x: np.add(x, 1.0, out=x), "has no bar-by-bar form"),
        (lambda x: x + np.ones(3), "a ndarray takes part"),
        (lambda x: x.astype(np.float32), "turned into float32"),
        (lambda x: x.astype(int), "turned into int64"),
        (lambda x: (x > 0.0) + (x > 1.0), "two conditions were added"),
        (lambda x: ratio(x, 1.0, otherwise=x), "given a series by keyword"),
    ],
)
def test_what_has_no_bar_by_bar_form_says_why(function: Any, said: str) -> None:
    series = Graph().input("close")
    with pytest.raises(CannotTrace, match=said):
        function(series)


def test_equal_steps_are_one_and_unused_ones_are_left_out() -> None:
    graph = Graph()
    close = graph.input("close")
    _unused = rolling_max(close, 9)
    first, second = rolling_max(close, 5) * 2.0, rolling_max(close, 5) * 2.0
    assert first.number == second.number
    assert [getattr(graph.nodes[i].what, "__name__", graph.nodes[i].what) for i in needed_nodes(graph, [first.number])] == [
        "close",
        "rolling_max",
        "multiply",
    ]
    assert (close * 1).number != (close * 1.0).number != (close * True).number


def test_one_of_several_results_can_be_looked_back_at() -> None:
    """Lags and sums of a part of an operation's result need a ring of their own."""
    rng = np.random.default_rng(1)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, 120)))
    graph = Graph()
    line, signal, _ = ta("MACD", graph.input("close"), fastperiod=5, slowperiod=9, signalperiod=3)
    outputs = [lag(line, 4).number, rolling_mean(signal, 6).number, (line - lag(signal, 2)).number]
    program = compiled_program(graph, outputs)
    bars = Bars({"close": close[:60]})
    running = RunningProgram(program, bars, bars.scale)
    ours = [running.step(row, 0, 0.0, 0.0, 0.0, price, 0.0) for row, price in enumerate(close[60:].tolist(), 60)]
    line, signal, _ = ta("MACD", close, fastperiod=5, slowperiod=9, signalperiod=3)
    batch = np.column_stack([lag(line, 4), rolling_mean(signal, 6), line - lag(signal, 2)])[60:]
    np.testing.assert_allclose(np.array(ours) / bars.scale, batch, rtol=1e-12)


def test_masks_hold_until_their_row_and_cost_nothing_after() -> None:
    graph = Graph()
    masked = from_row(graph.input("volume"), 3)
    warming, warm = (step_source(graph, [masked.number], {}, masked=m) for m in (True, False))
    assert "volume if row >= 3 else nan" in warming
    assert "nan" not in warm


def test_the_text_holds_numbers_and_our_words_only() -> None:
    """A name a user chose never reaches the text, whatever it is."""
    program = record_program([feature("efficiency_ratio", window=24), feature("return_skew")], ("close",))
    known = {*HELPERS, *(w for lines in program.inlined.values() for w in lines.words)}
    known |= {"def", "make", "updates", "states", "rings", "scale", "step", "state", "row", "ts", "place", "nonlocal", "return"}
    known |= {"open", "high", "low", "close", "volume", "if", "else", "elif", "not", "True", "False", "and", "or", "abs"}
    known |= {"change", "before"}
    words = set(
        re.findall(r"[A-Za-z_]\w*", re.sub(r"\d[\d.]*(e[-+]?\d+)?", " ", re.sub(r"\b[vuhsp]\d+(_\w+)?\b", " ", program.source)))
    )
    assert words <= known, words - known


def test_a_program_goes_from_warming_to_warm_without_a_jump() -> None:
    rng = np.random.default_rng(0)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, 200)))
    spec = feature("rsi_scaled", window=14)
    running = RunningProgram(record_program([spec], ("close",)), Bars({}), 1.0)
    values, warming = [], []
    for row, price in enumerate(close.tolist()):
        values.append(running.step(row, 0, 0.0, 0.0, 0.0, price, 0.0)[0])
        running.warm_up(row + 1)
        warming.append(running.warming)
    assert warming.index(False) == 14
    np.testing.assert_allclose(values, spec.compute(Bars({"close": close}))[0], rtol=1e-12)
