"""Which features a trial sees, as two more hyperparameters of every learner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from huracan.baselines.search_space import Between, Dimension, OneOf
from huracan.ensembles.feature_ranking import RANKINGS, Ranking

__all__ = ["ALL_FEATURES", "FEATURE_SPACE", "FeatureChoice", "split_choice"]

_BY, _SHARE = "select_features_by", "share_of_features"
_NONE = "none"

FEATURE_SPACE: Mapping[str, Dimension] = {_BY: OneOf((_NONE, *RANKINGS)), _SHARE: Between(0.05, 1.0, log=True)}
"""Dimensions that are searched beside a learner's own."""
ALL_FEATURES: Mapping[str, Any] = {_BY: _NONE, _SHARE: 1.0}
"""The setting that selects nothing: where a search begins."""


@dataclass(frozen=True)
class FeatureChoice:
    """The best ``share`` of the features by a ranking."""

    by: Ranking
    share: float


def split_choice(params: Mapping[str, Any]) -> tuple[dict[str, Any], FeatureChoice | None]:
    """The learner's own settings, and which features it sees; None for all.

    >>> split_choice({"alpha": 1.0, "select_features_by": "importance", "share_of_features": 0.2})
    ({'alpha': 1.0}, FeatureChoice(by='importance', share=0.2))
    >>> split_choice({"alpha": 1.0, "share_of_features": 0.2})
    ({'alpha': 1.0}, None)
    """
    own = {name: value for name, value in params.items() if name not in FEATURE_SPACE}
    by, share = params.get(_BY, _NONE), params.get(_SHARE, 1.0)
    return own, None if by == _NONE or share >= 1.0 else FeatureChoice(by, float(share))
