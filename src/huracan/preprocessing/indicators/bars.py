"""One unbroken stretch of one symbol's candles, as the indicators see it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from huracan.errors import CandleError, FeatureError
from huracan.preprocessing.rolling import Array, lag, ratio, rolling_mean
from huracan.preprocessing.tracing import CannotTrace, Graph

__all__ = ["PRICES", "SMALLEST_MOVE", "Bars", "price_scale", "recorded_bars"]

PRICES = ("open", "high", "low", "close")
SMALLEST_MOVE = 1e-9
"""As a share of the price: sums and differences of prices that are closer than this are equal.

Prices are decimals and floats are not: ``11.03 - 11.02`` and ``11.02 - 11.01`` differ by rounding. Where a feature asks which
of two moves is larger, rounding must not answer; no market's tick is nearly as small as a billionth of its price.
"""

_LEAST_PRICE = 1e-300
T = TypeVar("T")


class Bars:
    """Columns of one segment as contiguous float64, with the quantities that many indicators share computed once.

    Prices are multiplied by a power of two chosen from the first close, so that they begin near a million. This changes
    no bit of any ratio, and keeps coins that cost 0.00001 clear of the absolute thresholds inside TA-Lib, below which it
    reads a movement as none; what is a price divides by :attr:`scale` at the end. ``ts`` is the open time in milliseconds
    since 1970, UTC.

    Examples
    --------
    >>> bars = Bars({"close": np.array([2.0, 4.0, 2.0])})
    >>> bars.log_return.round(3)
    array([   nan,  0.693, -0.693])
    """

    def __init__(self, columns: dict[str, Array], ts: NDArray[np.int64] | None = None) -> None:
        self.length = len(next(iter(columns.values()))) if columns else (0 if ts is None else len(ts))
        self._ts = ts
        self._memory: dict[object, object] = {}
        anchor = next((columns[name] for name in ("close", *PRICES) if name in columns and self.length), None)
        self.scale = 1.0 if anchor is None else price_scale(float(anchor[0]))
        """The power of two that prices are multiplied by."""
        self._columns: dict[str, Array] = {}
        for name, values in columns.items():
            values = np.ascontiguousarray(values, dtype=np.float64)
            own = values * self.scale if name in PRICES else values.view()
            own.flags.writeable = False  # one indicator must not change what the next one reads
            self._columns[name] = own

    def __len__(self) -> int:
        return self.length

    @property
    def columns(self) -> dict[str, Array]:
        """Columns by name, prices times :attr:`scale`."""
        return self._columns

    def column(self, name: str) -> Array:
        """A column by name; an indicator may only ask for those it was registered with."""
        if name not in self._columns:
            present = ", ".join(self._columns) or "none"
            raise FeatureError(f"an indicator reads '{name}' and was registered without it: columns are {present}.")
        return self._columns[name]

    @property
    def has_times(self) -> bool:
        """Whether :attr:`ts` is there."""
        return self._ts is not None

    @property
    def ts(self) -> NDArray[np.int64]:
        """Open time of every bar, milliseconds since 1970, UTC."""
        if self._ts is None:
            raise KeyError("ts")
        return self._ts

    @property
    def open(self) -> Array:
        """Opening price, times the power of two."""
        return self.column("open")

    @property
    def high(self) -> Array:
        """Highest price, times the power of two."""
        return self.column("high")

    @property
    def low(self) -> Array:
        """Lowest price, times the power of two."""
        return self.column("low")

    @property
    def close(self) -> Array:
        """Closing price, times the power of two."""
        return self.column("close")

    @property
    def volume(self) -> Array:
        """Volume in base-coin units, as given."""
        return self.column("volume")

    def unscaled(self, values: Array, power: int = 1, *, in_place: bool = False) -> Array:
        """Values in units of the scaled price to the ``power``, back in units of the candles' price: exactly, bit for bit.

        ``in_place`` writes them over ``values``, for arrays that nobody else has.

        >>> bars = Bars({"close": np.array([2.0, 3.0])})
        >>> bars.close, bars.unscaled(bars.close)
        (array([524288., 786432.]), array([2., 3.]))
        """
        for _ in range(power):
            own = in_place and isinstance(values, np.ndarray)
            values = np.divide(values, self.scale, out=values) if own else values / self.scale
        return values

    def once(self, key: object, make: Callable[[], T]) -> T:
        """Compute a shared intermediate the first time, recall it afterwards."""
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]  # type: ignore[return-value]

    @property
    def log_return(self) -> Array:
        """Log return of each bar over the one before; NaN on the first."""
        return self.once("log_return", lambda: self.log_return_over(1))

    def log_return_over(self, horizon: int) -> Array:
        """Log return over ``horizon`` bars; NaN on the first ``horizon``."""
        growth = self.close / lag(self.close, horizon)
        return np.log(growth, out=growth) if isinstance(growth, np.ndarray) else np.log(growth)

    def volatility(self, window: int) -> Array:
        """Root mean square of the last ``window`` one-bar log returns; 0 where nothing moved, NaN on the first ``window``."""

        def make() -> Array:
            squares = self.log_return * self.log_return
            return np.sqrt(rolling_mean(squares, window))

        return self.once(("volatility", window), make)

    def per_volatility(self, move: Array, horizon: float, window: int) -> Array:
        """A log-price move in units of what ``horizon`` bars of a random walk would do; NaN where volatility is 0."""
        return ratio(move, self.volatility(window) * math.sqrt(horizon))


def price_scale(price: float) -> float:
    """The power of two that brings a price to between 2**19 and 2**20.

    Raises
    ------
    CandleError : the price is so small that float64 has no such power.

    Examples
    --------
    >>> price_scale(3.0) * 3.0
    786432.0
    """
    if price < _LEAST_PRICE:
        raise CandleError(f"the first close of a segment is {price!r}; a price of at least {_LEAST_PRICE:g} was expected.")
    return math.ldexp(1.0, 20 - math.frexp(price)[1])


def recorded_bars(graph: Graph, columns: tuple[str, ...]) -> Bars:
    """Bars of no length whose columns record in ``graph`` what an indicator does with them.

    >>> graph = Graph()
    >>> _ = recorded_bars(graph, ("close",)).log_return
    >>> [getattr(node.what, "__name__", node.what) for node in graph.nodes]
    ['scale', 'close', 'lag', 'divide', 'log']
    """
    return _RecordedBars(graph, columns)


class _RecordedBars(Bars):
    def __init__(self, graph: Graph, columns: tuple[str, ...]) -> None:
        self._memory = {}
        self.scale = graph.input("scale")  # type: ignore[assignment]
        self._ts = graph.input("ts") if "ts" in columns else None  # type: ignore[assignment]
        self._columns = {name: graph.input(name) for name in columns if name != "ts"}  # type: ignore[misc]

    def __len__(self) -> int:
        raise CannotTrace("the number of bars was asked for, which has no bar-by-bar form.")
