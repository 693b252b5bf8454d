"""Features as a program: recorded once, compiled once, opened on the history of as many series as there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from huracan.preprocessing.indicators import Bars, get_indicator
from huracan.preprocessing.indicators.bars import PRICES, recorded_bars
from huracan.preprocessing.online_arithmetic import HELPERS
from huracan.preprocessing.online_source import masked_rows, needed_nodes, needs_stream, rings_of, step_source
from huracan.preprocessing.rolling import Array, from_row
from huracan.preprocessing.spec import STEPS, FeatureSpec
from huracan.preprocessing.streams import Stream, open_stream
from huracan.preprocessing.streams.lines import Lines
from huracan.preprocessing.streams.register import stream_class
from huracan.preprocessing.streams.talib_handles import TalibStream
from huracan.preprocessing.tracing import ELEMENTWISE, CannotTrace, Graph, Node, Ref, Traced

__all__ = ["Program", "RunningProgram", "Step", "compiled_program", "record_program"]

Step = Callable[[int, int, float, float, float, float, float], list[float]]
"""``step(row, ts, open, high, low, close, volume)``: the next bar of a segment, ``row`` counted from 0, prices as given."""

_UNTRACEABLE = (CannotTrace, TypeError, AttributeError, ValueError, IndexError, KeyError, NotImplementedError)
"""What an indicator may raise when it is called with recorded values that it cannot use."""

_UFUNCS: dict[str, Any] = {name: function for function, name in reversed(ELEMENTWISE.items())}
_UFUNCS["where"] = np.where


@dataclass(frozen=True)
class Program:
    """What one bar of some features takes, for any series.

    Attributes
    ----------
    specs : the features it computes, in order.
    refused : features that could not be recorded, and why.
    source : the text of the function, for whoever wants to read it.
    """

    specs: tuple[FeatureSpec, ...]
    refused: Mapping[FeatureSpec, str]
    graph: Graph
    outputs: tuple[int, ...]
    streams: tuple[int, ...]
    inlined: Mapping[int, Lines]
    longest_mask: int
    source: str
    make_masked: Callable[..., tuple[Step, Callable[[], dict[int, tuple[Any, ...]]]]]
    make: Callable[..., tuple[Step, Callable[[], dict[int, tuple[Any, ...]]]]]


def record_program(specs: Sequence[FeatureSpec], columns: tuple[str, ...]) -> Program:
    """Record features of one bar length and compile them; those that cannot be recorded are named, not lost.

    Examples
    --------
    >>> from huracan.preprocessing import feature
    >>> program = record_program([feature("efficiency_ratio", window=24)], ("close",))
    >>> program.refused
    {}
    >>> bars = Bars({"close": np.linspace(1.0, 2.0, 24)})
    >>> running = RunningProgram(program, bars, bars.scale)
    >>> running.step(24, 0, 0.0, 0.0, 0.0, 3.0, 0.0)
    [1.0]
    """
    graph = Graph()
    bars = recorded_bars(graph, columns)
    kept: list[FeatureSpec] = []
    refused: dict[FeatureSpec, str] = {}
    outputs: list[int] = []
    for spec in specs:
        try:
            values = _recorded(spec, bars)
            step_source(graph, values, _inlined(graph, values), masked=True)  # raises where a step has no bar-by-bar form
        except _UNTRACEABLE as error:
            refused[spec] = str(error) or type(error).__name__
            continue
        kept.append(spec)
        outputs += values
    return compiled_program(graph, outputs, tuple(kept), refused)


def compiled_program(
    graph: Graph,
    outputs: Sequence[int],
    specs: tuple[FeatureSpec, ...] = (),
    refused: Mapping[FeatureSpec, str] | None = None,
) -> Program:
    """The program that gives these nodes."""
    nodes = needed_nodes(graph, outputs)
    inlined = _inlined(graph, outputs)
    masked, plain = (step_source(graph, outputs, inlined, masked=m) for m in (True, False))
    return Program(
        specs,
        refused or {},
        graph,
        tuple(outputs),
        tuple(i for i in nodes if needs_stream(graph.nodes[i])),
        inlined,
        max((masked_rows(graph.nodes[i]) for i in nodes), default=0),
        plain,
        _made(masked, inlined),
        _made(plain, inlined),
    )


def _made(source: str, inlined: Mapping[int, Lines]) -> Callable[..., Any]:
    """The function ``make`` of a text. All series share it, and with it what Python learns about its steps."""
    words: dict[str, Any] = dict(HELPERS)
    for lines in inlined.values():
        words.update(lines.words)
    exec(compile(source, "<online features>", "exec"), words)  # the text is made by online_source and the lines of our streams
    return words["make"]


class RunningProgram:
    """A program on one segment of one series, opened on its bars so far.

    Parameters
    ----------
    bars : may be none at all. scale : the power of two that prices are multiplied by.

    Attributes
    ----------
    step : the function that takes the next bar. It changes once, when the segment has warmed up.
    warming : whether that is still to come; :meth:`warm_up` is to be called after every step until it has.
    """

    def __init__(self, program: Program, bars: Bars, scale: float) -> None:
        self._program = program
        self._scale = scale
        rows = len(bars)
        replayed = rows <= program.longest_mask  # too short for operations that expect a whole window
        self._streams, self._rings = _opened(program, Bars({}) if replayed else bars)
        self.warming = True
        self._bind(program.make_masked, {number: self._streams[number].state for number in program.inlined})  # type: ignore[attr-defined]
        if replayed:
            self._replay(bars, rows)
        self.warm_up(rows)

    def warm_up(self, rows: int) -> None:
        """Change to the quick form if ``rows`` bars are enough for it."""
        if self.warming and rows >= self._program.longest_mask:
            if any(stream.waiting for stream in self._to_wait_for):
                return
            self.warming = False
            self._bind(self._program.make, self._state())

    def _bind(self, make: Callable[..., Any], states: Mapping[int, tuple[Any, ...]]) -> None:
        graph, inlined = self._program.graph, self._program.inlined
        finite = _always_finite(graph, needed_nodes(graph, self._program.outputs))
        updates, self._to_wait_for = {}, []
        for number, stream in self._streams.items():
            if number in inlined:
                continue
            updates[number] = stream.update
            if isinstance(stream, TalibStream) and _are_in(finite, graph.nodes[number]):
                updates[number] = stream.update_finite
                self._to_wait_for.append(stream)
        self.step: Step
        self.step, self._state = make(updates, states, self._rings, self._scale)

    def _replay(self, bars: Bars, rows: int) -> None:
        nothing = np.full(rows, np.nan)
        columns = [bars.columns[name] / bars.scale if name in bars.columns else nothing for name in PRICES]
        columns.append(bars.columns.get("volume", nothing))
        times = bars.ts.tolist() if bars.has_times else [0] * rows
        for row, values in enumerate(zip(times, *(x.tolist() for x in columns), strict=True)):
            self.step(row, *values)


def _recorded(spec: FeatureSpec, bars: Bars) -> list[int]:
    """Node numbers of a feature's columns."""
    entry, values = get_indicator(spec.indicator), dict(spec.parameters)
    result = entry.function(bars, **values)
    series: tuple[Any, ...] = result if isinstance(result, tuple) else (result,)
    if len(series) != len(entry.outputs) or not all(isinstance(x, Traced) for x in series):
        raise CannotTrace(f"indicator '{spec.indicator}' did not give one recorded series for each of its outputs.")
    lookback = entry.lookback(values)
    series = tuple(from_row(x, lookback) for x in series) if lookback else series
    for name, bars_of_step in spec.then:
        series = tuple(STEPS[name].function(x, bars_of_step) for x in series)
    return [x.number for x in series]


