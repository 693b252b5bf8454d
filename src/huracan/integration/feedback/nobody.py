"""Where nobody answers at all: since when and why, said at every turn, and before long as an alert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from huracan.integration.feedback.alerting import settle_alerts
from huracan.integration.feedback.lineup import Lineup
from huracan.integration.feedback.loop_state import read_state
from huracan.mlops.alerts import AlertLevel, Alerts
from huracan.storage import Database

__all__ = ["ALERT_AFTER", "NOBODY", "Nobody", "in_vain", "now_nobody", "settle_nobody", "why_nobody"]

NOBODY = "nobody"
"""Key under which is kept since when nobody answers, and why; it is null while somebody does."""
ALERT_AFTER = 3
"""Bars without an answer of anybody after which that is an alert."""
_WEEK = 7 * 86_400_000
"""Milliseconds after which what still holds is an alert again: a first champion may need weeks of bars, and years of days."""


@dataclass(frozen=True)
class Nobody:
    """That nobody answers.

    Attributes
    ----------
    since : of the first turn of which that holds, milliseconds UTC. why : in a clause.
    """

    since: int
    why: str

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Nobody | None:
        """As it is kept; None where somebody answers, or nothing was kept.

        >>> Nobody.of({NOBODY: {"since": 5, "why": "there are too few bars"}})
        Nobody(since=5, why='there are too few bars')
        """
        kept = state.get(NOBODY)
        return None if kept is None else cls(int(kept["since"]), str(kept["why"]))


def now_nobody(state: Mapping[str, Any], lineup: Lineup, *, tick: int, why: str) -> dict[str, Any]:
    """What is to be kept of it now; nothing where it is kept already.

    Parameters
    ----------
    state : as it is kept. tick : of the turn, milliseconds UTC. why : nobody answers, where that is so.
    """
    before = Nobody.of(state)
    if lineup.answering():
        return {} if before is None else {NOBODY: None}
    now = Nobody(tick if before is None else before.since, why)
    return {} if now == before else {NOBODY: vars(now)}


def in_vain(state: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """What is to be kept where a first champion was to be trained and could not be; nothing where others answer.

    Parameters
    ----------
    state : as it is kept. reason : for which it could not be trained.
    """
    before = Nobody.of(state)
    return {} if before is None else {NOBODY: vars(Nobody(before.since, f"of a first champion, {reason.rstrip('.')}"))}


def settle_nobody(connection: sa.Connection, alerts: Alerts, found: Nobody | None, *, tick: int, bar: int) -> None:
    """The alert that nobody has answered for some bars; it ends when somebody does.

    Parameters
    ----------
    found : at the end of a turn. tick, bar : milliseconds.
    """
    now = {}
    if found is not None and (bars := (tick - found.since) // bar) >= ALERT_AFTER:
        now["answers"] = (AlertLevel.WARNING, f"nobody has answered for {bars} bars: {found.why}.")
    settle_alerts(connection, alerts, NOBODY, now, tick=tick, again=_WEEK)


def why_nobody(database: Database, name: str) -> str:
    """Why nobody answers, as the newest turn of a name kept it; empty where somebody does."""
    found = database.read(lambda connection: Nobody.of(read_state(connection, name)))
    return "" if found is None else found.why
