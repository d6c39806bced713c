"""The tables of the run store, portable between SQLite and PostgreSQL. Alembic's revisions follow this module by test.

A run is unfinished while ``finished_at`` is NULL, and after that unpublished while ``published_at`` is. The partial
indexes of both hold only those few rows, so that claim, expiry and outbox stay fast however long the history is.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement

from langgraph_worker.domain.models import RunStatus, StepStatus


class UtcDateTime(TypeDecorator[datetime]):
    """An instant with microseconds: aware UTC in Python, ``timestamptz`` in PostgreSQL, sortable text in SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; a value without a zone is a mistake of the caller."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the run store takes instants with a time zone only")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """SQLite drops the zone, PostgreSQL answers in the session's."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class FirstTurn(ColumnElement[datetime]):
    """The default of a turn: the time of the transaction. SQLite adds columns with constant defaults only, and its one
    process needs none: there it is what sorts first.
    """

    inherit_cache = True


@compiles(FirstTurn, "sqlite")
def _first_turn_of_sqlite(element: FirstTurn, compiler: object, **_: object) -> str:
    return "'1970-01-01 00:00:00.000000'"


@compiles(FirstTurn)
def _first_turn(element: FirstTurn, compiler: object, **_: object) -> str:
    return "CURRENT_TIMESTAMP"


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts up by itself only in a column of type INTEGER.
_Sequence = BigInteger().with_variant(Integer(), "sqlite")
_Key = String(64)  # task and lineage: 64 hex digits from our own peers, but anything up to 512 characters by contract
_TaskKey = String(512)


def _one_of(column: str, kind: type[RunStatus] | type[StepStatus]) -> CheckConstraint:
    values = ", ".join(f"'{member.value}'" for member in kind)
    return CheckConstraint(f"{column} IN ({values})", name=column)


tasks = Table(
    "tasks",
    metadata,
    Column("task", _TaskKey, primary_key=True),
    # The newest attempt seen, over all agents.
    Column("attempt_id", Uuid, nullable=False),
    Column("try_number", Integer, nullable=False),
    Column("max_tries", Integer, nullable=False),
    Column("run_start", UtcDateTime),
    Column("replay", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False, index=True),
)

lineages = Table(
    "lineages",
    metadata,
    Column("lineage", _Key, primary_key=True),
    Column("task", _TaskKey, index=True),  # NULL: a plain request
    Column("agent", String(512)),
    Column("generation", Integer, nullable=False),
    # The rest describes the present generation.
    Column("logical_run", Uuid, nullable=False),
    Column("graph", String(512), nullable=False),
    Column("shared_thread", Text),  # the author's name for it, NULL if the thread is the logical run's own
    Column("input_hash", String(64), nullable=False),
    Column("nodes", JSON(none_as_null=True)),  # NULL: never started
    Column("release", String(128)),  # the one that began the logical run; NULL: not known
    Column("traceparent", String(55)),  # of the request that began the logical run; NULL: it had none
    Column("newest", Uuid, nullable=False, index=True),  # the correlation id of its newest request
    Column("updated_at", UtcDateTime, nullable=False),
)

threads = Table(
    "threads",
    metadata,
    Column("thread_id", Text, primary_key=True),
    Column("token", BigInteger, nullable=False),  # only ever grows; a lease with a lower one is void
    # The present holder, NULL when free. When a run is ended from outside, the token is raised and these stay: the
    # holder may still be at work, so the thread is free when the holder releases it, or at `until`.
    Column("owner", String(512)),
    Column("correlation_id", Uuid),
    Column("held", BigInteger),  # the token it was given
    Column("until", UtcDateTime),
)
_is_held = threads.c.correlation_id.is_not(None)
Index("ix_threads_held", threads.c.correlation_id, sqlite_where=_is_held, postgresql_where=_is_held)

workflow_runs = Table(
    "workflow_runs",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),  # the order of acceptance
    Column("correlation_id", Uuid, nullable=False, unique=True),
    Column("status", String(16), nullable=False, index=True),
    Column("decision", String(16), nullable=False),
    Column("workflow_id", String(512), nullable=False),
    Column("workflow_run_id", String(512), nullable=False),
    # The request. A refusal has no event, no graph and no lineage; a late attempt no lineage.
    Column("event", Text),  # JSON as it was validated
    Column("event_bytes", Integer),
    Column("graph", String(512)),
    # NULL: a plain request's; without a thread_id it is not known. An answer's is that of its question.
    Column("deployment", String(512)),
    Column("deadline", UtcDateTime),
    Column("round", Integer, nullable=False),
    Column("task", _TaskKey, index=True),
    Column("attempt_id", Uuid),
    Column("try_number", Integer),
    Column("max_tries", Integer),
    Column("run_start", UtcDateTime),
    Column("replay", Integer),
    # Its place in Kafka.
    Column("cluster", String(255), nullable=False),
    Column("topic", String(255), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    # Its place among the runs.
    Column("lineage", ForeignKey("lineages.lineage"), index=True),
    Column("generation", Integer),
    Column("logical_run", Uuid),
    Column("thread_id", ForeignKey("threads.thread_id"), index=True),
    Column("thread_name", String(512)),  # the author's; NULL: it has none, or an earlier version accepted the run
    # Its progress.
    Column("accepted_at", UtcDateTime, nullable=False),
    Column("waiting_since", UtcDateTime, nullable=False),  # accepted, given back, or without an owner
    # The order in which runs start, see domain/turns.py. A worker of an earlier version leaves it to PostgreSQL.
    Column("turn", UtcDateTime, nullable=False, server_default=FirstTurn()),
    Column("not_before", UtcDateTime),  # backing off
    Column("retried", JSON(none_as_null=True)),  # what the worker has repeated of it; NULL: nothing
    Column("started_at", UtcDateTime),
    Column("attempts", Integer, nullable=False),
    Column("takeovers", Integer, nullable=False),
    Column("worker_id", String(512)),  # the worker that claimed it last
    Column("release", String(128)),  # of that worker's project; NULL: not known
    Column("traceparent", String(55)),  # its trace context, as its message gave it; NULL: it had none
    Column("askings", JSON(none_as_null=True)),  # of an answer: by interrupt id, the asking that it was given to
    # Its end. Every publication sends the same bytes of the reply.
    Column("finished_at", UtcDateTime),
    Column("result_status", String(16)),
    Column("error_type", Text),
    Column("reply_topic", String(255), nullable=False),
    Column("reply_key", LargeBinary),
    Column("reply_value", LargeBinary),
    Column("reply_headers", JSON(none_as_null=True)),  # [[name, value as Latin-1], ...]
    Column("publish_asked", Integer, nullable=False),  # how often; an acknowledgement counts only for the last
    Column("publisher", String(64)),  # the store client that ended it, or was asked for it again
    Column("adoptable_at", UtcDateTime),  # from then on any store client may publish it
    Column("dead_lettered_at", UtcDateTime),  # if the request is kept for a person
    Column("published_at", UtcDateTime),
    Column("last_query", Uuid),  # the last workflow.query that published it again
    _one_of("status", RunStatus),
    sqlite_autoincrement=True,
)

_unfinished = workflow_runs.c.finished_at.is_(None)
_unpublished = workflow_runs.c.published_at.is_(None) & workflow_runs.c.finished_at.is_not(None)


def _partial(name: str, where: object, *columns: str) -> Index:
    # Both dialects have partial indexes, each under its own keyword.
    chosen = [workflow_runs.c[column] for column in columns]
    return Index(f"ix_workflow_runs_{name}", *chosen, sqlite_where=where, postgresql_where=where)


_partial("unfinished", _unfinished, "seq", "graph")
_partial("unfinished_turn", _unfinished, "graph", "turn", "seq")
_partial("unfinished_of_thread", _unfinished, "thread_id", "seq")
_partial("unfinished_of_task", _unfinished, "task")
_partial("unfinished_deadline", _unfinished, "deadline")
_partial("unfinished_of_graph", _unfinished, "graph", "event_bytes")
_partial("unpublished", _unpublished, "finished_at", "seq")
_partial("published", workflow_runs.c.published_at.is_not(None), "finished_at", "seq")  # the history, for prune

# What people look for in the history, the newest first.
_BY_TIME = ("accepted_at", "seq")
for _name, _columns in (
    ("recent", ()),
    ("of_graph", ("graph",)),
    ("of_deployment", ("deployment",)),
    ("of_dag", ("workflow_id",)),
    ("of_dag_run", ("workflow_run_id",)),
):
    Index(f"ix_workflow_runs_{_name}", *(workflow_runs.c[column] for column in (*_columns, *_BY_TIME)))
_partial("unsuccessful", workflow_runs.c.result_status != text("'success'"), "result_status", *_BY_TIME)
_partial("with_error", workflow_runs.c.error_type.is_not(None), "error_type", *_BY_TIME)
_partial("of_named_thread", workflow_runs.c.thread_name.is_not(None), "thread_name", *_BY_TIME)

step_executions = Table(
    "step_executions",
    metadata,
    Column("correlation_id", ForeignKey("workflow_runs.correlation_id", ondelete="CASCADE"), primary_key=True),
    Column("step_id", String(255), primary_key=True),  # LangGraph's task id
    Column("attempt", Integer, nullable=False),  # of the run: its claims, this one included
    Column("namespace", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("agent", Text),
    Column("status", String(16), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("input", JSON(none_as_null=True)),
    Column("output", JSON(none_as_null=True)),
    Column("error", Text),
    _one_of("status", StepStatus),
)

workflow_errors = Table(
    "workflow_errors",
    metadata,
    Column("id", _Sequence, primary_key=True, autoincrement=True),
    Column(
        "correlation_id",
        ForeignKey("workflow_runs.correlation_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("attempt", Integer, nullable=False),
    Column("error_type", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    Column("node", Text),
    Column("error_class", String(32)),  # NULL: the worker names the error itself, or one of an earlier version wrote it
    Column("model", String(512)),  # whose call raised it, if it is known
    Column("wait_seconds", Float),  # after which the worker repeats the run; NULL: the error has ended it
    Column("worker_id", String(512)),
    Column("occurred_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

# What the result of a request says: the usage of its logical run until then.
model_usage = Table(
    "model_usage",
    metadata,
    Column("correlation_id", ForeignKey("workflow_runs.correlation_id", ondelete="CASCADE"), primary_key=True),
    Column("model", String(512), primary_key=True),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("total_tokens", BigInteger, nullable=False),
    # NULL: a worker of an earlier version ended the run.
    Column("requests", BigInteger),
    Column("tool_calls", BigInteger),
    Column("cache_read_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("cost_usd", Float),  # NULL also if a price is not known
)

# What a logical run has spent by now; none if it has nothing to count.
run_spending = Table(
    "run_spending",
    metadata,
    Column("lineage", ForeignKey("lineages.lineage", ondelete="CASCADE"), primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("steps", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("usage", JSON(none_as_null=True), nullable=False),  # by model
    Column("unreported", JSON(none_as_null=True)),  # models that did not say how many tokens they took; NULL: none
    Column("marks", JSON(none_as_null=True)),  # of counted messages; NULL: too many to remember
    Column("updated_at", UtcDateTime, nullable=False),
)

# What several runs have spent together, see domain/accounts.py; a row a worker, so that no two write the same one.
shared_spending = Table(
    "shared_spending",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("name", String(512), primary_key=True),
    Column("day", String(10), primary_key=True),  # of a day's account, as 2027-01-31; else empty
    Column("worker_id", String(512), primary_key=True),
    Column("tokens", BigInteger, nullable=False),
    Column("cost_usd", Float, nullable=False),
    Column("steps", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("unpriced", String(512)),  # one of the models whose price is not known; NULL: there is none
    Column("unreported", String(512)),  # one of those that did not say how many tokens they took
    Column("updated_at", UtcDateTime, nullable=False, index=True),
)

# A model that is limited, or whose provider takes no more calls for now; its row is locked while turns are given.
models = Table(
    "models",
    metadata,
    Column("model", String(512), primary_key=True),  # with its provider, if that is known
    Column("cool_until", UtcDateTime),  # no call before; NULL: none was refused
    Column("updated_at", UtcDateTime, nullable=False, index=True),
)

# What is counted in half a second, see domain/model_turns.py: turns that lie ahead, too.
model_turns = Table(
    "model_turns",
    metadata,
    Column("model", String(512), primary_key=True),
    Column("slot", BigInteger, primary_key=True, autoincrement=False),  # half seconds since the epoch
    Column("requests", BigInteger, nullable=False),
    Column("answered", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
)

# A question of a graph, each time that a request ends with it. Pending: neither answered nor retired.
interrupts = Table(
    "interrupts",
    metadata,
    Column("thread_id", ForeignKey("threads.thread_id", ondelete="CASCADE"), primary_key=True),
    Column("interrupt_id", String(255), primary_key=True, index=True),
    Column("correlation_id", Uuid, primary_key=True),  # the request that ended with it
    Column("lineage", _Key, nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("logical_run", Uuid, nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("asking", Integer),  # by this id and logical run, from 0; NULL counts as 0
    Column("retired_at", UtcDateTime),  # its lineage started afresh, or the question was asked again
    Column("answered_at", UtcDateTime),  # in the transaction of the checkpoint that holds the answer
    Column("answered_by", String(512)),
    Column("answer_id", Uuid),  # the request that answered it
    Column("answer_lineage", _Key),
    Column("answer", JSON(none_as_null=True)),
)

cancellations = Table(
    "cancellations",
    metadata,
    Column("correlation_id", Uuid, primary_key=True),  # the request may still be to come
    Column("reason", Text, nullable=False),
    Column("requested_by", String(512)),
    Column("received_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)

# The newest change of each scope, unpauses too: an older message that is read later changes nothing.
pauses = Table(
    "pauses",
    metadata,
    Column("scope", String(16), primary_key=True),  # fleet, graph, workflow
    Column("name", String(512), primary_key=True),  # of the graph or workflow; empty for the fleet
    Column("is_on", Boolean, nullable=False),
    Column("at_once", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requested_by", String(512)),
    Column("changed_at", UtcDateTime, nullable=False),  # by its sender's clock
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("seq", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(512), nullable=False),
    Column("on_behalf_of", String(512)),
    Column("client", String(512), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", Uuid, nullable=False),  # a request's; its run may be pruned
    Column("outcome", String(32)),
    Index("ix_audit_entries_target", "target"),
)

request_keys = Table(
    "request_keys",
    metadata,
    Column("key", Uuid, primary_key=True),
    Column("digest", String(64), nullable=False),  # of the request
    Column("correlation_id", Uuid, nullable=False),  # of a request; its run may be pruned
    Column("at", UtcDateTime, nullable=False),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("correlation_id", Uuid, primary_key=True),  # a pruned run's: it never runs again
    Column("result_status", String(16), nullable=False),
    Column("finished_at", UtcDateTime, nullable=False),
    Column("pruned_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)

workers = Table(
    "workers",
    metadata,
    Column("worker_id", String(512), primary_key=True),
    Column("version", String(64), nullable=False),
    Column("events_topic", String(255), nullable=False),
    Column("consumer_group", String(255), nullable=False),
    Column("uuid_threads", Boolean),  # NULL: a version before, which calls a new thread by its text
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False, index=True),
)

worker_graphs = Table(
    "worker_graphs",
    metadata,
    Column("worker_id", ForeignKey("workers.worker_id", ondelete="CASCADE"), primary_key=True),
    Column("graph", String(512), primary_key=True, index=True),
    Column("description", Text),
)

first_topics = Table(
    "first_topics",
    metadata,
    Column("cluster", String(255), primary_key=True),
    Column("topic", String(255), primary_key=True),
    Column("topic_id", String(64), nullable=False),  # of those of this name, the one that the store met first
)

memories = Table(
    "memories",
    metadata,
    Column("label", String(64), primary_key=True),  # the first label of its namespaces in LangGraph's table
    Column("deployment", Text, nullable=False),
    Column("graph", Text, nullable=False),
    Column("items", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)