def _always_finite(graph: Graph, needed: Sequence[int]) -> set[int]:
    """Those of the needed nodes that are finite numbers on every valid bar: prices, volume, their sums and order statistics."""
    finite: set[int] = set()
    for number in needed:
        node = graph.nodes[number]
        plain = all(
            x.number in finite if isinstance(x, Ref) else isinstance(x, int | float) and abs(x) < 1e6 for x in node.inputs
        )
        quiet = node.what in ("add", "subtract", "negative", "absolute", "maximum", "minimum") or (
            node.what == "multiply" and any(not isinstance(x, Ref) for x in node.inputs)
        )
        divided = node.what == "divide" and isinstance(node.inputs[1], int | float) and abs(node.inputs[1]) > 1e-6
        if node.kind == "input" or (node.kind == "elementwise" and plain and (quiet or divided)):
            finite.add(number)
    return finite


def _are_in(finite: set[int], node: Node) -> bool:
    return all(x.number in finite for x in node.inputs if isinstance(x, Ref))


def _inlined(graph: Graph, outputs: Sequence[int]) -> dict[int, Lines]:
    """Lines of the streams that have them; ``CannotTrace`` where an operation has no stream at all."""
    needed, found = needed_nodes(graph, outputs), {}
    finite = _always_finite(graph, needed)
    for number in needed:
        node = graph.nodes[number]
        if not needs_stream(node):
            continue
        kind = stream_class(node.what)
        names = ("finite_lines", "lines") if _are_in(finite, node) else ("lines",)
        for give in (getattr(kind, name, None) for name in names):
            lines = give and give(*(x for x in node.inputs if not isinstance(x, Ref)), **dict(node.parameters))
            if lines:
                found[number] = lines
                break
    return found


