"""From a recorded graph to the text of one Python function that computes the next bar.

The text is made of numbered names (``v7`` is the value of node 7, ``u7`` the update of its stream, ``h7`` its ring of recent
values, ``s7_total`` a number its lines keep), numbers, the words of :mod:`~huracan.preprocessing.online_arithmetic` and the
lines of our own streams; nothing a user wrote gets into it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from huracan.preprocessing.online_arithmetic import EXPRESSIONS, INLINE, number_text
from huracan.preprocessing.rolling import from_row
from huracan.preprocessing.streams.lines import Lines
from huracan.preprocessing.tracing import Graph, Node, Ref

__all__ = ["masked_rows", "needed_nodes", "needs_stream", "rings_of", "step_source"]


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
    arguments = [names[x.number] if isinstance(x, Ref) else number_text(x) for x in node.inputs if not isinstance(x, str)]
    if node.kind == "input":
        return f"{node.what} * scale" if node.what in ("open", "high", "low", "close") else node.what
    if node.kind == "elementwise":
        return EXPRESSIONS[node.what](*arguments)
    keywords = dict(node.parameters)
    if node.what is from_row:
        return f"{arguments[0]} if row >= {masked_rows(node)} else nan" if masked else arguments[0]
    if node.what in INLINE:
        return INLINE[node.what](*arguments, **{name: number_text(x) for name, x in keywords.items()})
    return f"u{number}({', '.join(names[x.number] for x in node.inputs if isinstance(x, Ref))})"
