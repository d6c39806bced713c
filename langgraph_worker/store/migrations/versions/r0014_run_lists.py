"""Indexes by which people find runs, the newest first: all, those of a graph, a DAG, a DAG run, a status, an error.

Expands only: workers of the revision before write to the new indexes, and know nothing of them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from langgraph_worker.store.migrations.migrate import NewIndex

revision = "r0014"
down_revision = "r0013"
branch_labels = None
depends_on = None

_RUNS = "workflow_runs"
INDEXES = (
    NewIndex("ix_workflow_runs_recent", _RUNS, ("accepted_at", "seq")),
    NewIndex("ix_workflow_runs_of_graph", _RUNS, ("graph", "accepted_at", "seq")),
    NewIndex("ix_workflow_runs_of_dag", _RUNS, ("workflow_id", "accepted_at", "seq")),
    NewIndex("ix_workflow_runs_of_dag_run", _RUNS, ("workflow_run_id", "accepted_at", "seq")),
    NewIndex(
        "ix_workflow_runs_unsuccessful", _RUNS, ("result_status", "accepted_at", "seq"), "result_status != 'success'"
    ),
    NewIndex("ix_workflow_runs_with_error", _RUNS, ("error_type", "accepted_at", "seq"), "error_type IS NOT NULL"),
    NewIndex(
        "ix_workflow_runs_of_named_thread", _RUNS, ("thread_name", "accepted_at", "seq"), "thread_name IS NOT NULL"
    ),
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
