"""The first schema: the five tables shared with the Engine where they are not there yet, and ours."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from huracan.errors import StorageError

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def _row_id() -> sa.Column[Any]:
    return sa.Column("id", _ID, autoincrement=True, nullable=False)


def _now(name: str) -> sa.Column[Any]:
    return sa.Column(name, _MOMENT, nullable=False, server_default=sa.func.current_timestamp())


def _text(name: str, *, given: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=not given)


def _double(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Double()) for name in names]


def upgrade() -> None:
    """Create what is missing; a shared table that is there already must have the columns that we read."""
    _create_shared()
    _create_ours()


def _create_shared() -> None:
    shared: dict[str, list[Any]] = {
        "models": [
            _text("model_id", given=True),
            _text("parent_id"),
            sa.Column("kind", sa.Text(), nullable=False, server_default="challenger"),
            _now("created_at"),
            _text("s3_path"),
            sa.Column("features_used", sa.JSON()),
            sa.Column("params", sa.JSON()),
            sa.PrimaryKeyConstraint("model_id", name="pk_models"),
        ],
        "model_metrics": [
            _text("model_id", given=True),
            _text("window", given=True),
            *_double("sharpe", "hit_rate", "drawdown", "net_bps", "cost_bps"),
            sa.Column("promoted", sa.Boolean(), nullable=False, server_default=sa.false()),
            sa.PrimaryKeyConstraint("model_id", "window", name="pk_model_metrics"),
        ],
        "promotions": [
            _row_id(),
            _text("from_model_id"),
            _text("to_model_id"),
            _text("reason"),
            _now("at"),
            sa.Column("snapshot", sa.JSON()),
            sa.PrimaryKeyConstraint("id", name="pk_promotions"),
        ],
        "live_trades": [
            _text("trade_id", given=True),
            sa.Column("time", _MOMENT),
            _text("symbol"),
            _text("side"),
            *_double("size", "entry", "exit", "fees", "net_pnl"),
            _text("model_id"),
            sa.PrimaryKeyConstraint("trade_id", name="pk_live_trades"),
        ],
        "daily_equity": [
            sa.Column("date", sa.Date(), nullable=False),
            *_double("nav", "max_dd", "turnover", "fees_bps"),
            sa.PrimaryKeyConstraint("date", name="pk_daily_equity"),
        ],
    }
    inspector = sa.inspect(op.get_bind())
    for name, parts in shared.items():
        if not inspector.has_table(name):
            op.create_table(name, *parts, sqlite_autoincrement=name == "promotions")
            continue
        there = {column["name"] for column in inspector.get_columns(name)}
        needed = [part.name for part in parts if isinstance(part, sa.Column) and part.name != "id"]
        missing = [column for column in needed if column not in there]
        if missing:
            raise StorageError(
                f"the table '{name}' is there already but lacks the column '{missing[0]}'; add it, then try again."
            )


def _create_ours() -> None:
    op.create_table(
        "registered_models",
        _text("name", given=True),
        sa.Column("last_version", sa.Integer(), nullable=False, server_default="0"),
        _now("created_at"),
        sa.PrimaryKeyConstraint("name", name="pk_registered_models"),
    )
    op.create_table(
        "model_versions",
        _row_id(),
        _text("name", given=True),
        sa.Column("version", sa.Integer(), nullable=False),
        _text("model_id", given=True),
        _text("parent_id"),
        _text("kind", given=True),
        _text("digest", given=True),
        sa.Column("info", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.Column("extras", sa.JSON(), nullable=False),
        _now("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_model_versions"),
        sa.ForeignKeyConstraint(["name"], ["registered_models.name"], name="fk_model_versions_name"),
        sa.UniqueConstraint("model_id", name="uq_model_versions_model_id"),
        sa.UniqueConstraint("name", "version", name="uq_model_versions_name_version"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_model_versions_digest", "model_versions", ["digest"])
    op.create_table(
        "aliases",
        _text("name", given=True),
        _text("alias", given=True),
        sa.Column("version", sa.Integer(), nullable=False),
        _now("updated_at"),
        sa.PrimaryKeyConstraint("name", "alias", name="pk_aliases"),
        sa.ForeignKeyConstraint(
            ["name", "version"], ["model_versions.name", "model_versions.version"], name="fk_aliases_name_version"
        ),
    )
    op.create_table(
        "audit",
        _row_id(),
        _now("at"),
        _text("action", given=True),
        _text("name"),
        _text("alias"),
        sa.Column("from_version", sa.Integer()),
        sa.Column("to_version", sa.Integer()),
        _text("reason"),
        _text("actor"),
        sa.Column("details", sa.JSON()),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_name", "audit", ["name"])
    op.create_table(
        "runs",
        _row_id(),
        _text("run_id", given=True),
        _now("started_at"),
        sa.Column("finished_at", _MOMENT),
        _text("status", given=True),
        _text("config_hash"),
        _text("data_hash"),
        _text("recipe_hash"),
        sa.Column("seed", sa.BigInteger()),
        sa.Column("versions", sa.JSON()),
        _text("result_hash"),
        _text("report_path"),
        sa.Column("summary", sa.JSON()),
        _text("host"),
        sa.Column("process_id", sa.Integer()),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("run_id", name="uq_runs_run_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "hold_out_uses",
        _row_id(),
        _now("at"),
        _text("data_hash", given=True),
        _text("config_hash"),
        _text("run_id"),
        _text("why", given=True),
        sa.PrimaryKeyConstraint("id", name="pk_hold_out_uses"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_hold_out_uses_run_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_hold_out_uses_data_hash", "hold_out_uses", ["data_hash"])


def downgrade() -> None:
    """Drop our tables; the five that are shared with the Engine stay as they are."""
    for name in ("hold_out_uses", "runs", "audit", "aliases", "model_versions", "registered_models"):
        op.drop_table(name)
