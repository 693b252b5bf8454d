"""Each champion's payoffs as they become known, held against what it promised; kept from turn to turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import sqlalchemy as sa

from huracan.errors import DataError
from huracan.integration.feedback.aliases import CHAMPION
from huracan.integration.feedback.asking import LATE
from huracan.integration.feedback.loop_state import put_state, read_state
from huracan.integration.feedback.scope_rows import answered_in, in_scope, payoffs
from huracan.integration.feedback.turn import Turn
from huracan.mlops.live_expectation import EXPECTATION, LiveExpectation
from huracan.mlops.skill_monitor import SkillMonitor
from huracan.registry.scopes import Scope
from huracan.serving.served import Served

__all__ = ["monitor_key", "monitor_of", "watch"]

_FIRST_LOOK = 240


def monitor_key(scope: Scope) -> str:
    """Under which the monitor of a scope's champion is kept.

    >>> monitor_key(Scope("", "trending"))
    'monitor:champion@*/trending'
    """
    return f"monitor:{scope.written(CHAMPION)}"


def monitor_of(state: Mapping[str, Any], scope: Scope, served: Served) -> SkillMonitor:
    """The monitor of a scope's champion as it is kept; a new one where another version was champion before."""
    kept = state.get(monitor_key(scope))
    if kept is not None and kept["version"] == served.version.version:
        return SkillMonitor.from_json(kept["state"])
    first_look = max(_FIRST_LOOK, 10 * served.horizon)
    settings: dict[str, Any] = {"name": served.model_id, "first_look": first_look}
    promised = _promised(served)
    if promised is None:
        return SkillMonitor(expected=0.0, spread=1.0, **settings)
    return SkillMonitor.of(promised, **settings)


def watch(connection: sa.Connection, turn: Turn, known: pl.DataFrame) -> None:
    """Let every champion's monitor take the moments that have become known, each once, in the order of time.

    What was said too late to act on is nothing that was lived.
    """
    known = known.filter(pl.col("role") != LATE)
    lineup, name = turn.lineup, turn.works.name
    state = read_state(connection, name)
    changed: dict[str, Any] = {}
    for scope, version in lineup.able.items():
        served = lineup.served.get(version)
        if served is None or served.baseline:
            continue
        monitor = monitor_of(state, scope, served)
        rows = in_scope(known, turn.works.bench.id_of(version), answered_in(lineup, scope))
        taken = list(payoffs(rows, monitor.moment))
        for moment, payoff in taken:
            monitor.update(payoff, moment=moment)
        if taken:
            changed[monitor_key(scope)] = {"version": version, "state": monitor.to_json()}
    put_state(connection, name, changed, turn.tick)


def _promised(served: Served) -> LiveExpectation | None:
    """What the version's figures out of fold promise; None where it was registered without."""
    kept = served.version.extras.get(EXPECTATION)
    if kept is None:
        return None
    try:
        return LiveExpectation.from_dict(kept)
    except DataError:  # too little was judged out of fold for a promise
        return None
