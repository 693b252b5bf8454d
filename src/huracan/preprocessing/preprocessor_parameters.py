"""What the parameters of ``EnhancedPreprocessor`` may be."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from huracan.errors import FeatureError
from huracan.preprocessing.recipe import FeatureRecipe

__all__ = ["check_parameters"]

_CHOICES: dict[str, tuple[str | None, ...]] = {
    "imputation": ("median", "forward_fill", "constant"),
    "outliers": ("quantile", "mad", "rolling", "none"),
    "scaling": ("standard", "robust", "none"),
    "selection": (None, "correlation_clusters"),
}


def check_parameters(preprocessor: Any) -> None:
    """Refuse a parameter that is not one of its choices or out of bounds, naming it.

    Raises
    ------
    FeatureError : which parameter, its value, and what was expected.
    """
    for name, allowed in _CHOICES.items():
        if getattr(preprocessor, name) not in allowed:
            raise FeatureError(
                f"{name} is {getattr(preprocessor, name)!r}; one of {', '.join(str(a) for a in allowed)} was expected."
            )
    if preprocessor.recipe is not None and not isinstance(preprocessor.recipe, FeatureRecipe):
        raise FeatureError(
            f"recipe is {preprocessor.recipe!r}; a FeatureRecipe, such as FeatureRecipe.default(), was expected."
        )
    quantiles = preprocessor.quantiles
    if not (isinstance(quantiles, tuple | list) and len(quantiles) == 2 and all(map(_is_number, quantiles))):
        raise FeatureError(f"quantiles are {quantiles!r}; two numbers, low and high, were expected.")
    if not 0.0 <= quantiles[0] < quantiles[1] <= 1.0:
        raise FeatureError(f"quantiles are {quantiles}; 0 <= low < high <= 1 was expected.")
    rolls = preprocessor.outliers == "rolling"  # Hampel's filter is no filter below one deviation
    width = preprocessor.mad_width
    if not (_is_number(width) and width > 0.0 and (width >= 1.0 or not rolls)):
        raise FeatureError(f"mad_width is {width!r}; {'a width of at least 1' if rolls else 'a positive number'} was expected.")
    if not _is_number(preprocessor.fill_value):
        raise FeatureError(f"fill_value is {preprocessor.fill_value!r}; a finite number was expected.")
    _whole(preprocessor.fill_limit, "fill_limit", least=1, optional=True)
    _whole(preprocessor.outlier_window, "outlier_window", least=2)
    threshold = preprocessor.correlation_threshold
    if not (_is_number(threshold) and 0.0 < threshold <= 1.0):
        raise FeatureError(f"correlation_threshold is {threshold!r}; above 0 and at most 1 was expected.")
    components: Any = preprocessor.components
    if isinstance(components, Integral) and not isinstance(components, bool):
        _whole(components, "components", least=1)
    elif components is not None and not (isinstance(components, float | np.floating) and 0.0 < components < 1.0):
        raise FeatureError(
            f"components is {components!r}; a number of components, a share between 0 and 1, or None was expected."
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(np.isfinite(value))


def _whole(value: Any, name: str, *, least: int, optional: bool = False) -> None:
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise FeatureError(
            f"{name} is {value!r}; a whole number of at least {least}{' or None' if optional else ''} was expected."
        )
