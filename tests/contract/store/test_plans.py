"""The statements of a busy store keep to their indexes, however long its history is."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Index, PrimaryKeyConstraint, UniqueConstraint, create_engine, text
from sqlalchemy import event as sqlalchemy_event

from devtools.postgres import PostgresServer
from langgraph_worker.domain.models import Pruned
from langgraph_worker.domain.run_views import RunFilter, RunScope, ViewStatus
from langgraph_worker.store.engines.postgres import PostgresDatabase, server_url
from langgraph_worker.store.migrations.migrate import upgrade
from langgraph_worker.store.migrations.schema import metadata
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.sql.run_views import SqlRunViews
from tests.support.run_store import event
from workflow_events.results import ResultStatus, WorkflowResultEvent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

FINISHED = 20_000
WAITING = 500
REPLY = WorkflowResultEvent(
    correlation_id=UUID(int=0), workflow_id="dag", workflow_run_id="run", status=ResultStatus.SUCCESS
).model_dump_json()
WEEK = timedelta(days=7)

_TABLES = metadata.tables.values()
_FIRST_COLUMNS = {
    str(index.name): next(iter(index.columns)).name
    for table in _TABLES
    for index in (*table.indexes, *table.constraints)
    if isinstance(index, Index | PrimaryKeyConstraint | UniqueConstraint)
}
_PARTIAL = {
    index.name
    for table in _TABLES
    for index in table.indexes
    if index.dialect_options["postgresql"]["where"] is not None
}
PAUSES = {"pauses"}
"""A table of a row for each scope that was ever paused."""
_HISTORY = "ix_workflow_runs_published"
"""The partial index that holds most rows."""
_FILL = (
    """
    INSERT INTO tasks (task, attempt_id, try_number, max_tries, replay, updated_at)
    SELECT 'task-' || n, gen_random_uuid(), 1, 1, 0, now() FROM generate_series(1, :last) AS n
    """,
    """
    INSERT INTO lineages (lineage, task, generation, logical_run, graph, input_hash, newest, updated_at)
    SELECT 'lineage-' || n, 'task-' || n, 1, gen_random_uuid(), 'graph', 'hash', lpad(to_hex(n), 32, '0')::uuid, now()
    FROM generate_series(1, :last) AS n
    """,
    """
    INSERT INTO threads (thread_id, token) SELECT 'thread-' || n, 1 FROM generate_series(1, :last) AS n
    """,
    """
    INSERT INTO workflow_runs (
        correlation_id, status, decision, workflow_id, workflow_run_id, event, event_bytes, graph, deadline, round,
        task, cluster, topic, "partition", "offset", lineage, generation, logical_run, thread_id, accepted_at,
        waiting_since, attempts, takeovers, finished_at, result_status, reply_topic, reply_key, reply_value,
        reply_headers, publish_asked, published_at
    )
    SELECT
        id, CASE WHEN n <= :finished THEN 'COMPLETED' ELSE 'PENDING' END, 'fresh', 'dag-' || n % 20, 'run',
        replace(:event, :event_id, id::text), length(:event), 'graph',
        CASE WHEN n <= :finished THEN now() - interval '1 day' ELSE now() + interval '1 day' END, 0,
        'task-' || n, 'cluster', 'workflow-events', 0, n, 'lineage-' || n, 1, gen_random_uuid(), 'thread-' || n, now(),
        now(), 0, 0, CASE WHEN n <= :finished THEN now() - interval '1 minute' * (:finished - n) END,
        CASE WHEN n <= :finished THEN 'success' END, 'workflow-results', 'key', :reply, '[]', 1,
        CASE WHEN n <= :finished THEN now() END
    FROM (SELECT n, lpad(to_hex(n), 32, '0')::uuid AS id FROM generate_series(1, :last) AS n) AS numbered
    ORDER BY n
    """,
    """
    INSERT INTO run_spending (lineage, generation, steps, seconds, usage, updated_at)
    SELECT 'lineage-' || n, 1, 3, 1.5, '{}', now() FROM generate_series(1, :last) AS n
    """,
    """
    INSERT INTO step_executions (correlation_id, step_id, attempt, namespace, node, status, started_at)
    SELECT correlation_id, 'step', 1, '', 'node', 'COMPLETED', now() FROM workflow_runs WHERE finished_at IS NOT NULL
    """,
    """
    INSERT INTO interrupts (
        thread_id, interrupt_id, correlation_id, lineage, generation, logical_run, asked_at, answered_at
    )
    SELECT thread_id, 'question-' || seq, correlation_id, lineage, generation, logical_run, now(), now()
    FROM workflow_runs WHERE finished_at IS NOT NULL
    """,
)


def fill(connection: Connection, finished: int = FINISHED, waiting: int = WAITING) -> None:
    """Write a long history, and some requests that wait."""
    request = event(event_id=UUID(int=0))
    values: dict[str, Any] = {
        "reply": REPLY.encode(),
        "finished": finished,
        "last": finished + waiting,
        "event": request.model_dump_json(),
        "event_id": str(request.event_id),
    }
    for statement in _FILL:
        clause = text(statement)
        connection.execute(clause, {name: values[name] for name in clause.compile().params})


@pytest.fixture(scope="module")
def long_history(postgres_server: PostgresServer) -> Iterator[str]:
    """A database with a long history, for all the tests here: what they change is little beside it."""
    url = postgres_server.create_database("plans")
    engine = create_engine(server_url(url))
    with engine.begin() as connection:
        upgrade(connection)
        fill(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()
    yield url
    postgres_server.drop_database(url)


@dataclass
class Plans:
    """The plans of a store's statements, as PostgreSQL makes them right before it executes each.

    :ivar scans: each statement with the tables that it reads from end to end.
    :ivar whole: of each statement its whole plan, as JSON.
    :ivar avoid_scans: read a table from end to end only where no index can serve. For statements that read so much of
        a small table that an index is no gain.
    """

    avoid_scans: bool = False
    scans: list[tuple[str, set[str]]] = field(default_factory=list)
    whole: dict[str, str] = field(default_factory=dict)

    def explain(self, connection: Any, cursor: object, statement: str, parameters: Any, *_: object) -> None:
        """Listen to SQLAlchemy's ``before_cursor_execute``."""
        is_our_query = statement.split()[0] in ("SELECT", "UPDATE", "DELETE") and "pg_catalog" not in statement
        if isinstance(parameters, list) or not is_our_query:
            return
        with connection.connection.driver_connection.cursor() as own:
            own.execute(f"SET LOCAL enable_seqscan = {'off' if self.avoid_scans else 'on'}")
            [[[explained]]] = own.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters).fetchall()
            own.execute("SET LOCAL enable_seqscan = on")
        self.scans.append((statement, set(_scanned(explained["Plan"]))))
        self.whole[statement] = json.dumps(explained)

    def scanned(self) -> set[str]:
        """Every table that a statement reads from end to end."""
        return {table for _, tables in self.scans for table in tables}


