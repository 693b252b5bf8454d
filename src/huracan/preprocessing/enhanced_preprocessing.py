"""``EnhancedPreprocessor``: missing values, outliers and scale, learned on the fit window and on nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from huracan.errors import FeatureError
from huracan.market import read_candles
from huracan.preprocessing.column_state import ColumnState, Imputation, Outliers, Scaling, learn_column
from huracan.preprocessing.frames import FeatureFrame, read_feature_frame
from huracan.preprocessing.recipe import FeatureRecipe, read_json_object

__all__ = ["EnhancedPreprocessor", "FitWindow", "PreprocessingReport"]

STATE_FORMAT = 1
"""Version of the JSON form of the fitted state."""

_CANDLE_NAMES = frozenset({"symbol", "ts", "segment", "open", "high", "low", "close", "volume", "funding_rate"})


@dataclass(frozen=True)
class FitWindow:
    """The rows that everything was learned from: their number and, where known, first and last time."""

    n_rows: int
    first: str | None = None
    last: str | None = None


@dataclass(frozen=True)
class PreprocessingReport:
    """Every change made to a frame, counted. Columns without changes are left out.

    Attributes
    ----------
    n_rows : rows of the frame.
    imputed : column -> missing values filled.
    clipped_low, clipped_high : column -> values raised to the lower, cut to the upper limit.
    notes : column -> what was peculiar about it in the fit window (constant, missing throughout, ...).
    """

    n_rows: int
    imputed: dict[str, int]
    clipped_low: dict[str, int]
    clipped_high: dict[str, int]
    notes: dict[str, str]

    def to_frame(self) -> pl.DataFrame:
        """One row per column that something was done to: ``[feature, imputed, clipped_low, clipped_high, note]``."""
        names = sorted({*self.imputed, *self.clipped_low, *self.clipped_high, *self.notes})
        counts = {key: [getattr(self, key).get(n, 0) for n in names] for key in ("imputed", "clipped_low", "clipped_high")}
        schema = {"feature": pl.String, **dict.fromkeys(counts, pl.Int64), "note": pl.String}
        return pl.DataFrame({"feature": names, **counts, "note": [self.notes.get(n) for n in names]}, schema=schema)


class EnhancedPreprocessor(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fill missing values, limit outliers and scale, as a scikit-learn transformer; candles become features first.

    The frame kind that came in goes out: pandas, polars or numpy. Columns named ``symbol``, ``ts``, ``segment`` pass through
    untouched. Fit it on training rows only: whatever it saw in ``fit`` is known to everything it transforms.

    Parameters
    ----------
    recipe : computed first where candles are given; None means ``FeatureRecipe.default()`` for a frame that has ``ts``,
        ``close`` and no columns but a candle's. A frame that has all columns of the recipe counts as features.
    imputation : ``"median"`` of the fit window; ``"forward_fill"``: the last value of the same symbol and segment within
        the frame, the median before the first; ``"constant"``: ``fill_value``.
    fill_value : for ``"constant"``, and for columns without a single value in the fit window.
    outliers : limit values to the fitted ``quantiles``, to ``mad_width`` median absolute deviations (scaled to the normal)
        about the median, or not at all (``"none"``).
    quantiles, mad_width : see ``outliers``.
    scaling : ``"standard"`` (mean 0, deviation 1 over the fit window), ``"robust"`` (median 0, interquartile range that of
        a standard normal), ``"none"``.

    Attributes
    ----------
    columns_ : tuple of ColumnState, one per feature. recipe_ : the recipe used, or None. fit_window_ : FitWindow.
    report_ : PreprocessingReport of the fit window. feature_names_in_, n_features_in_ : as in scikit-learn, without keys.

    Raises
    ------
    FeatureError : a value is infinite, a column is not numeric, or columns are missing, extra or in another order than
        in fit (each is named).

    Examples
    --------
    >>> train = pl.DataFrame({"ts": [1, 2, 3, 4], "x": [1.0, None, 3.0, 5.0]})
    >>> scaler = EnhancedPreprocessor(outliers="none").fit(train)
    >>> scaler.transform(pl.DataFrame({"ts": [5], "x": [3.0]}))["x"].to_list()
    [0.0]
    >>> scaler.report_.imputed
    {'x': 1}
    >>> EnhancedPreprocessor.from_json(scaler.to_json()).columns_ == scaler.columns_
    True
    """

    columns_: tuple[ColumnState, ...]
    recipe_: FeatureRecipe | None
    fit_window_: FitWindow
    report_: PreprocessingReport
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    def __init__(
        self,
        recipe: FeatureRecipe | None = None,
        *,
        imputation: Imputation = "median",
        fill_value: float = 0.0,
        outliers: Outliers = "quantile",
        quantiles: tuple[float, float] = (0.001, 0.999),
        mad_width: float = 10.0,
        scaling: Scaling = "standard",
    ) -> None:
        self.recipe = recipe
        self.imputation = imputation
        self.fill_value = fill_value
        self.outliers = outliers
        self.quantiles = quantiles
        self.mad_width = mad_width
        self.scaling = scaling

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn medians, limits and scales from ``X``: rows x features, or candles; ``y`` is ignored."""
        self._check_parameters()
        recipe = self._recipe_for(X)
        frame = self._features_of(X, recipe)
        matrix = self._checked_matrix(frame, reset=True)
        learned = [
            learn_column(
                matrix[:, j].astype(np.float64),
                imputation=self.imputation,
                fill_value=float(self.fill_value),
                outliers=self.outliers,
                quantiles=self.quantiles,
                mad_width=self.mad_width,
                scaling=self.scaling,
            )
            for j in range(matrix.shape[1])
        ]
        self.columns_ = tuple(learned)
        self.recipe_ = recipe
        self.fit_window_ = FitWindow(len(matrix), *(frame.times() or (None, None)))
        self.report_ = self._apply(frame, matrix, write=False)[1]
        return self

    def transform(self, X: Any) -> Any:
        """Apply what was learned; rows stay as many and in order, the frame kind is kept."""
        return self.transform_with_report(X)[0]

    def transform_with_report(self, X: Any) -> tuple[Any, PreprocessingReport]:
        """The transformed frame, and the count of every change made to it."""
        check_is_fitted(self)
        names = self.get_feature_names_out()
        recipe = self.recipe_ if self.recipe_ is not None and not set(self.recipe_.columns) <= _column_names(X) else None
        frame = self._features_of(X, recipe)
        matrix, report = self._apply(frame, self._checked_matrix(frame, reset=False), write=True)
        return frame.rebuild(matrix, list(names)), report

    def to_json(self) -> str:
        """Parameters and fitted state as JSON; :meth:`from_json` gives a transformer with bitwise the same output."""
        check_is_fitted(self)
        parameters = {k: v for k, v in self.get_params(deep=False).items() if k != "recipe"}
        document = {
            "format": STATE_FORMAT,
            "parameters": parameters,
            "recipe": json.loads(self.recipe.to_json()) if self.recipe is not None else None,
            "recipe_": json.loads(self.recipe_.to_json()) if self.recipe_ is not None else None,
            "feature_names_in_": list(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None,
            "fit_window_": asdict(self.fit_window_),
            "report_": asdict(self.report_),
            "columns_": [asdict(state) for state in self.columns_],
        }
        return json.dumps(document, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        FeatureError : not such JSON.
        """
        document = read_json_object(text, "the state of an EnhancedPreprocessor")
        if document.get("format") != STATE_FORMAT:
            raise FeatureError(f"preprocessor state has format {document.get('format')!r}; format {STATE_FORMAT} was expected.")
        try:
            parameters = dict(document["parameters"])
            parameters["quantiles"] = tuple(parameters["quantiles"])
            made = cls(recipe=_recipe_from(document["recipe"]), **parameters)
            made.recipe_ = _recipe_from(document["recipe_"])
            made.columns_ = tuple(ColumnState(**state) for state in document["columns_"])
            made.fit_window_ = FitWindow(**document["fit_window_"])
            made.report_ = PreprocessingReport(**document["report_"])
            names = document["feature_names_in_"]
        except (KeyError, TypeError) as error:
            raise FeatureError(f"preprocessor state is damaged: {error}.") from error
        made._check_parameters()
        made.n_features_in_ = len(made.columns_)
        if names is not None:
            if len(names) != len(made.columns_):
                raise FeatureError(f"preprocessor state is damaged: {len(names)} names for {len(made.columns_)} columns.")
            made.feature_names_in_ = np.asarray(names, dtype=object)
        return made

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _apply(self, frame: FeatureFrame, matrix: NDArray[Any], *, write: bool) -> tuple[NDArray[Any], PreprocessingReport]:
        names = self.get_feature_names_out()
        imputed: dict[str, int] = {}
        low: dict[str, int] = {}
        high: dict[str, int] = {}
        starts = frame.group_starts(len(matrix)) if self.imputation == "forward_fill" else None
        result = np.empty(matrix.shape, matrix.dtype, order="F") if write else matrix
        for j, (name, state) in enumerate(zip(names, self.columns_, strict=True)):
            values = matrix[:, j].astype(np.float64)
            missing = np.isnan(values)
            if missing.any():
                imputed[name] = int(missing.sum())
                values = _filled(values, missing, state.fill, starts)
            scaled, below, above = state.apply(values)
            if below:
                low[name] = below
            if above:
                high[name] = above
            if write:
                result[:, j] = scaled
        notes = {name: state.note for name, state in zip(names, self.columns_, strict=True) if state.note}
        return result, PreprocessingReport(len(matrix), imputed, low, high, notes)

    def _recipe_for(self, X: Any) -> FeatureRecipe | None:
        names = _column_names(X)
        if self.recipe is not None:
            return None if not names or set(self.recipe.columns) <= names else self.recipe
        looks_like_candles = {"ts", "close"} <= names <= _CANDLE_NAMES
        return FeatureRecipe.default() if looks_like_candles else None

    def _features_of(self, X: Any, recipe: FeatureRecipe | None) -> FeatureFrame:
        if recipe is None:
            return read_feature_frame(X)
        candles = X if isinstance(X, pl.DataFrame) and set(recipe.required_columns) <= set(X.columns) else read_candles(X)
        features = recipe.compute(candles)
        return read_feature_frame(features if isinstance(X, pl.DataFrame | pl.LazyFrame) else features.to_pandas())

    def _checked_matrix(self, frame: FeatureFrame, *, reset: bool) -> NDArray[Any]:
        if frame.names is not None:
            try:
                validate_data(self, frame.features, reset=reset, skip_check_array=True)
            except ValueError as error:
                raise FeatureError(_mismatch(str(error), self, frame)) from error
            matrix = validate_data(_Unnamed(), frame.matrix(), dtype=[np.float64, np.float32], ensure_all_finite=False)
        else:
            values = frame.matrix()
            matrix = validate_data(self, values, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=False)
        infinite = np.isinf(matrix)
        if infinite.any():
            row, column = map(int, np.argwhere(infinite)[0])
            name = frame.names[column] if frame.names else f"x{column}"
            raise FeatureError(
                f"column '{name}' holds {matrix[row, column]} in row {row}; a finite or missing value was expected."
            )
        return matrix

    def _check_parameters(self) -> None:
        for name, allowed in (
            ("imputation", ("median", "forward_fill", "constant")),
            ("outliers", ("quantile", "mad", "none")),
            ("scaling", ("standard", "robust", "none")),
        ):
            if getattr(self, name) not in allowed:
                raise FeatureError(f"{name} is {getattr(self, name)!r}; one of {', '.join(allowed)} was expected.")
        low, high = self.quantiles
        if not 0.0 <= low < high <= 1.0:
            raise FeatureError(f"quantiles are {self.quantiles}; 0 <= low < high <= 1 was expected.")
        if not self.mad_width > 0.0:
            raise FeatureError(f"mad_width is {self.mad_width}; a positive number was expected.")
        if not np.isfinite(self.fill_value):
            raise FeatureError(f"fill_value is {self.fill_value}; a finite number was expected.")


