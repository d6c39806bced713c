"""Who asked for what through the API.

Expands only: a table that workers of the revision before neither read nor write.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0018"
down_revision = "r0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "audit_entries",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(512), nullable=False),
        sa.Column("on_behalf_of", sa.String(512)),
        sa.Column("client", sa.String(512), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.String(32)),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_entries"),
    )
    op.create_index("ix_audit_entries_target", "audit_entries", ["target"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("audit_entries")
