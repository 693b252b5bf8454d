"""Tables of the feedback loop: what was said, what came of it, what was decided, and who works.

Times are milliseconds UTC as the Mechanic's clock gives them, which in a replay is not the time of day: no column here has a
default of the database. Only a lease knows the real time. Nothing refers to ``model_versions``: what lived outlives retention.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from huracan.storage.columns import metadata

__all__ = [
    "FEEDBACK_TABLES",
    "alerts",
    "challengers",
    "champion_trials",
    "drift_evidence",
    "live_buckets",
    "live_forgotten",
    "live_outcomes",
    "live_predictions",
    "live_versions",
    "mechanic_leases",
    "mechanic_state",
    "mechanic_switches",
    "mechanic_ticks",
    "policy_decisions",
]


def _key(name: str, kind: type[Any] = sa.Text) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def _text(name: str, *, given: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=not given)


def _time(name: str, *, given: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=not given)


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Double)


def _sum(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Double, nullable=False)


def _count(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _json(name: str, *, given: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON, nullable=not given)


live_predictions = sa.Table(
    "live_predictions",
    metadata,
    _key("version_id", sa.BigInteger),
    _key("symbol"),
    _key("ts", sa.BigInteger),
    _text("role"),
    _time("tick"),
    _text("regime"),
    *(_number(name) for name in ("score", "forecast", "probability", "position", "volatility")),
    _count("vetoes"),
    sa.Index(None, "tick"),
    sqlite_with_rowid=False,
)
"""What a version said of a bar, once; ``regime`` is ``""`` while unknown, ``vetoes`` a mask in the order of ``VetoKind``."""

live_outcomes = sa.Table(
    "live_outcomes",
    metadata,
    _key("version_id", sa.BigInteger),
    _key("symbol"),
    _key("ts", sa.BigInteger),
    _text("state"),
    _time("label_end", given=False),
    *(
        _number(name)
        for name in ("label", "execution_return", "payoff", "squared", "log_loss", "turnover", "cost", "net_return")
    ),
    _time("tick"),
    sa.Index(None, "tick"),
    sqlite_with_rowid=False,
)
"""What came of it, once: ``known``, ``never`` (it did not arrive in time) or ``revised`` (a second, other one came)."""

live_buckets = sa.Table(
    "live_buckets",
    metadata,
    _key("version_id", sa.BigInteger),
    _key("symbol"),
    _key("regime"),
    _key("bucket", sa.BigInteger),
    *(_count(name) for name in ("n", "hits", "answered", "vetoed")),
    *(_sum(name) for name in ("payoff", "payoff_squared", "squared", "log_loss", "gross", "cost", "net")),
    sqlite_with_rowid=False,
)
"""Sums over the known outcomes of a stretch of time, which stay when the rows go."""

live_forgotten = sa.Table(
    "live_forgotten",
    metadata,
    _key("version_id", sa.BigInteger),
    _key("symbol"),
    _time("ts"),
)
"""The newest bar of a version and symbol whose rows went: what is said of it or before it again is in the sums already."""

live_versions = sa.Table("live_versions", metadata, _key("version_id", sa.BigInteger), _text("name"), _time("bucket"))
"""Whose a version's rows are, and how long its buckets, milliseconds: the same for all of its life."""

drift_evidence = sa.Table(
    "drift_evidence",
    metadata,
    _key("id"),
    *(_text(name) for name in ("name", "symbol", "regime", "kind")),
    _time("tick"),
    sa.Column("version_id", sa.BigInteger),
    sa.Column("strong", sa.Boolean, nullable=False),
    *(_number(name) for name in ("statistic", "p_value", "q_value")),
    _time("since", given=False),
    _text("sentence"),
    _json("details"),
    sa.Index(None, "name", "tick"),
)
policy_decisions = sa.Table(
    "policy_decisions",
    metadata,
    *(_key(name) for name in ("name", "symbol", "regime")),
    _key("tick", sa.BigInteger),
    _text("decision"),
    _text("reason"),
    *(_json(name) for name in ("evidence", "blocked_by")),
    _time("train_from", given=False),
)
challengers = sa.Table(
    "challengers",
    metadata,
    _key("id"),
    *(_text(name) for name in ("name", "symbol", "regime", "kind", "state")),
    *(sa.Column(name, sa.Integer) for name in ("parent_version", "version")),
    sa.Column("version_id", sa.BigInteger),
    *(_time(name, given=name == "requested") for name in ("rows_from", "rows_until", "requested", "shadow_from", "decided")),
    *(_json(name, given=False) for name in ("comparison", "expected")),
    _text("reason"),
    sa.Index(None, "name", "state"),
)
champion_trials = sa.Table(
    "champion_trials",
    metadata,
    *(_key(name) for name in ("name", "symbol", "regime")),
    _key("version", sa.Integer),
    _time("since"),
    sa.Column("before_version", sa.Integer),
    _json("monitor"),
    _text("state"),
    _text("reason"),
)
mechanic_ticks = sa.Table(
    "mechanic_ticks",
    metadata,
    _key("name"),
    _key("tick", sa.BigInteger),
    sa.Column("stage", sa.Integer, nullable=False),
    _time("started"),
    _time("finished", given=False),
    _json("report", given=False),
    _count("fence"),
)
mechanic_state = sa.Table("mechanic_state", metadata, _key("name"), _key("key"), _json("value"), _time("tick"))
"""What a Mechanic knows from tick to tick: cursors, monitors, calibrations."""

mechanic_leases = sa.Table(
    "mechanic_leases",
    metadata,
    _key("name"),
    *(_text(name) for name in ("owner", "host")),
    sa.Column("process_id", sa.Integer, nullable=False),
    *(_time(name) for name in ("acquired_at", "seen_at", "expires_at")),
    _count("fence"),
)
"""Who works; times are those of the database's clock, ``fence`` grows with every owner."""

mechanic_switches = sa.Table(
    "mechanic_switches",
    metadata,
    _key("name"),
    sa.Column("frozen", sa.Boolean, nullable=False),
    *(_text(name) for name in ("reason", "actor")),
    _time("at"),
)
alerts = sa.Table(
    "alerts",
    metadata,
    _key("name"),
    _key("id"),
    *(_text(name) for name in ("level", "sentence")),
    *(_time(name) for name in ("first_tick", "last_tick")),
    _count("count"),
    *(_time(name, given=False) for name in ("sent_tick", "resolved_tick")),
    _count("returns"),
    _json("heard"),
)
FEEDBACK_TABLES: tuple[sa.Table, ...] = (
    live_predictions,
    live_outcomes,
    live_buckets,
    live_forgotten,
    live_versions,
    drift_evidence,
    policy_decisions,
    challengers,
    champion_trials,
    mechanic_ticks,
    mechanic_state,
    mechanic_leases,
    mechanic_switches,
    alerts,
)
