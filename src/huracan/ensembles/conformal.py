"""Intervals that hold what they promise although the market changes: adaptive conformal inference under time order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.ensembles.number_queue import NumberQueue
from huracan.errors import DataError, ModelError

__all__ = ["AdaptiveConformal", "Intervals"]


@dataclass(frozen=True, eq=False)
class Intervals:
    """Result of :meth:`AdaptiveConformal.run`, one entry a row.

    Attributes
    ----------
    low, high : float64 (n,), in the label's unit; NaN while too few labels are known. covered : bool (n,). counted : bool (n,),
        rows with an interval and a label; coverage is the mean of ``covered`` over them.
    miss_level : float64 (n,), the share of misses that was aimed at in each row, moved by the misses so far.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    covered: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    miss_level: NDArray[np.float64]

    @property
    def coverage(self) -> float:
        """Share of counted rows whose label lies in its interval; NaN where none is counted."""
        return float(self.covered[self.counted].mean()) if self.counted.any() else float("nan")

    def coverage_by(self, keys: ArrayLike) -> Mapping[Hashable, tuple[float, int]]:
        """Coverage and number of counted rows for each of ``keys`` (n,), such as the year.

        >>> made = Intervals(*np.zeros((2, 3)), np.array([True, True, False]), np.ones(3, bool), np.zeros(3))
        >>> made.coverage_by([2024, 2024, 2025])
        {2024: (1.0, 2), 2025: (0.0, 1)}
        """
        key = np.asarray(keys)
        if key.shape != self.covered.shape:
            raise DataError(f"keys have shape {key.shape}; {self.covered.shape} was expected.")
        found = {}
        for one in np.unique(key[self.counted]):
            mine = self.counted & (key == one)
            found[one.item()] = (float(self.covered[mine].mean()), int(mine.sum()))
        return found


