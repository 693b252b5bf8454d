"""Core learners: forests and gradient boosting."""

from huracan.models.boosting import BOOSTERS
from huracan.models.trees import FORESTS

__all__ = ["BOOSTERS", "FORESTS"]
