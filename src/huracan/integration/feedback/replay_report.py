"""What came of a replay: what the Mechanic did, what it earned, and what other ways would have, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from huracan.accounting import BacktestResult, CostModel, backtest
from huracan.errors import DataError, NotEnoughData
from huracan.integration.feedback import lived as kept
from huracan.integration.feedback.content_hash import content_hash
from huracan.integration.feedback.nobody import why_nobody
from huracan.integration.feedback.other_ways import Way, alone
from huracan.integration.feedback.publishing import OUTBOX
from huracan.integration.feedback.replay import Replay
from huracan.market import written_length
from huracan.market.schema import written_time
from huracan.mlops.live_expectation import EXPECTATION, LiveExpectation
from huracan.report.charts.live_bands import Event, Expected
from huracan.report.mechanic_content import Account, Difference, MechanicContent
from huracan.statistics import ewc_t_test

__all__ = ["ReplayResult"]

LIVED, NEVER, HELD = "with the Mechanic", "first champion alone", "buy and hold"
_FIGURES = ("total_return", "sharpe", "max_drawdown", "turnover_per_year", "cost_bps")
_STRETCHES = 60
_FEWEST = 30
"""Moments of a stretch of which a band can be told."""


@dataclass(frozen=True, eq=False)
class ReplayResult:
    """A replay and what came of it; everything is read from its database when it is first asked for.

    Attributes
    ----------
    replay : that was lived. others : name -> a further way to compare with, beside the first champion alone.
    """

    replay: Replay
    others: Mapping[str, Way] = field(default_factory=dict)

    @cached_property
    def lived(self) -> Way:
        """What champions said, whoever was one."""
        database, name = self.replay.pipeline.registry.database, self.replay.name
        return Way(kept.positions_of(database, name), kept.payoffs_of(database, name))

    @cached_property
    def ways(self) -> dict[str, Way]:
        """Name -> way, the lived one first; the others over the very bars that were lived."""
        found = {LIVED: self.lived}
        first = kept.first_champion(self.replay.pipeline.registry.database, self.replay.name)
        if first is not None:
            ts = self.lived.positions["ts"].dt.epoch("ms")
            found[NEVER] = alone(self.replay, first[0], int(ts.min()), int(ts.max()))  # type: ignore[arg-type]
        return {**found, **self.others}

    @cached_property
    def accounts(self) -> dict[str, BacktestResult]:
        """Name -> account net of costs, buy and hold last; empty where nothing was ever said."""
        found = {}
        for name, way in self.ways.items():
            if (account := self._account(name, way.positions)) is not None:
                found[name] = account
        if LIVED in found:
            held = self.lived.positions.with_columns(target=pl.lit(1.0))
            found[HELD] = self._account(HELD, held) or found[LIVED]
        return found

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """Payoffs and net returns that were lived less those of each other way, at the same moments."""
        found = []
        for name, way in self.ways.items():
            if name == LIVED:
                continue
            both = self.lived.payoffs.join(way.payoffs, on="ts", suffix="_other")
            found.append(_difference(name, "mean payoff a moment", both["payoff"], both["payoff_other"]))
            if LIVED in self.accounts and name in self.accounts:
                mine, theirs = (self.accounts[key].equity.select("ts", "return_net") for key in (LIVED, name))
                both = mine.join(theirs, on="ts", suffix="_other")
                found.append(_difference(name, "net return a bar", both["return_net"], both["return_net_other"]))
        return tuple(one for one in found if one is not None)

    @cached_property
    def challengers(self) -> pl.DataFrame:
        """See :func:`huracan.integration.feedback.lived.challengers_of`."""
        return kept.challengers_of(self.replay.pipeline.registry.database, self.replay.name)

    @cached_property
    def trials(self) -> pl.DataFrame:
        """See :func:`huracan.integration.feedback.lived.trials_of`."""
        return kept.trials_of(self.replay.pipeline.registry.database, self.replay.name)

    @cached_property
    def content_hash(self) -> str:
        """Of everything that was lived, see :func:`huracan.integration.feedback.content_hash.content_hash`."""
        return content_hash(self.replay.pipeline.registry.database, self.replay.folder / OUTBOX)

    @property
    def sentence(self) -> str:
        """What came of it, for a person."""
        states = self.challengers["state"].to_list()
        back = self.trials["state"].to_list().count("rolled_back")
        days = (self.replay.last - self.replay.first) / 86_400_000
        did = (
            f"In {days:,.0f} days the Mechanic asked for {len(states):,} challengers, promoted {states.count('promoted'):,} "
            f"and rolled {back:,} back"
        )
        if LIVED not in self.accounts:
            why = why_nobody(self.replay.pipeline.registry.database, self.replay.name)
            return f"{did}; nobody ever answered, so that nothing was earned{f': {why}' if why else ''}."
        earned = f"its positions returned {self.accounts[LIVED].metrics['total_return']:+.1%} net of costs"
        if NEVER not in self.accounts:
            return f"{did}; {earned}."
        return f"{did}; {earned}, the first champion alone {self.accounts[NEVER].metrics['total_return']:+.1%}."

    @property
    def beginning(self) -> str:
        """When the first turn was, and why it was then."""
        return f"The first turn was at {written_time(self.replay.first)}: {self.replay.why_then}."

    def content(self, *, created_at: datetime | None = None) -> MechanicContent:
        """Everything the page shows."""
        database, name = self.replay.pipeline.registry.database, self.replay.name
        return MechanicContent(
            title=f"Replay of '{name}' over {self.replay.source.name}",
            sentence=self.sentence,
            created_at=created_at or datetime.now(UTC),
            facts=self._facts(),
            accounts=tuple(
                Account(
                    key, account.equity.select("ts", net="equity_net"), {figure: account.metrics[figure] for figure in _FIGURES}
                )
                for key, account in self.accounts.items()
            ),
            differences=self.differences,
            skill=skill_bands(self.lived.payoffs),
            expected=self._expected(),
            events=self._events(),
            challengers=self.challengers,
            decisions=kept.decisions_of(database, name),
            evidence=kept.evidence_of(database, name),
            alerts=kept.alerts_of(database, name),
            notes=(
                self.beginning,
                "Each turn saw the bars that were closed by then, and nothing later; candles are as they are known now, so "
                "that what was late or revised at the time is not.",
                "The first champion alone answers at any age; it was chosen by the same first training.",
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """What came of it as plain values, ready for JSON."""
        accounts = {
            key: {figure: _finite(account.metrics[figure]) for figure in _FIGURES} for key, account in self.accounts.items()
        }
        return {
            "name": self.replay.name,
            "folder": str(self.replay.folder),
            "first": self.replay.first,
            "beginning": self.beginning,
            "last": self.replay.last,
            "sentence": self.sentence,
            "accounts": accounts,
            "differences": [{key: _finite(value) for key, value in vars(one).items()} for one in self.differences],
            "challengers": self.challengers.with_columns(pl.col("requested", "decided").dt.epoch("ms")).to_dicts(),
            "trials": self.trials.with_columns(pl.col("since").dt.epoch("ms")).to_dicts(),
            "content_hash": self.content_hash,
        }

    def _account(self, name: str, positions: pl.DataFrame) -> BacktestResult | None:
        if positions.is_empty():
            return None
        costs = CostModel(**self.replay.pipeline.config.costs.model_dump())
        begin, end = positions["ts"].min(), positions["ts"].max()
        margin = pl.duration(milliseconds=3 * self.replay.bar)
        candles = self.replay.candles.filter(pl.col("ts").is_between(pl.lit(begin) - margin, pl.lit(end) + margin))
        try:
            return backtest(candles, positions, costs, name=name)
        except NotEnoughData:
            return None

    def _facts(self) -> dict[str, str]:
        replay = self.replay
        moved = self.lived.positions
        return {
            "turns": f"{(replay.last - replay.first) // replay.every + 1:,}, every {written_length(replay.every)}",
            "from": written_time(replay.first),
            "to": written_time(replay.last),
            "symbols": f"{replay.candles['symbol'].n_unique()}",
            "bars": f"{moved.height:,} of {written_length(replay.bar)} answered",
            "folder": str(replay.folder),
            "content SHA-256": self.content_hash,
        }

    def _expected(self) -> Expected | None:
        """What the first champion's payoffs out of fold promised, where it kept that."""
        first = kept.first_champion(self.replay.pipeline.registry.database, self.replay.name)
        if first is None:
            return None
        told = self.replay.pipeline.registry.get(self.replay.name, version=first[0]).extras.get(EXPECTATION)
        try:
            skill = None if told is None else LiveExpectation.from_dict(told).skill
        except DataError:  # too little was judged for a promise
            return None
        return None if skill is None or not np.isfinite(skill.error) else Expected(skill.mean, *skill.interval())

    def _events(self) -> tuple[Event, ...]:
        made = []
        for row in self.challengers.iter_rows(named=True):
            if row["state"] == "promoted" and row["decided"] is not None:
                made.append(Event(row["decided"], f"version {row['version']} promoted: {row['reason']}", "plus"))
            elif row["state"] == "failed":
                made.append(Event(row["requested"], f"a challenger could not be trained: {row['reason']}"))
        for row in self.trials.iter_rows(named=True):
            if row["state"] == "rolled_back":
                made.append(Event(row["since"], f"version {row['version']} was rolled back: {row['reason']}", "minus"))
        return tuple(sorted(made, key=lambda one: one.ts))


