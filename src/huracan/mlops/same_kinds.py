"""Columns of a window that say the same in another form: truth as words or as 0 and 1; what is said of those that do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from huracan.mlops.categories import MISSING, CategoryReference
from huracan.mlops.column_tests import NumberReference
from huracan.mlops.drift_rows import DriftRows
from huracan.mlops.reference import Reference, ReferenceColumn

__all__ = ["in_the_form_of", "said_of_kinds"]

Values = NDArray[np.floating] | pl.Series

_TRUTH = {"false": 0.0, "true": 1.0}
_SAME = 0.99  # of the stored quantiles; one may lie between two values
_SHOWN = 30


def in_the_form_of(reference: Reference, rows: DriftRows) -> DriftRows:
    """The window with its truth values in the form that the reference has them in; all else as it is.

    A file keeps ``True`` as a truth value, as a word in either case, or as 1, depending on who wrote it.

    Examples
    --------
    >>> from huracan.mlops import DriftDetector
    >>> from huracan.mlops.drift_rows import read_rows
    >>> learned = DriftDetector().fit({"up": np.arange(300) % 2 == 0}).reference_
    >>> in_the_form_of(learned, read_rows({"up": [1, 0, 0]})).columns["up"].to_list()
    ['true', 'false', 'false']
    """
    told = {
        name: _told_as(reference.columns[name], values) for name, values in rows.columns.items() if name in reference.columns
    }
    changed = {name: values for name, values in told.items() if values is not None}
    return replace(rows, columns={**rows.columns, **changed}) if changed else rows


def said_of_kinds(reference: ReferenceColumn, values: Values) -> str:
    """How a column that holds numbers in one and categories in the other is told, with what a reader can look for.

    Examples
    --------
    >>> from huracan.mlops import DriftDetector
    >>> learned = DriftDetector().fit({"x": np.arange(300.0)}).reference_
    >>> said_of_kinds(learned.columns["x"], pl.Series(["1,5", "1,7"]))
    "a number in the reference and text in the window, such as '1,5'"
    >>> said_of_kinds(learned.columns["x"], pl.Series(["n/a", "n/a"]))
    "a number in the reference and text in the window, 'n/a' throughout"
    """
    if isinstance(reference, CategoryReference):
        first = next((name for name in reference.known if name != MISSING), MISSING)
        return f"a category in the reference, such as {_shown(first)}, and a number in the window"
    before = "no value at all" if reference.missing.share == 1.0 else "a number"
    assert isinstance(values, pl.Series)
    given = values.drop_nulls()
    alone = given.len() == values.len() and given.n_unique() == 1
    return f"{before} in the reference and text in the window, " + (
        f"{_shown(given[0])} throughout" if alone else f"such as {_shown(given[0])}"
    )


def _told_as(reference: ReferenceColumn, values: Values) -> Values | None:
    """Truth values in the form of the reference; None where they are in it, or either holds something else."""
    if isinstance(reference, NumberReference):
        if not isinstance(values, pl.Series) or not _is_zero_and_one(reference):
            return None
        words = values.str.to_lowercase()
        if not set(words.unique().drop_nulls().to_list()) <= set(_TRUTH):
            return None
        return words.replace_strict(_TRUTH, return_dtype=pl.Float64).fill_null(np.nan).to_numpy()
    spelling = {name.lower(): name for name in reference.known if name != MISSING}
    if not spelling or not set(spelling) <= set(_TRUTH):
        return None
    if isinstance(values, pl.Series):
        given = set(values.unique().drop_nulls().to_list())
        if given <= set(reference.known) or not {word.lower() for word in given} <= set(_TRUTH):
            return None
        return values.str.to_lowercase().replace(spelling)
    if not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
        return None
    numbers = pl.Series(values).cast(pl.Float64).fill_nan(None)
    spelled = {number: spelling.get(word, word) for word, number in _TRUTH.items()}
    return numbers.replace_strict(spelled, return_dtype=pl.String)


def _is_zero_and_one(reference: NumberReference) -> bool:
    return len(reference.quantiles) > 0 and float(np.isin(reference.quantiles, (0.0, 1.0)).mean()) >= _SAME


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
