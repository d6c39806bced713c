"""What logical runs have spent, which their budgets are compared with; and more of what a request's result says of it.

Expands only: a table that workers of the revision before do not know, and columns that may be NULL.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0010"
down_revision = "r0009"
branch_labels = None
depends_on = None

_COUNTS = ("requests", "tool_calls", "cache_read_tokens", "cache_write_tokens")


def upgrade() -> None:
    """Create the table, and add the columns."""
    op.create_table(
        "run_spending",
        sa.Column("lineage", sa.String(64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("usage", sa.JSON(), nullable=False),
        sa.Column("marks", sa.JSON()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["lineage"], ["lineages.lineage"], name="fk_run_spending_lineage_lineages", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("lineage", "generation", name="pk_run_spending"),
    )
    for name in _COUNTS:
        op.add_column("model_usage", sa.Column(name, sa.BigInteger()))
    op.add_column("model_usage", sa.Column("cost_usd", sa.Float()))


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("model_usage") as batch:
        for name in (*_COUNTS, "cost_usd"):
            batch.drop_column(name)
    op.drop_table("run_spending")
