"""Model selection and tuning under a budget."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huracan.automl.automl_engine import AutoMLEngine
    from huracan.baselines.search_space import Between, OneOf

__all__ = ["AutoMLEngine", "Between", "OneOf"]

_HOME = {
    "AutoMLEngine": "huracan.automl.automl_engine",
    "Between": "huracan.baselines.search_space",
    "OneOf": "huracan.baselines.search_space",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
