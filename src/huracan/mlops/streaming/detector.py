"""What every streaming detector offers, and what they share: one number at a time, arrays at once, state as JSON."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.mlops.streaming.replaying import ready_loop
from huracan.mlops.streaming.run_length import Calibration
from huracan.statistics.sample_checks import LARGEST
from huracan.statistics.sequential_input import as_values
from huracan.statistics.sequential_mean import read_state

__all__ = ["Direction", "Mode", "StreamingDetector", "check_mode", "check_number", "check_whole"]

Direction = Literal["up", "down", ""]
"""Which way the stream moved; empty where there is no alarm."""

Mode = Literal["up", "down", "both"]
"""Which moves alarm."""

_VERSION = 1


class StreamingDetector(ABC):
    """A stream is watched one number at a time; an alarm says that it is no longer what it was.

    The interface of all detectors. An alarm stands until the next number: that one begins a new watch, which knows nothing of
    the numbers before it. State is small and does not grow with the stream (Adwin's by the logarithm of its window).

    Attributes
    ----------
    drift_detected : whether the latest number raised the alarm. warning_detected : whether it lies in the warning zone, for
        methods that have one (DDM); False for the others.
    n : numbers taken by the present watch.
    direction : "up" or "down" at an alarm, else "".
    changed_at : at an alarm, an estimate of how many numbers ago the change began, 1 being the latest; else None.
    calibration : how the threshold was found, where :meth:`calibrated` found it; else None.

    Examples
    --------
    >>> from huracan.mlops import PageHinkley
    >>> watch = PageHinkley(threshold=20.0)
    >>> watch.replay([0.0] * 100 + [1.0] * 100).tolist()
    [122]
    >>> StreamingDetector.from_json(watch.to_json()).n == watch.n == 77
    True
    """

    _SETTINGS: ClassVar[tuple[str, ...]] = ()

    drift_detected: bool
    direction: Direction
    changed_at: int | None
    calibration: Calibration | None
    _state: tuple[Any, ...]

    def __init__(self) -> None:
        self.calibration = None
        self._begin()

    @property
    def n(self) -> int:
        """Numbers taken by the present watch."""
        return int(self._state[0])

    @property
    def warning_detected(self) -> bool:
        """Whether the latest number lies in the warning zone; always False for a method without one."""
        return False

    def update(self, x: float) -> Self:
        """Take the next number of the stream.

        Raises
        ------
        DataError : it is no finite number, or none that this detector takes; the state is what it was.
        """
        try:
            value = float(x)
        except (TypeError, ValueError):
            raise DataError(f"{type(self).__name__} was given {x!r}; a number was expected.") from None
        except OverflowError:
            kind = type(self).__name__
            raise DataError(f"{kind} was given a number that no float holds; a finite one was expected.") from None
        self._check(np.array([value]))
        self._run([value], self._loop)
        return self

    def replay(self, x: ArrayLike) -> NDArray[np.intp]:
        """Take many numbers (n,) in their order, as so many updates would, to the same bits.

        Long arrays are run by numba where it is installed (extra ``fast``).

        Returns
        -------
        The rows of ``x`` that raised an alarm, ascending; after each the watch began anew.

        Raises
        ------
        DataError : a value is not finite, or none that this detector takes; then none was taken.
        """
        values = as_values(x, "the stream")
        self._check(values)
        if not len(values):
            return np.empty(0, dtype=np.intp)
        loop, given, compiled = ready_loop(self._loop, values)
        return np.array(self._run(given, loop, compiled=compiled), dtype=np.intp)

    def fresh(self) -> Self:
        """A detector of the same settings that has seen nothing."""
        new = type(self)(**self._settings())
        new.calibration = self.calibration
        return new

    def to_json(self) -> str:
        """Settings and the whole state; :meth:`from_json` goes on from it to the same bits."""
        state = {
            "kind": f"huracan.{type(self).__name__}",
            "version": _VERSION,
            "settings": self._settings(),
            "state": self._state_out(),
            "drift_detected": self.drift_detected,
            "calibration": None if self.calibration is None else asdict(self.calibration),
        }
        return json.dumps(state, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Go on where :meth:`to_json` left; ``StreamingDetector.from_json`` reads the state of any detector.

        Raises
        ------
        DataError : the text is not such a state, or of another detector.
        """
        return read_state(text, cls.__name__, cls._from_state)

    @classmethod
    @abstractmethod
    def calibrated(cls, reference: ArrayLike, *, run_length: float, random_state: int = 0, **settings: Any) -> Self:
        """A detector that alarms once in ``run_length`` numbers on average while the stream is as in ``reference``.

        The threshold is found on simulated continuations of the reference: an autoregression whose shocks are drawn from its
        residuals (a Markov chain for a stream of 0 and 1), so that dependence is paid for. Such a simulation does not know of
        volatility that clusters and regimes that last: leave a reserve for them in ``run_length``.

        Parameters
        ----------
        reference : (n,) in time order, at least 100 numbers; five times ``run_length`` are needed for it to hold within about
            20 % whatever the dependence, fewer are noted in ``calibration.note``.
        run_length : wanted mean number of observations to a false alarm, 20 to 1,000,000.
        random_state : seed of the simulation. settings : of the detector, but for the threshold.

        Raises
        ------
        DataError : no threshold reaches ``run_length`` (the sentence says what can be reached), or the reference is constant.
        NotEnoughData : it is too short.
        """

    def __repr__(self) -> str:
        settings = ", ".join(
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value!r}" for name, value in self._settings().items()
        )
        return f"{type(self).__name__}({settings})"

    # what a detector gives: the text of its loop, the terms it runs by, the state of a new watch, and what an alarm says

    @staticmethod
    @abstractmethod
    def _loop(x: Any, begin: int, state: tuple[Any, ...], terms: tuple[Any, ...]) -> tuple[int, bool, tuple[Any, ...]]:
        """Take ``x[begin:]`` up to the first alarm.

        Returns
        -------
        The row after the last one taken, whether it raised the alarm, and the state then; the first of the state is ``n``.
        """

    @property
    @abstractmethod
    def _terms(self) -> tuple[Any, ...]:
        """The settings as the loop takes them."""

    @abstractmethod
    def _opening(self) -> tuple[Any, ...]:
        """The state of a watch that has seen nothing."""

    @abstractmethod
    def _tell(self) -> tuple[Direction, int]:
        """Which way, and since how many numbers, by the state at an alarm."""

    # what they share

    def _begin(self) -> None:
        self._state = self._opening()
        self.drift_detected = False
        self.direction = ""
        self.changed_at = None

    def _run(self, x: Any, loop: Callable[..., Any], *, compiled: bool = False) -> list[int]:
        """Run a loop over ``x``; the rows that raised an alarm."""
        alarms, at = [], 0
        while at < len(x):
            if self.drift_detected or at == 0:
                if self.drift_detected:
                    self._begin()
                state = self._as_arrays(self._state) if compiled else self._state
            at, self.drift_detected, state = loop(x, at, state, self._terms)
            if self.drift_detected:
                alarms.append(at - 1)
        self._state = self._as_lists(state) if compiled else state
        if self.drift_detected:
            self.direction, self.changed_at = self._tell()
        return alarms

    def _as_arrays(self, state: tuple[Any, ...]) -> tuple[Any, ...]:
        return state

    def _as_lists(self, state: tuple[Any, ...]) -> tuple[Any, ...]:
        return state

    def _state_out(self) -> Any:
        return [value if math.isfinite(value) else None for value in self._state]

    def _state_in(self, state: Any) -> tuple[Any, ...]:
        """The state that :meth:`_state_out` wrote; ValueError where it is none."""
        opening = self._opening()
        if len(state) != len(opening):
            raise ValueError(f"its state holds {len(state)} numbers, {len(opening)} were expected")
        values = tuple(math.inf if value is None else float(value) for value in state)
        if not values[0] >= 0.0 or values[0] != int(values[0]) or any(math.isnan(value) for value in values):
            raise ValueError(f"it has taken {values[0]} numbers")
        return values

    @classmethod
    def _check(cls, values: NDArray[np.float64]) -> None:
        """Refuse numbers that this detector does not take."""
        bad = ~(np.abs(values) <= LARGEST)
        if bad.any():
            at = int(np.argmax(bad))
            where = "" if len(values) == 1 else f" at row {at}"
            raise DataError(f"{cls.__name__} was given {values[at]:g}{where}; a finite number up to 1e150 was expected.")

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._SETTINGS}

    @classmethod
    def _from_state(cls, state: Mapping[str, Any]) -> Self:
        known = {f"huracan.{kind.__name__}": kind for kind in _kinds(StreamingDetector)}
        kind = known.get(state["kind"])
        if kind is None or state["version"] != _VERSION or not issubclass(kind, cls):
            raise ValueError(f"it is of kind {state['kind']}, version {state['version']}")
        watch = kind(**state["settings"])
        watch._state = watch._state_in(state["state"])
        watch.drift_detected = bool(state["drift_detected"])
        if watch.drift_detected:
            watch.direction, watch.changed_at = watch._tell()
        if state["calibration"] is not None:
            watch.calibration = Calibration(**state["calibration"])
        return watch


