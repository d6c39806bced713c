"""A graph that is full, with a backlog of a hundred thousand runs, costs the claims of other graphs nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy import event as sqlalchemy_event

from devtools.postgres import PostgresServer
from langgraph_worker.store.engines.postgres import PostgresDatabase, server_url
from langgraph_worker.store.migrations.migrate import upgrade
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.contract.store.test_plans import PAUSES, Plans, fill

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

WAITING = 100_000
OTHERS = 100
LIMIT = 4
BOTH = ["full", "graph"]
MOST_ROWS = 2_000
"""What a claim of ten runs may read at most, of any table, by PostgreSQL's count."""
_FULL = "UPDATE workflow_runs SET graph = 'full' WHERE finished_at IS NULL AND seq % :one_in <> 0"
_READ = """
    SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
    WHERE relname IN ('workflow_runs', 'threads')
"""


@pytest.fixture(scope="module")
def long_backlog(postgres_server: PostgresServer) -> Iterator[str]:
    """A database in which one graph has nearly all that waits, before what waits for another one."""
    url = postgres_server.create_database("backlog")
    engine = create_engine(server_url(url))
    with engine.begin() as connection:
        upgrade(connection)
        fill(connection, finished=1_000, waiting=WAITING)
        connection.execute(text(_FULL), {"one_in": WAITING // OTHERS})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
async def store(long_backlog: str) -> AsyncIterator[SqlRunStore]:
    opened = SqlRunStore(long_backlog, max_running={"full": LIMIT})
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


async def test_a_claim_beside_a_full_graph_reads_no_table_from_end_to_end(store: SqlRunStore, plans: Plans) -> None:
    plans.avoid_scans = True
    running = await store.claim("w1", LIMIT, ["full"])
    assert len(running) == LIMIT
    found = await store.claim("w1", 10, BOTH)
    assert [claim.graph for claim in found] == ["graph"] * 10
    looking = [plan for statement, plan in plans.whole.items() if "SKIP LOCKED" in statement]
    assert looking
    assert all("ix_workflow_runs_unfinished_turn" in plan for plan in looking)
    assert any("ix_threads_held" in plan for plan in plans.whole.values())
    assert plans.scanned() <= PAUSES
    for claim in (*running, *found):
        await store.release(claim)


async def test_a_claim_beside_a_full_graph_reads_few_rows(store: SqlRunStore) -> None:
    """What the plans promise, counted."""
    running = await store.claim("w1", LIMIT, ["full"])
    read: dict[str, int] = {}
    assert isinstance(store.database, PostgresDatabase)
    engine = store.database._opened.engine

    def count(connection: object, *_: object) -> None:
        with connection.connection.driver_connection.cursor() as own:  # type: ignore[attr-defined]
            read.update(dict(own.execute(_READ).fetchall()))

    sqlalchemy_event.listen(engine, "after_cursor_execute", count)
    found = await store.claim("w1", 10, BOTH)
    sqlalchemy_event.remove(engine, "after_cursor_execute", count)
    assert len(found) == 10
    assert read
    assert max(read.values()) < MOST_ROWS, read
    for claim in (*running, *found):
        await store.release(claim)
