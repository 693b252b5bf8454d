"""Page-Hinkley: how far the sum of deviations from the running mean has come from its lowest, or highest, point."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.mlops.streaming.detector import Direction, Mode, StreamingDetector, check_mode, check_number, check_whole
from huracan.mlops.streaming.run_length import calibrate, reference_series, without

__all__ = ["PageHinkley"]

_SMALL_SHIFT = 0.005
"""Tolerated deviation of a calibrated detector in standard deviations: nearly none, so that a threshold misjudged by a little
misjudges the run length by a little; with a large one the run length is exponential in it."""


class PageHinkley(StreamingDetector):
    """Alarm when the mean of a stream has moved away from its mean so far.

    With ``m_t`` the mean of the watch up to and with ``x_t``, two sums run, ``U_t = alpha U_{t-1} + x_t - m_t - delta`` and
    ``D_t = alpha D_{t-1} + x_t - m_t + delta``. The alarm is raised where ``U_t`` is more than ``threshold`` above its lowest
    value so far (the mean rose), or ``D_t`` more than that below its highest (it fell). Nothing needs to be known in advance.

    Parameters
    ----------
    min_instances : numbers before the first alarm is possible.
    delta : deviation that is tolerated, in the unit of the stream.
    threshold : distance that alarms, in the unit of the stream. alpha : how much of a sum is kept from number to number.
    mode : "up", "down" or "both": which moves alarm.

    Raises
    ------
    DataError : a setting is out of bounds.

    References
    ----------
    Page (1954), "Continuous Inspection Schemes", Biometrika 41; Hinkley (1971), Biometrika 58. In the form of the library
    River: the same alarms on the same settings.

    Examples
    --------
    >>> watch = PageHinkley(threshold=10.0)
    >>> for x in [0.0] * 100 + [1.0] * 30:
    ...     if watch.update(x).drift_detected:
    ...         print(watch.direction, watch.n, watch.changed_at)
    up 111 11
    """

    _SETTINGS: ClassVar[tuple[str, ...]] = ("min_instances", "delta", "threshold", "alpha", "mode")

    def __init__(
        self,
        min_instances: int = 30,
        delta: float = 0.005,
        threshold: float = 50.0,
        alpha: float = 0.9999,
        mode: Mode = "both",
    ) -> None:
        self.min_instances = check_whole(min_instances, "min_instances", least=1)
        self.delta = check_number(delta, "delta", least=0.0)
        self.threshold = check_number(threshold, "threshold", least=0.0)
        self.alpha = check_number(alpha, "alpha", above=0.0)
        self.mode = check_mode(mode)
        if self.alpha > 1.0:
            raise DataError(f"alpha is {alpha!r}; a number above 0, at most 1, was expected.")
        super().__init__()

    @classmethod
    def calibrated(cls, reference: ArrayLike, *, run_length: float, random_state: int = 0, **settings: Any) -> Self:
        """A detector that alarms once in ``run_length`` numbers on average while the stream is as in ``reference``.

        As :meth:`StreamingDetector.calibrated`; ``delta`` is by default 0.005 standard deviations of the reference.
        Realised mean run lengths: ``benchmarks/results/drift.md``.

        Examples
        --------
        >>> reference = np.random.default_rng(0).standard_normal(5000)
        >>> 10 < PageHinkley.calibrated(reference, run_length=1000).threshold < 100
        True
        """
        series = reference_series(reference, run_length, cls.__name__)
        without("threshold", settings, cls.__name__)
        settings.setdefault("delta", _SMALL_SHIFT * float(series.std()))
        trial = cls(threshold=1.0, **settings)
        threshold, calibration = calibrate(series, trial._distances, run_length, random_state=random_state, lowest=0.0)
        watch = cls(threshold=threshold, **settings)
        watch.calibration = calibration
        return watch

    @staticmethod
    def _loop(x: Any, begin: int, state: tuple[Any, ...], terms: tuple[Any, ...]) -> tuple[int, bool, tuple[Any, ...]]:
        n, mean, rise, lowest, lowest_at, fall, highest, highest_at = state
        least, delta, alpha, far_up, far_down = terms
        for i in range(begin, len(x)):
            n += 1.0
            mean += (1.0 / n) * (x[i] - mean)
            deviation = x[i] - mean
            rise = alpha * rise + deviation - delta
            fall = alpha * fall + deviation + delta
            if rise < lowest:
                lowest = rise
                lowest_at = n
            if fall > highest:
                highest = fall
                highest_at = n
            if n >= least and (rise - lowest > far_up or highest - fall > far_down):
                return i + 1, True, (n, mean, rise, lowest, lowest_at, fall, highest, highest_at)
        return len(x), False, (n, mean, rise, lowest, lowest_at, fall, highest, highest_at)

    @property
    def _terms(self) -> tuple[float, ...]:
        far_up = math.inf if self.mode == "down" else self.threshold
        far_down = math.inf if self.mode == "up" else self.threshold
        return float(self.min_instances), self.delta, self.alpha, far_up, far_down

    def _opening(self) -> tuple[float, ...]:
        # the highest point begins at -1, as in River
        return 0.0, 0.0, 0.0, math.inf, 0.0, 0.0, -1.0, 0.0

    def _tell(self) -> tuple[Direction, int]:
        n, _, rise, lowest, lowest_at, _, _, highest_at = self._state
        up = self.mode != "down" and rise - lowest > self.threshold
        return ("up", int(n - lowest_at)) if up else ("down", int(n - highest_at))

    def _distances(self, paths: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """What is held against the threshold, after each number of many new watches (paths, n)."""
        from scipy.signal import lfilter  # takes half a second

        n = np.arange(1, paths.shape[1] + 1)
        deviation = paths - np.cumsum(paths, axis=1) / n
        keep = [1.0, -self.alpha]
        distance = np.full(paths.shape, -np.inf)
        if self.mode != "down":
            rise = lfilter([1.0], keep, deviation - self.delta, axis=1)
            distance = rise - np.minimum.accumulate(rise, axis=1)
        if self.mode != "up":
            fall = lfilter([1.0], keep, deviation + self.delta, axis=1)
            distance = np.maximum(distance, np.maximum.accumulate(np.maximum(fall, -1.0), axis=1) - fall)
        distance[:, : self.min_instances - 1] = -np.inf
        return n, distance
