"""The fitted state of ``EnhancedPreprocessor`` as JSON, exact to the last bit."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np

from huracan.errors import FeatureError
from huracan.preprocessing.column_state import ColumnState
from huracan.preprocessing.component_reduction import ComponentReduction
from huracan.preprocessing.preprocessing_report import FitWindow, PreprocessingReport
from huracan.preprocessing.preprocessor_parameters import check_parameters
from huracan.preprocessing.recipe import FeatureRecipe, read_json_object

__all__ = ["STATE_FORMAT", "read_state", "written_state"]

STATE_FORMAT = 2
"""Version of the JSON form of the fitted state."""


def written_state(fitted: Any) -> str:
    """Parameters, recipe and everything that was learned."""
    parameters = {name: value for name, value in fitted.get_params(deep=False).items() if name != "recipe"}
    names = getattr(fitted, "feature_names_in_", None)
    document = {
        "format": STATE_FORMAT,
        "parameters": {name: value.item() if isinstance(value, np.generic) else value for name, value in parameters.items()},
        "recipe": _recipe_document(fitted.recipe),
        "recipe_": _recipe_document(fitted.recipe_),
        "feature_names_in_": None if names is None else list(names),
        "fit_window_": asdict(fitted.fit_window_),
        "report_": asdict(fitted.report_),
        "columns_": [asdict(state) for state in fitted.columns_],
        "selected_": list(fitted.selected_),
        "reduction_": None if fitted.reduction_ is None else fitted.reduction_.to_dict(),
    }
    return json.dumps(document, allow_nan=False)


def read_state(cls: Any, text: str) -> Any:
    """Make a fitted transformer of class ``cls`` from what :func:`written_state` wrote.

    Raises
    ------
    FeatureError : not such JSON, of another format, or parts that do not fit each other.
    """
    document = read_json_object(text, "the state of an EnhancedPreprocessor")
    if document.get("format") != STATE_FORMAT:
        raise FeatureError(f"preprocessor state has format {document.get('format')!r}; format {STATE_FORMAT} was expected.")
    try:
        parameters = dict(document["parameters"])
        parameters["quantiles"] = tuple(parameters["quantiles"])
        made = cls(recipe=_recipe_from(document["recipe"]), **parameters)
        made.recipe_ = _recipe_from(document["recipe_"])
        made.columns_ = tuple(_column_state(state) for state in document["columns_"])
        made.fit_window_ = FitWindow(**document["fit_window_"])
        made.report_ = PreprocessingReport(**document["report_"])
        made.selected_ = tuple(int(i) for i in document["selected_"])
        reduction = document["reduction_"]
        made.reduction_ = None if reduction is None else ComponentReduction.from_dict(reduction)
        names = document["feature_names_in_"]
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FeatureError):
            raise
        raise FeatureError(f"preprocessor state is damaged: {error}.") from error
    check_parameters(made)
    made._dropped = dict(made.report_.dropped)
    made.n_features_in_ = len(made.columns_)
    if names is not None:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise FeatureError(f"preprocessor state is damaged: feature_names_in_ is {names!r}.")
        if len(names) != len(made.columns_):
            raise FeatureError(f"preprocessor state is damaged: {len(names)} names for {len(made.columns_)} columns.")
        made.feature_names_in_ = np.asarray(names, dtype=object)
    if not made.selected_ or not set(made.selected_) <= set(range(len(made.columns_))):
        raise FeatureError(f"preprocessor state is damaged: columns {made.selected_} of {len(made.columns_)} are selected.")
    if made.reduction_ is not None and len(made.reduction_.center) != len(made.selected_):
        columns = len(made.reduction_.center)
        raise FeatureError(f"preprocessor state is damaged: components of {columns} columns, {len(made.selected_)} selected.")
    return made


def _column_state(document: Any) -> ColumnState:
    """One column, of which every number is one: a transform would else go wrong much later, or not at all."""
    state = ColumnState(**document)
    limits = (state.low, state.high)
    needed = (state.fill, state.center, state.scale, *(limits if limits != (None, None) else ()))
    for value in needed:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise FeatureError(f"preprocessor state is damaged: a column has {value!r} where a finite number was expected.")
    if not state.scale > 0.0:
        raise FeatureError(
            f"preprocessor state is damaged: a column has scale {state.scale!r}; a positive number was expected."
        )
    return state


def _recipe_document(recipe: FeatureRecipe | None) -> Any:
    return None if recipe is None else json.loads(recipe.to_json())


def _recipe_from(document: Any) -> FeatureRecipe | None:
    return None if document is None else FeatureRecipe.from_json(json.dumps(document))