class AdaptiveConformal:
    """Prediction intervals ``prediction +- quantile * scale`` whose share of hits is steered to ``level`` as labels arrive.

    The quantile is that of the last ``window`` scores, ``|label - prediction| / scale``, at one less a miss level which each
    label moves: down by ``rate * level`` after a miss, up by ``rate * (1 - level)`` after a hit. Whatever the market does, over
    T labels the share of misses is therefore off its aim by no more than the miss level has moved in all, divided by
    ``rate * T``. No exchangeability is assumed, and nothing of the model.

    ``scale`` makes scores alike in calm and in wild times, so that intervals are wide when they must be and narrow when they
    can be. A label counts from the moment it is known; until then later intervals do not know of it.

    Parameters
    ----------
    level : share of labels that shall lie in their interval, between 0 and 1.
    rate : how far one label moves the miss level. With the default a miss level that moved by .2 within a year of days costs
        less than 2 points of coverage; smaller gives calmer widths and slower repair.
    window : scores that the quantile is taken of. warm_up : scores needed before the first interval.
    half_life : labels after which an absolute residual weighs half in the scale, where no scale is given.

    References
    ----------
    Gibbs and Candès (2021), "Adaptive Conformal Inference Under Distribution Shift", NeurIPS, proposition 4.1; Gibbs and Candès
    (2024), JMLR 25. Where the miss level leaves 0 to 1, their interval is all numbers, or empty; here it goes on growing beyond
    the largest score, by that score for each ``1 - level``, so that it stays finite and still must cover in the end.

    Examples
    --------
    Online, one label after the other:

    >>> rng = np.random.default_rng(0)
    >>> returns = rng.standard_normal(2_000) * np.where(np.arange(2_000) < 1_000, 0.01, 0.03)  # volatility triples at once
    >>> conformal, hits = AdaptiveConformal(level=0.9), []
    >>> for value in returns:
    ...     low, high = conformal.predict(0.0)
    ...     hits.append(low <= value <= high)
    ...     conformal.update(value)
    >>> bool(abs(np.mean(hits[100:]) - 0.9) < 0.01), bool(abs(np.mean(hits[1_000:1_200]) - 0.9) < 0.03)
    (True, True)

    A whole history, with labels known two days later:

    >>> day = np.datetime64("2020-01-01") + np.arange(2_000)
    >>> made = AdaptiveConformal(level=0.9).run(np.zeros(2_000), returns, day + 2, decision_time=day)
    >>> bool(abs(made.coverage - 0.9) < 0.01)
    True
    """

    def __init__(
        self, level: float = 0.9, *, rate: float = 0.03, window: int = 250, warm_up: int = 30, half_life: float = 20.0
    ) -> None:
        if not 0.0 < level < 1.0:
            raise ModelError(f"level is {level}; a share between 0 and 1 was expected.")
        if not 0.0 < rate <= 1.0:
            raise ModelError(f"rate is {rate}; above 0 and up to 1 was expected.")
        if not 2 <= warm_up <= window:
            raise ModelError(f"warm_up is {warm_up} and window {window}; 2 <= warm_up <= window was expected.")
        if not half_life > 0:
            raise ModelError(f"half_life is {half_life}; a number of labels above 0 was expected.")
        self.level, self.rate, self.window, self.warm_up, self.half_life = level, rate, window, warm_up, half_life
        self.miss_level = 1.0 - level
        self.n_hits = self.n_labels = 0
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []
        self._scale = _RunningScale(0.5 ** (1.0 / half_life))
        self._waiting = NumberQueue(width=len(_Issued._fields))

    def __repr__(self) -> str:
        return f"<AdaptiveConformal: level {self.level}, {self.n_labels} labels, coverage {self.coverage:.3f}>"

    @property
    def coverage(self) -> float:
        """Share of labels so far that lay in their interval; NaN before the first interval was judged."""
        return self.n_hits / self.n_labels if self.n_labels else float("nan")

    def predict(self, prediction: float, *, scale: float | None = None) -> tuple[float, float]:
        """Interval of the next row; NaN while fewer than ``warm_up`` scores are known.

        Parameters
        ----------
        prediction : the forecast. scale : expected size of the label's deviation from it, such as its volatility, above 0 and
            known at the decision; by default a running mean of the absolute residuals that are known.
        """
        issued = self._issue(prediction, scale)
        self._waiting.append(issued)
        return issued[2], issued[3]

    def around(self, prediction: float, *, scale: float | None = None) -> tuple[float, float]:
        """What :meth:`predict` would say, without a row that then waits for its label."""
        return self._issue(prediction, scale)[2:4]

    def update(self, y: float) -> None:
        """Take in the label of the oldest row whose label is not known yet; NaN where it will never be.

        Raises
        ------
        ModelError : no row waits for its label.
        """
        try:
            waited = self._waiting.popleft()
        except IndexError:
            raise ModelError("no row waits for its label; predict was expected to be called before update.") from None
        if y == y:
            self._learn(waited, float(y))

    def to_state(self) -> dict[str, Any]:
        """All it knows as plain values for JSON; :meth:`from_state` goes on from there.

        >>> conformal = AdaptiveConformal(level=0.8, warm_up=2)
        >>> for label in (0.1, -0.2, 0.3):
        ...     _ = conformal.predict(0.0)
        ...     conformal.update(label)
        >>> AdaptiveConformal.from_state(conformal.to_state()).predict(0.0) == conformal.predict(0.0)
        True
        """
        scale = self._scale
        return {
            **{name: getattr(self, name) for name in _SETTINGS},
            **{name: getattr(self, name) for name in _STEERED},
            "recent": list(self._recent),
            "scale": [scale.total, scale.weight, scale.largest],
            "waiting": [[_or_none(value) for value in issued] for issued in self._waiting],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> AdaptiveConformal:
        """The inverse of :meth:`to_state`.

        Raises
        ------
        ModelError : the state is of something else, or damaged.
        """
        try:
            made = cls(state["level"], **{name: state[name] for name in _SETTINGS[1:]})
            for name in _STEERED:
                setattr(made, name, state[name])
            made._recent.extend(float(score) for score in state["recent"])
            made._sorted = sorted(made._recent)
            made._scale.total, made._scale.weight, made._scale.largest = (float(x) for x in state["scale"])
            for one in state["waiting"]:
                made._waiting.append(_Issued(*(float("nan") if x is None else float(x) for x in one)))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"this is no state of adaptive conformal intervals: {error!r}.") from error
        return made

    def run(
        self,
        prediction: ArrayLike,
        y: ArrayLike,
        label_end: ArrayLike,
        *,
        decision_time: ArrayLike,
        scale: ArrayLike | None = None,
        group: ArrayLike | None = None,
    ) -> Intervals:
        """Intervals of a whole history, each knowing the labels that ended before its decision.

        This object itself stays as it is: each group begins anew.

        Parameters
        ----------
        prediction, y : (n,); labels that are not known are NaN. label_end, decision_time : datetime64 (n,), in any order.
        scale : (n,) as in :meth:`predict`. group : (n,), such as the symbol; each is steered by itself.

        Raises
        ------
        DataError : lengths differ, a prediction or a scale is not usable, or a label ends before its decision.
        """
        forecast, label = np.asarray(prediction, np.float64), np.asarray(y, np.float64)
        n = len(forecast)
        decided, known = np.asarray(decision_time, "datetime64[ms]"), np.asarray(label_end, "datetime64[ms]")
        code = np.zeros(n, np.int64) if group is None else np.unique(np.asarray(group), return_inverse=True)[1]
        sizes = None if scale is None else np.asarray(scale, np.float64)
        given = {"y": label, "label_end": known, "decision_time": decided, "group": code, "scale": sizes}
        for name, values in given.items():
            if values is not None and values.shape != (n,):
                raise DataError(f"{name} has shape {values.shape}; ({n},) was expected.")
        _check_rows(forecast, sizes, decided, known)
        low, high, aim = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
        for one in range(int(code.max(initial=-1)) + 1):
            rows = np.flatnonzero(code == one)
            rows = rows[np.argsort(decided[rows], kind="stable")]
            fresh = AdaptiveConformal(
                self.level, rate=self.rate, window=self.window, warm_up=self.warm_up, half_life=self.half_life
            )
            for row, issued in fresh._through(rows, forecast, label, sizes, decided, known):
                low[row], high[row], aim[row] = issued.low, issued.high, issued.aim
        with np.errstate(invalid="ignore"):
            covered = (low <= label) & (label <= high)
        return Intervals(low, high, covered, np.isfinite(low) & np.isfinite(label), aim)

    def _through(
        self,
        rows: NDArray[np.int64],
        forecast: NDArray[np.float64],
        label: NDArray[np.float64],
        sizes: NDArray[np.float64] | None,
        decided: NDArray[np.datetime64],
        known: NDArray[np.datetime64],
    ) -> Any:
        """Go through the rows of one series by decision time; before each, learn the labels that ended before it."""
        has_label = rows[np.isfinite(label[rows]) & ~np.isnat(known[rows])]
        by_end = has_label[np.argsort(known[has_label], kind="stable")]
        stops = np.searchsorted(known[by_end], decided[rows], side="left")  # strictly before the decision
        issued: dict[int, _Issued] = {}
        done = 0
        for row, stop in zip(rows.tolist(), stops.tolist()):
            for earlier in by_end[done:stop].tolist():
                self._learn(issued.pop(earlier), float(label[earlier]))
            done = max(done, stop)
            issued[row] = _Issued(*self._issue(float(forecast[row]), None if sizes is None else float(sizes[row])))
            yield row, issued[row]

    def _issue(self, prediction: float, scale: float | None) -> tuple[float, float, float, float, float]:
        """The values of :class:`_Issued`."""
        if not isfinite(prediction):
            raise DataError(f"prediction is {prediction}; a finite number was expected.")
        if scale is not None and not (isfinite(scale) and scale > 0):
            raise DataError(f"scale is {scale}; a finite number above 0 was expected.")
        size = self._scale.value if scale is None else scale
        reach = self._quantile() * size if len(self._sorted) >= self.warm_up else float("nan")
        return prediction, size, prediction - reach, prediction + reach, self.miss_level

    def _learn(self, issued: tuple[float, ...], y: float) -> None:
        if y != y:
            return
        prediction, scale, low, high, _ = issued
        residual = abs(y - prediction)
        self._scale.update(residual)
        if isfinite(low):
            hit = low <= y <= high
            self.n_labels += 1
            self.n_hits += hit
            self.miss_level += self.rate * ((1.0 - self.level) - (not hit))
        if not isfinite(scale):
            return
        score = residual / scale
        self._recent.append(score)
        insort(self._sorted, score)
        if len(self._recent) > self.window:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]

    def _quantile(self) -> float:
        """Of the known scores at one less the miss level; beyond the largest it grows, below the smallest it shrinks."""
        scores = self._sorted
        place = (1.0 - self.miss_level) * (len(scores) + 1)
        if place >= len(scores):
            beyond = 1.0 / (len(scores) + 1) - self.miss_level
            return scores[-1] * (1.0 + beyond / (1.0 - self.level))
        if place <= 1.0:
            return scores[0] * max(place, 0.0)
        below = int(place)
        return scores[below - 1] + (place - below) * (scores[below] - scores[below - 1])


