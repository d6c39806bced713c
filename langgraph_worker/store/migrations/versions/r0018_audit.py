"""Who asked for what through the API, and under which keys; the runs of an Airflow installation by index.

Expands only: workers of the revision before write to the new index, and know nothing of the tables.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from langgraph_worker.store.migrations.migrate import NewIndex

revision = "r0018"
down_revision = "r0017"
branch_labels = None
depends_on = None

INDEXES = (NewIndex("ix_workflow_runs_of_deployment", "workflow_runs", ("deployment", "accepted_at", "seq")),)


def upgrade() -> None:
    """Make the tables, and the index if it was not built before, see :class:`NewIndex`."""
    op.create_table(
        "audit_entries",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(512), nullable=False),
        sa.Column("on_behalf_of", sa.String(512)),
        sa.Column("client", sa.String(512), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.String(32)),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_entries"),
    )
    op.create_index("ix_audit_entries_target", "audit_entries", ["target"])
    op.create_table(
        "request_keys",
        sa.Column("key", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("correlation_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_request_keys"),
    )
    inspector = sa.inspect(op.get_bind())
    for index in INDEXES:
        if all(present["name"] != index.name for present in inspector.get_indexes(index.table)):
            op.create_index(index.name, index.table, index.columns)


def downgrade() -> None:
    """Drop them."""
    for index in INDEXES:
        op.drop_index(index.name, index.table)
    op.drop_table("request_keys")
    op.drop_table("audit_entries")
