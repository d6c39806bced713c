"""The deployment of each request: only it, and a person, may answer what its runs ask.

Expands only: a column that may be NULL, for rows of workers of the revision before, whose deployment is not known.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0006"
down_revision = "r0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("workflow_runs", sa.Column("deployment", sa.String(512)))


def downgrade() -> None:
    """Drop it."""
    with op.batch_alter_table("workflow_runs") as batch:
        batch.drop_column("deployment")
