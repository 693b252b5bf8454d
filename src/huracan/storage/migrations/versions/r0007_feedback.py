"""The feedback loop: predictions lived and what came of them, evidence and decisions, challengers, ticks, leases, alerts."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLES = (
    *("live_predictions", "live_outcomes", "live_buckets", "live_forgotten", "live_versions"),
    *("drift_evidence", "policy_decisions"),
    *("challengers", "champion_trials", "mechanic_ticks", "mechanic_state", "mechanic_leases", "mechanic_switches", "alerts"),
)


def _columns(kind: Any, names: str, *, given: bool = True) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind(), nullable=not given) for name in names.split()]


def _text(names: str, *, given: bool = True) -> list[sa.Column[Any]]:
    return _columns(sa.Text, names, given=given)


def _whole(names: str, *, given: bool = True) -> list[sa.Column[Any]]:
    return _columns(sa.BigInteger, names, given=given)


def _small(names: str, *, given: bool = True) -> list[sa.Column[Any]]:
    return _columns(sa.Integer, names, given=given)


def _number(names: str, *, given: bool = False) -> list[sa.Column[Any]]:
    return _columns(sa.Double, names, given=given)


def _json(names: str, *, given: bool = True) -> list[sa.Column[Any]]:
    return _columns(sa.JSON, names, given=given)


def _create(table: str, key: str, *columns: list[sa.Column[Any]], dense: bool = False) -> None:
    flat = [column for some in columns for column in some]
    options = {"sqlite_with_rowid": False} if dense else {}
    op.create_table(table, *flat, sa.PrimaryKeyConstraint(*key.split(), name=f"pk_{table}"), **options)


def upgrade() -> None:
    """Create the fourteen tables."""
    row = "version_id symbol ts"
    _create(
        "live_predictions",
        row,
        _whole("version_id"),
        _text("symbol"),
        _whole("ts"),
        _text("role"),
        _whole("tick"),
        _text("regime"),
        _number("score forecast probability position volatility"),
        _whole("vetoes"),
        dense=True,
    )
    op.create_index("ix_live_predictions_tick", "live_predictions", ["tick"])
    _create(
        "live_outcomes",
        row,
        _whole("version_id"),
        _text("symbol"),
        _whole("ts"),
        _text("state"),
        _whole("label_end", given=False),
        _number("label execution_return payoff squared log_loss turnover cost net_return"),
        _whole("tick"),
        dense=True,
    )
    op.create_index("ix_live_outcomes_tick", "live_outcomes", ["tick"])
    _create(
        "live_buckets",
        "version_id symbol regime bucket",
        _whole("version_id"),
        _text("symbol regime"),
        _whole("bucket n hits answered vetoed"),
        _number("payoff payoff_squared squared log_loss gross cost net", given=True),
        dense=True,
    )
    _create("live_forgotten", "version_id symbol", _whole("version_id"), _text("symbol"), _whole("ts"))
    _create("live_versions", "version_id", _whole("version_id"), _text("name"), _whole("bucket"))
    _create(
        "drift_evidence",
        "id",
        _text("id name symbol regime kind"),
        _whole("tick"),
        _whole("version_id", given=False),
        _columns(sa.Boolean, "strong"),
        _number("statistic p_value q_value"),
        _whole("since", given=False),
        _text("sentence"),
        _json("details"),
    )
    op.create_index("ix_drift_evidence_name_tick", "drift_evidence", ["name", "tick"])
    _create(
        "policy_decisions",
        "name symbol regime tick",
        _text("name symbol regime"),
        _whole("tick"),
        _text("decision reason"),
        _json("evidence blocked_by"),
        _whole("train_from", given=False),
    )
    _create(
        "challengers",
        "id",
        _text("id name symbol regime kind state"),
        _small("parent_version version", given=False),
        _whole("version_id rows_from rows_until", given=False),
        _whole("requested"),
        _whole("shadow_from decided", given=False),
        _json("comparison expected", given=False),
        _text("reason"),
    )
    op.create_index("ix_challengers_name_state", "challengers", ["name", "state"])
    _create(
        "champion_trials",
        "name symbol regime version",
        _text("name symbol regime"),
        _small("version"),
        _whole("since"),
        _small("before_version", given=False),
        _json("monitor"),
        _text("state reason"),
    )
    _create(
        "mechanic_ticks",
        "name tick",
        _text("name"),
        _whole("tick"),
        _small("stage"),
        _whole("started"),
        _whole("finished", given=False),
        _json("report", given=False),
        _whole("fence"),
    )
    _create("mechanic_state", "name key", _text("name key"), _json("value"), _whole("tick"))
    _create(
        "mechanic_leases",
        "name",
        _text("name owner host"),
        _small("process_id"),
        _whole("acquired_at seen_at expires_at fence"),
    )
    _create("mechanic_switches", "name", _text("name"), _columns(sa.Boolean, "frozen"), _text("reason actor"), _whole("at"))
    _create(
        "alerts",
        "name id",
        _text("name id level sentence"),
        _whole("first_tick last_tick count"),
        _whole("sent_tick resolved_tick", given=False),
        _whole("returns"),
        _json("heard"),
    )


def downgrade() -> None:
    """Drop them with what they hold."""
    for table in reversed(_TABLES):
        op.drop_table(table)
