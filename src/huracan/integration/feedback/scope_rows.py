"""Outcomes of one version in one scope, as one payoff a moment."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from huracan.integration.feedback.aliases import CHAMPION
from huracan.integration.feedback.lineup import Lineup
from huracan.registry.scopes import Scope

__all__ = ["answered_in", "in_scope", "payoffs"]


def answered_in(lineup: Lineup, scope: Scope) -> pl.DataFrame:
    """``[symbol, regime]`` in which the champion of a scope answers, rather than one of a nearer scope."""
    pairs = [
        (symbol, "" if regime is None else str(regime))
        for symbol, route in lineup.routes.items()
        for regime, (_, alias) in route.answers.items()
        if alias == scope.written(CHAMPION)
    ]
    return pl.DataFrame(pairs, schema={"symbol": pl.String, "regime": pl.String}, orient="row")


def in_scope(known: pl.DataFrame, version_id: int, pairs: pl.DataFrame) -> pl.DataFrame:
    """Outcomes of a version in these symbols and regimes."""
    mine = known.filter(pl.col("version_id") == version_id)
    return mine.join(pairs, on=["symbol", "regime"], how="semi", maintain_order="left")


def payoffs(known: pl.DataFrame, after: int | None) -> Iterator[tuple[int, float]]:
    """``(moment, payoff)``: symbols of one moment averaged, in the order of time, moments after ``after`` only.

    >>> known = pl.DataFrame({"ts": [2, 1, 2], "payoff": [0.5, None, 1.5]})
    >>> list(payoffs(known, None))
    [(2, 1.0)]
    """
    means = known.filter(pl.col("payoff").is_not_null()).group_by("ts").agg(pl.col("payoff").mean()).sort("ts")
    for moment, payoff in means.iter_rows():
        if after is None or moment > after:
            yield int(moment), float(payoff)
