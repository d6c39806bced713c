"""Indexes by which prune finds what may go: it looked through all runs and all tasks.

Expands only: workers of the revision before write to the new indexes, and know nothing of them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from langgraph_worker.store.migrations.migrate import NewIndex

revision = "r0005"
down_revision = "r0004"
branch_labels = None
depends_on = None

INDEXES = (
    NewIndex("ix_workflow_runs_published", "workflow_runs", ("finished_at", "seq"), "published_at IS NOT NULL"),
    NewIndex("ix_tasks_updated_at", "tasks", ("updated_at",)),
)


def upgrade() -> None:
    """Create those that were not built before, see :class:`NewIndex`."""
    inspector = sa.inspect(op.get_bind())
    for index in INDEXES:
        if all(present["name"] != index.name for present in inspector.get_indexes(index.table)):
            where = None if index.where is None else sa.text(index.where)
            op.create_index(index.name, index.table, index.columns, postgresql_where=where, sqlite_where=where)


def downgrade() -> None:
    """Drop them."""
    for index in INDEXES:
        op.drop_index(index.name, index.table)
