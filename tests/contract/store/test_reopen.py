"""A process that dies: the next one that opens the store finds everything, and need not wait."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from langgraph_worker.domain.models import Decision, RunStatus
from langgraph_worker.errors import StoreError, StoreLockedError
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.run_store import Backend, Store, attempt, claim_one, event, holds, replies, request, result

ROOT = Path(__file__).parents[2]

_OWNER = """
import asyncio, sys
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.run_store import Clock, request, claim_one

async def main():
    store = SqlRunStore(sys.argv[1], now=Clock())
    await store.open()
    await store.accept([request(), request()])
    [claim] = await store.claim("victim", 1, ["graph"])
    print(claim.correlation_id, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_run_of_a_dead_owner_is_claimable(backend: Backend, store: Store) -> None:
    await store.accept([request()])
    old = await claim_one(store)
    await store.close()  # no release: as if killed
    again = await backend.open()
    backend.forget_owners()
    new = await claim_one(again, "w2")
    assert (new.correlation_id, new.attempts, new.resumes) == (old.correlation_id, 2, True)
    assert not await holds(again, old.lease)
    assert not await again.finish(old, result(old))
    assert new.lease.token > old.lease.token
    assert await again.finish(new, result(new))


async def test_a_run_that_keeps_killing_its_process_is_given_up(backend: Backend) -> None:
    asked = request()
    for _ in range(4):
        store = await backend.open()
        await store.accept([asked])
        await claim_one(store)
        await store.close()
        backend.forget_owners()
    store = await backend.open()
    assert await store.claim("w1", 10, ["graph"]) == []
    [answer] = (await replies(store)).values()
    assert answer.error_type == "worker_lost"


async def test_a_run_whose_graph_left_with_its_owner_is_ended(backend: Backend, store: Store) -> None:
    await store.accept([request(graph="gone")])
    await claim_one(store, graph="gone")
    await store.close()
    again = await backend.open()
    backend.forget_owners()
    assert await again.expire(["graph"], 60) == 0
    backend.clock.advance(60)
    assert await again.expire(["graph"], 60) == 1


async def test_history_decides_after_a_restart(backend: Backend, store: Store) -> None:
    await store.accept([request(attempt(2))])
    claim = await claim_one(store)
    await store.finish(claim, result(claim))
    await store.close()
    again = await backend.open()
    accepted = await again.accept([request(attempt(2)), request(attempt(1)), request(attempt(3))])
    assert [one.decision for one in accepted] == [Decision.DUPLICATE, Decision.LATE, Decision.ANSWERED]


@pytest.mark.timeout(60)  # starts a process
@pytest.mark.parametrize("backend", ["sqlite", "postgres"], indirect=True)
async def test_an_accepted_batch_survives_the_loss_of_its_process(backend: Backend) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OWNER, backend.url, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        claimed = (await process.stdout.readline()).decode().strip()
        assert claimed
        process.kill()
        await process.wait()
        store = await backend.open()
        backend.forget_owners()
        claims = await store.claim("w1", 10, ["graph"])
        assert [claim.attempts for claim in claims] == [2, 1]
        assert str(claims[0].correlation_id) == claimed
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_two_stores_on_one_file_are_refused(backend: Backend, store: SqlRunStore) -> None:
    with pytest.raises(StoreLockedError) as caught:
        await backend.open()
    assert store.database.place in str(caught.value)
    assert "LANGGRAPH_WORKER_STORE_URL" in str(caught.value)
    await store.accept([request()])  # the owner is not disturbed
    await store.close()
    assert (await (await backend.open()).counts())[RunStatus.PENDING] == 1


async def test_opening_twice_and_closing_twice_is_harmless(backend: Backend) -> None:
    for _ in range(2):
        store = await backend.open()
        await store.close()
        await store.close()


async def test_a_closed_store_says_so(backend: Backend, store: Store) -> None:
    await store.close()
    with pytest.raises(StoreError, match="is not open") as caught:
        await store.counts()
    assert not caught.value.retriable


async def test_calls_that_are_cancelled_leave_the_store_usable(store: Store) -> None:
    asked = [request(event()) for _ in range(30)]
    calls: list[asyncio.Task[Any]] = [asyncio.create_task(store.accept([one])) for one in asked]
    calls += [asyncio.create_task(store.claim("w1", 1, ["nothing"])) for _ in range(10)]
    await calls[0]
    for call in calls[1::2]:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    accepted = await store.accept(asked)
    assert {one.decision for one in accepted} <= {Decision.FRESH, Decision.DUPLICATE}
    assert (await store.counts())[RunStatus.PENDING] == 30
    assert len(await store.claim("w1", 100, ["graph"])) == 30
