"""Alpha158 written out: 158 features in their published order, under their published names."""

from __future__ import annotations

from huracan.preprocessing.indicators.alpha158 import WINDOW_OPERATORS
from huracan.preprocessing.spec import FeatureSpec, feature

__all__ = ["ALPHA158", "WINDOWS"]

WINDOWS = (5, 10, 20, 30, 60)
"""Windows of every operator, in bars."""

ALPHA158: tuple[FeatureSpec, ...] = (
    feature("alpha158_candle"),
    feature("alpha158_prices"),
    *(feature(operator, window=n) for operator in WINDOW_OPERATORS for n in WINDOWS),
)
