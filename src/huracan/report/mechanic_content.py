"""What the page of a life with the Mechanic says, before it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from huracan.report.charts.live_bands import Event, Expected

__all__ = ["Account", "Difference", "MechanicContent"]


@dataclass(frozen=True, eq=False)
class Account:
    """What one way of living earned.

    Attributes
    ----------
    name : of the way. equity : ``[ts, net]``, growth of 1 net of costs. figures : label -> value: ``total_return``, ``sharpe``,
        ``max_drawdown``, ``turnover_per_year``, ``cost_bps``; nan where undefined.
    """

    name: str
    equity: pl.DataFrame
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """The mean of what was lived less that of another way, moment by moment, with its interval."""

    against: str
    measure: str
    mean: float
    low: float
    high: float
    p_value: float
    n_effective: float


@dataclass(frozen=True, eq=False)
class MechanicContent:
    """A life, or a replay of one.

    Attributes
    ----------
    title : whose it is. sentence : what came of it. created_at : UTC. facts : label -> value, under the verdict.
    accounts : what was lived first, then other ways to compare. differences : of what was lived against the others.
    skill : ``[ts, value, low, high]``, mean payoff of what answered. expected : what the first champion promised, if it did.
    events : promotions, rollbacks and retrainings. ``challengers``: ``[requested, scope, kind, asked, state, decided, version,
        reason]``. decisions : ``[decision, times, last, reason]``. evidence : ``[tick, kind, scope, strong, sentence]``.
    alerts : ``[level, sentence, first, last, count]``. notes : what a reader should know.
    """

    title: str
    sentence: str
    created_at: datetime
    facts: Mapping[str, str]
    accounts: tuple[Account, ...]
    differences: tuple[Difference, ...]
    skill: pl.DataFrame
    expected: Expected | None
    events: tuple[Event, ...]
    challengers: pl.DataFrame
    decisions: pl.DataFrame
    evidence: pl.DataFrame
    alerts: pl.DataFrame
    notes: tuple[str, ...] = ()
