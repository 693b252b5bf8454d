"""From a recorded graph to the text of one Python function that computes the next bar.

The text is made of numbered names (``v7`` is the value of node 7, ``u7`` the update of its stream), numbers and the few
words below; nothing a user wrote gets into it. Where numpy gives infinity or NaN, Python raises: the functions of this module
close that gap, and :data:`EXPRESSIONS` calls them only where they may be needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from huracan.preprocessing.rolling import from_row, log_of_size, ratio
from huracan.preprocessing.streams.lines import Lines
from huracan.preprocessing.tracing import CannotTrace, Graph, Node, Ref

__all__ = [
    "EXPRESSIONS",
    "HELPERS",
    "INLINE",
    "masked_rows",
    "needed_nodes",
    "needs_stream",
    "rings_of",
    "step_source",
]

_INF, _NAN = math.inf, math.nan


def _over_zero(a: float, b: float) -> float:
    return _NAN if a == 0.0 or a != a else math.copysign(_INF, a) * math.copysign(1.0, b)


def _log(x: float) -> float:
    return math.log(x) if x > 0.0 else (-_INF if x == 0.0 else _NAN)


def _log1p(x: float) -> float:
    return math.log1p(x) if x > -1.0 else (-_INF if x == -1.0 else _NAN)


def _log2(x: float) -> float:
    return math.log2(x) if x > 0.0 else (-_INF if x == 0.0 else _NAN)


def _log10(x: float) -> float:
    return math.log10(x) if x > 0.0 else (-_INF if x == 0.0 else _NAN)


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return _INF


def _expm1(x: float) -> float:
    try:
        return math.expm1(x)
    except OverflowError:
        return _INF


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return -_INF if a < 0.0 and b % 2.0 == 1.0 else _INF
    except ValueError:  # 0 to a negative power, or a root of a negative number
        return (math.copysign(_INF, a) if b % 2.0 == 1.0 else _INF) if a == 0.0 else _NAN


def _remainder(a: float, b: float) -> float:
    return a % b if b else _NAN


def _floor_divide(a: float, b: float) -> float:
    return a // b if b else _over_zero(a, b)


def _floor(x: float) -> float:
    return float(math.floor(x)) if -_INF < x < _INF else x


def _ceil(x: float) -> float:
    return float(math.ceil(x)) if -_INF < x < _INF else x


def _sin(x: float) -> float:
    return math.sin(x) if -_INF < x < _INF else _NAN


def _cos(x: float) -> float:
    return math.cos(x) if -_INF < x < _INF else _NAN


HELPERS: dict[str, Any] = {
    "inf": _INF,
    "nan": _NAN,
    "over_zero": _over_zero,
    "log_": _log,
    "log": math.log,
    "log1p": _log1p,
    "log2": _log2,
    "log10": _log10,
    "exp": _exp,
    "expm1": _expm1,
    "power": _power,
    "remainder": _remainder,
    "floor_divide": _floor_divide,
    "floor": _floor,
    "ceil": _ceil,
    "sin": _sin,
    "cos": _cos,
    "tanh": math.tanh,
    "arctan": math.atan,
    "sqrt": math.sqrt,
}
"""What the text may call."""


def _divide(a: str, b: str) -> str:
    if _constant(b):
        return f"{a} / {b}"
    return f"over_zero({a}, {b})" if _constant(b) == 0.0 else f"{a} / {b} if {b} else over_zero({a}, {b})"


def _power_text(a: str, b: str) -> str:
    """As numpy, which does not call ``pow`` for the exponents 2, .5 and -1."""
    quick = {2.0: "{0} * {0}", 0.5: "sqrt({0}) if {0} >= 0.0 else nan", -1.0: "1.0 / {0} if {0} else over_zero(1.0, {0})"}
    exponent = _constant(b)
    return quick[exponent].format(a) if exponent in quick else f"power({a}, {b})"


EXPRESSIONS: dict[str, Callable[..., str]] = {
    "add": "{} + {}".format,
    "subtract": "{} - {}".format,
    "multiply": "{} * {}".format,
    "divide": _divide,
    "remainder": "remainder({}, {})".format,
    "floor_divide": "floor_divide({}, {})".format,
    "power": _power_text,
    "negative": "-{}".format,
    "absolute": "abs({})".format,
    "sign": "1.0 if {0} > 0.0 else -1.0 if {0} < 0.0 else {0}".format,
    "sqrt": "sqrt({0}) if {0} >= 0.0 else nan".format,
    "square": "{0} * {0}".format,
    "log": "log({0}) if {0} > 0.0 else log_({0})".format,
    "log1p": "log1p({})".format,
    "log2": "log2({})".format,
    "log10": "log10({})".format,
    "exp": "exp({})".format,
    "expm1": "expm1({})".format,
    "tanh": "tanh({})".format,
    "arctan": "arctan({})".format,
    "sin": "sin({})".format,
    "cos": "cos({})".format,
    "floor": "floor({})".format,
    "ceil": "ceil({})".format,
    "maximum": "{0} if {0} >= {1} or {0} != {0} else {1}".format,
    "minimum": "{0} if {0} <= {1} or {0} != {0} else {1}".format,
    "fmax": "{0} if {0} >= {1} or {1} != {1} else {1}".format,
    "fmin": "{0} if {0} <= {1} or {1} != {1} else {1}".format,
    "greater": "{} > {}".format,
    "greater_equal": "{} >= {}".format,
    "less": "{} < {}".format,
    "less_equal": "{} <= {}".format,
    "equal": "{} == {}".format,
    "not_equal": "{} != {}".format,
    "logical_and": "True if {} and {} else False".format,
    "logical_or": "True if {} or {} else False".format,
    "logical_not": "not {}".format,
    "isnan": "{0} != {0}".format,
    "isfinite": "-inf < {} < inf".format,
    "where": "{1} if {0} else {2}".format,
}
"""The text of each elementwise function, given the texts of its arguments."""


def _ratio_text(numerator: str, denominator: str, otherwise: str = "nan") -> str:
    if _constant(denominator):
        return f"{numerator} / {denominator}"
    at_zero = otherwise if otherwise == "nan" else f"({otherwise} if {numerator} == {numerator} else nan)"
    return f"{numerator} / {denominator} if {denominator} else {at_zero}"


INLINE: dict[Callable[..., Any], Callable[..., str]] = {
    ratio: _ratio_text,
    log_of_size: "log({0}) if {0} > 0.0 else nan".format,
}
"""Operations that look at one bar only, and so need no stream."""


def needed_nodes(graph: Graph, outputs: Sequence[int]) -> list[int]:
    """Numbers of the nodes that the outputs depend on, in order.

    >>> graph = Graph()
    >>> close, high = graph.input("close"), graph.input("high")
    >>> needed_nodes(graph, [(2.0 * high).number])
    [1, 2]
    """
    needed: set[int] = set()
    open_: list[int] = list(outputs)
    while open_:
        number = open_.pop()
        if number not in needed:
            needed.add(number)
            open_ += [x.number for x in graph.nodes[number].inputs if isinstance(x, Ref)]
    return sorted(needed)


def step_source(graph: Graph, outputs: Sequence[int], inlined: Mapping[int, Lines], *, masked: bool) -> str:
    """The text of ``make(updates, states, rings, scale)``, which gives two functions.

    ``step(row, ts, open, high, low, close, volume)`` takes a bar and gives a list of values, ``state()`` gives what is kept
    between bars besides the rings. A ring holds the last values of a node that lines look back at: see :func:`rings_of`.

    Parameters
    ----------
    graph : what the indicators recorded. outputs : numbers of the nodes to give, in order.
    inlined : lines of the nodes that need no call. masked : whether ``from_row`` blanks the first rows.

    Examples
    --------
    >>> import numpy as np
    >>> graph = Graph()
    >>> close = graph.input("close")
    >>> print(step_source(graph, [np.log(close / 2.0).number], {}, masked=False))
    def make(updates, states, rings, scale):
        def step(row, ts, open, high, low, close, volume):
            v0 = close * scale
            v1 = v0 / 2.0
            v2 = log(v1) if v1 > 0.0 else log_(v1)
            return [v2]
        def state():
            return {}
        return step, state
    """
    names: dict[int, str] = {}
    body, bound = [], []
    ringed = rings_of(graph, inlined)
    nodes = needed_nodes(graph, outputs)
    for number in nodes:  # parts of a result are named before the line that gives them
        node = graph.nodes[number]
        if node.kind == "output":
            names[number] = f"v{number}"
    for number in nodes:
        node = graph.nodes[number]
        text = "" if number in inlined or node.kind == "output" else _node_text(number, node, names, masked=masked)
        if node.kind == "output":
            pass  # the line of its operation has given it
        elif number in inlined:
            names[number] = f"v{number}"
            body.append(_inlined_text(graph, number, inlined[number], names, ringed))
        elif text.isidentifier():  # a value that stands there already
            names[number] = text
        else:
            names[number] = f"v{number}"
            body.append(f"        {_target(graph, number, names)} = {text}\n")
            if needs_stream(node):
                bound.append(f"    u{number} = updates[{number}]\n")
        if number in ringed:
            bound.append(f"    h{number} = rings[{number}]\n")
            body.append(f"        h{number}[{_place(0, ringed[number])}] = {names[number]}\n")
    kept = {number: [f"s{number}_{name}" for name in lines.state] for number, lines in inlined.items() if lines.state}
    bound += [f"    {', '.join(state)}, = states[{number}]\n" for number, state in kept.items()]
    changed = [name for state in kept.values() for name in state]
    head = [f"        nonlocal {', '.join(changed)}\n"] if changed else []
    places = {(0, size) for size in ringed.values()}
    places |= {(lines.reach, ringed[_input_of(graph, i)]) for i, lines in inlined.items() if lines.reach}
    head += [f"        {_place(back, size)} = row - {back} & {size - 1}\n" for back, size in sorted(places)]
    states = ", ".join(f"{number}: ({', '.join(state)},)" for number, state in kept.items())
    return (
        f"def make(updates, states, rings, scale):\n{''.join(bound)}"
        f"    def step(row, ts, open, high, low, close, volume):\n{''.join((*head, *body))}"
        f"        return [{', '.join(names[number] for number in outputs)}]\n"
        f"    def state():\n        return {{{states}}}\n    return step, state"
    )


def rings_of(graph: Graph, inlined: Mapping[int, Lines]) -> dict[int, int]:
    """Nodes whose recent values are looked back at, and the size of their rings.

    A size is a power of two above the longest look back, so that a bar stands at ``row & (size - 1)``.
    """
    longest: dict[int, int] = {}
    for number, lines in inlined.items():
        if lines.reach:
            source = _input_of(graph, number)
            longest[source] = max(lines.reach, longest.get(source, 0))
    return {number: 1 << reach.bit_length() for number, reach in longest.items()}


def _input_of(graph: Graph, number: int) -> int:
    """The one series a stream of lines reads."""
    return next(x.number for x in graph.nodes[number].inputs if isinstance(x, Ref))


def _place(back: int, size: int) -> str:
    """Name of the place of a value so many bars back in a ring of a size: one for all rings that need it."""
    return f"p{size}_{back}"


def _inlined_text(graph: Graph, number: int, lines: Lines, names: dict[int, str], ringed: Mapping[int, int]) -> str:
    source = _input_of(graph, number)
    state = {name: f"s{number}_{name}" for name in lines.state}
    size = ringed.get(source, 0)
    look_back = {"old": f"h{source}[{_place(lines.reach, size)}]", "ring": f"h{source}", "place": _place(0, size)}
    return lines.written("        ", x=names[source], out=f"v{number}", row="row", **look_back, **state)


def _target(graph: Graph, number: int, names: dict[int, str]) -> str:
    count = graph.nodes[number].outputs
    if count == 1:
        return names[number]
    parts = {
        node.what: names[i]
        for i, node in enumerate(graph.nodes)
        if node.kind == "output" and node.inputs == (Ref(number),) and i in names
    }
    return ", ".join(parts.get(i, "_") for i in range(count))


def needs_stream(node: Node) -> bool:
    """Whether a node remembers earlier bars."""
    return node.kind == "operation" and node.what not in INLINE and node.what is not from_row


def masked_rows(node: Node) -> int:
    """Rows at the start that a node blanks."""
    if node.what is not from_row:
        return 0
    return int(dict(node.parameters).get("row", node.inputs[-1]))


def _node_text(number: int, node: Node, names: dict[int, str], *, masked: bool) -> str:
    arguments = [names[x.number] if isinstance(x, Ref) else _number_text(x) for x in node.inputs if not isinstance(x, str)]
    if node.kind == "input":
        return f"{node.what} * scale" if node.what in ("open", "high", "low", "close") else node.what
    if node.kind == "elementwise":
        return EXPRESSIONS[node.what](*arguments)
    keywords = dict(node.parameters)
    if node.what is from_row:
        return f"{arguments[0]} if row >= {masked_rows(node)} else nan" if masked else arguments[0]
    if node.what in INLINE:
        return INLINE[node.what](*arguments, **{name: _number_text(x) for name, x in keywords.items()})
    return f"u{number}({', '.join(names[x.number] for x in node.inputs if isinstance(x, Ref))})"


def _number_text(x: Any) -> str:
    if isinstance(x, bool | int):
        return repr(x)
    if isinstance(x, float):
        text = "nan" if x != x else "inf" if x == _INF else "-inf" if x == -_INF else repr(x)
        return f"({text})" if text.startswith("-") else text
    raise CannotTrace(f"{x!r} takes part in an indicator where a number was expected.")


def _constant(text: str) -> float | None:
    """The number a text is, None where it is the name of a value."""
    try:
        return float(text.strip("()"))
    except ValueError:
        return None
