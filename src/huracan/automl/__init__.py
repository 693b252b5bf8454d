"""Model selection and tuning under a budget."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huracan.automl.automl_engine import AutoMLEngine
    from huracan.automl.study_store import earlier_trials, read_study
    from huracan.baselines.search_space import Between, OneOf

__all__ = ["AutoMLEngine", "Between", "OneOf", "earlier_trials", "read_study"]

_HOME = {
    "AutoMLEngine": "huracan.automl.automl_engine",
    "Between": "huracan.baselines.search_space",
    "OneOf": "huracan.baselines.search_space",
    "earlier_trials": "huracan.automl.study_store",
    "read_study": "huracan.automl.study_store",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
