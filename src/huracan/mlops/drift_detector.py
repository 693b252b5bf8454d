"""Is the data still what was learned? Tests of every column and of all together, which hold where rows remember."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Literal, TypeVar

import numpy as np

from huracan.errors import DataError, NotEnoughData
from huracan.mlops.categories import CategoryReference
from huracan.mlops.column_tests import FEWEST_REFERENCE, FEWEST_WINDOW, NumberReference, TestSettings
from huracan.mlops.drift_columns import (
    ColumnMatch,
    matched_columns,
    perhaps_renamed,
    require_same_bars,
    require_same_recipe,
)
from huracan.mlops.drift_report import ColumnDrift, DistributionPair, DriftReport, JointDrift
from huracan.mlops.drift_rows import DriftRows, read_rows
from huracan.mlops.drift_symbols import common_symbols
from huracan.mlops.honest_tails import FEWEST_COSINES
from huracan.mlops.joint_drift import JointReference
from huracan.mlops.ordered_columns import compared_columns, each_by_threads, ordered_columns
from huracan.mlops.reference import Reference, ReferenceColumn
from huracan.mlops.same_kinds import in_the_form_of, said_of_kinds
from huracan.mlops.shared_level import decided
from huracan.mlops.symbol_shares import SymbolShares
from huracan.mlops.window_notes import said_of_window
from huracan.statistics.multiple_testing import CORRECTIONS, Correction
from huracan.statistics.sample_checks import check_open_unit
from huracan.statistics.sample_distance import SampleDistance
from huracan.statistics.weighted_sample import WeightedSample

__all__ = ["Dependence", "DriftDetector"]

Dependence = Literal["auto", "independent"]

T = TypeVar("T")

_ALIKE = 0.05
_MOST_SYMBOLS = 100
_ASSUMPTIONS = {
    "auto": "both are stretches of one stationary series whose memory is short beside the reference",
    "independent": "rows are independent of each other, which those of a market are not",
}


class DriftDetector:
    """Compare windows of data with a reference, so that what did not change is rarely said to have.

    Every numeric column is tested by the largest distance of its distribution function from the reference's, at reference
    quantiles. With ``dependence="auto"`` each distance is measured in its own standard error, from the long-run covariance
    of the quantiles' indicators in the reference (equal-weighted cosines), so that autocorrelation, overlapping windows and
    volatility clustering are accounted for: the textbook test calls 75 to 98 % of unchanged market windows drifted, this
    one about 5 % (``docs/drift.md`` has the table). Categories are tested by chi-square under the same dependence, all
    columns together by projections, and p-values are corrected over the columns.

    **Markets do change.** Two adjacent weeks differ in volatility more often than not, and a test that is right will say so.
    Drifted data is a reason to look at a model's skill, not by itself to retrain.

    Parameters
    ----------
    alpha : level of the whole report: of the q-values, and so, where nothing drifted, of ``DriftReport.drifted``.
    correction : over columns; "fdr_by" holds the share of false claims under every dependence of the columns. Three quarters of
        the level are for columns, one for all together (:func:`huracan.mlops.shared_level.decided`).
    dependence : "auto", or "independent" for the exact test of rows without memory.
    n_cosines : averaged in a long-run covariance at most, 8 to a tenth of the reference's moments. A window of a tenth of the
        reference is compared by 28, one of a quarter by 8 (:func:`huracan.mlops.honest_tails.cosines_for`). More cosines find
        more and, where volatility clusters, alarm too often; fewer find less.
    n_thresholds : quantiles looked at; their number plus one is a multiple of ``psi_bins``.
    multivariate : whether all numeric columns are also tested together.
    psi_bins : reference quantile bins of the population stability index.
    min_share : share of the columns that must drift before ``DriftReport.drifted`` is true by columns alone.
    n_jobs : threads over columns; the result is the same.

    Attributes
    ----------
    reference_ : what was learned, see :class:`huracan.mlops.Reference`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> detector = DriftDetector().fit({"spread": rng.standard_normal(5_000), "volume": rng.standard_normal(5_000)})
    >>> report = detector.detect({"spread": rng.standard_normal(500) + 0.5, "volume": rng.standard_normal(500)})
    >>> report.drifted_features
    ('spread',)
    >>> print(report.sentence)
    1 of 2 columns drifted (spread); all columns together drifted (...): 500 moments against 5,000, level 0.05 (fdr_by).

    References
    ----------
    Lazarus, Lewis, Stock and Watson (2018), "HAR Inference", JBES 36(4); Worsley (1982), Biometrika 69(2);
    Benjamini and Yekutieli (2001), Annals of Statistics 29(4).
    """

    reference_: Reference

    def __init__(
        self,
        *,
        alpha: float = 0.05,
        correction: Correction = "fdr_by",
        dependence: Dependence = "auto",
        n_cosines: int = 28,
        n_thresholds: int = 19,
        multivariate: bool = True,
        psi_bins: int = 10,
        min_share: float = 0.0,
        n_jobs: int = 1,
    ) -> None:
        self.alpha = alpha
        self.correction: Correction = correction
        self.dependence: Dependence = dependence
        self.n_cosines = n_cosines
        self.n_thresholds = n_thresholds
        self.multivariate = multivariate
        self.psi_bins = psi_bins
        self.min_share = min_share
        self.n_jobs = n_jobs

    def fit(self, reference: Any, *, columns: Sequence[str] | None = None, recipe_hash: str | None = None) -> DriftDetector:
        """Learn what later windows are compared with.

        Parameters
        ----------
        reference : rows in order of time: a ``TrainingSet``, a frame, columns by name, or a matrix. Rows of one moment
            (symbols) are one observation. At least 200 moments; the newest unbroken stretch, not a sample of rows.
        columns : those to test; None for all but ``symbol``, ``ts`` and ``segment``.
        recipe_hash : of the recipe the columns were made by; a ``TrainingSet`` brings its own.

        Raises
        ------
        NotEnoughData : fewer than 200 moments. DataError : a setting or a column that cannot be used.
        """
        settings = self._settings()
        rows = read_rows(reference, columns, what="the reference")
        if not rows.columns:
            raise DataError("the reference has no column to test; at least one besides symbol, ts and segment was expected.")
        if rows.moments.n < FEWEST_REFERENCE:
            raise NotEnoughData(f"the reference has {rows.moments.n} moments; at least {FEWEST_REFERENCE} are needed.")

        samples = ordered_columns(_numbers(rows), rows.moments, self.n_jobs)

        def made_of(name: str) -> ReferenceColumn:
            values = rows.columns[name]
            if isinstance(values, np.ndarray):
                return NumberReference.of(name, values, rows.moments, settings, rows.codes, samples[name])
            return CategoryReference.of(name, values, rows.moments, settings)

        made = dict(zip(rows.columns, self._each(made_of, list(rows.columns)), strict=True))
        joint = JointReference.of(_numbers(rows), rows.moments, settings) if self.multivariate else None
        self.reference_ = Reference(
            columns=made,
            joint=joint,
            recipe_hash=recipe_hash if recipe_hash is not None else rows.recipe_hash,
            n_rows=rows.moments.n_rows,
            n_moments=rows.moments.n,
            span=rows.span,
            steps=rows.steps,
            n_cosines=settings.n_cosines,
            n_thresholds=self.n_thresholds,
            psi_bins=self.psi_bins,
            bar_ms=rows.bar_ms,
            symbols=rows.symbols,
            presence=tuple(rows.presence().values()),
            by_symbol=self._by_symbol(rows, made, joint),
        )
        return self

    def _by_symbol(
        self, rows: DriftRows, made: dict[str, ReferenceColumn], joint: JointReference | str | None
    ) -> tuple[SymbolShares, ...]:
        """What each symbol has in each column and joint test; nothing where it is not needed, or would be too much to keep."""
        codes, n = rows.codes, len(rows.symbols)
        if codes is None or n > _MOST_SYMBOLS or self.dependence == "independent":
            return ()

        def of(name: str) -> SymbolShares:
            values, column = rows.columns[name], made[name]
            if isinstance(column, CategoryReference):
                assert not isinstance(values, np.ndarray)
                return SymbolShares.of_category(column.bin_of(values), len(column.shares), codes, n)
            assert isinstance(values, np.ndarray)
            return SymbolShares.of_number(column, values, codes, n)

        together = joint.by_symbol(_numbers(rows), rows.moments, codes, n) if isinstance(joint, JointReference) else ()
        return (*self._each(of, list(made)), *together)

    @classmethod
    def from_reference(cls, reference: Reference, **settings: Any) -> DriftDetector:
        """A detector that was fitted elsewhere, such as the one kept with a model version.

        Parameters
        ----------
        settings : of the constructor; those that a reference is made by are its own.
        """
        if not isinstance(reference, Reference):
            kind = type(reference).__name__
            raise DataError(f"reference is a {kind}; a Reference, as .reference_ of a fitted detector, was expected.")
        own: dict[str, Any] = {"n_thresholds": reference.n_thresholds, "psi_bins": reference.psi_bins}
        own |= {"n_cosines": reference.n_cosines} if reference.n_cosines else {"dependence": "independent"}
        for name, value in own.items():
            if settings.get(name, value) != value:
                raise DataError(
                    f"{name} is {settings[name]!r}, and the reference was made with {value!r}; fit anew for another."
                )
        detector = cls(**(settings | own))
        if reference.n_cosines and detector.dependence == "independent":
            raise DataError("dependence is 'independent', and the reference was made with 'auto'; fit anew for another.")
        detector._settings()
        detector.reference_ = reference
        return detector

    def detect(self, current: Any, *, recipe_hash: str | None = None, any_symbol: bool = False) -> DriftReport:
        """Compare a window with the reference; what was fitted is not touched.

        Of a panel the symbols that are in both are compared, and a note names the others.

        Parameters
        ----------
        current : as the reference, at least 20 moments. Columns the reference does not know are named, not tested.
        any_symbol : compare all rows of both, whatever symbols they are of.

        Raises
        ------
        NotEnoughData : fewer than 20 moments. SignatureError : of another recipe or bar length, or no symbol is in both.
            DataError : unfitted, or unusable columns.
        """
        if not hasattr(self, "reference_"):
            raise DataError("this DriftDetector has no reference yet; call fit, or make it by from_reference.")
        settings, reference = self._settings(), self.reference_
        rows = in_the_form_of(reference, read_rows(current, needed=reference.kinds()))
        require_same_recipe(reference.recipe_hash, recipe_hash if recipe_hash is not None else rows.recipe_hash)
        require_same_bars(reference.bar_ms, rows.bar_ms)
        symbols, said = common_symbols(reference, rows, any_symbol=any_symbol)
        if symbols is None:
            return self._report(rows, settings, said)
        common = copy(self)
        if set(symbols) != set(reference.symbols):
            common.reference_ = reference.of_symbols(symbols)
        return common._report(rows.of_symbols(symbols), settings, said)

    def _report(self, rows: DriftRows, settings: TestSettings, said: list[str]) -> DriftReport:
        reference = self.reference_
        if rows.moments.n < FEWEST_WINDOW:
            raise NotEnoughData(f"the window has {rows.moments.n} moments; at least {FEWEST_WINDOW} are needed to compare it.")
        match = matched_columns(reference.kinds(), {name: rows.kind(name) for name in rows.columns})
        tested, pairs = self._columns(rows, match, settings)
        columns, joint = decided(tested, self._joint(rows, settings), correction=self.correction, alpha=self.alpha)
        return DriftReport(
            columns=columns,
            joint=joint,
            missing=match.missing,
            new=match.new,
            renamed=self._renamed(rows, match, settings),
            n_reference=reference.n_moments,
            n_current=rows.moments.n,
            alpha=self.alpha,
            correction=self.correction,
            dependence=self.dependence,
            assumption=_ASSUMPTIONS[self.dependence],
            span=rows.span,
            min_share=self.min_share,
            notes=(*said, *said_of_window(reference, rows)),
            distributions=pairs,
        )

    def _columns(
        self, rows: DriftRows, match: ColumnMatch, settings: TestSettings
    ) -> tuple[list[ColumnDrift], dict[str, DistributionPair]]:
        kinds = self.reference_.kinds()
        missing, other_kind = set(match.missing), set(match.other_kind)
        numbers = _numbers(rows)
        shared = {name: numbers[name] for name in match.shared if name in numbers}
        windows = ordered_columns(shared, rows.moments, self.n_jobs)
        before = {name: kept for name in windows if (kept := self._sample(name)) is not None}
        apart = compared_columns(before, windows, self.n_jobs)

        def found_of(name: str) -> tuple[ColumnDrift, DistributionPair | None]:
            if name in missing:
                return ColumnDrift(name, kinds[name], drifted=True, note="missing in the window"), None
            if name in other_kind:
                note = said_of_kinds(self.reference_.columns[name], rows.columns[name])
                return ColumnDrift(name, kinds[name], drifted=True, note=note), None
            return self._test(name, name, rows, settings, windows.get(name), apart.get(name))

        found = self._each(found_of, list(self.reference_.columns))
        return [column for column, _ in found], {pair.feature: pair for _, pair in found if pair is not None}

    def _sample(self, name: str) -> WeightedSample | None:
        """Single values of the reference of a column, where they are in memory and as many as they were tested by."""
        column = self.reference_.columns[name]
        return column.sample if isinstance(column, NumberReference) and column.indicators is not None else None

    def _each(self, work: Callable[[str], T], names: list[str]) -> list[T]:
        """Work on every column, in order; by threads where each takes more than numbering its quantiles."""
        return each_by_threads(work, names, self.n_jobs if self.dependence == "auto" else 1)

    def _test(
        self,
        name: str,
        called: str,
        rows: DriftRows,
        settings: TestSettings,
        sample: WeightedSample | None = None,
        apart: SampleDistance | None = None,
    ) -> tuple[ColumnDrift, DistributionPair | None]:
        """A column of the reference against the column of the window that is called so."""
        reference, values = self.reference_.columns[name], rows.columns[called]
        if isinstance(reference, NumberReference):
            assert isinstance(values, np.ndarray)
            return reference.test(values, rows.moments, settings, rows.codes, sample, apart)
        assert not isinstance(values, np.ndarray)
        return reference.test(values, rows.moments, settings)

    def _joint(self, rows: DriftRows, settings: TestSettings) -> JointDrift | None:
        joint = self.reference_.joint
        if joint is None or not self.multivariate:
            return None
        if isinstance(joint, str):
            return JointDrift(None, False, note=joint)
        return joint.test(_numbers(rows), rows.moments, settings)

    def _renamed(self, rows: DriftRows, match: ColumnMatch, settings: TestSettings) -> dict[str, str]:
        kinds = self.reference_.kinds()

        def alike(missing: str, new: str) -> bool:
            if kinds[missing] != rows.kind(new):
                return False
            p_value = self._test(missing, new, rows, settings)[0].p_value
            return p_value is not None and p_value > _ALIKE

        return perhaps_renamed(match.missing, match.new, alike)

    def _settings(self) -> TestSettings:
        check_open_unit(self.alpha, "alpha")
        if self.correction not in CORRECTIONS:
            raise DataError(f"correction is {self.correction!r}; one of {', '.join(CORRECTIONS)} was expected.")
        if self.dependence not in _ASSUMPTIONS:
            raise DataError(f"dependence is {self.dependence!r}; 'auto' or 'independent' was expected.")
        for name, least in (("n_cosines", FEWEST_COSINES), ("n_thresholds", 1), ("psi_bins", 2), ("n_jobs", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise DataError(f"{name} is {value!r}; a whole number of at least {least} was expected.")
        if (self.n_thresholds + 1) % self.psi_bins:
            raise DataError(
                f"n_thresholds is {self.n_thresholds} with {self.psi_bins} bins; one less than a multiple of psi_bins was "
                "expected."
            )
        if not 0.0 <= self.min_share <= 1.0:
            raise DataError(f"min_share is {self.min_share!r}; a share from 0 to 1 was expected.")
        if not isinstance(self.multivariate, (bool, np.bool_)):
            raise DataError(f"multivariate is {self.multivariate!r}; True or False was expected.")
        cosines = int(self.n_cosines) if self.dependence == "auto" else 0
        return TestSettings(cosines, int(self.n_thresholds), int(self.psi_bins), float(self.alpha))


def _numbers(rows: DriftRows) -> dict[str, Any]:
    return {name: values for name, values in rows.columns.items() if isinstance(values, np.ndarray)}
