"""Candles: what they are, how they are read, where they break, and a simulated market with known truth.

``read_candles`` is the door: whatever file or frame a trader has goes in, canonical candles come out, or one sentence
says why not. Everything after it may rely on :data:`CANDLE_SCHEMA` and on what :func:`validate_candles` refuses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from huracan.market.reading import CandleIngest, CandleSource, ingest_candles, read_candles
from huracan.market.schema import CANDLE_SCHEMA, candles_hash
from huracan.market.segments import bar_length, with_segments, written_length
from huracan.market.timestamps import NoteKind, ReadNote
from huracan.market.validity import validate_candles

if TYPE_CHECKING:
    from huracan.market.external import ExternalJoin, join_external, join_external_report
    from huracan.market.fetching import FetchReport, fetch_candles
    from huracan.market.resampling import ResampleReport, closed_higher_bars, resample_candles, resample_report
    from huracan.market.simulator import SimulatedMarket, simulate_market
    from huracan.market.store import AppendReport, CandleStore

_HOME = {
    "AppendReport": "huracan.market.store",
    "CandleStore": "huracan.market.store",
    "ExternalJoin": "huracan.market.external",
    "FetchReport": "huracan.market.fetching",
    "ResampleReport": "huracan.market.resampling",
    "SimulatedMarket": "huracan.market.simulator",
    "closed_higher_bars": "huracan.market.resampling",
    "fetch_candles": "huracan.market.fetching",
    "join_external": "huracan.market.external",
    "join_external_report": "huracan.market.external",
    "resample_candles": "huracan.market.resampling",
    "resample_report": "huracan.market.resampling",
    "simulate_market": "huracan.market.simulator",
}

__all__ = [
    "CANDLE_SCHEMA",
    "AppendReport",
    "CandleIngest",
    "CandleSource",
    "CandleStore",
    "ExternalJoin",
    "FetchReport",
    "NoteKind",
    "ReadNote",
    "ResampleReport",
    "SimulatedMarket",
    "bar_length",
    "candles_hash",
    "closed_higher_bars",
    "fetch_candles",
    "ingest_candles",
    "join_external",
    "join_external_report",
    "read_candles",
    "resample_candles",
    "resample_report",
    "simulate_market",
    "validate_candles",
    "with_segments",
    "written_length",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'huracan.market' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
