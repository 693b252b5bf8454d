"""A look at a hold-out knows its symbols and its span; looks logged before stay without."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, empty."""
    op.add_column("hold_out_uses", sa.Column("symbols", sa.JSON()))
    for name in ("span_start", "span_end"):
        op.add_column("hold_out_uses", sa.Column(name, sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Take the columns away."""
    for name in ("span_end", "span_start", "symbols"):
        op.drop_column("hold_out_uses", name)
