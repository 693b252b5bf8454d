"""What has become known puts champions beside who is in their shadow: challengers, and on trial the champion before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import sqlalchemy as sa

from huracan.integration.feedback.challenger_log import (
    Challenger,
    ChallengerState,
    Trial,
    challengers_in,
    change_challenger,
    change_trial,
    trials_in,
)
from huracan.integration.feedback.scope_rows import answered_in, in_scope
from huracan.integration.feedback.shadowing import ShadowMatch, paired_payoffs
from huracan.integration.feedback.turn import Turn
from huracan.registry.scopes import Scope

__all__ = ["DECIDED", "compare", "match_of"]

DECIDED = "decided"
"""Key under which a comparison has the tick at which a challenger won, or a champion on trial lost."""


def compare(connection: sa.Connection, turn: Turn, known: pl.DataFrame) -> None:
    """Let every comparison take the moments that have become known, each once; where the champion is another, it begins anew.

    That of a challenger that won, or of a champion that is to be rolled back, and waits for a thaw, goes on, too.

    Parameters
    ----------
    known : new outcomes of all versions, as :class:`huracan.mlops.performance.PerformanceStore` received them.
    """
    name = turn.works.name
    for one in challengers_in(connection, name, [ChallengerState.SHADOW, ChallengerState.TO_PROMOTE]):
        waits = one.state is ChallengerState.TO_PROMOTE
        if waits and "state" not in (one.comparison or {}):  # it won nothing that could be looked at anew
            continue
        champion = turn.lineup.able.get(one.scope)
        if waits and champion != (one.comparison or {}).get("champion"):
            continue
        if champion is not None and one.version is not None and champion != one.version:
            kept = dict(one.comparison or {})
            match = match_of(turn, kept, champion, one.version)
            _take(turn, match, known, one, champion, one.version, since=one.shadow_from or 0)
            change_challenger(connection, one.id, comparison={**kept, "champion": champion, "state": match.to_json()})
    for trial in trials_in(connection, name):
        if trial.before_version is not None:
            match = match_of(turn, trial.monitor, trial.version, trial.before_version)
            since = trial.compared_since
            _take(turn, match, known, trial, trial.version, trial.before_version, since=since)
            monitor = {**trial.monitor, "champion": trial.version, "since": since, "state": match.to_json()}
            change_trial(connection, trial, monitor=monitor)


def match_of(turn: Turn, kept: Mapping[str, Any], champion: int, shadow: int) -> ShadowMatch:
    """The comparison as it is kept; a new one where it was with another champion.

    A challenger that was asked for since the champion lost its skill needs less proof: the champion is shown to be bad.
    """
    if kept.get("champion") == champion and "state" in kept:
        return ShadowMatch.from_json(kept["state"])
    name, settings = turn.works.name, turn.works.config.mechanic
    alpha = settings.alpha if kept.get("scheduled", True) else settings.alpha_after_loss
    horizon = turn.works.config.labels.horizon
    return ShadowMatch(f"{name}/{champion}", f"{name}/{shadow}", horizon=horizon, alpha=alpha)


def _take(
    turn: Turn, match: ShadowMatch, known: pl.DataFrame, of: Challenger | Trial, champion: int, shadow: int, *, since: int
) -> None:
    pairs = _pairs(turn, of.scope)
    bench = turn.works.bench
    mine, theirs = (
        in_scope(known, bench.id_of(version), pairs).filter(pl.col("ts") >= since) for version in (champion, shadow)
    )
    match.update(*paired_payoffs(mine, theirs))


def _pairs(turn: Turn, scope: Scope) -> pl.DataFrame:
    return answered_in(turn.lineup, scope)
