"""Prune and lists keep to their indexes on SQLite, whose plans follow from the schema, whatever the tables hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event

from langgraph_worker.domain.models import Pruned
from langgraph_worker.domain.run_views import RunFilter, RunScope, ViewStatus
from langgraph_worker.store.engines.sqlite import SqliteDatabase
from langgraph_worker.store.migrations.schema import metadata
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.sql.run_views import SqlRunViews
from tests.support.run_store import WEEK, Clock, attempt, ran, request

_OURS = ("SELECT", "UPDATE", "DELETE")


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqlRunStore]:
    opened = SqlRunStore(f"sqlite:///{tmp_path}/store.db", now=clock)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def steps(store: SqlRunStore) -> list[str]:
    """The steps of the plans of all statements: each names a table, and the index by which it is read."""
    found: list[str] = []

    def explain(connection: Any, cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.split()[0] in _OURS and "sqlite_master" not in statement and not isinstance(parameters, list):
            own = connection.connection.driver_connection.cursor()
            found.extend(row[3] for row in own.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))
            own.close()

    assert isinstance(store.database, SqliteDatabase)
    sqlalchemy_event.listen(store.database._opened.engine, "before_cursor_execute", explain)
    return found


@pytest.mark.parametrize("are_due", [True, False])
async def test_pruning_looks_at_what_may_go_only(
    store: SqlRunStore, clock: Clock, steps: list[str], are_due: bool
) -> None:
    await ran(store, request(attempt(1)))
    clock.advance(WEEK.total_seconds() + are_due)
    steps.clear()
    assert await store.prune(WEEK, WEEK, 100) == Pruned(int(are_due), int(are_due))
    searches = [step for step in steps if "ix_workflow_runs_published (finished_at<?)" in step]
    assert len(searches) >= 2  # those that go last are searched for by themselves
    assert any("ix_tasks_updated_at (updated_at<?)" in step for step in steps)
    scans = tuple(f"SCAN {table}" for table in metadata.tables)
    assert [step for step in steps if step.startswith(scans)] == []


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (RunFilter(), "recent"),
        (RunFilter(graph="g"), "of_graph (graph=?"),
        (RunFilter(scope=RunScope(graphs=frozenset({"g"}))), "of_graph (graph=?"),
        (RunFilter(scope=RunScope(deployments=frozenset({"d"}))), "of_deployment (deployment=?"),
        (RunFilter(workflow_id="d"), "of_dag (workflow_id=?"),
        (RunFilter(workflow_run_id="r"), "of_dag_run (workflow_run_id=?"),
        (RunFilter(error_type="e"), "with_error (error_type=?"),
        (RunFilter(statuses=frozenset({ViewStatus.TIMEOUT})), "unsuccessful (result_status=?"),
        (RunFilter(statuses=frozenset({ViewStatus.PENDING})), "status (status=?"),
        (RunFilter(thread="t"), "of_named_thread (thread_name=?"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_page_of_runs_is_read_by_index(
    store: SqlRunStore, steps: list[str], wanted: RunFilter, index: str
) -> None:
    await SqlRunViews(store).find(wanted, 50)
    assert any(f"ix_workflow_runs_{index}" in step for step in steps), steps


async def test_a_claim_reads_of_each_graph_its_earliest_turns(store: SqlRunStore, steps: list[str]) -> None:
    """However many graphs there are: none is read to sort it."""
    await store.accept([request(graph=graph) for graph in ("one", "two") for _ in range(3)])
    steps.clear()
    assert len(await store.claim("w1", 4, ["one", "two", "three"])) == 4
    looking = [step for step in steps if "unfinished_turn" in step]
    assert len(looking) == 3
    assert all("graph=?" in step for step in looking)
    assert not [step for step in steps if step.startswith(("SCAN workflow_runs", "SCAN threads"))]


async def test_places_are_counted_by_the_threads_that_are_held(tmp_path: Path, clock: Clock) -> None:
    store = SqlRunStore(f"sqlite:///{tmp_path}/limited.db", max_running={"one": 1}, now=clock)
    await store.open()
    found: list[str] = []

    def explain(connection: Any, cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT") and "count(*)" in statement:
            own = connection.connection.driver_connection.cursor()
            found.extend(row[3] for row in own.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))
            own.close()

    assert isinstance(store.database, SqliteDatabase)
    sqlalchemy_event.listen(store.database._opened.engine, "before_cursor_execute", explain)
    try:
        await store.accept([request(graph="one") for _ in range(3)])
        assert len(await store.claim("w1", 4, ["one"])) == 1
    finally:
        await store.close()
    assert any("ix_threads_held" in step for step in found), found
