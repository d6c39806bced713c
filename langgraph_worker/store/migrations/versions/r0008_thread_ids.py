"""Threads have UUIDs as ids: which workers know it, and the names that authors gave to threads.

Expands only: columns that may be NULL. Threads that are there keep their ids, see ``store/sql/thread_ids.py``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0008"
down_revision = "r0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("workers", sa.Column("uuid_threads", sa.Boolean()))
    op.add_column("workflow_runs", sa.Column("thread_name", sa.String(512)))


def downgrade() -> None:
    """Drop them."""
    for table, column in (("workflow_runs", "thread_name"), ("workers", "uuid_threads")):
        with op.batch_alter_table(table) as batch:
            batch.drop_column(column)