_SETTINGS = ("level", "rate", "window", "warm_up", "half_life")
_STEERED = ("miss_level", "n_hits", "n_labels")


def _or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else float(value)


class _Issued(NamedTuple):
    """An interval that waits for its label, and what it was made from."""

    prediction: float
    scale: float
    low: float
    high: float
    aim: float


class _RunningScale:
    """Exponentially weighted mean of absolute residuals, the first ones weighing equally; NaN before the first."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.total = self.weight = 0.0
        self.largest = 0.0

    def update(self, residual: float) -> None:
        self.total = self.decay * self.total + residual
        self.weight = self.decay * self.weight + 1.0
        self.largest = max(self.largest, residual)

    @property
    def value(self) -> float:
        if not self.weight:
            return float("nan")
        return max(self.total / self.weight, 1e-9 * self.largest, 1e-300)  # a series that stood still may move again


def _check_rows(
    forecast: NDArray[np.float64],
    sizes: NDArray[np.float64] | None,
    decided: NDArray[np.datetime64],
    known: NDArray[np.datetime64],
) -> None:
    bad = ~np.isfinite(forecast)
    if bad.any():
        raise DataError(f"prediction is {forecast[bad][0]} in row {int(np.argmax(bad))}; a finite number was expected.")
    if sizes is not None and (bad := ~(np.isfinite(sizes) & (sizes > 0))).any():
        raise DataError(f"scale is {sizes[bad][0]} in row {int(np.argmax(bad))}; a finite number above 0 was expected.")
    if np.isnat(decided).any():
        raise DataError(f"decision_time is missing in row {int(np.argmax(np.isnat(decided)))}; a time was expected.")
    early = known < decided
    if early.any():
        row = int(np.argmax(early))
        raise DataError(f"row {row} is decided at {decided[row]} and its label ends before, at {known[row]}.")