def _kinds(base: type) -> list[type]:
    """Every detector there is."""
    children: list[type] = base.__subclasses__()
    return [kind for child in children for kind in (child, *_kinds(child))]


def check_number(value: Any, name: str, *, above: float | None = None, least: float | None = None) -> float:
    """A finite number, larger than ``above`` or at least ``least``, or a sentence."""
    expected = "a finite number"
    if above is not None:
        expected = f"a number above {above:g}"
    elif least is not None:
        expected = f"a number of at least {least:g}"
    fits = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    try:
        fits = fits and math.isfinite(value)
    except OverflowError:
        raise DataError(f"{name} is a number that no float holds; {expected} was expected.") from None
    if not fits or (above is not None and value <= above) or (least is not None and value < least):
        raise DataError(f"{name} is {value!r}; {expected} was expected.")
    return float(value)


def check_whole(value: Any, name: str, *, least: int) -> int:
    """A whole number of at least ``least``, or a sentence."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise DataError(f"{name} is {value!r}; a whole number of at least {least} was expected.")
    return int(value)


def check_mode(mode: Any) -> Mode:
    """One of the three modes, or a sentence."""
    if mode not in ("up", "down", "both"):
        raise DataError(f"mode is {mode!r}; 'up', 'down' or 'both' was expected.")
    return mode
