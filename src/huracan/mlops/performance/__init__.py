"""What models said live, what came of it, and what that amounts to beside what was promised."""

from huracan.mlops.performance.store import PerformanceStore
from huracan.mlops.performance.writing import Received

__all__ = ["PerformanceStore", "Received"]
