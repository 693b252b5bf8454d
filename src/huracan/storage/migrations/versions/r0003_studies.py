"""Searches that outlive their process: studies, the processes that work on them, and their trials."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, *, given: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=not given)


def _json(name: str, *, given: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.JSON(), nullable=not given)


def _integer(name: str, *, given: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=not given)


def _moment(name: str, *, now: bool = False) -> sa.Column[Any]:
    default = sa.func.current_timestamp() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not now, server_default=default)


def upgrade() -> None:
    """Create the three tables."""
    op.create_table(
        "studies",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        *(_text(name, given=True) for name in ("name", "data_hash")),
        _json("symbols", given=True),
        *(_moment(name) for name in ("span_start", "span_end")),
        *(_text(name, given=True) for name in ("task", "metric")),
        *(_integer(name, given=True) for name in ("n_rows", "n_features")),
        sa.Column("bar_seconds", sa.Double(), nullable=False),
        _json("identity", given=True),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        *(_json(name, given=True) for name in ("versions", "queue")),
        _moment("started_at", now=True),
        _moment("finished_at"),
        _text("status", given=True),
        _json("result"),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
        sa.UniqueConstraint("name", name="uq_studies_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_studies_data_hash", "studies", ["data_hash"])
    op.create_table(
        "study_owners",
        _text("token", given=True),
        sa.Column("study_id", _ID, nullable=False),
        _text("host", given=True),
        _integer("process_id", given=True),
        _moment("started_at", now=True),
        _moment("seen_at"),
        sa.PrimaryKeyConstraint("token", name="pk_study_owners"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_study_owners_study_id"),
    )
    op.create_index("ix_study_owners_study_id", "study_owners", ["study_id"])
    op.create_table(
        "study_trials",
        sa.Column("study_id", _ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        _text("learner"),
        _json("params"),
        sa.Column("seed", sa.BigInteger()),
        _text("source"),
        _json("notes"),
        _text("state", given=True),
        sa.Column("score", sa.Double()),
        *(_json(name) for name in ("fold_scores", "objectives")),
        *(sa.Column(name, sa.Double()) for name in ("seconds", "wall_seconds")),
        _text("reason"),
        _text("owner", given=True),
        _integer("attempts", given=True),
        _moment("started_at", now=True),
        _moment("finished_at"),
        *(sa.Column(name, sa.LargeBinary()) for name in ("gains", "payoff", "answers")),
        sa.PrimaryKeyConstraint("study_id", "number", name="pk_study_trials"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_study_trials_study_id"),
        sa.ForeignKeyConstraint(["owner"], ["study_owners.token"], name="fk_study_trials_owner"),
    )


def downgrade() -> None:
    """Drop them."""
    for name in ("study_trials", "study_owners", "studies"):
        op.drop_table(name)
