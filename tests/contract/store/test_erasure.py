"""The threat model's way to erase one task's data: it must leave nothing of it, and let nothing of it run again."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from langgraph_worker.domain.models import Decision, Failure, Pruned
from langgraph_worker.store.migrations.schema import metadata, tombstones, workflow_runs
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.run_store import (
    Backend,
    Clock,
    Store,
    attempt,
    claim_one,
    decision,
    driver_url,
    event,
    publish,
    ran,
    request,
    result,
)
from workflow_events.results import ResultStatus

PAGE = Path(__file__).resolve().parents[3] / "docs" / "explanation" / "threat-model.md"


def erase(backend: Backend, correlation_id: str) -> None:
    (statement,) = re.findall(r"```sql\n(.+?)```", PAGE.read_text(), re.DOTALL)
    engine = create_engine(driver_url(backend.url))
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement.replace("...", correlation_id))
    finally:
        engine.dispose()


async def test_one_tasks_data_can_be_erased(backend: Backend, store: Store, clock: Clock) -> None:
    if not isinstance(store, SqlRunStore):
        pytest.skip("no SQL reaches the store in memory")
    erased = request(event(attempt(1, task="erased"), deadline=clock.now + timedelta(days=1)))
    await store.accept([erased])
    claim = await claim_one(store)
    await store.finish(claim, result(claim, ResultStatus.FAILURE, error="secret"), Failure("E", "secret", "secret"))
    await publish(store)
    retried, other = request(attempt(2, task="erased")), request(attempt(1, at=5, task="other"))
    await ran(store, retried)
    await ran(store, other)

    run = retried.event.event_id
    erase(backend, str(run) if backend.shared else run.hex)
    assert await store.prune(timedelta(days=30), timedelta(days=30), 100) == Pruned(runs=2, threads=1)

    assert [row["correlation_id"] for row in backend.rows(workflow_runs)] == [other.event.event_id]
    assert {row["correlation_id"] for row in backend.rows(tombstones)} == {run, erased.event.event_id}
    kept = [row for table in metadata.sorted_tables for row in backend.rows(table)]
    assert "secret" not in str(kept)
    assert "erased" not in str(kept)
    assert await decision(store, retried) is Decision.DUPLICATE
    assert await store.claim("w1", 10, ["graph"]) == []
