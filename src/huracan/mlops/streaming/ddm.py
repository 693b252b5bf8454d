"""DDM: how far a rate of errors has risen above the lowest it had."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from huracan.errors import DataError
from huracan.mlops.streaming.detector import Direction, StreamingDetector, check_number, check_whole
from huracan.mlops.streaming.run_length import calibrate, reference_series, without

__all__ = ["DDM"]

_WARNING_SHARE = 2.0 / 3.0
"""Warning threshold of a calibrated detector as a share of its drift threshold; that of the paper's 2 and 3."""

_ERRORS_TO_BEGIN = 100
_NEVER = 1e6


class DDM(StreamingDetector):
    """Alarm when a learner errs more often than at its best; a stream of 0 (right) and 1 (wrong).

    ``p`` is the rate of errors of the watch and ``s = sqrt(p (1 - p) / n)`` its standard error. They are kept as ``p_min`` and
    ``s_min`` where ``p + s`` is lowest; a warning stands while ``p + s > p_min + warning_threshold * s_min``, and the alarm is
    raised above ``p_min + drift_threshold * s_min``. Only a rise alarms. ``changed_at`` counts from when the warning began.
    A watch without an error in its first ``warm_start`` numbers alarms at the first one: for rare errors ``warm_start`` has to
    be several times the numbers between two of them.

    Parameters
    ----------
    warm_start : numbers before anything is kept or said.
    warning_threshold, drift_threshold : in standard errors, the first not above the second.

    Raises
    ------
    DataError : a setting is out of bounds.

    References
    ----------
    Gama, Medas, Castillo and Rodrigues (2004), "Learning with Drift Detection", SBIA. In the form of the library River: the
    same alarms and warnings on the same settings.

    Examples
    --------
    >>> watch = DDM()
    >>> for row, wrong in enumerate([0, 0, 0, 0, 1] * 40 + [0, 1] * 40):
    ...     if watch.update(wrong).drift_detected:
    ...         print(row, watch.direction, watch.changed_at)
    243 up 25
    """

    _SETTINGS: ClassVar[tuple[str, ...]] = ("warm_start", "warning_threshold", "drift_threshold")

    def __init__(self, warm_start: int = 30, warning_threshold: float = 2.0, drift_threshold: float = 3.0) -> None:
        self.warm_start = check_whole(warm_start, "warm_start", least=0)
        self.warning_threshold = check_number(warning_threshold, "warning_threshold", least=0.0)
        self.drift_threshold = check_number(drift_threshold, "drift_threshold", least=self.warning_threshold)
        super().__init__()

    @property
    def warning_detected(self) -> bool:
        """Whether the latest number lies in the warning zone; the alarm ends it."""
        return not self.drift_detected and self._state[4] > 0.0

    @classmethod
    def calibrated(cls, reference: ArrayLike, *, run_length: float, random_state: int = 0, **settings: Any) -> Self:
        """A detector that alarms once in ``run_length`` numbers on average while the stream is as in ``reference``.

        As :meth:`StreamingDetector.calibrated`; the warning threshold is by default two thirds of the one that is found, and
        ``warm_start`` lasts until 100 errors are expected, at most a quarter of ``run_length``. The best rate is the luckiest
        there was, and luck is an affair of small numbers: false alarms come early or hardly ever, the more so the shorter the
        warm start, which their mean hides. :class:`Cusum` alarms steadily.

        Examples
        --------
        >>> reference = np.random.default_rng(0).random(5000) < 0.2
        >>> 1.0 < DDM.calibrated(reference, run_length=1000).drift_threshold < 3.0
        True
        """
        series = reference_series(reference, run_length, cls.__name__)
        without("drift_threshold", settings, cls.__name__)
        cls._check(series)
        settings.setdefault("warm_start", math.ceil(min(_ERRORS_TO_BEGIN / series.mean(), run_length / 4)))
        trial = cls(drift_threshold=_NEVER, **settings)
        lowest = settings.get("warning_threshold", 0.0)
        threshold, calibration = calibrate(series, trial._excess, run_length, random_state=random_state, lowest=lowest)
        settings.setdefault("warning_threshold", _WARNING_SHARE * threshold)
        watch = cls(drift_threshold=threshold, **settings)
        watch.calibration = calibration
        return watch

    @staticmethod
    def _loop(x: Any, begin: int, state: tuple[Any, ...], terms: tuple[Any, ...]) -> tuple[int, bool, tuple[Any, ...]]:
        n, p, p_min, s_min, warned_at = state
        warm_start, warning, drift = terms
        for i in range(begin, len(x)):
            n += 1.0
            p += (1.0 / n) * (x[i] - p)
            s = math.sqrt(max(p * (1.0 - p) / n, 0.0))
            if n > warm_start:
                if p + s <= p_min + s_min:
                    p_min = p
                    s_min = s
                if p + s > p_min + warning * s_min:
                    if warned_at == 0.0:
                        warned_at = n
                else:
                    warned_at = 0.0
                if p + s > p_min + drift * s_min:
                    return i + 1, True, (n, p, p_min, s_min, warned_at)
        return len(x), False, (n, p, p_min, s_min, warned_at)

    @property
    def _terms(self) -> tuple[float, ...]:
        return float(self.warm_start), self.warning_threshold, self.drift_threshold

    def _opening(self) -> tuple[float, ...]:
        return 0.0, 0.0, math.inf, 0.0, 0.0

    def _tell(self) -> tuple[Direction, int]:
        n, _, _, _, warned_at = self._state
        return "up", int(n - warned_at) + 1

    @classmethod
    def _check(cls, values: NDArray[np.float64]) -> None:
        bad = (values != 0.0) & (values != 1.0)
        if bad.any():
            at = int(np.argmax(bad))
            where = "" if len(values) == 1 else f" at row {at}"
            raise DataError(f"DDM was given {values[at]:g}{where}; 0 (right) or 1 (wrong) was expected.")

    def _excess(self, paths: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """``(p + s - p_min) / s_min`` after each number of many new watches (paths, n)."""
        n = np.arange(1, paths.shape[1] + 1)
        p = np.cumsum(paths, axis=1) / n
        s = np.sqrt(p * (1.0 - p) / n)
        total = p + s
        total[:, : self.warm_start] = np.inf
        best = np.where(total <= np.minimum.accumulate(total, axis=1), n - 1, 0)
        best = np.maximum.accumulate(best, axis=1)
        p_min, s_min = (np.take_along_axis(values, best, axis=1) for values in (p, s))
        gap = total - p_min
        excess = np.divide(gap, s_min, out=np.where(gap > 0.0, np.inf, 0.0), where=s_min > 0.0)
        excess[:, : self.warm_start] = -np.inf
        return n, excess