def _scanned(plan: dict[str, Any]) -> Iterator[str]:
    """The tables that are read from end to end, be it through an index that holds all of their rows."""
    if plan["Node Type"] in ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan") and _is_whole(plan):
        yield plan.get("Relation Name") or plan["Index Name"]
    for part in plan.get("Plans", ()):
        yield from _scanned(part)


def _is_whole(plan: dict[str, Any]) -> bool:
    """Whether it reads all of a table or of an index. A condition on an index's later columns only does."""
    index = plan.get("Index Name")
    return index not in _PARTIAL - {_HISTORY} and (
        index is None or not re.search(rf"\b{_FIRST_COLUMNS[index]}\b", plan.get("Index Cond", ""))
    )


@pytest.fixture
async def store(long_history: str) -> AsyncIterator[SqlRunStore]:
    opened = SqlRunStore(long_history)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def plans(store: SqlRunStore) -> Iterator[Plans]:
    found = Plans()
    assert isinstance(store.database, PostgresDatabase)
    engine = store.database._opened.engine
    sqlalchemy_event.listen(engine, "before_cursor_execute", found.explain)
    yield found
    sqlalchemy_event.remove(engine, "before_cursor_execute", found.explain)


async def test_a_claim_looks_at_what_waits_only(store: SqlRunStore, plans: Plans) -> None:
    claims = await store.claim("w1", 50, ["graph"])
    for claim in claims:
        await store.release(claim)
    assert len(claims) == 50
    assert any("FOR NO KEY UPDATE" in statement for statement, _ in plans.scans)
    assert plans.scanned() <= PAUSES


async def test_what_is_paused_is_asked_once_for_a_claim_and_not_once_for_a_run(
    store: SqlRunStore, plans: Plans
) -> None:
    await store.release(*await store.claim("w1", 1, ["graph"]))
    locking = next(statement for statement, _ in plans.scans if "SKIP LOCKED" in statement)
    plan = plans.whole[locking]
    assert plan.count("hashed SubPlan") >= 2  # graphs and workflows
    assert "One-Time Filter" in plan  # the fleet: where it is paused, no run is looked at


