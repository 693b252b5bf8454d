"""In which state is the market, judged by closed bars only: trending, ranging, volatile or illiquid."""

from huracan.regimes.classifier import RegimeClassifier, classify_regimes, current_regime

__all__ = ["RegimeClassifier", "classify_regimes", "current_regime"]
