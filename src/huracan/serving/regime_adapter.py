"""The market's regime, symbol by symbol, as candles arrive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from huracan.model_info import MarketRegime
from huracan.regimes import RegimeClassifier

__all__ = ["OnlineRegimes"]


class OnlineRegimes:
    def __init__(self, classifier: RegimeClassifier, symbols: Iterable[str]) -> None:
        self._classifier = classifier
        self._last: dict[str, MarketRegime | None] = dict.fromkeys(symbols)

    @classmethod
    def open(cls, classifier: RegimeClassifier, history: pl.DataFrame, *, symbols: Iterable[str]) -> OnlineRegimes:
        made = cls(classifier, symbols)
        made._last.update(classifier.current_regime(history) if history.height else {})
        return made

    def update(self, symbol: str, ts: int, candle: Mapping[str, Any]) -> MarketRegime | None:
        return self._last[symbol]

    def of(self, symbol: str) -> MarketRegime | None:
        return self._last[symbol]
