"""The simple models that everything must beat, and the tests that say whether it did.

Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "FitContext": "spec",
    "LearnerSpec": "spec",
    "TabularClassifier": "tabular",
    "TabularRegressor": "tabular",
}
_COMPARISON = "ab_testing"

__all__ = ["FitContext", "LearnerSpec", "TabularClassifier", "TabularRegressor"]


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    comparison = import_module(f"{__name__}.{_COMPARISON}")
    if name not in comparison.__all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(comparison, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *import_module(f"{__name__}.{_COMPARISON}").__all__})
