"""What the audit tells of a version's state is found at once; only versions that can be promoted speak for their learner."""

from __future__ import annotations

import math

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MEASURED = ("skill", "ci_low", "ci_high", "p_adjusted", "n_effective")
_NEWEST = """
    update model_regimes set newest = (version = coalesce((
        select max(v.version) from model_versions v
        where v.name = model_regimes.name and v.learner = model_regimes.learner {able}
    ), 0))
"""
_NEVER_REPLACED = """
    create trigger audit_never_replaced before insert on audit
    when exists (select 1 from audit where id = new.id)
        or exists (select 1 from audit where name = new.name and position = new.position)
        or exists (select 1 from audit where request_id = new.request_id)
    begin select raise(abort, 'audit rows are never changed'); end
"""


def upgrade() -> None:
    """An index; a trigger; who speaks for a learner; and evidence that is no number, which no answer could be made of, goes."""
    where = sa.text("action IN ('archive', 'restore', 'retain', 'verify')")
    columns = ["name", "to_version", "position"]
    op.create_index("ix_audit_states", "audit", columns, sqlite_where=where, postgresql_where=where)
    if op.get_bind().dialect.name == "sqlite":  # where REPLACE is no DELETE to a trigger
        op.execute(_NEVER_REPLACED)
    _drop_what_is_no_number()
    op.execute(_NEWEST.format(able="and v.stage = 'active' and v.verified"))


def downgrade() -> None:
    """Put it back as it was; evidence that was no number stays away."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("drop trigger audit_never_replaced")
    op.execute(_NEWEST.format(able=""))
    op.drop_index("ix_audit_states", "audit")


def _drop_what_is_no_number() -> None:
    connection = op.get_bind()
    rows = sa.table("model_regimes", *map(sa.column, ("version_id", "regime", "reason", *_MEASURED, "n_rows", "n_spells")))
    held = sa.select(rows).where(rows.c.n_rows.is_not(None))  # not-a-number is null in SQLite
    for row in connection.execute(held).mappings().all():
        skill, p = row["skill"], row["p_adjusted"]
        if skill is not None and math.isfinite(skill) and p is not None and math.isfinite(p):
            continue
        here = (rows.c.version_id == row["version_id"], rows.c.regime == row["regime"])
        nothing = {name: sa.null() for name in (*_MEASURED, "n_rows", "n_spells")}
        gone = sa.delete(rows) if row["reason"] is None else sa.update(rows).values(**nothing)
        connection.execute(gone.where(*here))
