"""Rolling normalisation of features by their own past: per symbol and segment, never with a later value.

``normalize`` does it to whole frames; the same methods are steps of a recipe (``feature("rsi").followed_by("mad")``; with
``"past_mad"`` the current row is left out), which also run bar by bar. For scalers that are fitted once and stored see
:class:`~huracan.preprocessing.EnhancedPreprocessor`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.errors import FeatureError, nearest_name
from huracan.preprocessing.frames import KEYS
from huracan.preprocessing.rolling import (
    Array,
    lag,
    ratio,
    rolling_max,
    rolling_mean,
    rolling_min,
    rolling_minmax,
    rolling_moments,
    rolling_rank,
    rolling_zscore,
    volatility_scale,
)
from huracan.preprocessing.rolling_median import rolling_mad_score, rolling_median_and_spread

__all__ = ["METHODS", "normalize", "past_mad_score", "past_minmax", "past_rank", "past_volatility_scale", "past_zscore"]


def past_zscore(x: Array, window: int) -> Array:
    """Standard deviations (n - 1) from the mean of the ``window`` values before this one.

    0 where all of them equal this value, NaN where they are equal among themselves and differ from it.

    >>> past_zscore(np.array([1.0, 2.0, 3.0, 4.0, 4.0]), 3).round(3)
    array([nan, nan, nan,  2.,  1.])
    """
    mean, deviation = rolling_moments(x, window)
    score = ratio(x - lag(mean, 1), lag(deviation, 1))
    return _or_still(score, x, window)


def past_mad_score(x: Array, window: int) -> Array:
    """As :func:`~huracan.preprocessing.rolling_median.rolling_mad_score`, by the ``window`` values before this one.

    >>> past_mad_score(np.array([1.0, 2.0, 3.0, 4.0, 4.0]), 3).round(3)
    array([  nan,   nan,   nan, 1.349, 0.674])
    """
    median, spread = rolling_median_and_spread(x, window)
    return _or_still(ratio(x - lag(median, 1), lag(spread, 1)), x, window)


def past_minmax(x: Array, window: int) -> Array:
    """Place between the lowest (-1) and highest (1) of the ``window`` values before this one; beyond them where it is new.

    >>> past_minmax(np.array([1.0, 2.0, 3.0, 4.0, 2.0]), 3)
    array([nan, nan, nan,  2., -1.])
    """
    low, high = lag(rolling_min(x, window), 1), lag(rolling_max(x, window), 1)
    return _or_still(ratio((x - low) - (high - x), high - low), x, window)


def past_rank(x: Array, window: int) -> Array:
    """Rank among the ``window`` values before this one, from -1 (below all) to 1 (above all), ties in the middle.

    >>> past_rank(np.array([1.0, 2.0, 3.0, 4.0, 2.0]), 2)
    array([nan, nan,  1.,  1., -1.])
    """
    return rolling_rank(x, window + 1)


def past_volatility_scale(x: Array, window: int) -> Array:
    """Divide by the root mean square of the ``window`` values before this one; NaN where all are 0.

    >>> past_volatility_scale(np.array([3.0, 4.0, 5.0]), 2).round(3)
    array([  nan,   nan, 1.414])
    """
    return ratio(x, lag(np.sqrt(rolling_mean(x * x, window)), 1))


def _or_still(score: Array, x: Array, window: int) -> Array:
    """The score, but where nothing moved before: 0 where this value does not move either, NaN where it does."""
    low, high = lag(rolling_min(x, window), 1), lag(rolling_max(x, window), 1)
    return np.where(low == high, np.where(x == high, 0.0, np.nan), score)


METHODS: dict[str, tuple[Callable[[Array, int], Array], Callable[[Array, int], Array]]] = {
    "zscore": (rolling_zscore, past_zscore),
    "mad": (rolling_mad_score, past_mad_score),
    "minmax": (rolling_minmax, past_minmax),
    "rank": (rolling_rank, past_rank),
    "volatility": (volatility_scale, past_volatility_scale),
}
"""Method -> the function whose window ends with the value itself, and the one whose window ends before it."""


def normalize(
    features: Any,
    method: str = "zscore",
    window: int = 96,
    columns: Sequence[str] | None = None,
    *,
    exclude_current: bool = False,
) -> Any:
    """Normalise each column by its own last ``window`` values, within each symbol and segment.

    Parameters
    ----------
    features : polars or pandas frame of features, with any of the keys ``symbol, ts, segment``; rows of one symbol and
        segment must go forward in time, symbols may be mixed. Or an array of shape (n,) or (n, columns): one unbroken series.
    method : ``"zscore"`` (mean and standard deviation), ``"mad"`` (median and median absolute deviation), ``"minmax"`` (-1 to
        1 between lowest and highest), ``"rank"`` (-1 to 1) or ``"volatility"`` (divided by the root mean square).
    window : rows the statistics are taken over, at least 2.
    columns : names to normalise; all but the keys where None. The others stay as they are.
    exclude_current : take the statistics over the ``window`` rows before the row itself. A surprise then shows in full (the
        z-score of a value within its own window of n cannot exceed ``(n - 1) / sqrt(n)``), and is known one bar earlier.

    Returns
    -------
    The same kind of frame or array, normalised columns Float32: null (NaN in pandas and numpy) while the window is not full
    of numbers, 0 where all values of the window are equal. Over the rows before, a move after a still window is null;
    ``"volatility"`` of a window of zeros is null either way.

    Raises
    ------
    UnknownName : no such method. FeatureError : a column that is missing, no number or infinite; a window below 2; rows of
    one symbol and segment that do not go forward in time.

    Examples
    --------
    >>> frame = pl.DataFrame({"symbol": ["A", "A", "A", "B"], "segment": [0, 0, 0, 0], "x": [1.0, 2.0, 4.0, 9.0]})
    >>> normalize(frame, "minmax", window=2)["x"].to_list()
    [None, 1.0, 1.0, None]
    >>> normalize(np.array([1.0, 2.0, 4.0]), "zscore", window=2, exclude_current=True).round(2)
    array([ nan,  nan, 3.54], dtype=float32)
    """
    if method not in METHODS:
        raise nearest_name(method, METHODS, kind="normalisation method")
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 2:
        raise FeatureError(f"window is {window!r}; a whole number of rows of at least 2 was expected.")
    score = METHODS[method][exclude_current]
    if isinstance(features, pl.LazyFrame):
        features = features.collect()
    if isinstance(features, pl.DataFrame):
        keys = features.select(k for k in KEYS if k in features.columns)
        names = _names(features.columns, columns)
        made = _scored({name: _polars_values(features[name]) for name in names}, keys, score, int(window))
        return features.with_columns(pl.Series(name, values).fill_nan(None) for name, values in made.items())
    if hasattr(features, "iloc") and hasattr(features, "columns"):
        twice = features.columns[features.columns.duplicated()]
        if len(twice):
            raise FeatureError(f"column '{twice[0]}' is there twice; each name once was expected.")
        keys = pl.from_pandas(features[[k for k in KEYS if k in features.columns]].reset_index(drop=True))
        names = _names(list(features.columns), columns)
        made = _scored({name: _pandas_values(features[name], name) for name in names}, keys, score, int(window))
        result = features.copy()
        for name, values in made.items():
            result[name] = values
        return result
    return _array_scored(features, columns, score, int(window))


def _array_scored(features: Any, columns: Any, score: Callable[[Array, int], Array], window: int) -> NDArray[np.float32]:
    values = np.asarray(features)
    if values.dtype.kind not in "fiub" or values.ndim not in (1, 2):
        raise FeatureError(
            f"an array of {values.dtype} with {values.ndim} dimensions was given; numbers of shape (n,) or (n, columns) were "
            "expected."
        )
    if columns is not None:
        raise FeatureError("an array has no column names; columns can be chosen from a frame.")
    table = (values[:, None] if values.ndim == 1 else values).astype(np.float64)
    made = _scored({str(j): table[:, j].copy() for j in range(table.shape[1])}, pl.DataFrame(), score, window)
    result = np.empty(table.shape, np.float32)
    for j, column in enumerate(made.values()):
        result[:, j] = column
    return result.reshape(values.shape)


def _names(present: Sequence[Any], chosen: Sequence[str] | None) -> list[str]:
    if chosen is None:
        return [c for c in present if c not in KEYS]
    if isinstance(chosen, str):
        raise FeatureError(f"columns is the text '{chosen}'; a list of names was expected.")
    for name in chosen:
        if name in KEYS:
            raise FeatureError(f"column '{name}' is a key; keys say whose row it is and are not normalised.")
        if name not in present:
            raise FeatureError(f"column '{name}' is not among {', '.join(map(str, present))}.")
    return list(chosen)


def _polars_values(column: pl.Series) -> Array:
    if not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
        raise FeatureError(_not_numeric(column.name, column.dtype))
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _pandas_values(column: Any, name: str) -> Array:
    try:
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise FeatureError(_not_numeric(name, column.dtype)) from error


def _not_numeric(name: str, dtype: Any) -> str:
    return f"column '{name}' is {dtype}; numbers were expected. Keys may be {', '.join(KEYS)}."


def _scored(
    columns: dict[str, Array], keys: pl.DataFrame, score: Callable[[Array, int], Array], window: int
) -> dict[str, NDArray[np.float32]]:
    n = len(next(iter(columns.values()))) if columns else 0
    groups = list(_groups(keys, n))
    made: dict[str, NDArray[np.float32]] = {}
    for name, values in columns.items():
        infinite = np.isinf(values)
        if infinite.any():
            row = int(np.argmax(infinite))
            raise FeatureError(f"column '{name}' is infinite in row {row}{_whose(keys, row)}; a number or null was expected.")
        made[name] = np.empty(n, np.float32)
        with np.errstate(over="ignore"):
            for rows in groups:
                made[name][rows] = score(np.ascontiguousarray(values[rows]), window)
        if np.isinf(made[name]).any():
            row = int(np.argmax(np.isinf(made[name])))
            raise FeatureError(f"column '{name}' has no finite score in row {row}{_whose(keys, row)}: {values[row]!r}.")
    return made


def _groups(keys: pl.DataFrame, n: int) -> Iterator[Any]:
    """Rows of each symbol and segment in the order they stand, as slices where they stand together."""
    by = [k for k in ("symbol", "segment") if k in keys.columns]
    if not by:
        parts = [np.arange(n)] if n else []
    else:
        parts = [rows.to_numpy() for rows in keys.with_row_index("row").group_by(by, maintain_order=True).agg("row")["row"]]
    for rows in parts:
        together = rows[-1] - rows[0] + 1 == len(rows)
        where = slice(int(rows[0]), int(rows[-1]) + 1) if together else rows
        if "ts" in keys.columns:
            ts = keys["ts"][where] if together else keys["ts"].gather(rows)
            back = (ts <= ts.shift(1)).fill_null(False)
            if back.any() or ts.null_count():
                row = int(rows[int((back | ts.is_null()).arg_max() or 0)])
                raise FeatureError(
                    f"row {row}{_whose(keys, row)} does not come after the row before it of its symbol and segment; these go "
                    "forward in time, each time once."
                )
        yield where


def _whose(keys: pl.DataFrame, row: int) -> str:
    named = [str(keys[k][row]) for k in ("symbol", "ts") if k in keys.columns]
    return f" ({', '.join(named)})" if named else ""