def skill_bands(payoffs: pl.DataFrame) -> pl.DataFrame:
    """``[ts, value, low, high]``: mean payoff of some sixty stretches of ``[ts, payoff]``, each of thirty moments at least.

    Bands are 95 % intervals that allow for dependence; null where a stretch is too short for one.
    """
    schema: dict[str, Any] = {"ts": payoffs.schema["ts"], "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    if payoffs.is_empty():
        return pl.DataFrame(schema=schema)
    size = max(-(-payoffs.height // _STRETCHES), min(_FEWEST, payoffs.height))
    rows = []
    for begin in range(0, payoffs.height, size):
        part = payoffs.slice(begin, size)
        test = _tested(part["payoff"].to_numpy())
        rows.append(
            {
                "ts": part["ts"][-1],
                "value": float(part["payoff"].mean()),  # type: ignore[arg-type]
                "low": None if test is None else _finite(float(test.ci_low)),
                "high": None if test is None else _finite(float(test.ci_high)),
            }
        )
    return pl.DataFrame(rows, schema=schema)


def _difference(against: str, measure: str, mine: pl.Series, theirs: pl.Series) -> Difference | None:
    test = _tested((mine - theirs).to_numpy())
    if test is None:
        return None
    values = (float(value) for value in (test.mean, test.ci_low, test.ci_high, test.p_value, test.n_effective))
    return Difference(against, measure, *values)


def _tested(values: np.ndarray) -> Any:
    """None where there are too few, or nothing varies."""
    try:
        return ewc_t_test(values)
    except (DataError, NotEnoughData):
        return None


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
