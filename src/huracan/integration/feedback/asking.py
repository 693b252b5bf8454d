"""Stage 2: every version that may have to answer, or is compared with one that does, says what it says of the new bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from huracan.errors import StorageError
from huracan.integration.feedback.alerting import settle_alerts
from huracan.integration.feedback.before_use import cleaned_otherwise
from huracan.integration.feedback.lateness import LATENESS, now_late, why_late
from huracan.integration.feedback.lineup import Lineup
from huracan.integration.feedback.loop_state import put_state
from huracan.integration.feedback.predicting import Predictions, predict
from huracan.integration.feedback.shadows import Shadow
from huracan.integration.feedback.tick_log import Write
from huracan.integration.feedback.turn import CURSOR, Turn
from huracan.mlops.alerts import AlertLevel
from huracan.mlops.performance.answered import ANSWERED
from huracan.model_info import MarketRegime
from huracan.serving.placing import DOES_NOT_FIT
from huracan.serving.served import Served

__all__ = ["ANSWERED", "BESIDE", "LATE", "SHADOWED", "ask_versions"]

BESIDE, SHADOWED, LATE = "beside", "challenger", "late"
"""Roles of a prediction beside ``ANSWERED``, which it has that was the answer: another version answered in that regime; it was
asked for comparison only; whoever was asked, it was said when nobody could act on it any more."""
_ROLE = 3
"""Place of the role in a row of a prediction."""
_DAY = 86_400_000


def ask_versions(turn: Turn) -> Write:
    """Ask about the bars since each symbol's newest that was predicted.

    A bar is predicted at the first turn after its close that has it, in the order of time: one that comes late, behind others
    that were predicted, is not, since what would be said of it now was not said then. One that is answered too late to act on,
    as after an absence, is marked so: it counts in no figure of what was lived, only between versions that were all asked late.
    """
    works, newest = turn.works, turn.intake.newest
    state = turn.state()
    kept: dict[str, int] = dict(state.get(CURSOR, {}))
    after = {symbol: kept.get(symbol, ts - turn.bar) for symbol, ts in newest.items()}
    due = tuple(symbol for symbol in turn.symbols if newest[symbol] > after[symbol])
    rows: list[tuple[Any, ...]] = []
    troubles = {str(version): (AlertLevel.ERROR, why) for version, why in turn.lineup.trouble.items()}
    lineup = turn.lineup
    asked = lineup.answering()
    shadows = _shadows(turn, asked, troubles)
    if due:
        for version, symbols in asked.items():
            said = _said(turn, lineup.served[version], symbols, due, after, troubles)
            if said is None:
                continue
            answers = said.within(_answers(lineup, version))
            rows += _rows(turn, said.take(answers), ANSWERED)
            rows += _rows(turn, said.take(~answers), BESIDE)
        for shadow, served in shadows:
            said = _said(turn, served, shadow.symbols(turn.symbols), due, after, troubles)
            if said is not None:
                there = {symbol for symbol in said.symbols if symbol in asked.get(shadow.version, ())}
                fresh = ~np.isin(said.code, [said.symbols.index(symbol) for symbol in there])
                rows += _rows(turn, said.take(fresh), SHADOWED)
    alone = {
        symbol: (AlertLevel.WARNING, f"{symbol} has candles, and no champion answers for it{where}.")
        for symbol, where in lineup.unanswered.items()
    }
    otherwise = {
        str(version): (AlertLevel.WARNING, why)
        for version in asked
        if (why := cleaned_otherwise(lineup.served[version], works.config.cleaning))
    }
    refused = {symbol: (AlertLevel.WARNING, f"{symbol}: {why}") for symbol, why in turn.features.refused.items()}
    counted = now_late(state, np.array([row[_ROLE] == LATE for row in rows], bool), catches_up=turn.catches_up)
    kept_anew: dict[str, Any] = {} if counted == state.get(LATENESS, []) else {LATENESS: counted}
    late = why_late(counted, works.config)
    cursor = dict(sorted({**kept, **{symbol: max(after[symbol], ts) for symbol, ts in newest.items()}}.items()))

    def write(connection: sa.Connection) -> None:
        if rows:
            works.store.predicted(connection, rows)
        put_state(connection, works.name, {CURSOR: cursor, **kept_anew}, turn.tick)
        settle_alerts(connection, works.alerts, "artifact", troubles, tick=turn.tick)
        settle_alerts(connection, works.alerts, "cleaning", otherwise, tick=turn.tick)
        settle_alerts(connection, works.alerts, "unanswered", alone, tick=turn.tick)
        settle_alerts(connection, works.alerts, "features", refused, tick=turn.tick)
        settle_alerts(connection, works.alerts, "late", late, tick=turn.tick, again=_DAY)

    return write


def _rows(turn: Turn, said: Predictions, role: str) -> list[tuple[Any, ...]]:
    """As they are kept: what is said when nobody can act on it any more has a role of its own."""
    late = said.ts + turn.bar < turn.in_time_from
    return said.take(late).rows(role=LATE, tick=turn.tick) + said.take(~late).rows(role=role, tick=turn.tick)


def _said(
    turn: Turn,
    served: Served,
    symbols: Sequence[str],
    due: Sequence[str],
    after: Mapping[str, int],
    troubles: dict[str, tuple[AlertLevel, str]],
) -> Predictions | None:
    """What a version says of the bars that are due of some symbols; one that fails says nothing of them, which is told."""
    wanted = [symbol for symbol in symbols if symbol in due]
    if not wanted:
        return None
    first = min(after[symbol] for symbol in wanted) + turn.bar
    version = served.version.version
    id = turn.works.bench.id_of(version)
    try:
        said = predict(served, turn.features, wanted, first, turn.tick, version_id=id, rules=turn.rules)
    except StorageError:  # candles cannot be read at present: the turn is begun again
        raise
    except DOES_NOT_FIT as error:
        troubles[str(version)] = (AlertLevel.ERROR, f"'{served.model_id}' failed to answer: {type(error).__name__}: {error}")
        return None
    behind = np.array([after[symbol] for symbol in said.symbols], np.int64)
    return said.take(said.ts > behind[said.code]) if len(said) else said


def _shadows(
    turn: Turn, asked: Mapping[int, Sequence[str]], troubles: dict[str, tuple[AlertLevel, str]]
) -> list[tuple[Shadow, Served]]:
    """Those that can be served; of the others it is told why not, and what becomes of them is decided where verdicts are."""
    found = []
    for shadow in turn.shadows():
        if set(shadow.symbols(turn.symbols)) <= set(asked.get(shadow.version, ())):
            continue
        if why := turn.works.bench.trouble_of(shadow.version):
            said = f"version {shadow.version} of '{turn.works.name}' cannot be asked beside the champion: {why}"
            troubles.setdefault(str(shadow.version), (AlertLevel.ERROR, said))
            continue
        found.append((shadow, turn.works.bench.served(shadow.version)))
    return found


def _answers(lineup: Lineup, version: int) -> dict[str, list[MarketRegime | None]]:
    """Symbol -> regimes in which the version answers."""
    return {
        symbol: [regime for regime, (answering, _) in route.answers.items() if answering == version]
        for symbol, route in lineup.routes.items()
    }
