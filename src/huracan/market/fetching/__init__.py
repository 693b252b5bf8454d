"""Download from exchanges: candles and funding rates into the store, politely, and on from where it stopped."""

from __future__ import annotations

from huracan.market.fetching.candles import fetch_candles
from huracan.market.fetching.exchange_options import read_exchange_options
from huracan.market.fetching.report import FetchReport, SymbolFetch

__all__ = ["FetchReport", "SymbolFetch", "fetch_candles", "read_exchange_options"]
