"""The turn of each run, by which claims choose the next; an index of the threads that are held, and of nothing else.

Expands only: workers of the revision before write no turn, and PostgreSQL then takes the instant of their transaction.
What waits already has one turn, and keeps its order. They find held threads by the smaller index, too.

The index of the turns is built by the revision itself, which reads all runs once meanwhile: no run can be written.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from langgraph_worker.store.migrations.migrate import NewIndex

revision = "r0016"
down_revision = "r0015"
branch_labels = None
depends_on = None

INDEXES = (
    NewIndex("ix_threads_held", "threads", ("correlation_id",), "correlation_id IS NOT NULL"),
    NewIndex("ix_workflow_runs_unfinished_turn", "workflow_runs", ("graph", "turn", "seq"), "finished_at IS NULL"),
)
_ALL_HOLDERS = "ix_threads_correlation_id"


def upgrade() -> None:
    """Add the column and the indexes, those that were not built before, see :class:`NewIndex`."""
    # SQLite adds no column whose default is computed; only this process writes to it.
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    default = sa.text("'1970-01-01 00:00:00.000000'" if is_sqlite else "CURRENT_TIMESTAMP")
    column = sa.Column("turn", sa.DateTime(timezone=True), nullable=False, server_default=default)
    op.add_column("workflow_runs", column)
    inspector = sa.inspect(op.get_bind())
    for index in INDEXES:
        if all(present["name"] != index.name for present in inspector.get_indexes(index.table)):
            where = sa.text(index.where or "true")
            op.create_index(index.name, index.table, index.columns, postgresql_where=where, sqlite_where=where)
    op.drop_index(_ALL_HOLDERS, "threads")


def downgrade() -> None:
    """Take them away, and index all threads again."""
    op.create_index(_ALL_HOLDERS, "threads", ["correlation_id"])
    for index in INDEXES:
        op.drop_index(index.name, index.table)
    with op.batch_alter_table("workflow_runs") as batch:
        batch.drop_column("turn")
