"""What the parameters of ``EnhancedPreprocessor`` may be."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from huracan.errors import FeatureError

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
    low, high = preprocessor.quantiles
    if not 0.0 <= low < high <= 1.0:
        raise FeatureError(f"quantiles are {preprocessor.quantiles}; 0 <= low < high <= 1 was expected.")
    least_width = 1.0 if preprocessor.outliers == "rolling" else 0.0
    if not (np.isfinite(preprocessor.mad_width) and preprocessor.mad_width > 0.0 and preprocessor.mad_width >= least_width):
        said = "a width of at least 1" if least_width else "a positive number"
        raise FeatureError(f"mad_width is {preprocessor.mad_width}; {said} was expected.")
    if not np.isfinite(preprocessor.fill_value):
        raise FeatureError(f"fill_value is {preprocessor.fill_value}; a finite number was expected.")
    _whole(preprocessor.fill_limit, "fill_limit", least=1, optional=True)
    _whole(preprocessor.outlier_window, "outlier_window", least=2)
    if not 0.0 < preprocessor.correlation_threshold <= 1.0:
        raise FeatureError(
            f"correlation_threshold is {preprocessor.correlation_threshold}; above 0 and at most 1 was expected."
        )
    components: Any = preprocessor.components
    if isinstance(components, Integral) and not isinstance(components, bool):
        _whole(components, "components", least=1)
    elif components is not None and not (isinstance(components, float | np.floating) and 0.0 < components < 1.0):
        raise FeatureError(
            f"components is {components!r}; a number of components, a share between 0 and 1, or None was expected."
        )


def _whole(value: Any, name: str, *, least: int, optional: bool = False) -> None:
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise FeatureError(
            f"{name} is {value!r}; a whole number of at least {least}{' or None' if optional else ''} was expected."
        )
