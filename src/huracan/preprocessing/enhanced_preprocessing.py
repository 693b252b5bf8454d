"""``EnhancedPreprocessor``: missing values, outliers, scale and redundancy, learned on the fit window and on nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from huracan.errors import FeatureError
from huracan.preprocessing.column_selection import select_columns
from huracan.preprocessing.column_state import ColumnState, Imputation, Outliers, Runs, Scaling, learn_column
from huracan.preprocessing.component_reduction import ComponentReduction
from huracan.preprocessing.frames import FeatureFrame, read_feature_frame, require_same_columns
from huracan.preprocessing.preprocessing_report import FitWindow, PreprocessingReport
from huracan.preprocessing.preprocessor_input import features_of, recipe_that_is_needed, recipe_to_fit
from huracan.preprocessing.preprocessor_json import read_state, written_state
from huracan.preprocessing.preprocessor_parameters import check_parameters
from huracan.preprocessing.recipe import FeatureRecipe

__all__ = ["EnhancedPreprocessor", "FitWindow", "PreprocessingReport"]

_PRINTED_ARRAY = re.compile(r" instead: array=.*(?=\. Reshape)")
"""scikit-learn prints every value of an array that has the wrong shape."""


class EnhancedPreprocessor(  # type: ignore[call-arg]  # scikit-learn's mixin takes the keyword; it has no stubs
    OneToOneFeatureMixin, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Fill missing values, limit outliers, scale, and leave out what is redundant, as a scikit-learn transformer.

    Candles become features first; rows in which the recipe is still warming up (the first ``recipe.lookback`` bars of a symbol,
    and those after a gap) then stay null, NaN in pandas: no value is invented for them, and ``report_.warming_up`` counts
    them. So give new candles together with those before them, ``recipe.warmup`` bars or more, and keep the tail, as below; or
    compute features once over all, and split those. In a frame of ready features every missing value is imputed, for there
    nobody knows why it is missing.

    The frame kind that came in goes out: pandas, polars or numpy. Columns named ``symbol``, ``ts``, ``segment`` pass through
    untouched; after ``set_output`` only features come out, as scikit-learn's own pipelines expect. Fit it on training rows
    only: whatever it saw in ``fit`` is known to everything it transforms.

    Parameters
    ----------
    recipe : computed first where candles are given; None means ``FeatureRecipe.default()`` for a frame that has ``ts``,
        ``close`` and no columns but a candle's. A frame that has all columns of the recipe counts as features.
    imputation : ``"median"`` of the fit window; ``"forward_fill"``: the last value of the same symbol and segment within
        the frame, at most ``fill_limit`` rows old, else the median; ``"constant"``: ``fill_value``.
    fill_limit : rows a value is carried on; None for as many as there are.
    fill_value : for ``"constant"``, and for columns without a single value in the fit window.
    outliers : limit values to the fitted ``quantiles``; to ``mad_width`` median absolute deviations (scaled to the normal)
        about the median (``"mad"``); to as many about the median of the ``outlier_window`` values before, within the frame
        and the same symbol and segment (``"rolling"``, causal; fitted limits until the window is full); or not at all
        (``"none"``). With ``"rolling"`` a row's result depends on the rows before it: give live rows with their past.
    quantiles, mad_width, outlier_window : see ``outliers``.
    scaling : ``"standard"`` (mean 0, deviation 1 over the fit window), ``"robust"`` (median 0, interquartile range that of
        a standard normal), ``"none"``.
    selection : ``"correlation_clusters"`` keeps one column of each cluster in which every two have a rank correlation of at
        least ``correlation_threshold`` in size, and leaves out columns that were constant or missing throughout.
    correlation_threshold : above 0, at most 1.
    components : principal components of the scaled (and selected) columns: how many, or the share of variance they must
        keep (above 0, below 1). They are named ``component_0``, ``component_1``, ...

    Attributes
    ----------
    columns_ : tuple of ColumnState, one per feature. recipe_ : the recipe used, or None. fit_window_ : FitWindow.
    selected_ : positions of the columns kept. reduction_ : ComponentReduction or None.
    report_ : PreprocessingReport of the fit window. feature_names_in_, n_features_in_ : as in scikit-learn, without keys.

    Raises
    ------
    FeatureError : a value is infinite, a column is not numeric, columns are missing, extra or in another order than
        in fit (the first is named), or candles of a symbol are too few for a single complete row.
    CandleError : candles were given that are none, such as a high below its low.

    Examples
    --------
    >>> import polars as pl
    >>> train = pl.DataFrame({"ts": [1, 2, 3, 4], "x": [1.0, None, 3.0, 5.0]})
    >>> scaler = EnhancedPreprocessor(outliers="none").fit(train)
    >>> scaler.transform(pl.DataFrame({"ts": [5], "x": [3.0]}))["x"].to_list()
    [0.0]
    >>> scaler.report_.imputed, scaler.overlaps_fit_window(pl.DataFrame({"ts": [5], "x": [3.0]}))
    ({'x': 1}, False)
    >>> EnhancedPreprocessor.from_json(scaler.to_json()).columns_ == scaler.columns_
    True

    New candles need the bars before them:

    >>> from huracan.market import simulate_market
    >>> candles = simulate_market(n_bars=300, n_symbols=1, seed=0).candles
    >>> history, new = candles[:295], candles[295:]
    >>> live = EnhancedPreprocessor(FeatureRecipe.minimal()).fit(history)
    >>> live.transform(pl.concat([history, new])).tail(5).null_count().sum_horizontal().item()
    0
    >>> live.report_.warming_up["log_return_scaled_1"], live.report_.imputed
    (48, {})
    >>> live.transform(new)
    Traceback (most recent call last):
    huracan.errors.FeatureError: symbol 'SIM01-USD' has 5 bars where the first complete row of features takes 49: give the ...
    """

    columns_: tuple[ColumnState, ...]
    recipe_: FeatureRecipe | None
    fit_window_: FitWindow
    selected_: tuple[int, ...]
    reduction_: ComponentReduction | None
    report_: PreprocessingReport
    _dropped: dict[str, str]
    n_features_in_: int
    feature_names_in_: NDArray[Any]

    def __init__(
        self,
        recipe: FeatureRecipe | None = None,
        *,
        imputation: Imputation = "median",
        fill_limit: int | None = None,
        fill_value: float = 0.0,
        outliers: Outliers = "quantile",
        quantiles: tuple[float, float] = (0.001, 0.999),
        mad_width: float = 10.0,
        outlier_window: int = 240,
        scaling: Scaling = "standard",
        selection: Literal["correlation_clusters"] | None = None,
        correlation_threshold: float = 0.95,
        components: int | float | None = None,
    ) -> None:
        self.recipe = recipe
        self.imputation = imputation
        self.fill_limit = fill_limit
        self.fill_value = fill_value
        self.outliers = outliers
        self.quantiles = quantiles
        self.mad_width = mad_width
        self.outlier_window = outlier_window
        self.scaling = scaling
        self.selection = selection
        self.correlation_threshold = correlation_threshold
        self.components = components

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn medians, limits, scales, clusters and components from ``X``: rows x features, or candles; ``y`` is ignored."""
        self.report_ = self._changed(self._learn(X))[1]
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """The same as ``fit(X).transform(X)``, with candles turned into features once."""
        if fit_params:
            raise FeatureError(f"fit takes no '{next(iter(fit_params))}'; X, and a y that is ignored, were expected.")
        frame = self._learn(X)
        matrix, self.report_ = self._changed(frame)
        return self._returned(frame, matrix)

    def transform(self, X: Any) -> Any:
        """Apply what was learned; rows stay as many and in order, the frame kind is kept."""
        return self.transform_with_report(X)[0]

    def transform_with_report(self, X: Any) -> tuple[Any, PreprocessingReport]:
        """The transformed frame, and the count of every change made to it."""
        check_is_fitted(self)
        frame = self._checked(features_of(X, recipe_that_is_needed(X, self.recipe_)), reset=False)
        if frame.warm_up is not None:
            frame.warm_up.require_complete_row([(frame.names or ())[i] for i in self.selected_])
        matrix, report = self._changed(frame)
        return self._returned(frame, matrix), report

    def overlaps_fit_window(self, X: Any) -> bool | None:
        """Whether ``X`` has rows from the time that was learned from; None where times are not known.

        Right for training rows; a leak where ``X`` is called a test.
        """
        check_is_fitted(self)
        return self.fit_window_.overlaps(read_feature_frame(X).times())

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the columns that come out, keys aside."""
        names = super().get_feature_names_out(input_features)
        if self.reduction_ is not None:
            return np.asarray(self.reduction_.names, dtype=object)
        return names[list(self.selected_)]

    def set_output(self, *, transform: Literal["default", "pandas", "polars"] | None = None) -> Self:
        """Choose the frame kind that comes out, as in scikit-learn: features only, without keys.

        ``"default"`` gives the kind that came in, keys first; None leaves the choice as it is.
        """
        if transform not in (None, "default", "pandas", "polars"):
            raise FeatureError(f"transform is {transform!r}; one of default, pandas, polars was expected.")
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}
        return self

    def to_json(self) -> str:
        """Parameters and fitted state as JSON; :meth:`from_json` gives a transformer with bitwise the same output."""
        check_is_fitted(self)
        return written_state(self)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        FeatureError : not such JSON.
        """
        return read_state(cls, text)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _learn(self, X: Any) -> FeatureFrame:
        """Learn everything but the report; the features that it was learned from."""
        check_parameters(self)
        recipe = recipe_to_fit(X, self.recipe)
        frame = self._checked(features_of(X, recipe), reset=True)
        names = frame.names or tuple(f"x{i}" for i in range(frame.shape[1]))
        if frame.warm_up is not None:
            frame.warm_up.require_complete_row(names)
        self.columns_ = tuple(self._column_states(frame, names))
        self.recipe_ = recipe
        self.fit_window_ = FitWindow(frame.shape[0], *(frame.times() or (None, None)))
        self.selected_, self._dropped = tuple(range(len(names))), {}
        self.reduction_ = None
        if self.selection is not None:
            self.selected_, self._dropped = select_columns(frame, names, self.columns_, float(self.correlation_threshold))
        if self.components is not None:
            wanted = int(self.components) if self.components >= 1 else float(self.components)
            matrix = self._scaled(frame, names)[0]
            if frame.warm_up is not None:
                matrix = matrix[~np.isnan(matrix).any(axis=1)]
            self.reduction_ = ComponentReduction.learn(matrix, wanted)
        return frame

    def _column_states(self, frame: FeatureFrame, names: tuple[str, ...]) -> list[ColumnState]:
        states = []
        for name, values in zip(names, frame.columns()):
            with _named(name):
                states.append(
                    learn_column(
                        values,
                        imputation=self.imputation,
                        fill_value=float(self.fill_value),
                        outliers=self.outliers,
                        quantiles=self.quantiles,
                        mad_width=self.mad_width,
                        scaling=self.scaling,
                    )
                )
        return states

    def _changed(self, frame: FeatureFrame) -> tuple[NDArray[Any], PreprocessingReport]:
        names = frame.names or tuple(super().get_feature_names_out())
        matrix, report = self._scaled(frame, names)
        if self.reduction_ is not None:
            matrix = self.reduction_.apply(matrix)
            shares = dict(zip(self.reduction_.names, self.reduction_.explained.tolist()))
            report = replace(report, components=shares)
        return matrix, report

    def _scaled(self, frame: FeatureFrame, names: tuple[str, ...]) -> tuple[NDArray[Any], PreprocessingReport]:
        """Prepared columns that were selected, one after the other, and what was done to them."""
        rows = frame.shape[0]
        imputed: dict[str, int] = {}
        warming_up: dict[str, int] = {}
        low: dict[str, int] = {}
        high: dict[str, int] = {}
        carry = (rows if self.fill_limit is None else self.fill_limit) if self.imputation == "forward_fill" else None
        rolling = (self.outlier_window, float(self.mad_width)) if self.outliers == "rolling" else None
        runs = Runs(frame.group_starts(rows)) if carry is not None or rolling is not None else None
        result = np.empty((rows, len(self.selected_)), frame.dtype, order="F")
        buffer = np.empty(rows)
        place = {position: i for i, position in enumerate(self.selected_)}
        for position, (name, state, values) in enumerate(zip(names, self.columns_, frame.columns(), strict=True)):
            if position not in place:
                continue
            with _named(name):
                waiting = None if frame.warm_up is None else frame.warm_up.empty_rows(name, values)
                column = state.apply(values, runs=runs, carry=carry, rolling=rolling, waiting=waiting, buffer=buffer)
                _write(result[:, place[position]], column.values)
            empty = 0 if waiting is None else len(waiting)
            counts = ((imputed, column.imputed), (warming_up, empty), (low, column.below), (high, column.above))
            for counted, many in counts:
                if many:
                    counted[name] = many
        notes = {names[i]: str(self.columns_[i].note) for i in self.selected_ if self.columns_[i].note}
        overlaps = self.fit_window_.overlaps(frame.times())
        dropped = dict(self._dropped)
        return result, PreprocessingReport(rows, imputed, low, high, notes, dropped, {}, warming_up, overlaps)

    def _returned(self, frame: FeatureFrame, matrix: NDArray[Any]) -> Any:
        wanted = getattr(self, "_sklearn_output_config", {}).get("transform") or get_config()["transform_output"]
        return frame.rebuild(matrix, list(self.get_feature_names_out()), wanted=wanted)

    def _checked(self, frame: FeatureFrame, *, reset: bool) -> FeatureFrame:
        """Columns compared with those of the fit; numpy input as scikit-learn takes it, a float matrix."""
        if frame.names is None:
            values = frame.matrix() if frame.kind == "pandas" else frame.features
            if values is None:
                raise FeatureError("X is None; candles, or rows x features as pandas, polars or numpy, were expected.")
            try:
                checked = validate_data(self, values, reset=reset, dtype=[np.float64, np.float32], ensure_all_finite=False)
            except ValueError as error:  # scikit-learn's, some of several lines
                said = _PRINTED_ARRAY.sub("", " ".join(str(error).split()))
                raise FeatureError(said) from error
            return frame if frame.kind == "pandas" else replace(frame, features=checked)
        expected = getattr(self, "feature_names_in_", None)
        if not reset and expected is not None:
            require_same_columns(list(expected), frame.names)
        elif reset:
            require_same_columns(list(dict.fromkeys(frame.names)), frame.names)
        rows, columns = frame.shape
        if not rows or not columns:
            raise FeatureError(f"there are {rows} rows and {columns} feature columns; at least one of each was expected.")
        validate_data(self, frame.features, reset=reset, skip_check_array=True)
        return frame


class _named:
    """Puts the column's name in front of an error about its values."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, FeatureError):
            raise FeatureError(f"column '{self.name}' holds {error}") from error


def _write(place: NDArray[Any], values: NDArray[np.float64]) -> None:
    try:
        with np.errstate(over="raise"):
            place[:] = values
    except FloatingPointError as error:
        row = int(np.nanargmax(np.abs(values)))
        said = f"{values[row]:g} in row {row} after scaling, beyond float32; limited outliers, or float64, were expected."
        raise FeatureError(said) from error
