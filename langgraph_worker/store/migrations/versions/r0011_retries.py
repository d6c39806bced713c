"""What the worker has repeated of a run; of each error its class, its model and the wait behind it; and which models of
a logical run have not said how many tokens they took.

Expands only: columns that may be NULL, which workers of the revision before neither read nor write.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0011"
down_revision = "r0010"
branch_labels = None
depends_on = None

_OF_ERRORS = ("error_class", "model", "wait_seconds")


def upgrade() -> None:
    """Add the columns."""
    op.add_column("workflow_runs", sa.Column("retried", sa.JSON()))
    op.add_column("workflow_errors", sa.Column("error_class", sa.String(32)))
    op.add_column("workflow_errors", sa.Column("model", sa.String(512)))
    op.add_column("workflow_errors", sa.Column("wait_seconds", sa.Float()))
    op.add_column("run_spending", sa.Column("unreported", sa.JSON()))


def downgrade() -> None:
    """Drop them."""
    with op.batch_alter_table("run_spending") as batch:
        batch.drop_column("unreported")
    with op.batch_alter_table("workflow_errors") as batch:
        for name in _OF_ERRORS:
            batch.drop_column(name)
    with op.batch_alter_table("workflow_runs") as batch:
        batch.drop_column("retried")
