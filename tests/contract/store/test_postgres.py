"""The PostgreSQL database itself: what can be wrong with it, its schema, its sessions, and several workers at once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, make_url

from devtools.processes import free_port
from langgraph_worker.domain.models import RunStatus
from langgraph_worker.errors import StoreError
from langgraph_worker.store.engines.postgres import server_url
from langgraph_worker.store.migrations.migrate import VERSION_TABLE, config, upgrade
from langgraph_worker.store.migrations.schema import metadata
from langgraph_worker.store.sql import accept
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.meeting import while_in
from tests.support.run_store import attempt, claim_one, event, request, result

pytestmark = pytest.mark.integration


async def refused(url: str, *, retriable: bool = False) -> str:
    """The message with which a store refuses to open."""
    with pytest.raises(StoreError) as caught:
        await SqlRunStore(url).open()
    assert caught.value.retriable is retriable
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def connection(postgres_url: str) -> Iterator[Connection]:
    engine = create_engine(server_url(postgres_url))
    with engine.connect() as opened:
        yield opened
    engine.dispose()


async def test_a_server_that_is_not_there_may_come(postgres_url: str) -> None:
    port = free_port()
    url = make_url(postgres_url).set(port=port).render_as_string(hide_password=False)
    text = await refused(url, retriable=True)
    assert f":{port}/" in text
    assert "start the database, or correct LANGGRAPH_WORKER_STORE_URL" in text


async def test_a_wrong_password_names_the_setting(postgres_url: str) -> None:
    url = make_url(postgres_url).set(password="hunter2").render_as_string(hide_password=False)
    text = await refused(url, retriable=True)  # for the client library it is like a server that is away
    assert "password authentication failed" in text
    assert "correct LANGGRAPH_WORKER_STORE_URL" in text


async def test_a_database_that_is_not_there_is_named(postgres_url: str) -> None:
    url = make_url(postgres_url).set(database="nowhere").render_as_string(hide_password=False)
    assert 'database "nowhere" does not exist' in await refused(url, retriable=True)


async def test_a_newer_schema_is_refused_and_left_alone(postgres_url: str) -> None:
    store = SqlRunStore(postgres_url)
    await store.open()
    await store.accept([request()])
    await store.close()
    with psycopg.connect(postgres_url) as raw:
        raw.execute(f"UPDATE {VERSION_TABLE} SET version_num = 'r9999'")
    text = await refused(postgres_url)
    assert "'r9999'" in text
    assert "upgrade this worker" in text


async def test_tables_of_something_else_are_left_alone(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as raw:
        raw.execute("CREATE TABLE tasks (todo TEXT)")
    assert "holds tables of something else (tasks)" in await refused(postgres_url)


async def test_a_user_without_rights_is_told_so(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as raw:
        raw.execute("DROP ROLE IF EXISTS guest")
        raw.execute("CREATE ROLE guest LOGIN PASSWORD 'hunter2'")
    url = make_url(postgres_url).set(username="guest", password="hunter2").render_as_string(hide_password=False)
    try:
        assert "must own the schema" in await refused(url)
    finally:
        with psycopg.connect(postgres_url) as raw:
            raw.execute("DROP ROLE guest")


def test_the_revisions_arrive_at_the_schema(connection: Connection) -> None:
    upgrade(connection)
    options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_every_revision_can_be_reverted(connection: Connection) -> None:
    upgrade(connection)
    command.downgrade(config(connection), "base")
    upgrade(connection)


async def test_workers_that_start_at_once_upgrade_once(postgres_url: str) -> None:
    stores = [SqlRunStore(postgres_url) for _ in range(6)]
    await asyncio.gather(*(store.open() for store in stores))
    for store in stores:
        await store.accept([request()])
    assert (await stores[0].counts())[RunStatus.PENDING] == 6
    await asyncio.gather(*(store.close() for store in stores))


async def test_an_upgrade_waits_for_workers_that_write_and_they_for_it(
    postgres_url: str, connection: Connection
) -> None:
    """Workers of the version before know nothing of it: their transactions go through before and after."""
    store = SqlRunStore(postgres_url)
    await store.open()
    await store.accept([request() for _ in range(20)])
    await store.close()
    command.downgrade(config(connection), "r0001")
    connection.commit()
    upgraded = threading.Event()

    def write_until_upgraded() -> int:
        written = 0
        with psycopg.connect(postgres_url) as worker:
            while not upgraded.is_set() or written < 20:
                # As a worker does, which repeats a transaction that was in the way of another.
                with contextlib.suppress(psycopg.errors.DeadlockDetected):
                    with worker.transaction():
                        worker.execute("SELECT 1 FROM threads FOR UPDATE")
                        worker.execute("UPDATE workflow_runs SET attempts = attempts + 1")
                    written += 1
        return written

    writing = asyncio.create_task(asyncio.to_thread(write_until_upgraded))
    again = SqlRunStore(postgres_url)
    await again.open()
    upgraded.set()
    written = await writing
    assert {claim.attempts for claim in await again.claim("w1", 20, ["graph"])} == {written + 1}
    await again.close()


async def test_a_session_that_stands_in_a_transaction_is_ended(postgres_url: str) -> None:
    store = SqlRunStore(postgres_url, lease_seconds=30)
    await store.open()
    found = await store.read(
        lambda connection: {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("idle_in_transaction_session_timeout", "synchronous_commit", "transaction_isolation")
        }
    )
    await store.close()
    assert found == {
        "idle_in_transaction_session_timeout": "15s",
        "synchronous_commit": "on",
        "transaction_isolation": "read committed",
    }


async def test_time_is_the_databases(postgres_url: str) -> None:
    store = SqlRunStore(postgres_url)
    await store.open()
    try:
        now = await store.read(store.database.time)
        assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
    finally:
        await store.close()


async def test_attempts_that_arrive_at_two_workers_at_once_have_one_newest(postgres_url: str) -> None:
    """The task is new: the two must not both find nothing."""
    stores = [SqlRunStore(postgres_url) for _ in range(2)]
    await asyncio.gather(*(store.open() for store in stores))
    for number in range(10):
        task = f"{number:064d}"
        tries = [request(attempt(n, task=task, at=10 * number + n)) for n in (1, 2)]
        await asyncio.gather(*(store.accept([one]) for store, one in zip(stores, tries, strict=True)))
        claim = await claim_one(stores[0])
        assert claim.correlation_id == tries[1].event.event_id
        await stores[0].finish(claim, result(claim))
    await asyncio.gather(*(store.close() for store in stores))


@pytest.mark.parametrize("order", [(1, 2), (2, 1)], ids=["older first", "newer first"])
async def test_an_attempt_waits_for_another_of_its_task_that_is_just_being_accepted(
    postgres_url: str, order: tuple[int, int]
) -> None:
    """The task is new. The two have no other row in common: they are of two agents."""
    one, other = [SqlRunStore(postgres_url) for _ in range(2)]
    await one.open()
    await other.open()
    first, second = [request(attempt(number, agent=f"agent {number}")) for number in order]
    await while_in(
        one,
        lambda connection, context: accept.accept(connection, [first], context),
        lambda: other.accept([second]),
    )
    claims = await one.claim("w1", 2, ["graph"])
    assert [claim.event.attempt.try_number for claim in claims] == [2]
    await one.close()
    await other.close()


async def test_batches_with_common_tasks_and_threads_never_lock_each_other_out(postgres_url: str) -> None:
    stores = [SqlRunStore(postgres_url) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))

    async def work(number: int, store: SqlRunStore) -> None:
        for turn in range(5):
            order = range(6) if number % 2 else reversed(range(6))
            batch = [
                request(event(attempt(turn + 1, task=f"{n:064d}", at=turn * 10 + number), thread_id=f"talk{n % 3}"))
                for n in order
            ]
            await store.accept(batch)
            for claim in await store.claim(f"w{number}", 3, ["graph"]):
                await store.finish(claim, result(claim))

    await asyncio.gather(*(work(number, store) for number, store in enumerate(stores)))
    while claims := await stores[0].claim("w", 10, ["graph"]):
        for claim in claims:
            await stores[0].finish(claim, result(claim))
    counts = await stores[0].counts()
    assert counts[RunStatus.PENDING] == counts[RunStatus.RUNNING] == 0
    await asyncio.gather(*(store.close() for store in stores))
