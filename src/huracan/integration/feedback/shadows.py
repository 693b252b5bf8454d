"""Who is asked beside those that answer: challengers in shadow, and champions before on whose heels a new one is on trial."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from huracan.integration.feedback.challenger_log import ChallengerState, challengers_in, trials_in
from huracan.registry.scopes import Scope

__all__ = ["Shadow", "shadows_of"]

_WATCHED = (ChallengerState.SHADOW, ChallengerState.TO_PROMOTE)


@dataclass(frozen=True)
class Shadow:
    """A version that is asked about the bars of its scope without answering."""

    version: int
    scope: Scope

    def symbols(self, there: Sequence[str]) -> tuple[str, ...]:
        """Which of the symbols there are it is asked about."""
        return tuple(symbol for symbol in there if self.scope.symbol in ("", symbol))


def shadows_of(connection: sa.Connection, name: str) -> list[Shadow]:
    """All of a name, each once, by version."""
    found = [Shadow(one.version, one.scope) for one in challengers_in(connection, name, _WATCHED) if one.version is not None]
    for trial in trials_in(connection, name):
        if trial.before_version is not None:
            found.append(Shadow(trial.before_version, trial.scope))
    return _each_once(found)


def _each_once(shadows: Iterable[Shadow]) -> list[Shadow]:
    return sorted(set(shadows), key=lambda one: (one.version, one.scope.symbol, one.scope.regime))
