"""The tables, as SQLAlchemy Core: five that an Engine, its Mechanic and its bot share with us, and ours.

The shared five hold exactly the columns that those programs name, no foreign keys and nothing mandatory beyond their
own keys, so inserts, upserts and reads of theirs work unchanged, in any order, and our tables can be added to a
database that already has them. Those of the feedback loop are in :mod:`huracan.storage.feedback_tables`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from huracan.storage.columns import UTCDateTime, metadata, moment, row_id, utc_now
from huracan.storage.feedback_tables import FEEDBACK_TABLES

__all__ = [
    "FEEDBACK_TABLES",
    "SHARED_TABLES",
    "UTCDateTime",
    "aliases",
    "audit",
    "daily_equity",
    "hold_out_uses",
    "live_trades",
    "metadata",
    "model_metrics",
    "model_regimes",
    "model_tags",
    "model_versions",
    "models",
    "promotions",
    "registered_models",
    "runs",
    "studies",
    "study_owners",
    "study_trials",
    "utc_now",
]


# --- shared with the Engine -------------------------------------------------------------------------------------------
models = sa.Table(
    "models",
    metadata,
    sa.Column("model_id", sa.Text, primary_key=True),
    sa.Column("parent_id", sa.Text),
    sa.Column("kind", sa.Text, nullable=False, server_default="challenger"),
    moment("created_at"),
    sa.Column("s3_path", sa.Text),
    sa.Column("features_used", sa.JSON),
    sa.Column("params", sa.JSON),
)
model_metrics = sa.Table(
    "model_metrics",
    metadata,
    sa.Column("model_id", sa.Text, primary_key=True),
    sa.Column("window", sa.Text, primary_key=True),
    sa.Column("sharpe", sa.Double),
    sa.Column("hit_rate", sa.Double),
    sa.Column("drawdown", sa.Double),
    sa.Column("net_bps", sa.Double),
    sa.Column("cost_bps", sa.Double),
    sa.Column("promoted", sa.Boolean, nullable=False, server_default=sa.false()),
)
promotions = sa.Table(
    "promotions",
    metadata,
    row_id(),
    sa.Column("from_model_id", sa.Text),
    sa.Column("to_model_id", sa.Text),
    sa.Column("reason", sa.Text),
    moment("at"),
    sa.Column("snapshot", sa.JSON),
    sqlite_autoincrement=True,
)
live_trades = sa.Table(
    "live_trades",
    metadata,
    sa.Column("trade_id", sa.Text, primary_key=True),
    sa.Column("time", UTCDateTime),
    sa.Column("symbol", sa.Text),
    sa.Column("side", sa.Text),
    sa.Column("size", sa.Double),
    sa.Column("entry", sa.Double),
    sa.Column("exit", sa.Double),
    sa.Column("fees", sa.Double),
    sa.Column("net_pnl", sa.Double),
    sa.Column("model_id", sa.Text),
)
daily_equity = sa.Table(
    "daily_equity",
    metadata,
    sa.Column("date", sa.Date, primary_key=True),
    sa.Column("nav", sa.Double),
    sa.Column("max_dd", sa.Double),
    sa.Column("turnover", sa.Double),
    sa.Column("fees_bps", sa.Double),
)
SHARED_TABLES: tuple[sa.Table, ...] = (models, model_metrics, promotions, live_trades, daily_equity)
"""The five that other programs read and write too."""

# --- ours -------------------------------------------------------------------------------------------------------------
registered_models = sa.Table(
    "registered_models",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("last_version", sa.Integer, nullable=False, server_default="0"),
    moment("created_at"),
    sa.Column("audit_length", sa.Integer, nullable=False, server_default="0"),
    sa.Column("audit_hash", sa.Text, nullable=False, server_default=""),
)
model_versions = sa.Table(
    "model_versions",
    metadata,
    row_id(),
    sa.Column("name", sa.ForeignKey("registered_models.name"), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("model_id", sa.Text, nullable=False, unique=True),
    sa.Column("parent_id", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False, index=True),
    sa.Column("info", sa.JSON, nullable=False),
    sa.Column("metrics", sa.JSON, nullable=False),
    sa.Column("provenance", sa.JSON, nullable=False),
    sa.Column("extras", sa.JSON, nullable=False),
    moment("created_at"),
    sa.Column("learner", sa.Text, nullable=False, server_default=""),
    sa.Column("run_id", sa.Text, index=True),
    sa.Column("stage", sa.Text, nullable=False, server_default="active"),
    sa.Column("verified", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("serving_digest", sa.Text, index=True),
    sa.Column("serving", sa.JSON),
    sa.UniqueConstraint("name", "version"),
    sa.Index(None, "learner", "id"),
    sa.Index(None, "stage", "id"),
    sqlite_autoincrement=True,
)
aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("alias", sa.Text, primary_key=True),
    sa.Column("symbol", sa.Text, primary_key=True, server_default=""),
    sa.Column("regime", sa.Text, primary_key=True, server_default=""),
    sa.Column("version", sa.Integer, nullable=False),
    moment("updated_at"),
    sa.Column("moved_by", sa.BigInteger),
    sa.ForeignKeyConstraint(["name", "version"], ["model_versions.name", "model_versions.version"]),
)
audit = sa.Table(
    "audit",
    metadata,
    row_id(),
    moment("at"),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("alias", sa.Text),
    sa.Column("from_version", sa.Integer),
    sa.Column("to_version", sa.Integer),
    sa.Column("reason", sa.Text),
    sa.Column("actor", sa.Text),
    sa.Column("details", sa.JSON),
    sa.Column("position", sa.Integer),
    sa.Column("symbol", sa.Text, nullable=False, server_default=""),
    sa.Column("regime", sa.Text, nullable=False, server_default=""),
    sa.Column("evidence", sa.JSON),
    sa.Column("metrics_before", sa.JSON),
    sa.Column("metrics_after", sa.JSON),
    sa.Column("request_id", sa.Text),
    sa.Column("previous_hash", sa.Text),
    sa.Column("hash", sa.Text),
    sa.Index("uq_audit_name_position", "name", "position", unique=True),
    sa.Index("uq_audit_request_id", "request_id", unique=True),
    sa.Index(None, "name", "alias", "symbol", "regime", "position"),
    sqlite_autoincrement=True,
)
"""What happened to each name, in a chain of hashes (``position``, ``previous_hash``, ``hash``); triggers refuse changes."""

sa.Index(
    "ix_audit_registered",
    audit.c.name,
    audit.c.to_version,
    sqlite_where=audit.c.action == sa.literal_column("'register'"),
    postgresql_where=audit.c.action == sa.literal_column("'register'"),
)
_TELLS_STATE: Any = sa.literal_column("action IN ('archive', 'restore', 'retain', 'verify')")
sa.Index(
    "ix_audit_states",
    audit.c.name,
    audit.c.to_version,
    audit.c.position,
    sqlite_where=_TELLS_STATE,
    postgresql_where=_TELLS_STATE,
)
model_tags = sa.Table(
    "model_tags",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["name", "version"], ["model_versions.name", "model_versions.version"]),
    sa.Index(None, "key", "value", "name", "version"),
)
model_regimes = sa.Table(
    "model_regimes",
    metadata,
    sa.Column("version_id", sa.ForeignKey("model_versions.id"), primary_key=True),
    sa.Column("regime", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("learner", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("skill", sa.Double),
    sa.Column("ci_low", sa.Double),
    sa.Column("ci_high", sa.Double),
    sa.Column("p_adjusted", sa.Double),
    sa.Column("n_effective", sa.Double),
    sa.Column("n_rows", sa.Integer),
    sa.Column("n_spells", sa.Integer),
    sa.Column("newest", sa.Boolean, nullable=False),
    sa.Index(None, "name", "learner"),
)
sa.Index(
    "ix_model_regimes_newest",
    model_regimes.c.regime,
    model_regimes.c.skill,
    sqlite_where=model_regimes.c.newest,
    postgresql_where=model_regimes.c.newest,
)
runs = sa.Table(
    "runs",
    metadata,
    row_id(),
    sa.Column("run_id", sa.Text, nullable=False, unique=True),
    moment("started_at"),
    moment("finished_at", given=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("config_hash", sa.Text),
    sa.Column("data_hash", sa.Text),
    sa.Column("recipe_hash", sa.Text),
    sa.Column("seed", sa.BigInteger),
    sa.Column("versions", sa.JSON),
    sa.Column("result_hash", sa.Text),
    sa.Column("report_path", sa.Text),
    sa.Column("summary", sa.JSON),
    sa.Column("host", sa.Text),
    sa.Column("process_id", sa.Integer),
    sqlite_autoincrement=True,
)
hold_out_uses = sa.Table(
    "hold_out_uses",
    metadata,
    row_id(),
    moment("at"),
    sa.Column("data_hash", sa.Text, nullable=False, index=True),
    sa.Column("config_hash", sa.Text),
    sa.Column("run_id", sa.ForeignKey("runs.run_id")),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("symbols", sa.JSON),
    moment("span_start", given=False),
    moment("span_end", given=False),
    sqlite_autoincrement=True,
)
studies = sa.Table(
    "studies",
    metadata,
    row_id(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("data_hash", sa.Text, nullable=False, index=True),
    sa.Column("symbols", sa.JSON, nullable=False),
    moment("span_start", given=False),
    moment("span_end", given=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("metric", sa.Text, nullable=False),
    sa.Column("n_rows", sa.Integer, nullable=False),
    sa.Column("n_features", sa.Integer, nullable=False),
    sa.Column("bar_seconds", sa.Double, nullable=False),
    sa.Column("identity", sa.JSON, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("versions", sa.JSON, nullable=False),
    sa.Column("queue", sa.JSON, nullable=False),
    moment("started_at"),
    moment("finished_at", given=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("result", sa.JSON),
    sqlite_autoincrement=True,
)
study_owners = sa.Table(
    "study_owners",
    metadata,
    sa.Column("token", sa.Text, primary_key=True),
    sa.Column("study_id", sa.ForeignKey("studies.id"), nullable=False, index=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("process_id", sa.Integer, nullable=False),
    moment("started_at"),
    moment("seen_at", given=False),
)
study_trials = sa.Table(
    "study_trials",
    metadata,
    sa.Column("study_id", sa.ForeignKey("studies.id"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("learner", sa.Text),
    sa.Column("params", sa.JSON),
    sa.Column("seed", sa.BigInteger),
    sa.Column("source", sa.Text),
    sa.Column("notes", sa.JSON),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("score", sa.Double),
    sa.Column("fold_scores", sa.JSON),
    sa.Column("objectives", sa.JSON),
    sa.Column("seconds", sa.Double),
    sa.Column("wall_seconds", sa.Double),
    sa.Column("reason", sa.Text),
    sa.Column("owner", sa.ForeignKey("study_owners.token"), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    moment("started_at"),
    moment("finished_at", given=False),
    sa.Column("gains", sa.LargeBinary),
    sa.Column("payoff", sa.LargeBinary),
    sa.Column("answers", sa.LargeBinary),
)
