"""The partitioned candle store: append, dedupe, resume, and every revision kept."""

from __future__ import annotations

from huracan.market.store.candle_store import CandleStore
from huracan.market.store.files import is_store
from huracan.market.store.reports import AppendReport

__all__ = ["AppendReport", "CandleStore", "is_store"]
