"""Answers belong to one asking of a question, and the questions of generations that were left are withdrawn.

Expands only: columns that may be NULL, for rows of workers of the revision before, whose answers go by the id alone.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0004"
down_revision = "r0003"
branch_labels = None
depends_on = None

# What the revision before let a cleared task's run ask: it holds its thread, and its answers are refused.
_WITHDRAW = """
    UPDATE interrupts SET retired_at = asked_at
    WHERE answered_at IS NULL AND retired_at IS NULL
    AND generation < (SELECT generation FROM lineages WHERE lineages.lineage = interrupts.lineage)
"""


def upgrade() -> None:
    """Add the columns, and withdraw the questions."""
    op.add_column("interrupts", sa.Column("asking", sa.Integer()))
    op.add_column("workflow_runs", sa.Column("askings", sa.JSON(none_as_null=True)))
    op.execute(_WITHDRAW)


def downgrade() -> None:
    """Drop the columns."""
    for table, column in (("interrupts", "asking"), ("workflow_runs", "askings")):
        with op.batch_alter_table(table) as batch:
            batch.drop_column(column)
