"""The trace context of requests, and that of the request which began a logical run: all its starts are in one trace.

Expands only: workers of the revision before leave the columns empty.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0017"
down_revision = "r0016"
branch_labels = None
depends_on = None

_TABLES = ("workflow_runs", "lineages")


def upgrade() -> None:
    """Add the columns."""
    for table in _TABLES:
        op.add_column(table, sa.Column("traceparent", sa.String(55)))


def downgrade() -> None:
    """Drop them."""
    for table in _TABLES:
        op.drop_column(table, "traceparent")
