"""A run store on two servers of PostgreSQL: its primary, and a replica that takes over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from devtools.postgres_replica import PostgresReplica
from devtools.processes import wait_until
from devtools.system_postgres import SystemPostgres
from langgraph_worker.cli.check import describe_opened_store
from langgraph_worker.domain.models import Decision
from langgraph_worker.errors import StoreError
from langgraph_worker.settings.load import load_settings
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.hostile_defaults import set_defaults
from tests.support.replication import make_read_only, two_servers, url_of_both
from tests.support.run_store import attempt, claim_one, request, result

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

Servers = tuple[SystemPostgres, PostgresReplica]


@pytest.fixture
def servers() -> Iterator[Servers]:
    with two_servers() as both:
        yield both


@pytest.fixture
async def store(servers: Servers) -> AsyncIterator[SqlRunStore]:
    """Open, on both servers."""
    primary, replica = servers
    url = primary.create_database("failover")
    set_defaults(url)
    opened = SqlRunStore(url_of_both(url, replica))
    await opened.open()
    yield opened
    await opened.close()


async def until_refused(store: SqlRunStore) -> str:
    """Write until it is refused as by a store that is away; why it was."""
    while True:
        try:
            await store.accept([request()])
        except StoreError as error:
            assert error.retriable
            return str(error)


async def port(store: SqlRunStore) -> str:
    """Of the server from which the store reads."""
    return str(await store.read(lambda one: one.exec_driver_sql("SELECT inet_server_port()").scalar_one()))


async def test_a_run_goes_on_where_the_replica_took_over(servers: Servers, store: SqlRunStore) -> None:
    primary, replica = servers
    replica.require_for_commits()
    await store.accept([request(attempt(1))])
    claim = await claim_one(store)
    primary.kill()
    assert "start the database" in await until_refused(store)
    assert "session is read-only" in await until_refused(store)  # the replica is not promoted yet
    replica.promote()
    await store.remember_nodes(claim, ["buy"])
    assert await store.finish(claim, result(claim))


async def test_no_session_stays_with_a_server_that_became_read_only(servers: Servers, store: SqlRunStore) -> None:
    primary, replica = servers
    both = await asyncio.gather(port(store), store.accept([request()]))  # two sessions
    assert both[0] in primary.url
    replica.promote()
    make_read_only(primary)
    assert "read-only transaction" in await until_refused(store)
    assert await port(store) in replica.url
    await store.accept([request()])


@pytest.mark.parametrize("end", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_request_is_accepted_only_when_the_replica_has_it(
    servers: Servers, store: SqlRunStore, end: str
) -> None:
    """PostgreSQL reports a commit as done when its wait for the replica is cancelled, and keeps it if its session ends.
    The same request, which the store then knows, must not be taken for a safe one either.
    """
    primary, replica = servers
    asked = request()
    replica.require_for_commits()
    replica.stop()
    accepting = asyncio.create_task(store.accept([asked]))
    await asyncio.to_thread(end_the_wait, primary, end)
    with pytest.raises(StoreError) as caught:
        await accepting
    assert caught.value.retriable
    again = asyncio.create_task(store.accept([asked]))
    await asyncio.to_thread(waiting_session, primary)
    assert not again.done()
    await asyncio.to_thread(replica.start)
    [accepted] = await again
    assert accepted.decision is Decision.DUPLICATE


def waiting_session(primary: SystemPostgres) -> int:
    """The process of a session that waits for the replica, once there is one."""
    query = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    with psycopg.connect(primary.url, autocommit=True) as connection:
        found = wait_until("a commit to wait", lambda: connection.execute(query).fetchone(), timeout=15)
    return int(found[0])


def end_the_wait(primary: SystemPostgres, how: str) -> None:
    pid = waiting_session(primary)
    with psycopg.connect(primary.url, autocommit=True) as connection:
        connection.execute(f"SELECT {how}({pid})".encode())


def test_a_replica_that_no_commit_waits_for_is_named(servers: Servers) -> None:
    primary, replica = servers
    url = primary.create_database("risk")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
        connection.execute(f'ALTER DATABASE "{connection.info.dbname}" OWNER TO guest'.encode())
        connection.execute("ALTER SCHEMA public OWNER TO guest")
    as_guest = urlsplit(url)._replace(netloc=f"guest:guest@{urlsplit(url).netloc.rpartition('@')[2]}").geturl()
    settings = load_settings({"store_url": as_guest})
    assert "no commit in the run store 127.0.0.1" in describe_opened_store(settings, ())
    replica.require_for_commits()
    assert "schema up to date" in describe_opened_store(settings, ())
    assert "no commit" not in describe_opened_store(settings, ())