async def test_the_outbox_looks_at_what_is_unpublished_only(store: SqlRunStore, plans: Plans) -> None:
    await store.publish_again(UUID(int=1), [UUID(int=number) for number in range(1, 101)])
    found = await store.unpublished(100)
    await store.published([one.correlation_id for one in found])
    assert len(found) == 100
    assert plans.scanned() == set()


async def test_expiry_looks_at_what_waits_only(store: SqlRunStore, plans: Plans) -> None:
    plans.avoid_scans = True  # half a thousand threads of twenty thousand are read as fast without their index
    assert await store.expire(["graph"], 60.0) == 0
    assert any("FOR NO KEY UPDATE" in statement for statement, _ in plans.scans)
    assert plans.scanned() <= {"workers", "worker_graphs"}  # which have no more rows than workers


async def test_the_backlog_looks_at_what_waits_only(store: SqlRunStore, plans: Plans) -> None:
    assert (await store.backlog())["graph", ""].requests == WAITING
    assert plans.scanned() == set()


async def test_the_figures_of_the_fleet_look_at_what_is_under_way_only(store: SqlRunStore, plans: Plans) -> None:
    assert (await store.fleet_figures()).waiting == {"graph": WAITING}
    assert plans.scanned() <= PAUSES


async def test_what_can_start_is_found_by_index(store: SqlRunStore, plans: Plans) -> None:
    plans.avoid_scans = True
    assert await store.can_start([UUID(int=number) for number in range(1, 41)], ["graph"]) == set()
    assert plans.scanned() <= PAUSES


async def test_pruning_finds_by_index_all_that_belongs_to_the_runs(store: SqlRunStore, plans: Plans) -> None:
    plans.avoid_scans = True
    assert (await store.prune(WEEK, WEEK, 100)).runs == 100
    assert len(plans.scans) > 10
    assert plans.scanned() == set()


async def test_pruning_looks_at_what_may_go_only(store: SqlRunStore, plans: Plans) -> None:
    assert await store.prune(2 * WEEK, WEEK, 100) == Pruned(0, 0)
    searches = {tables for statement, scanned in plans.scans if "LIMIT" in statement for tables in scanned}
    assert sum("LIMIT" in statement for statement, _ in plans.scans) == 3  # runs, those that go last, tasks
    assert searches == set()


@pytest.mark.parametrize(
    "wanted",
    [
        RunFilter(),
        RunFilter(graph="of nobody"),
        RunFilter(workflow_id="dag-7"),
        RunFilter(workflow_run_id="of nobody"),
        RunFilter(thread="thread-7"),
        RunFilter(error_type="of nobody"),
        RunFilter(statuses=frozenset({ViewStatus.FAILURE})),
        RunFilter(statuses=frozenset({ViewStatus.PENDING, ViewStatus.RUNNING})),
        RunFilter(graph="of nobody", statuses=frozenset({ViewStatus.SUCCESS})),
        RunFilter(scope=RunScope(graphs=frozenset({"of nobody"}))),
        RunFilter(scope=RunScope(graphs=frozenset({"of nobody", "of anybody"}))),
        RunFilter(scope=RunScope(deployments=frozenset({"of nobody"}))),
        RunFilter(scope=RunScope(deployments=frozenset({"of nobody", "of anybody"}))),
        RunFilter(scope=RunScope(deployments=frozenset({"", "of nobody"}))),
        RunFilter(scope=RunScope(frozenset({"of nobody"}), frozenset({"of nobody"})), workflow_id="dag-7"),
    ],
    ids=[
        "all",
        "graph",
        "dag",
        "dag run",
        "thread",
        "error type",
        "failed",
        "unfinished",
        "succeeded of a graph",
        "seen of a graph",
        "seen of graphs",
        "seen of a deployment",
        "seen of deployments",
        "seen of none and a deployment",
        "seen of a graph, a deployment and a dag",
    ],
)
async def test_a_page_of_runs_is_read_by_index(store: SqlRunStore, plans: Plans, wanted: RunFilter) -> None:
    views = SqlRunViews(store)
    first = await views.find(RunFilter(), 50)
    plans.scans.clear()
    await views.find(wanted, 50, first.next)
    assert len(plans.scans) == 1
    assert plans.scanned() == set()


async def test_one_run_is_read_by_index(store: SqlRunStore, plans: Plans) -> None:
    plans.avoid_scans = True
    views = SqlRunViews(store)
    [name] = await views.ids_beginning_with(str(UUID(int=10_077)), 2)
    detail = await views.detail(name)
    assert detail is not None
    assert detail.run.thread_id == "thread-10077"
    [step] = (await views.steps(name, 50)).steps
    assert (await views.steps(name, 50, step.key)).steps == ()
    assert len(plans.scans) >= 8
    assert plans.scanned() == set()
