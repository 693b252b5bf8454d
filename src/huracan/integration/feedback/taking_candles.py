"""Stage 1: new candles in; what came late, was revised or refused is told, and who fell silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from huracan.integration.feedback.alerting import settle_alerts
from huracan.integration.feedback.candle_intake import Intake
from huracan.integration.feedback.evidence_log import put_evidence
from huracan.integration.feedback.feeds import StoreFeed
from huracan.integration.feedback.loop_state import put_state
from huracan.integration.feedback.tick_log import Write
from huracan.integration.feedback.turn import INTAKE, Turn
from huracan.market.schema import written_time
from huracan.mlops.alerts import AlertLevel
from huracan.mlops.evidence import Evidence, EvidenceKind

__all__ = ["SILENT_BARS", "take_candles"]

SILENT_BARS = 3
"""Bars that may be missing at the end before a symbol counts as silent."""
_SILENT = "silent"
_ARRIVED = "arrived"


def take_candles(turn: Turn) -> Write:
    """Take what is closed by the turn's moment. Symbols whose candles stopped coming are evidence of an outage, once."""
    taken = _wanted(turn, turn.works.feed.take(turn.tick))
    known = turn.state()
    taken, arrived = _counted(turn, taken, known)
    turn.intake = taken
    before: dict[str, int] = dict(known.get(_SILENT, {}))
    now = {symbol: ts for symbol, ts in taken.newest.items() if turn.tick - ts > (1 + SILENT_BARS) * turn.bar}
    fell_silent = [symbol for symbol in sorted(now) if symbol not in before]
    seen = [_outage(turn, symbol, now[symbol]) for symbol in fell_silent]
    silent = {symbol: (AlertLevel.WARNING, f"{symbol} has no candle since {written_time(ts)}.") for symbol, ts in now.items()}
    refused = {
        what: (AlertLevel.ERROR, f"candles{'' if what == '*' else f' of {what}'} were not taken: {why}")
        for what, why in taken.refused.items()
    }
    counted = {_ARRIVED: arrived} if arrived else {}
    kept: dict[str, Any] = {
        "newest": dict(taken.newest),
        "late": dict(taken.late),
        "revised": dict(taken.revised),
        "refused": dict(taken.refused),
    }

    def write(connection: sa.Connection) -> None:
        put_state(connection, turn.works.name, {INTAKE: kept, **counted, _SILENT: dict(sorted(now.items()))}, turn.tick)
        put_evidence(connection, turn.works.name, turn.tick, seen)
        settle_alerts(connection, turn.works.alerts, "outage", silent, tick=turn.tick)
        settle_alerts(connection, turn.works.alerts, "refused", refused, tick=turn.tick)

    return write


def _counted(turn: Turn, taken: Intake, known: Mapping[str, Any]) -> tuple[Intake, dict[str, list[int]]]:
    """What of a store came late or was revised since the last turn, whoever filled it, and how much ever did.

    The sums are kept with the turn, so that neither a death between storing and counting nor a second count changes anything.
    What was there at the first turn, or when a symbol was first seen, is history and no news.
    """
    feed = turn.works.feed
    if not isinstance(feed, StoreFeed):
        return taken, {}
    before: Mapping[str, list[int]] = known.get(_ARRIVED, {})
    arrived = {symbol: list(counts) for symbol, counts in feed.arrived().items()}
    late, revised = (
        {symbol: n for symbol, counts in arrived.items() if symbol in before and (n := counts[k] - before[symbol][k]) > 0}
        for k in (0, 1)
    )
    return replace(taken, late=late, revised=revised), {**before, **arrived}


def _wanted(turn: Turn, taken: Intake) -> Intake:
    """Of the symbols that are looked after; one that has no candles at all is told, where the feed has not said why."""
    wanted = turn.works.config.mechanic.symbols
    if not wanted:
        return taken
    newest = {symbol: ts for symbol, ts in taken.newest.items() if symbol in wanted}
    there = ", ".join(taken.newest) or "none of any symbol"
    explained = {symbol for what in taken.refused for symbol in (wanted if what == "*" else what.split(", "))}
    unknown = {
        symbol: f"mechanic.symbols names it, and there are no candles of it; there are {there}."
        for symbol in wanted
        if symbol not in newest and symbol not in explained
    }
    return replace(taken, newest=newest, refused={**taken.refused, **unknown})


def _outage(turn: Turn, symbol: str, newest: int) -> Evidence:
    missing = (turn.tick - newest) // turn.bar - 1
    return Evidence.of(
        EvidenceKind.OUTAGE,
        f"{symbol} has no candle since {written_time(newest)}: {missing} bars are missing by now.",
        name=turn.works.name,
        tick=turn.tick,
        symbol=symbol,
        since=newest + turn.bar,
        details={"missing_bars": missing},
    )
