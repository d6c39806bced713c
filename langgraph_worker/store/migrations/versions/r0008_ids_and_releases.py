"""Threads have UUIDs as ids: which workers know it, and the names that authors gave to threads. Which release began a
logical run, and which one ran a request last.

Expands only: columns that may be NULL. Threads that are there keep their ids, see ``store/sql/thread_ids.py``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0008"
down_revision = "r0007"
branch_labels = None
depends_on = None


_COLUMNS = {"lineages": ["release"], "workflow_runs": ["release", "thread_name"], "workers": ["uuid_threads"]}


def upgrade() -> None:
    """Add the columns."""
    op.add_column("workers", sa.Column("uuid_threads", sa.Boolean()))
    op.add_column("workflow_runs", sa.Column("thread_name", sa.String(512)))
    op.add_column("workflow_runs", sa.Column("release", sa.String(128)))
    op.add_column("lineages", sa.Column("release", sa.String(128)))


def downgrade() -> None:
    """Drop them."""
    for table, columns in _COLUMNS.items():
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column)
