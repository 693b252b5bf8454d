"""All numeric columns together: a joint law can change while every column keeps its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from huracan.mlops.column_tests import FEWEST_REFERENCE, FEWEST_WINDOW, NumberReference, TestSettings
from huracan.mlops.drift_report import ColumnDrift, JointDrift
from huracan.mlops.symbol_shares import SymbolShares
from huracan.statistics.moments import Moments
from huracan.statistics.whitening import principal_axes

__all__ = ["JointReference"]

_MOST_ROWS = 50_000
_FEWEST_ROWS = 100
_CLIP = 8.0
_LARGEST = 1e100  # squares and products of these are finite
_OLDER = 3
_ENDS = 2
_APART = 0.01
_SHOWN = 3
_TAIL_EVENTS = 1.0  # several tests share a part of alpha, so each looks further into the tail,
_TAIL_ERROR = 1.5  # where those of clustered volatility alarm half as often again as they should: 1.5 % at 1 %


@dataclass(frozen=True, eq=False)
class JointReference:
    """Directions in which a window is compared with the reference.

    Robustly standardised columns are turned to the principal axes of their shrunk covariance, each axis in its own standard
    deviation, and every row is brought to length 1 (its spatial sign): what is tested is the direction in which a row lies,
    not how far out. A correlation that changes shows in the trailing axes and in the share of the length that lies along the
    trailing half of all axes; a common move in the leading ones. Volatility that rises in all columns at once moves no
    direction: that is for the tests of the columns, and its clustering would make distances alarm on 12 to 30 % of unchanged
    windows of a quarter of their reference. Axes are learned from the **older third** of the reference, and the rows of the
    newer two thirds are what a window is compared with: rows that made a covariance lie nearer to it than any others.

    Attributes
    ----------
    columns : d names. median, unit : (d,) what standardises. turn : (d, d) rows are axes over their standard deviation,
        ascending in it. axes : numbers of the rows of ``turn`` that are tested one by one.
    tests : of the trailing share, then of each axis.

    References
    ----------
    Visuri, Koivunen and Oja (2000), "Sign and rank covariance matrices", J. Statistical Planning and Inference 91(2).
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
        newer, newer_moments = _newer(kept)
        start = int(newer.start)
        older = rows[max(0, start - _MOST_ROWS) : start - int(start * _APART)]
        if len(older) < _FEWEST_ROWS or newer_moments.n < FEWEST_REFERENCE:
            needed = _OLDER * (_FEWEST_ROWS + 1)
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
        scores = made._scores(rows[newer])
        tests = (NumberReference.of(name, score, newer_moments, settings) for name, score in zip(made.test_names(), scores))
        return replace(made, tests=tuple(replace(test, sample=None) for test in tests))

    def test(self, columns: Mapping[str, NDArray[np.floating]], moments: Moments, settings: TestSettings) -> JointDrift:
        """A window's columns; those of the reference must all be there."""
        lacking = [name for name in self.columns if name not in columns]
        if lacking:
            return JointDrift(
                None, False, note=f"column '{lacking[0]}' has no numbers here; all {len(self.columns)} are needed"
            )
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
        if not any(column.testable for column in found):
            blind = f"{kept.n} moments cannot show it, so long do the directions of rows remember"
            return JointDrift(None, False, n_rows=len(rows), left_out=left_out, note=blind)
        smallest, which = min(told)
        p_value = min(1.0, (_TAIL_ERROR if settings.n_cosines else 1.0) * smallest * len(told))
        return JointDrift(p_value, p_value <= settings.alpha, self._where(which, found), len(rows), left_out)

    def by_symbol(
        self, columns: Mapping[str, NDArray[np.floating]], moments: Moments, codes: NDArray[np.integer], n_symbols: int
    ) -> tuple[SymbolShares, ...]:
        """What each symbol has in each test, from the columns that it was made of."""
        rows, whole = _rows([columns[name] for name in self.columns])
        newer, _ = _newer(moments.kept(whole))
        mine, scores = codes[whole][newer], self._scores(rows[newer])
        return tuple(
            SymbolShares.of_number(test, score, mine, n_symbols) for test, score in zip(self.tests, scores, strict=True)
        )

    def restricted(self, parts: Sequence[SymbolShares], kept: Sequence[int]) -> JointReference:
        """As it is of the symbols numbered ``kept`` alone."""
        tests = [part.restricted(test, kept) for part, test in zip(parts, self.tests, strict=True)]
        return replace(self, tests=tuple(test for test in tests if isinstance(test, NumberReference)))

    def test_names(self) -> tuple[str, ...]:
        """What the tests are called, in their order."""
        return ("trailing share", *(f"axis {axis + 1}" for axis in self.axes))

    def _scores(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        turned = np.clip((rows - self.median) * self.unit, -_CLIP, _CLIP) @ self.turn.T
        length = np.sqrt((turned * turned).sum(axis=1))
        turned *= np.divide(1.0, length, out=np.zeros_like(length), where=length > 0.0)[:, None]
        trailing = turned[:, : max(1, len(self.columns) // 2)]
        return np.vstack([(trailing * trailing).sum(axis=1), turned[:, list(self.axes)].T])

    def _where(self, which: int, found: Sequence[ColumnDrift]) -> str:
        if which:
            return self._axis(which)
        trailing = [i for i in range(1, len(found)) if self._is_trailing(i)]
        strongest = min(trailing, key=lambda i: 1.0 if (p := found[i].p_value) is None else p, default=1)
        way = "less" if found[0].direction == "higher" else "more"
        return f"how columns go together, {way} than before, on the {self._axis(strongest)}"

    def _axis(self, test: int) -> str:
        weights = np.abs(self.turn[self.axes[test - 1]])
        heaviest = [self.columns[i] for i in np.argsort(-weights, kind="stable")[:_SHOWN]]
        return f"{'trailing' if self._is_trailing(test) else 'leading'} axis of {', '.join(heaviest)}"

    def _is_trailing(self, test: int) -> bool:
        return 2 * self.axes[test - 1] + 1 < len(self.columns)


def _newer(moments: Moments) -> tuple[slice, Moments]:
    """Rows that a window is compared with: all but the older third, of which axes are learned."""
    return moments.newest(moments.n - moments.n // _OLDER)


def _varies(values: NDArray[np.floating]) -> bool:
    finite = values[np.isfinite(values)]
    return len(finite) > 0 and bool(finite.max() > finite.min())


def _rows(columns: list[NDArray[np.floating]]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Rows without a missing value (n, d), the infinite and nearly so brought near, and which rows those are."""
    matrix: NDArray[np.float64] = np.column_stack(columns).astype(np.float64, copy=False)
    matrix = np.clip(matrix, -_LARGEST, _LARGEST)
    whole: NDArray[np.bool_] = np.logical_not(np.isnan(matrix).any(axis=1))
    return (matrix if whole.all() else matrix[whole]), whole
