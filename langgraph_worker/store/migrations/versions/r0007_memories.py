"""How much each graph's long-term memory holds, so that a write can be refused without counting every item.

Expands only: a table that workers of the revision before do not know. They keep the long-term memory in their process.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0007"
down_revision = "r0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "memories",
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("deployment", sa.Text(), nullable=False),
        sa.Column("graph", sa.Text(), nullable=False),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("label", name="pk_memories"),
    )


def downgrade() -> None:
    """Drop it. The items stay in LangGraph's tables."""
    op.drop_table("memories")
