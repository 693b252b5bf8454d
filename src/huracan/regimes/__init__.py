"""In which state is the market, judged by closed bars only: trending, ranging, volatile or illiquid."""

from huracan.regimes.classifier import RegimeClassifier, RegimeWindows, classify_regimes, current_regime
from huracan.regimes.online import OnlineRegime

__all__ = ["OnlineRegime", "RegimeClassifier", "RegimeWindows", "classify_regimes", "current_regime"]
