"""The partitioned candle store: append, dedupe, resume, and every revision kept."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from huracan.market.store.files import is_store

if TYPE_CHECKING:
    from huracan.market.store.candle_store import CandleStore
    from huracan.market.store.reports import AppendReport

_HOME = {"AppendReport": "huracan.market.store.reports", "CandleStore": "huracan.market.store.candle_store"}

__all__ = ["AppendReport", "CandleStore", "is_store"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'huracan.market.store' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
