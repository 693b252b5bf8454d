"""One definition, two ways to run: an indicator written for arrays is recorded once and then run bar by bar.

An indicator is an ordinary function of arrays. Called with :class:`Traced` values instead, it leaves behind a graph of what it
does: arithmetic and numpy's elementwise functions (``np.log``, ``np.where``, ...) and *operations*, functions of whole
series such as a rolling sum, which have a counterpart that goes bar by bar (:mod:`huracan.preprocessing.streams`). Equal
subexpressions become one node, so that forty features that share a volatility compute it once.

What cannot be recorded (``x[5:]``, ``len(x)``, ``if x > 0``, a foreign library) raises :class:`CannotTrace`; the online
engine then computes that one indicator anew from its recent bars.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from huracan.errors import HuracanError

__all__ = ["ELEMENTWISE", "CannotTrace", "Graph", "Node", "Traced", "operation"]

F = TypeVar("F", bound=Callable[..., Any])

ELEMENTWISE: dict[Any, str] = {
    np.add: "add",
    np.subtract: "subtract",
    np.multiply: "multiply",
    np.divide: "divide",
    np.remainder: "remainder",
    np.floor_divide: "floor_divide",
    np.power: "power",
    np.negative: "negative",
    np.absolute: "absolute",
    np.sign: "sign",
    np.sqrt: "sqrt",
    np.square: "square",
    np.log: "log",
    np.log1p: "log1p",
    np.log2: "log2",
    np.log10: "log10",
    np.exp: "exp",
    np.expm1: "expm1",
    np.tanh: "tanh",
    np.arctan: "arctan",
    np.sin: "sin",
    np.cos: "cos",
    np.floor: "floor",
    np.ceil: "ceil",
    np.maximum: "maximum",
    np.minimum: "minimum",
    np.fmax: "fmax",
    np.fmin: "fmin",
    np.greater: "greater",
    np.greater_equal: "greater_equal",
    np.less: "less",
    np.less_equal: "less_equal",
    np.equal: "equal",
    np.not_equal: "not_equal",
    np.logical_and: "logical_and",
    np.logical_or: "logical_or",
    np.logical_not: "logical_not",
    np.bitwise_and: "logical_and",
    np.bitwise_or: "logical_or",
    np.invert: "logical_not",
    np.isnan: "isnan",
    np.isfinite: "isfinite",
}
"""numpy functions that are recorded, and the name each has in the graph."""

_BOOLEAN = {
    *("greater", "greater_equal", "less", "less_equal", "equal", "not_equal"),
    *("logical_and", "logical_or", "logical_not", "isnan", "isfinite"),
}


class CannotTrace(HuracanError):
    """An indicator does something with its series that has no bar-by-bar form."""


@dataclass(frozen=True)
class Node:
    """One step of the graph.

    Attributes
    ----------
    kind : ``"input"``, ``"elementwise"``, ``"operation"`` or ``"output"`` (one of several results of an operation).
    what : name of the input or elementwise function, the operation itself, or the position of the output.
    inputs : for each argument a node's number (wrapped in :class:`Ref`) or a constant.
    parameters : keyword arguments, sorted by name.
    outputs : how many series it gives.
    """

    kind: str
    what: Any
    inputs: tuple[Any, ...] = ()
    parameters: tuple[tuple[str, Any], ...] = ()
    outputs: int = 1


@dataclass(frozen=True)
class Ref:
    """A node by its number in the graph."""

    number: int


@dataclass
class Graph:
    """Nodes in an order in which each comes after its inputs; equal nodes are one."""

    nodes: list[Node] = field(default_factory=list)
    _known: dict[tuple[Node, tuple[type, ...]], int] = field(default_factory=dict)

    def add(self, node: Node) -> Traced:
        """The value of a node, recorded the first time."""
        key = (node, tuple(type(x) for x in node.inputs))  # 1, 1.0 and True are equal but not the same
        number = self._known.get(key)
        if number is None:
            number = self._known[key] = len(self.nodes)
            self.nodes.append(node)
        return Traced(self, number)

    def input(self, name: str) -> Traced:
        """A column of the candles.

        >>> graph = Graph()
        >>> high, low = graph.input("high"), graph.input("low")
        >>> _ = np.log(high / low) + np.log(high / low)
        >>> [node.what for node in graph.nodes]
        ['high', 'low', 'divide', 'log', 'add']
        """
        return self.add(Node("input", name))

    def elementwise(self, name: str, inputs: tuple[Any, ...]) -> Traced:
        """An elementwise function of values and constants."""
        if name == "add" and all(isinstance(x, Traced) and x.is_boolean for x in inputs):
            raise CannotTrace("two conditions were added, which numpy reads as 'or'; write | or np.where(condition, 1.0, 0.0).")
        return self.add(Node("elementwise", name, tuple(_argument(x) for x in inputs)))

    def apply(self, function: Callable[..., Any], inputs: tuple[Any, ...], parameters: dict[str, Any], outputs: int) -> Any:
        """An operation; a tuple of values where it has several outputs."""
        given = tuple((name, _argument(x)) for name, x in sorted(parameters.items()))
        if any(isinstance(x, Ref) for _, x in given):
            raise CannotTrace(f"operation '{function.__name__}' was given a series by keyword; series go by position.")
        made = self.add(Node("operation", function, tuple(_argument(x) for x in inputs), given, outputs))
        if outputs == 1:
            return made
        return tuple(self.add(Node("output", i, (Ref(made.number),))) for i in range(outputs))


class Traced(np.lib.mixins.NDArrayOperatorsMixin):
    """Stands for a series while an indicator is recorded; has no values."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, graph: Graph, number: int) -> None:
        self.graph = graph
        self.number = number

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Traced:
        if method != "__call__" or keywords or ufunc not in ELEMENTWISE:
            raise CannotTrace(f"numpy's {ufunc.__name__} ({method}) has no bar-by-bar form.")
        return self.graph.elementwise(ELEMENTWISE[ufunc], inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, keywords: Any) -> Traced:
        if function is np.where and len(args) == 3 and not keywords:
            return self.graph.elementwise("where", args)
        if function is np.clip and len(args) == 3 and not keywords:
            return np.minimum(np.maximum(args[0], args[1]), args[2])
        raise CannotTrace(f"numpy's {getattr(function, '__name__', function)} has no bar-by-bar form.")

    @property
    def is_boolean(self) -> bool:
        """Whether it is a condition."""
        node = self.graph.nodes[self.number]
        return node.kind == "elementwise" and node.what in _BOOLEAN

    def astype(self, dtype: Any, copy: bool = True) -> Traced:
        """Itself as float64; other kinds of numbers round, which has no bar-by-bar form here."""
        if np.dtype(dtype) != np.float64:
            raise CannotTrace(f"a series was turned into {np.dtype(dtype)}; float64 has a bar-by-bar form.")
        return self.graph.elementwise("where", (self, 1.0, 0.0)) if self.is_boolean else self

    def _refuse(self, *_: Any) -> Any:
        raise CannotTrace("a series was sliced, counted, looped over or used as a condition, which has no bar-by-bar form.")

    __bool__ = __len__ = __iter__ = __getitem__ = __setitem__ = __array__ = __float__ = __int__ = __index__ = _refuse


