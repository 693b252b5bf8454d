"""What candles and features are like before anything is learned from them: ``explore`` and its parts, each usable alone."""

from __future__ import annotations

from huracan.preprocessing.exploration.dependence import autocorrelations
from huracan.preprocessing.exploration.distributions import return_distribution, tail_index
from huracan.preprocessing.exploration.report import Exploration, explore
from huracan.preprocessing.exploration.stationarity import StationarityTest, stationarity

__all__ = [
    "Exploration",
    "StationarityTest",
    "autocorrelations",
    "explore",
    "return_distribution",
    "stationarity",
    "tail_index",
]
