"""What several runs spend together: those of a DAG run, and those of a graph in one day.

Expands only: a table that workers of the revision before neither read nor write. What they count is missing in it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0012"
down_revision = "r0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "shared_spending",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("worker_id", sa.String(512), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Float(), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("unpriced", sa.String(512)),
        sa.Column("unreported", sa.String(512)),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "day", "worker_id", name="pk_shared_spending"),
    )
    op.create_index("ix_shared_spending_updated_at", "shared_spending", ["updated_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("shared_spending")