def operation(function: F | None = None, *, outputs: int | Callable[..., int] = 1) -> Any:
    """Make a function of whole series recordable.

    Parameters
    ----------
    function : takes float64 series by position and parameters by keyword; gives one series of the same length, or a tuple.
    outputs : how many series it gives, or a function of its arguments that says so.

    Examples
    --------
    >>> @operation
    ... def doubled(x, *, times):
    ...     return 2.0 * x * times
    >>> doubled(np.array([1.0]), times=3)
    array([6.])
    >>> doubled(Graph().input("close"), times=3).graph.nodes[-1].parameters
    (('times', 3),)
    """

    def wrap(inner: F) -> F:
        @functools.wraps(inner)
        def call(*series: Any, **parameters: Any) -> Any:
            for x in series:
                if isinstance(x, Traced):
                    count = outputs(*series, **parameters) if callable(outputs) else outputs
                    return x.graph.apply(call, series, parameters, count)
            return inner(*series, **parameters)

        call.is_operation = True  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return wrap if function is None else wrap(function)


def _argument(x: Any) -> Any:
    if isinstance(x, Traced):
        return Ref(x.number)
    if isinstance(x, np.generic):
        return x.item()
    if x is None or isinstance(x, bool | int | float | str):
        return x
    raise CannotTrace(f"a {type(x).__name__} takes part in an indicator; series of the bars and plain numbers can be traced.")
