"""The audit row of a version's registration is found at once, and the moves of an alias in the order of the chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_SCOPE = ("name", "alias", "symbol", "regime")


def upgrade() -> None:
    """Indexes only: no row is touched."""
    where = sa.text("action = 'register'")
    op.create_index("ix_audit_registered", "audit", ["name", "to_version"], sqlite_where=where, postgresql_where=where)
    _order_moves(by="position", instead_of="id")


def downgrade() -> None:
    """Put the earlier indexes back."""
    _order_moves(by="id", instead_of="position")
    op.drop_index("ix_audit_registered", "audit")


def _order_moves(*, by: str, instead_of: str) -> None:
    op.drop_index(f"ix_audit_{'_'.join(_SCOPE)}_{instead_of}", "audit")
    op.create_index(f"ix_audit_{'_'.join(_SCOPE)}_{by}", "audit", [*_SCOPE, by])
