"""Which topic of each name the store met first: the ids of events that name none depend on it, see
``store/sql/first_topics.py``.

Expands only: a table that workers of the revision before do not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0009"
down_revision = "r0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "first_topics",
        sa.Column("cluster", sa.String(255), nullable=False),
        sa.Column("topic", sa.String(255), nullable=False),
        sa.Column("topic_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("cluster", "topic", name="pk_first_topics"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("first_topics")
