"""Put a stored ensemble, stacker or selection of features together again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huracan.errors import HuracanError, ModelError

__all__ = ["ensemble_from_parts"]


def ensemble_from_parts(state: Mapping[str, Any], parts: Mapping[str, Any]) -> Any:
    """An ensemble, stacker or selection of features from what its ``to_parts()`` gave.

    Parameters
    ----------
    state : plain values. parts : name of each part -> model.

    Raises
    ------
    ModelError : the state is of another kind or format, lacks a key, or does not fit the parts.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from huracan.ensembles import EnsembleRegressor
    >>> X = np.arange(20.0)[:, None]
    >>> made = EnsembleRegressor({"a": Ridge(), "b": Ridge(5.0)}).fit(X, X[:, 0])
    >>> bool(np.array_equal(ensemble_from_parts(*made.to_parts()).predict(X), made.predict(X)))
    True
    """
    from huracan.ensembles.ensemble import EnsembleClassifier, EnsembleRegressor
    from huracan.ensembles.selected_features import SelectedFeaturesClassifier, SelectedFeaturesRegressor
    from huracan.ensembles.stacking import TimeOrderedStackingClassifier, TimeOrderedStackingRegressor

    kinds: dict[tuple[Any, Any], Any] = {
        ("ensemble", "regression"): EnsembleRegressor,
        ("ensemble", "classification"): EnsembleClassifier,
        ("stacking", "regression"): TimeOrderedStackingRegressor,
        ("stacking", "classification"): TimeOrderedStackingClassifier,
        ("selected_features", "regression"): SelectedFeaturesRegressor,
        ("selected_features", "classification"): SelectedFeaturesClassifier,
    }
    kind = kinds.get((state.get("name"), state.get("task")))
    if kind is None or state.get("format") != 1:
        raise ModelError(
            f"the stored model is {state.get('name')}/{state.get('task')} in format {state.get('format')}; an ensemble, "
            "stacking or selected_features in format 1 was expected."
        )
    try:
        return kind.from_parts(state, parts)
    except HuracanError:
        raise
    except KeyError as error:
        raise ModelError(f"the stored {state['name']} lacks {error}.") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"the stored {state['name']} is damaged: {error}.") from error
