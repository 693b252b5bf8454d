"""Which version answers for which symbol, as the newest turn of each name kept it: what every reader of champions is told."""

from __future__ import annotations

import sqlalchemy as sa

from huracan.integration.feedback.challenger_log import trials_in
from huracan.integration.feedback.lineup import Lineup
from huracan.integration.feedback.loop_state import put_state, read_state
from huracan.registry.statements import Statement, parsed
from huracan.storage.feedback_tables import mechanic_state

__all__ = ["ANSWERED_BEFORE", "ANSWERS", "answers_of", "answers_there", "keep_answers", "names_since", "versions_wanted"]

ANSWERS = "answers"
"""Key under which a name keeps who answers for which symbol."""
ANSWERED_BEFORE = "answered_before"
"""Key under which a name keeps which versions answered before those, and the turn at which each was found to do so no more."""
_SILENT = 7 * 86_400_000
"""Milliseconds that a name's newest turn may lie behind that of another before nothing is told of it any more; and for which
who answered before is still at hand, since not everybody reads at once who does now."""
_C = mechanic_state.c
_KEPT = Statement(
    sa.select(_C.name, _C.value, _C.tick)
    .where(_C.key == ANSWERS, _C.tick >= sa.bindparam("since", type_=sa.BigInteger))
    .order_by(_C.name)
)


def answers_of(lineup: Lineup) -> dict[str, int]:
    """Symbol -> version that answers for it where its regime is not known yet, or in the first regime that has a champion.

    A symbol that nobody answers for is left out.
    """
    found = {}
    for symbol, route in sorted(lineup.routes.items()):
        if route.answers:
            found[symbol] = (route.answers.get(None) or next(iter(route.answers.values())))[0]
    return found


def keep_answers(connection: sa.Connection, name: str, lineup: Lineup, tick: int, *, simulated: bool = False) -> None:
    """Keep who answers as of a turn, and who has ceased to.

    Parameters
    ----------
    simulated : a simulated market stands in for candles: then nobody answers that anybody should be told of.
    """
    now = {} if simulated else answers_of(lineup)
    state = read_state(connection, name)
    there, before = set(now.values()), dict(state.get(ANSWERED_BEFORE, {}))
    ceased = {str(version): tick for version in set(state.get(ANSWERS, {}).values()) - there}
    kept = {version: at for version, at in before.items() if int(version) not in there and tick - at <= _SILENT} | ceased
    changed = {} if kept.keys() == before.keys() else {ANSWERED_BEFORE: dict(sorted(kept.items()))}
    put_state(connection, name, {ANSWERS: now, **changed}, tick)


def answers_there(connection: sa.Connection) -> dict[str, tuple[str, int]]:
    """Symbol -> name and version that answers for it, over all names of the database.

    Where several names answer for a symbol, the one of fewest symbols does, then the first by the alphabet: models of a symbol
    go before those of all. A name whose newest turn lies a week behind that of another is not told any more, as one that was
    given up, or that a simulated market stood in for.

    Examples
    --------
    >>> from huracan.storage import Database
    >>> database = Database("sqlite://")
    >>> database.upgrade()
    >>> with database.transaction() as connection:
    ...     put_state(connection, "champion", {ANSWERS: {"BTC": 3, "ETH": 3}}, 0)
    ...     put_state(connection, "champion.BTC", {ANSWERS: {"BTC": 8}}, 3_600_000)
    ...     answers_there(connection)
    {'BTC': ('champion.BTC', 8), 'ETH': ('champion', 3)}
    """
    rows = _KEPT(connection, since=0)
    newest = max((row.tick for row in rows), default=0)
    told = [(row.name, parsed(row.value)) for row in rows if newest - row.tick <= _SILENT]
    found: dict[str, tuple[str, int]] = {}
    for name, answers in sorted(told, key=lambda one: (len(one[1]), one[0])):
        for symbol, version in answers.items():
            found.setdefault(symbol, (name, int(version)))
    return found


def versions_wanted(connection: sa.Connection) -> set[tuple[str, int]]:
    """Name and version of whoever answers; did within the last week; or did before one on trial, which may be rolled back.

    Examples
    --------
    >>> from huracan.storage import Database
    >>> database, day = Database("sqlite://"), 86_400_000
    >>> database.upgrade()
    >>> with database.transaction() as connection:
    ...     put_state(connection, "btc", {ANSWERS: {"BTC": 3}, ANSWERED_BEFORE: {"1": 0, "2": 6 * day}}, 8 * day)
    ...     sorted(versions_wanted(connection))
    [('btc', 2), ('btc', 3)]
    """
    wanted = set(answers_there(connection).values())
    rows = _KEPT(connection, since=0)
    newest = max((row.tick for row in rows), default=0)
    for name in [row.name for row in rows]:
        before = read_state(connection, name).get(ANSWERED_BEFORE, {})
        wanted |= {(name, int(version)) for version, at in before.items() if newest - at <= _SILENT}
        wanted |= {(name, trial.before_version) for trial in trials_in(connection, name) if trial.before_version is not None}
    return wanted


def names_since(connection: sa.Connection, tick: int) -> list[str]:
    """Names whose newest turn is not older than this, by the alphabet."""
    return [row.name for row in _KEPT(connection, since=tick)]
