"""Huracan: machine learning for trading that you can defend.

The names below are loaded when they are first used, so that ``import huracan`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from huracan.version import __version__

if TYPE_CHECKING:
    from huracan.dataset import TrainingSet
    from huracan.integration.mechanic import Mechanic
    from huracan.integration.unified_pipeline import UnifiedMLPipeline
    from huracan.model_info import MarketRegime, ModelInfo
    from huracan.model_registry import ModelRegistry

_HOME = {
    "MarketRegime": "huracan.model_info",
    "Mechanic": "huracan.integration.mechanic",
    "ModelInfo": "huracan.model_info",
    "ModelRegistry": "huracan.model_registry",
    "TrainingSet": "huracan.dataset",
    "UnifiedMLPipeline": "huracan.integration.unified_pipeline",
}

__all__ = ["MarketRegime", "Mechanic", "ModelInfo", "ModelRegistry", "TrainingSet", "UnifiedMLPipeline", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'huracan' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