def _opened(program: Program, bars: Bars) -> tuple[dict[int, Stream], dict[int, list[float]]]:
    """Every stream of the program, opened on what its inputs were in history, and the rings of what is looked back at."""
    nodes = program.graph.nodes
    feeding = needed_nodes(program.graph, [x.number for i in program.streams for x in nodes[i].inputs if isinstance(x, Ref)])
    uses = dict.fromkeys((*feeding, *program.streams), 0)
    for number in uses:
        for x in nodes[number].inputs:
            if isinstance(x, Ref):
                uses[x.number] += 1
    arrays: dict[int, Any] = {}
    streams: dict[int, Stream] = {}
    rings: dict[int, list[float]] = {}
    feeds, ringed = set(feeding), rings_of(program.graph, program.inlined)
    with np.errstate(all="ignore"):
        for number in sorted(uses):
            node = nodes[number]
            inputs: list[Any] = [_as_series(arrays[x.number], bars) if isinstance(x, Ref) else x for x in node.inputs]
            if needs_stream(node):
                history = [x for x, given in zip(inputs, node.inputs) if isinstance(given, Ref)]
                constants = [x for x in node.inputs if not isinstance(x, Ref)]
                streams[number] = open_stream(node.what, constants, dict(node.parameters), history)
            if number in feeds:
                arrays[number] = _evaluated(node, inputs, bars)
            if number in ringed:
                rings[number] = _ring(_as_series(arrays[number], bars), ringed[number])
            for x in node.inputs:
                if isinstance(x, Ref):
                    uses[x.number] -= 1
                    if not uses[x.number]:
                        del arrays[x.number]
    return streams, rings


def _ring(x: Any, size: int) -> list[float]:
    """The last values, each at its row modulo ``size``."""
    ring = np.full(size, np.nan)
    rows = np.arange(max(0, len(x) - size), len(x))
    ring[rows & (size - 1)] = x[rows]
    values: list[float] = ring.tolist()
    return values


def _evaluated(node: Node, inputs: list[Any], bars: Bars) -> Any:
    if node.kind == "input" and node.what == "scale":
        return bars.scale
    if node.kind == "input" and len(bars):
        return bars.ts if node.what == "ts" else bars.columns[node.what]
    if node.kind == "output":
        return inputs[0][node.what]
    if not len(bars):
        return np.empty(0) if node.outputs == 1 else (np.empty(0),) * node.outputs
    if node.kind == "elementwise":
        return _UFUNCS[node.what](*inputs)
    return node.what(*inputs, **dict(node.parameters))


def _as_series(value: Any, bars: Bars) -> Array | tuple[Array, ...]:
    return value if isinstance(value, tuple) or np.ndim(value) else np.full(len(bars), value)
