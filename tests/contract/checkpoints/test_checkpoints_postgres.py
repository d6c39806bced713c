"""Checkpoints while PostgreSQL stops, crashes and comes back; and what only PostgreSQL refuses."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Connection, text

from devtools.postgres import PostgresServer, choose_postgres
from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.checkpoints.serializer import NotStorableError
from langgraph_worker.errors import StoreError
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.checkpoints import Shelf, checkpoint, latest, put, put_config
from tests.support.run_store import Backend, Clock, empty
from tests.support.runs import State, chain

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

RUNS, NODES = 8, 12
HOW = pytest.mark.parametrize("how", ["stop", "kill"])


@pytest.fixture(scope="module")
def own_server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that may be stopped."""
    if postgres_server.kind != "system":
        pytest.skip(f"{postgres_server.description} cannot be stopped from here")
    with choose_postgres() as server:
        yield server


async def on_postgres(url: str) -> Shelf:
    backend = Backend(url, Clock(), shared=True)
    store = await backend.open()
    checkpoints = Checkpoints(store)
    await checkpoints.setup()
    return Shelf(backend, store, checkpoints)


@pytest.fixture
async def shelf(contract_database: str) -> AsyncIterator[Shelf]:
    empty(contract_database)
    opened = await on_postgres(contract_database)
    yield opened
    await opened.backend.close()


@pytest.fixture
async def restarted(own_server: PostgresServer) -> AsyncIterator[Shelf]:
    """On a server that the test may stop; it runs again afterwards."""
    url = own_server.create_database()
    opened = await on_postgres(url)
    yield opened
    await asyncio.to_thread(own_server.start)
    await opened.backend.close()


def refusal(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, what: str) -> asyncio.Event:
    """Set when the store's database has failed to ``read`` or ``write``."""
    loop, failed = asyncio.get_running_loop(), asyncio.Event()
    original: Callable[..., Any] = getattr(shelf.store.database, what)

    def watched(work: Any) -> Any:
        try:
            return original(work)
        except StoreError as error:
            assert error.retriable, error
            loop.call_soon_threadsafe(failed.set)
            raise

    monkeypatch.setattr(shelf.store.database, what, watched)
    return failed


# ---- away, and back ----


@HOW
async def test_puts_wait_for_the_server_and_are_then_written(restarted, own_server, monkeypatch, how):
    claims = await restarted.claims(5)
    savers = [restarted.saver(claim) for claim in claims]
    for saver, claim in zip(savers, claims, strict=True):
        await put(saver, claim, 1, x="before")
    failed = refusal(restarted, monkeypatch, "write")
    await asyncio.to_thread(getattr(own_server, how))
    puts = [
        asyncio.create_task(put(saver, claim, 2, x="while it was away"))
        for saver, claim in zip(savers, claims, strict=True)
    ]
    await failed.wait()
    assert not any(task.done() for task in puts)
    await asyncio.to_thread(own_server.start)
    await asyncio.gather(*puts)
    for saver, claim in zip(savers, claims, strict=True):
        assert await latest(saver, claim) == {"x": "while it was away"}


async def test_reads_wait_for_the_server(restarted, own_server, monkeypatch):
    claim = await restarted.claim()
    saver = restarted.saver(claim)
    await put(saver, claim, 1, x="kept")
    failed = refusal(restarted, monkeypatch, "read")
    await asyncio.to_thread(own_server.kill)
    reading = asyncio.create_task(latest(saver, claim))
    await failed.wait()
    await asyncio.to_thread(own_server.start)
    assert await reading == {"x": "kept"}


@HOW
async def test_a_restart_under_load_loses_nothing_and_doubles_nothing(restarted, own_server, monkeypatch, how):
    ran: Counter[tuple[int, str]] = Counter()
    half, down = asyncio.Event(), asyncio.Event()

    def node(name: str) -> Callable[[State], Any]:
        async def run(state: State) -> State:
            ran[state["value"], name] += 1
            if ran.total() == RUNS * NODES // 2:
                half.set()
            if (state["value"], name) == (0, names[-1]):
                await down.wait()  # lest all of them end before the server does
            return {"log": [name]}

        return run

    names = [f"n{number}" for number in range(NODES)]
    graph = chain(**{name: node(name) for name in names})
    threads = [restarted.on(claim, graph) for claim in await restarted.claims(RUNS)]
    failed = refusal(restarted, monkeypatch, "write")
    runs = [asyncio.create_task(on.run({"value": number})) for number, on in enumerate(threads)]
    await half.wait()
    await asyncio.to_thread(getattr(own_server, how))
    down.set()
    await failed.wait()
    await asyncio.to_thread(own_server.start)
    states = await asyncio.gather(*runs)
    assert states == [{"value": number, "log": names} for number in range(RUNS)]
    assert [await on.values() for on in threads] == states
    assert set(ran.values()) == {1}
    with psycopg.connect(restarted.backend.url) as other:
        rows = other.execute("SELECT thread_id, count(*) FROM checkpoints GROUP BY thread_id").fetchall()
        written = other.execute("SELECT count(*) FROM checkpoint_writes WHERE channel = 'log'").fetchone()
    assert sorted(rows) == sorted((on.thread_id, NODES + 2) for on in threads)
    assert written == (RUNS * NODES,)


async def test_an_owner_that_stands_still_in_a_transaction_does_not_keep_the_thread(shelf):
    """The server ends its session; it gets the error when it wakes."""
    claim = await shelf.claim()
    saver = shelf.saver(claim)
    await put(saver, claim, 1, x=1)
    stopped = SqlRunStore(shelf.backend.url, lease_seconds=1.0)  # of which the transaction may stand still for a half
    await stopped.open()
    locked, wake = threading.Event(), threading.Event()

    def stand_still(connection: Connection, now: Any) -> None:
        sql = text("UPDATE threads SET owner = 'stopped' WHERE thread_id = :thread")
        connection.execute(sql, {"thread": claim.thread_id})
        locked.set()
        wake.wait(60)
        connection.execute(text("SELECT 1"))

    standing = asyncio.create_task(asyncio.to_thread(stopped.database.write, stand_still))
    await asyncio.to_thread(locked.wait)
    await put(saver, claim, 2, x=2)
    wake.set()
    with pytest.raises(StoreError) as caught:
        await standing
    assert caught.value.retriable
    assert await latest(saver, claim) == {"x": 2}
    await stopped.close()


# ---- refused ----


async def test_what_the_database_refuses_is_named_and_the_run_may_go_on(shelf):
    claim, neighbour = await shelf.claims(2)
    saver, other = shelf.saver(claim), shelf.saver(neighbour)
    await put(saver, claim, 1, x=1)
    below = put_config(claim, str(UUID(int=1)))
    made = checkpoint(2, x=2)
    metadata: Any = {"source": "loop", "step": 2, "parents": {}, "odd": "a\ud800"}
    results = await asyncio.gather(
        saver.aput(below, made, metadata, made["channel_versions"]),
        saver.aput_writes(below, [("x", 1)], "task", "path\0"),
        put(other, neighbour, 1, x="written"),
        return_exceptions=True,
    )
    assert [type(error) for error in results] == [NotStorableError, NotStorableError, type(None)]
    assert "cannot keep a value" in str(results[0])
    assert await latest(saver, claim) == {"x": 1}
    assert await latest(other, neighbour) == {"x": "written"}
    await put(saver, claim, 2, x=2)
    assert await latest(saver, claim) == {"x": 2}
