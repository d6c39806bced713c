"""The run store: runs, tasks, lineages, threads, steps, errors, and what later rules need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON(none_as_null=True)
_RUN_STATUS = "status IN ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'INTERRUPTED')"
_STEP_STATUS = "status IN ('RUNNING', 'COMPLETED', 'FAILED', 'INTERRUPTED')"
_TABLES = (
    "tasks",
    "lineages",
    "threads",
    "workflow_runs",
    "step_executions",
    "workflow_errors",
    "model_usage",
    "interrupts",
    "cancellations",
    "tombstones",
    "workers",
    "worker_graphs",
)


def upgrade() -> None:
    """Create the tables, those that others refer to first."""
    _tasks_and_lineages()
    _threads()
    _runs()
    _run_indexes()
    _steps()
    _errors_and_usage()
    _interrupts()
    _cancellations_and_tombstones()
    _workers()


def downgrade() -> None:
    """Drop them all, and what they hold."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _of_run() -> sa.Column[object]:
    return sa.Column("correlation_id", sa.Uuid(), nullable=False)


def _references_run(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_correlation_id_workflow_runs")
    return sa.ForeignKeyConstraint(["correlation_id"], ["workflow_runs.correlation_id"], name=name, ondelete="CASCADE")


def _tasks_and_lineages() -> None:
    op.create_table(
        "tasks",
        sa.Column("task", sa.String(512), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("max_tries", sa.Integer(), nullable=False),
        sa.Column("run_start", _INSTANT),
        sa.Column("replay", sa.Integer(), nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("task", name=op.f("pk_tasks")),
    )
    op.create_table(
        "lineages",
        sa.Column("lineage", sa.String(64), nullable=False),
        sa.Column("task", sa.String(512)),
        sa.Column("agent", sa.String(512)),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("logical_run", sa.Uuid(), nullable=False),
        sa.Column("graph", sa.String(512), nullable=False),
        sa.Column("shared_thread", sa.Text()),
        sa.Column("input_hash", sa.String(64), nullable=False),
        sa.Column("nodes", _JSON),
        sa.Column("newest", sa.Uuid(), nullable=False),
        sa.Column("updated_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("lineage", name=op.f("pk_lineages")),
    )
    op.create_index(op.f("ix_lineages_task"), "lineages", ["task"])


def _threads() -> None:
    op.create_table(
        "threads",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(512)),
        sa.Column("correlation_id", sa.Uuid()),
        sa.Column("held", sa.BigInteger()),
        sa.Column("until", _INSTANT),
        sa.PrimaryKeyConstraint("thread_id", name=op.f("pk_threads")),
    )
    op.create_index(op.f("ix_threads_correlation_id"), "threads", ["correlation_id"])


def _runs() -> None:
    op.create_table(
        "workflow_runs",
        sa.Column("seq", _SEQUENCE, autoincrement=True, nullable=False),
        _of_run(),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("workflow_id", sa.String(512), nullable=False),
        sa.Column("workflow_run_id", sa.String(512), nullable=False),
        sa.Column("event", sa.Text()),
        sa.Column("graph", sa.String(512)),
        sa.Column("deadline", _INSTANT),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(512)),
        sa.Column("attempt_id", sa.Uuid()),
        sa.Column("try_number", sa.Integer()),
        sa.Column("max_tries", sa.Integer()),
        sa.Column("run_start", _INSTANT),
        sa.Column("replay", sa.Integer()),
        sa.Column("cluster", sa.String(255), nullable=False),
        sa.Column("topic", sa.String(255), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("lineage", sa.String(64)),
        sa.Column("generation", sa.Integer()),
        sa.Column("logical_run", sa.Uuid()),
        sa.Column("thread_id", sa.Text()),
        sa.Column("accepted_at", _INSTANT, nullable=False),
        sa.Column("waiting_since", _INSTANT, nullable=False),
        sa.Column("started_at", _INSTANT),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("takeovers", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.String(512)),
        sa.Column("finished_at", _INSTANT),
        sa.Column("result_status", sa.String(16)),
        sa.Column("error_type", sa.Text()),
        sa.Column("reply_topic", sa.String(255), nullable=False),
        sa.Column("reply_key", sa.LargeBinary()),
        sa.Column("reply_value", sa.LargeBinary()),
        sa.Column("reply_headers", _JSON),
        sa.Column("publish_asked", sa.Integer(), nullable=False),
        sa.Column("published_at", _INSTANT),
        sa.Column("last_query", sa.Uuid()),
        sa.CheckConstraint(_RUN_STATUS, name=op.f("ck_workflow_runs_status")),
        sa.ForeignKeyConstraint(["lineage"], ["lineages.lineage"], name=op.f("fk_workflow_runs_lineage_lineages")),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.thread_id"], name=op.f("fk_workflow_runs_thread_id_threads")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_workflow_runs")),
        sa.UniqueConstraint("correlation_id", name=op.f("uq_workflow_runs_correlation_id")),
        sqlite_autoincrement=True,
    )


def _run_indexes() -> None:
    op.create_index(op.f("ix_workflow_runs_status"), "workflow_runs", ["status"])
    unfinished, unpublished = (
        sa.text("finished_at IS NULL"),
        sa.text("published_at IS NULL AND finished_at IS NOT NULL"),
    )
    for name, where, columns in (
        ("unfinished", unfinished, ["seq", "graph"]),
        ("unfinished_of_thread", unfinished, ["thread_id", "seq"]),
        ("unfinished_of_task", unfinished, ["task"]),
        ("unfinished_deadline", unfinished, ["deadline"]),
        ("unpublished", unpublished, ["finished_at", "seq"]),
    ):
        index = op.f(f"ix_workflow_runs_{name}")
        op.create_index(index, "workflow_runs", columns, sqlite_where=where, postgresql_where=where)


def _steps() -> None:
    op.create_table(
        "step_executions",
        _of_run(),
        sa.Column("step_id", sa.String(255), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text()),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("finished_at", _INSTANT),
        sa.Column("input", _JSON),
        sa.Column("output", _JSON),
        sa.Column("error", sa.Text()),
        sa.CheckConstraint(_STEP_STATUS, name=op.f("ck_step_executions_status")),
        _references_run("step_executions"),
        sa.PrimaryKeyConstraint("correlation_id", "step_id", name=op.f("pk_step_executions")),
    )


def _errors_and_usage() -> None:
    op.create_table(
        "workflow_errors",
        sa.Column("id", _SEQUENCE, autoincrement=True, nullable=False),
        _of_run(),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("error_type", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("traceback", sa.Text(), nullable=False),
        sa.Column("node", sa.Text()),
        sa.Column("worker_id", sa.String(512)),
        sa.Column("occurred_at", _INSTANT, nullable=False),
        _references_run("workflow_errors"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_errors")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_workflow_errors_correlation_id"), "workflow_errors", ["correlation_id"])
    op.create_table(
        "model_usage",
        _of_run(),
        sa.Column("model", sa.String(512), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("total_tokens", sa.BigInteger(), nullable=False),
        _references_run("model_usage"),
        sa.PrimaryKeyConstraint("correlation_id", "model", name=op.f("pk_model_usage")),
    )


def _interrupts() -> None:
    thread = op.f("fk_interrupts_thread_id_threads")
    op.create_table(
        "interrupts",
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("interrupt_id", sa.String(255), nullable=False),
        _of_run(),
        sa.Column("lineage", sa.String(64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("retired_at", _INSTANT),
        sa.Column("answered_at", _INSTANT),
        sa.Column("answered_by", sa.String(512)),
        sa.Column("answer_id", sa.Uuid()),
        sa.Column("answer", _JSON),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.thread_id"], name=thread, ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("thread_id", "interrupt_id", name=op.f("pk_interrupts")),
    )
    op.create_index(op.f("ix_interrupts_lineage"), "interrupts", ["lineage"])


def _cancellations_and_tombstones() -> None:
    op.create_table(
        "cancellations",
        _of_run(),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.String(512)),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("correlation_id", name=op.f("pk_cancellations")),
    )
    op.create_index(op.f("ix_cancellations_expires_at"), "cancellations", ["expires_at"])
    op.create_table(
        "tombstones",
        _of_run(),
        sa.Column("result_status", sa.String(16), nullable=False),
        sa.Column("finished_at", _INSTANT, nullable=False),
        sa.Column("pruned_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("correlation_id", name=op.f("pk_tombstones")),
    )
    op.create_index(op.f("ix_tombstones_expires_at"), "tombstones", ["expires_at"])


def _workers() -> None:
    op.create_table(
        "workers",
        sa.Column("worker_id", sa.String(512), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("events_topic", sa.String(255), nullable=False),
        sa.Column("consumer_group", sa.String(255), nullable=False),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("seen_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("pk_workers")),
    )
    op.create_index(op.f("ix_workers_seen_at"), "workers", ["seen_at"])
    worker = op.f("fk_worker_graphs_worker_id_workers")
    op.create_table(
        "worker_graphs",
        sa.Column("worker_id", sa.String(512), nullable=False),
        sa.Column("graph", sa.String(512), nullable=False),
        sa.Column("description", sa.Text()),
        sa.ForeignKeyConstraint(["worker_id"], ["workers.worker_id"], name=worker, ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("worker_id", "graph", name=op.f("pk_worker_graphs")),
    )
    op.create_index(op.f("ix_worker_graphs_graph"), "worker_graphs", ["graph"])
