"""Several workers on one store: who publishes a result, backing off, and questions with their answers.

Expands only, so that workers of the revision before go on while this one is applied: columns that may be NULL, and a
table that they do not use.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_NEW: dict[str, sa.types.TypeEngine[Any]] = {
    "not_before": _INSTANT,
    "publisher": sa.String(64),
    "adoptable_at": _INSTANT,
    "dead_lettered_at": _INSTANT,
}


# For prune, which would look through all runs for each that it removes.
_INDEXES = (
    ("workflow_runs", "lineage"),
    ("workflow_runs", "thread_id"),
    ("workflow_runs", "task"),
    ("lineages", "newest"),
)


def upgrade() -> None:
    """Add the columns; make the table of questions anew."""
    for name, kind in _NEW.items():
        op.add_column("workflow_runs", sa.Column(name, kind))
    for table, column in _INDEXES:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    op.drop_table("interrupts")
    _interrupts(
        sa.Column("logical_run", sa.Uuid(), nullable=False),
        sa.Column("answer_lineage", sa.String(64)),
        key=["thread_id", "interrupt_id", "correlation_id"],
    )
    op.create_index(op.f("ix_interrupts_interrupt_id"), "interrupts", ["interrupt_id"])


def downgrade() -> None:
    """As it was; questions and their answers are lost."""
    op.drop_table("interrupts")
    _interrupts(key=["thread_id", "interrupt_id"])
    for table, column in _INDEXES:
        op.drop_index(op.f(f"ix_{table}_{column}"), table)
    with op.batch_alter_table("workflow_runs") as batch:
        for name in _NEW:
            batch.drop_column(name)


def _interrupts(*more: sa.Column[object], key: list[str]) -> None:
    thread = op.f("fk_interrupts_thread_id_threads")
    op.create_table(
        "interrupts",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("interrupt_id", sa.String(255), nullable=False),
        sa.Column("correlation_id", sa.Uuid(), nullable=False),
        sa.Column("lineage", sa.String(64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("retired_at", _INSTANT),
        sa.Column("answered_at", _INSTANT),
        sa.Column("answered_by", sa.String(512)),
        sa.Column("answer_id", sa.Uuid()),
        sa.Column("answer", sa.JSON(none_as_null=True)),
        *more,
        sa.ForeignKeyConstraint(["thread_id"], ["threads.thread_id"], name=thread, ondelete="CASCADE"),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_interrupts")),
    )
    op.create_index(op.f("ix_interrupts_lineage"), "interrupts", ["lineage"])
