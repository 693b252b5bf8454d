"""CUSUM: the sum of what a stream is beyond a target, never below zero."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.mlops.streaming.detector import Direction, Mode, StreamingDetector, check_mode, check_number
from huracan.mlops.streaming.run_length import calibrate, reference_series, without

__all__ = ["Cusum"]

_SHIFT_LOOKED_FOR = 0.5
"""Shift of the mean, in standard deviations, that a calibrated detector finds quickest."""


class Cusum(StreamingDetector):
    """Alarm when the mean of a stream has moved away from a target, found quickest for a shift of twice ``slack``.

    With ``z = (x - target) / scale`` two sums run, ``S+ = max(0, S+ + z - slack)`` and ``S- = max(0, S- - z - slack)``; the
    alarm is raised where one exceeds ``threshold``. Among all rules of one false alarm rate none finds the shift it is made for
    sooner (Moustakides 1986, independent normal numbers). ``changed_at`` counts from the last time the sum was 0.

    Parameters
    ----------
    target : the mean as it should be, in the unit of the stream.
    slack : half the shift that is looked for, in units of ``scale``. threshold : sum that alarms, in units of ``scale``.
    scale : unit of the sums, such as the standard deviation. mode : "up", "down" or "both": which moves alarm.

    Raises
    ------
    DataError : a setting is out of bounds.

    References
    ----------
    Page (1954), "Continuous Inspection Schemes", Biometrika 41; Moustakides (1986), Annals of Statistics 14.

    Examples
    --------
    >>> watch = Cusum(target=0.0, slack=0.25, threshold=5.0)
    >>> watch.replay([0.0] * 50 + [-1.0] * 20).tolist()
    [56, 63]
    >>> Cusum(target=0.0, slack=0.25, threshold=5.0, mode="up").replay([0.0] * 50 + [-1.0] * 20).tolist()
    []
    """

    _SETTINGS: ClassVar[tuple[str, ...]] = ("target", "slack", "threshold", "scale", "mode")

    def __init__(self, target: float, slack: float, threshold: float, scale: float = 1.0, mode: Mode = "both") -> None:
        self.target = check_number(target, "target")
        self.slack = check_number(slack, "slack", least=0.0)
        self.threshold = check_number(threshold, "threshold", least=0.0)
        self.scale = check_number(scale, "scale", above=0.0)
        self.mode = check_mode(mode)
        super().__init__()

    @classmethod
    def calibrated(cls, reference: ArrayLike, *, run_length: float, random_state: int = 0, **settings: Any) -> Self:
        """A detector that alarms once in ``run_length`` numbers on average while the stream is as in ``reference``.

        As :meth:`StreamingDetector.calibrated`. ``target`` and ``scale`` are by default the mean and the standard deviation of
        the reference, and the simulation knows that this mean is an estimate; ``slack`` is by default 0.25.

        Raises
        ------
        DataError : also where the reference's mean is more than ``slack`` beyond ``target``, so that a sum grows for ever and
            only a threshold that no real change reaches either would be calm.

        Examples
        --------
        >>> reference = np.random.default_rng(0).standard_normal(5000)
        >>> watch = Cusum.calibrated(reference, run_length=1000, mode="up")
        >>> 4 < watch.threshold < 12, watch.replay(np.full(40, 1.0)).tolist()[0] < 20
        (True, True)
        """
        series = reference_series(reference, run_length, cls.__name__)
        without("threshold", settings, cls.__name__)
        estimated = "target" not in settings
        settings.setdefault("target", float(series.mean()))
        settings.setdefault("scale", float(series.std()))
        settings.setdefault("slack", _SHIFT_LOOKED_FOR / 2)
        trial = cls(threshold=1.0, **settings)
        trial._require_calm(float(series.mean()))
        threshold, calibration = calibrate(
            series, trial._sums, run_length, random_state=random_state, lowest=0.0, mean_is_estimated=estimated
        )
        watch = cls(threshold=threshold, **settings)
        watch.calibration = calibration
        return watch

    def _require_calm(self, mean: float) -> None:
        """Refuse a reference on which a sum that alarms grows for ever."""
        beyond = (mean - self.target) / self.scale
        if (self.mode != "down" and beyond > self.slack) or (self.mode != "up" and -beyond > self.slack):
            raise DataError(
                f"target is {self.target:g}; the reference's mean is {mean:g}, {abs(beyond):.3g} scales from it, where at "
                f"most the slack of {self.slack:g} was expected: its sum would grow for ever."
            )

    @staticmethod
    def _loop(x: Any, begin: int, state: tuple[Any, ...], terms: tuple[Any, ...]) -> tuple[int, bool, tuple[Any, ...]]:
        n, above, above_since, below, below_since = state
        target, scale, slack, far_up, far_down = terms
        for i in range(begin, len(x)):
            n += 1.0
            z = (x[i] - target) / scale
            above += z - slack
            if above <= 0.0:
                above = 0.0
                above_since = n
            below += -z - slack
            if below <= 0.0:
                below = 0.0
                below_since = n
            if above > far_up or below > far_down:
                return i + 1, True, (n, above, above_since, below, below_since)
        return len(x), False, (n, above, above_since, below, below_since)

    @property
    def _terms(self) -> tuple[float, ...]:
        far_up = math.inf if self.mode == "down" else self.threshold
        far_down = math.inf if self.mode == "up" else self.threshold
        return self.target, self.scale, self.slack, far_up, far_down

    def _opening(self) -> tuple[float, ...]:
        return 0.0, 0.0, 0.0, 0.0, 0.0

    def _tell(self) -> tuple[Direction, int]:
        n, above, above_since, _, below_since = self._state
        up = self.mode != "down" and above > self.threshold
        return ("up", int(n - above_since)) if up else ("down", int(n - below_since))

    def _sums(self, paths: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The larger of the sums that alarm, after each number of many new watches (paths, n)."""
        z = (paths - self.target) / self.scale
        largest = np.full(paths.shape, -np.inf)
        for sign in {"up": (1.0,), "down": (-1.0,), "both": (1.0, -1.0)}[self.mode]:
            walk = np.cumsum(sign * z - self.slack, axis=1)
            np.maximum(largest, walk - np.minimum.accumulate(np.minimum(walk, 0.0), axis=1), out=largest)
        return np.arange(1, paths.shape[1] + 1), largest
