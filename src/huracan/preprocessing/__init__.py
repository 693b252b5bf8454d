"""Candles to features: indicators, recipes, and the preparation of feature frames, all without a look ahead.

``FeatureRecipe`` says which features and computes them; ``EnhancedPreprocessor`` fills gaps, tames outliers and scales, with
what it learned from its fit window only; ``quality_report`` says what is strange about candles, ``explore``
what they are like.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from huracan.preprocessing.indicators import Indicator, choice, get_indicator, indicator, indicator_table, number, window
from huracan.preprocessing.lags import with_lags
from huracan.preprocessing.recipe import FeatureRecipe
from huracan.preprocessing.spec import FeatureSpec, feature

if TYPE_CHECKING:
    from huracan.preprocessing.cleaning import CleanedCandles, CleaningPolicy, clean_candles, hampel, winsorise
    from huracan.preprocessing.decomposition_fit import fit_local_level
    from huracan.preprocessing.decomposition_viewing import decompose_for_viewing
    from huracan.preprocessing.enhanced_preprocessing import EnhancedPreprocessor, PreprocessingReport
    from huracan.preprocessing.exploration import Exploration, explore
    from huracan.preprocessing.normalization import normalize
    from huracan.preprocessing.online import OnlineFeatures, OnlineStatus
    from huracan.preprocessing.quality import QualityReport, quality_report
    from huracan.preprocessing.window_views import FeatureWindows, windows

_HOME = {
    **dict.fromkeys(
        ("CleanedCandles", "CleaningPolicy", "clean_candles", "hampel", "winsorise"), "huracan.preprocessing.cleaning"
    ),
    "EnhancedPreprocessor": "huracan.preprocessing.enhanced_preprocessing",
    "PreprocessingReport": "huracan.preprocessing.enhanced_preprocessing",
    "Exploration": "huracan.preprocessing.exploration",
    "FeatureWindows": "huracan.preprocessing.window_views",
    "OnlineFeatures": "huracan.preprocessing.online",
    "OnlineStatus": "huracan.preprocessing.online",
    "QualityReport": "huracan.preprocessing.quality",
    "decompose_for_viewing": "huracan.preprocessing.decomposition_viewing",
    "explore": "huracan.preprocessing.exploration",
    "fit_local_level": "huracan.preprocessing.decomposition_fit",
    "normalize": "huracan.preprocessing.normalization",
    "quality_report": "huracan.preprocessing.quality",
    "windows": "huracan.preprocessing.window_views",
}

__all__ = [
    "CleanedCandles",
    "CleaningPolicy",
    "EnhancedPreprocessor",
    "Exploration",
    "FeatureRecipe",
    "FeatureSpec",
    "FeatureWindows",
    "Indicator",
    "OnlineFeatures",
    "OnlineStatus",
    "PreprocessingReport",
    "QualityReport",
    "choice",
    "clean_candles",
    "decompose_for_viewing",
    "explore",
    "feature",
    "fit_local_level",
    "get_indicator",
    "hampel",
    "indicator",
    "indicator_table",
    "normalize",
    "number",
    "quality_report",
    "window",
    "windows",
    "winsorise",
    "with_lags",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'huracan.preprocessing' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
