"""Limits of models for the whole fleet: which calls have had their turns, and which models take none for now.

Expands only: two tables that workers of the revision before neither read nor write. The calls of those are not counted.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0015"
down_revision = "r0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "models",
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("cool_until", sa.DateTime(timezone=True)),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model", name="pk_models"),
    )
    op.create_index("ix_models_updated_at", "models", ["updated_at"])
    op.create_table(
        "model_turns",
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("answered", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", "slot", name="pk_model_turns"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("model_turns")
    op.drop_table("models")
