"""Bounds on what waits: the size of each event, and an index that counts them.

Expands only: a column that may be NULL, for rows of workers of the revision before, whose size is not known.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0003"
down_revision = "r0002"
branch_labels = None
depends_on = None

_INDEX = "ix_workflow_runs_unfinished_of_graph"


def upgrade() -> None:
    """Add the column and the index."""
    op.add_column("workflow_runs", sa.Column("event_bytes", sa.Integer()))
    where = sa.text("finished_at IS NULL")
    op.create_index(_INDEX, "workflow_runs", ["graph", "event_bytes"], postgresql_where=where, sqlite_where=where)


def downgrade() -> None:
    """Drop both."""
    op.drop_index(_INDEX, "workflow_runs")
    with op.batch_alter_table("workflow_runs") as batch:
        batch.drop_column("event_bytes")