class _Unnamed(BaseEstimator):
    """Carries scikit-learn's array checks where names were checked already."""


def _filled(
    values: NDArray[np.float64], missing: NDArray[np.bool_], fill: float, starts: NDArray[np.int64] | None
) -> NDArray[np.float64]:
    if starts is None:
        return np.where(missing, fill, values)
    last = np.maximum.accumulate(np.where(missing, -1, np.arange(len(values))))
    known = last >= starts
    return np.where(known, values[np.maximum(last, 0)], fill)


def _column_names(X: Any) -> set[str]:
    if isinstance(X, pl.LazyFrame):
        return set(X.collect_schema().names())
    return {str(c) for c in X.columns} if hasattr(X, "columns") else set()


def _recipe_from(document: Any) -> FeatureRecipe | None:
    return None if document is None else FeatureRecipe.from_json(json.dumps(document))


def _mismatch(said: str, fitted: EnhancedPreprocessor, frame: FeatureFrame) -> str:
    expected = list(getattr(fitted, "feature_names_in_", ()))
    if "order" not in said or not expected or frame.names is None:
        return said
    at = next(i for i, (a, b) in enumerate(zip(expected, frame.names)) if a != b)
    return f"{said}Column {at} is '{frame.names[at]}' where '{expected[at]}' was expected."
