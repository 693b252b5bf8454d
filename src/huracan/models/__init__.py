"""Core learners: forests, gradient boosting, networks."""

from huracan.models.boosting import BOOSTERS
from huracan.models.network_learners import NETWORKS, network_learner
from huracan.models.trees import FORESTS

__all__ = ["BOOSTERS", "FORESTS", "NETWORKS", "network_learner"]
