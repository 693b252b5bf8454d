"""All numeric columns together: a joint law can change while every column keeps its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from huracan.mlops.column_tests import FEWEST_REFERENCE, FEWEST_WINDOW, NumberReference, TestSettings
from huracan.mlops.drift_report import JointDrift
from huracan.statistics.moments import Moments
from huracan.statistics.whitening import principal_axes

__all__ = ["JointReference"]

_MOST_ROWS = 50_000
_FEWEST_ROWS = 100
_CLIP = 8.0
_LARGEST = 1e100  # squares and products of these are finite
_ENDS = 2
_APART = 0.01
_SHOWN = 3
_TAIL_EVENTS = 1.0  # several tests share alpha, so each looks further into the tail,
_TAIL_ERROR = 1.5  # where those of clustered volatility alarm half as often again as they should: 1.5 % at 1 %


@dataclass(frozen=True, eq=False)
class JointReference:
    """Directions in which a window is compared with the reference.

    Robustly standardised columns are projected on the two leading and the two trailing principal axes, and their distance
    from the centre is taken in the metric of the shrunk covariance. A correlation that changes shows in the trailing axes, a
    structure that is lost in the distance. Axes are learned from the **older half** of the reference and the projections of
    the newer half are what a window is compared with: rows that made a covariance lie nearer to it than any others. Alarms
    at a nominal 5 %, 5,000 moments against 500 of 10 columns: independent 3 %, AR(.9) 1 %, AR(.98) under 1 %, GARCH 7 %.

    Attributes
    ----------
    columns : d names. median, unit : (d,) what standardises. turn : (d, d) rows are axes over their standard deviation.
    axes : numbers of the rows of ``turn`` that are tested one by one.
    tests : of the distance, then of each axis.
    """

    columns: tuple[str, ...]
    median: NDArray[np.float64]
    unit: NDArray[np.float64]
    turn: NDArray[np.float64]
    axes: tuple[int, ...]
    tests: tuple[NumberReference, ...]

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[np.floating]], moments: Moments, settings: TestSettings) -> JointReference | str:
        """From numeric columns in order of time; a sentence where it cannot be."""
        names = tuple(name for name, values in columns.items() if _varies(values))
        if len(names) < 2:
            return f"{len(names)} numeric column(s) that vary; two are needed"
        rows, whole = _rows([columns[name] for name in names])
        kept = moments.kept(whole)
        half = kept.n // 2
        newer, newer_moments = kept.newest(kept.n - half)
        start = int(newer.start)
        older = rows[max(0, start - _MOST_ROWS) : start - int(start * _APART)]
        if len(older) < _FEWEST_ROWS or newer_moments.n < FEWEST_REFERENCE:
            needed = 2 * FEWEST_REFERENCE
            return f"{kept.n} moments of the reference have all columns; {needed} are needed"
        quarter, median, three = np.percentile(older, [25, 50, 75], axis=0)
        spread = (three - quarter) / 1.349
        deviation = older.std(axis=0)
        spread = np.where(spread > 1e-3 * deviation, spread, deviation)
        unit = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9 * (np.abs(median) + 1e-12))
        values, vectors = principal_axes(np.clip((older - median) * unit, -_CLIP, _CLIP))
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(names))])
        d = len(names)
        axes = tuple(sorted({*range(min(_ENDS, d)), *range(max(0, d - _ENDS), d)}))
        made = cls(names, median, unit, (vectors / np.sqrt(values)).T, axes, ())
        share = newer_moments.n / max(moments.n, 1)
        mine = replace(settings, n_cosines=max(1, round(settings.n_cosines * share)) if settings.n_cosines else 0)
        scores = made._scores(rows[newer])
        tests = (NumberReference.of(name, score, newer_moments, mine) for name, score in zip(made.test_names(), scores))
        return replace(made, tests=tuple(replace(test, sample=None) for test in tests))

    def test(self, columns: Mapping[str, NDArray[np.floating]], moments: Moments, settings: TestSettings) -> JointDrift:
        """A window's columns; those of the reference must all be there."""
        lacking = [name for name in self.columns if name not in columns]
        if lacking:
            return JointDrift(None, False, note=f"column '{lacking[0]}' is missing; all {len(self.columns)} are needed")
        rows, whole = _rows([columns[name] for name in self.columns])
        kept, left_out = moments.kept(whole), int(np.count_nonzero(~whole))
        if kept.n < FEWEST_WINDOW:
            short = f"{kept.n} moments of the window have all columns; {FEWEST_WINDOW} are needed"
            return JointDrift(None, False, n_rows=len(rows), left_out=left_out, note=short)
        strict = replace(settings, tail_events=_TAIL_EVENTS)
        found = [test.test(score, kept, strict)[0] for test, score in zip(self.tests, self._scores(rows), strict=True)]
        told = [(column.p_value, i) for i, column in enumerate(found) if column.p_value is not None]
        if not told:
            return JointDrift(None, False, n_rows=len(rows), left_out=left_out, note="no direction varies in the reference")
        smallest, which = min(told)
        p_value = min(1.0, _TAIL_ERROR * smallest * len(told))
        return JointDrift(p_value, p_value <= settings.alpha, self._where(which, found[which].direction), len(rows), left_out)

    def test_names(self) -> tuple[str, ...]:
        """What the tests are called, in their order."""
        return ("distance", *(f"axis {axis + 1}" for axis in self.axes))

    def _scores(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        turned = np.clip((rows - self.median) * self.unit, -_CLIP, _CLIP) @ self.turn.T
        distance = np.sqrt((turned * turned).sum(axis=1))
        return np.vstack([distance, turned[:, list(self.axes)].T])

    def _where(self, which: int, direction: str) -> str:
        if which == 0:
            return f"distance from the centre, {direction}" if direction else "distance from the centre"
        weights = np.abs(self.turn[self.axes[which - 1]])
        heaviest = [self.columns[i] for i in np.argsort(-weights, kind="stable")[:_SHOWN]]
        kind = "trailing" if self.axes[which - 1] < len(self.columns) - _ENDS else "leading"
        return f"{kind} axis of {', '.join(heaviest)}"


def _varies(values: NDArray[np.floating]) -> bool:
    finite = values[np.isfinite(values)]
    return len(finite) > 0 and bool(finite.max() > finite.min())


def _rows(columns: list[NDArray[np.floating]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Rows without a missing value (n, d), the infinite and nearly so brought near, and which rows those are."""
    matrix: NDArray[np.float64] = np.column_stack(columns).astype(np.float64, copy=False)
    matrix = np.clip(matrix, -_LARGEST, _LARGEST)
    whole: NDArray[np.bool_] = np.logical_not(np.isnan(matrix).any(axis=1))
    return (matrix if whole.all() else matrix[whole]), whole
