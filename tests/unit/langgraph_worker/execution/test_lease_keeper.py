"""Keeping leases: an owner gives a run up before another worker may take it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Collection, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from langgraph_worker.domain.models import Claim, Lease, Origin, Request
from langgraph_worker.errors import StoreError
from langgraph_worker.execution.held_leases import HeldLeases
from langgraph_worker.execution.lease_keeper import LeaseKeeper, LeaseTiming
from langgraph_worker.execution.loop_watch import LoopWatch
from langgraph_worker.execution.node_threads import running
from langgraph_worker.execution.run_tasks import lease_of
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.support.ti_ids import new_ti_id
from workflow_events.models import Attempt, EventSource, EventType, WorkflowEvent

LEASE = 1.5
TIMING = LeaseTiming(lease_seconds=LEASE, renew_seconds=0.02, hang_seconds=LEASE)
LIMIT = 5.0  # seconds that a test waits for what must happen


class Clock:
    """The time of the worker and of its store, which passes when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.step = 0.0  # by which it goes on whenever it is read

    def monotonic(self) -> float:
        self.seconds += self.step
        return self.seconds

    def utc(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


class Store(SqlRunStore):
    """A store on the test's clock.

    :ivar renewals: released by each renewal.
    :ivar trouble: raised by renewals.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(f"sqlite:///{path}/store.db", lease_seconds=LEASE, now=clock.utc)
        self.renewals = threading.Semaphore(0)
        self.trouble: Exception | None = None

    def renew(self, worker_id: str, leases: Collection[Lease]) -> set[Lease]:
        try:
            if self.trouble is not None:
                raise self.trouble
            return super().renew(worker_id, leases)
        finally:
            self.renewals.release()

    def wait_for_renewal(self) -> None:
        """Wait for a renewal that begins from now on, and is noted."""
        while self.renewals.acquire(blocking=False):
            pass
        # One may be under way; the second begins from now on; when the third ends, the second is noted.
        for _ in range(3):
            assert self.renewals.acquire(timeout=LIMIT)


class Worker:
    """A keeper that runs, and what it has lost."""

    def __init__(self, store: Store, clock: Clock, timing: LeaseTiming = TIMING) -> None:
        self.lost: asyncio.Queue[Lease] = asyncio.Queue()
        self.hung = threading.Event()
        self._clock = clock
        self.keeper = LeaseKeeper(store, "w1", timing, self.hung.set, clock.monotonic)
        self.running = asyncio.create_task(self.keeper.run(self.lost.put_nowait))

    def hold(self, claim: Claim) -> None:
        self.keeper.hold([claim.lease], self._clock.monotonic())

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.wait({self.running})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    store = Store(tmp_path, clock)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def worker(store: Store, clock: Clock) -> AsyncIterator[Worker]:
    worker = Worker(store, clock)
    yield worker
    await worker.stop()


async def accept(store: SqlRunStore, try_number: int) -> None:
    attempt = Attempt(task="t", id=new_ti_id(), try_number=try_number, max_tries=3)
    event = WorkflowEvent(
        event_type=EventType.WORKFLOW_TRIGGERED,
        source=EventSource.AIRFLOW,
        workflow_id="dag",
        workflow_run_id="run",
        attempt=attempt,
    )
    await store.accept([Request(event, "g", "results", Origin("c", "events", 0, try_number))])


async def claimed(store: Store, worker: Worker) -> Claim:
    await accept(store, 1)
    (claim,) = await store.claim("w1", 1, ["g"])
    worker.hold(claim)
    return claim


async def test_a_renewed_lease_outlives_its_term(store, worker, clock):
    claim = await claimed(store, worker)
    for _ in range(3):
        clock.seconds += LEASE / 2
        await asyncio.to_thread(store.wait_for_renewal)
    assert await store.claim("w2", 1, ["g"]) == []
    assert worker.lost.empty()
    assert store.renew("w1", [claim.lease]) == set()


async def test_a_lease_that_the_store_has_voided_is_lost(store, worker):
    claim = await claimed(store, worker)
    await accept(store, 2)
    assert await asyncio.wait_for(worker.lost.get(), LIMIT) == claim.lease


async def test_an_owner_that_cannot_renew_gives_up_by_itself(store, worker, clock):
    claim = await claimed(store, worker)
    store.trouble = StoreError("away")
    clock.seconds += LEASE * 0.85
    assert await asyncio.wait_for(worker.lost.get(), LIMIT) == claim.lease
    assert await store.claim("w2", 1, ["g"]) == []  # long enough before another may have it


async def test_what_is_dropped_is_neither_renewed_nor_lost(store, worker, clock):
    dropped = await claimed(store, worker)
    worker.keeper.drop(dropped.lease)
    await accept(store, 2)
    clock.seconds += LEASE * 2
    await worker.keeper.beat()
    assert worker.keeper.renew()
    await asyncio.sleep(0)  # what a renewal has found lost is handed to the loop
    assert worker.lost.empty()
    assert not store.renewals.acquire(blocking=False)


async def test_leases_are_kept_while_a_node_blocks_the_loop(store, worker, clock):
    claim = await claimed(store, worker)
    await asyncio.sleep(0)  # the keeper starts
    for _ in range(3):
        clock.seconds += LEASE / 2
        store.wait_for_renewal()  # blocks the loop, as a node may do it
    other = await store.claim("w2", 1, ["g"])
    assert other == []
    await worker.keeper.beat()
    assert worker.lost.empty()
    assert store.renew("w1", [claim.lease]) == set()
    assert not worker.hung.is_set()


async def test_a_loop_that_hangs_ends_the_process(store, clock):
    worker = Worker(store, clock, replace(TIMING, hang_seconds=LEASE / 2))
    await asyncio.sleep(0)  # the watch starts
    clock.step = LEASE / 30
    assert worker.hung.wait(LIMIT)  # blocks the loop
    clock.step = 0.0
    await worker.stop()


async def test_a_loop_that_cannot_give_up_a_lost_lease_ends_the_process(store, worker, clock):
    await claimed(store, worker)  # meanwhile the watch has started
    store.trouble = StoreError("away")
    clock.step = LEASE / 30
    assert worker.hung.wait(LIMIT)  # blocks the loop
    clock.step = 0.0


async def two_claimed(store: Store, worker: Worker) -> list[Claim]:
    event = WorkflowEvent(
        event_type=EventType.WORKFLOW_TRIGGERED, source=EventSource.AIRFLOW, workflow_id="dag", workflow_run_id="run"
    )
    await store.accept([Request(event, "g", "results", Origin("c", "events", 0, 9))])
    await accept(store, 1)
    claims = await store.claim("w1", 2, ["g"])
    for claim in claims:
        worker.hold(claim)
    return claims


async def takeovers(store: Store, worker: Worker, clock: Clock) -> dict[str, int]:
    """How often each thread's owner vanished, as the next worker sees it when the process is gone."""
    await worker.stop()
    worker.keeper.renew()  # none is under way any more
    clock.seconds += LEASE * 2
    return {claim.thread_id: claim.takeovers for claim in await store.claim("w2", 2, ["g"])}


def in_run(work: Coroutine[Any, Any, None], claim: Claim) -> asyncio.Task[None]:
    """A task of a run; what it creates is of that run, too."""
    context = contextvars.copy_context()
    context.run(running.set, claim.lease)
    return asyncio.create_task(work, context=context)


async def test_only_the_run_whose_node_hangs_counts_it(store, worker, clock):
    guilty, innocent = await two_claimed(store, worker)

    async def node() -> None:
        clock.step = LEASE / 30
        assert worker.hung.wait(LIMIT)  # blocks the loop
        clock.step = 0.0

    async def graph() -> None:
        await asyncio.create_task(node())

    await in_run(graph(), guilty)
    assert await takeovers(store, worker, clock) == {guilty.thread_id: 1, innocent.thread_id: 0}


async def test_a_callback_that_hangs_is_of_the_run_whose_node_has_left_it(store, worker, clock):
    guilty, innocent = await two_claimed(store, worker)
    called = asyncio.Event()

    def callback() -> None:
        clock.step = LEASE / 30
        assert worker.hung.wait(LIMIT)  # blocks the loop, in no task
        clock.step = 0.0
        called.set()

    async def node() -> None:
        asyncio.get_running_loop().call_later(0.0, callback)

    await in_run(node(), guilty)
    await called.wait()
    assert await takeovers(store, worker, clock) == {guilty.thread_id: 1, innocent.thread_id: 0}


async def test_each_run_counts_a_hang_that_is_of_no_run(store, worker, clock):
    claims = await two_claimed(store, worker)
    clock.step = LEASE / 30
    assert worker.hung.wait(LIMIT)  # blocks the loop
    clock.step = 0.0
    assert await takeovers(store, worker, clock) == {claim.thread_id: 1 for claim in claims}


async def test_a_store_that_is_away_keeps_no_hanging_process_alive(store, worker, clock, monkeypatch):
    def away(worker_id: str, leases: Collection[Lease]) -> None:
        raise StoreError("away")

    monkeypatch.setattr(store, "spare", away)
    claims = await two_claimed(store, worker)

    async def node() -> None:
        clock.step = LEASE / 30
        assert worker.hung.wait(LIMIT)  # blocks the loop
        clock.step = 0.0

    await in_run(node(), claims[0])
    assert await takeovers(store, worker, clock) == {claim.thread_id: 1 for claim in claims}


@pytest.mark.parametrize("fails", ["lease_of", "threading.Thread.start"])
async def test_whatever_fails_while_the_guilty_run_is_looked_for_keeps_no_hanging_process_alive(
    store, clock, monkeypatch, fails
):
    def fail(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    worker = Worker(store, clock, replace(TIMING, hang_seconds=LEASE / 2))
    claim = await claimed(store, worker)

    async def node() -> None:
        with monkeypatch.context() as broken:
            broken.setattr(f"langgraph_worker.execution.lease_keeper.{fails}", fail)
            clock.step = LEASE / 30
            assert worker.hung.wait(LIMIT)  # blocks the loop
            clock.step = 0.0

    await in_run(node(), claim)
    await worker.stop()


async def test_a_task_is_of_the_run_that_created_it_whichever_run_waits_for_it(store, worker):
    mine, other = await two_claimed(store, worker)
    looks: list[Lease | None] = []
    begun = asyncio.Event()

    async def node() -> None:
        begun.set()
        await asyncio.sleep(0)
        looks.append(await asyncio.to_thread(lease_of, asyncio.current_task()))

    async def waiter(work: asyncio.Task[None]) -> None:
        await work

    work = in_run(node(), mine)
    work.add_done_callback(lambda _: None)
    await begun.wait()
    await in_run(waiter(work), other)
    assert looks == [mine.lease]
    assert lease_of(asyncio.current_task()) is None
    assert lease_of(None) is None


@pytest.mark.parametrize(
    ("on_loop", "blamed"), [("aaaa", "a"), ("aaba", None), ("....", None), ("a...", None), ("..aa", None)]
)
def test_a_task_is_to_blame_only_if_every_look_finds_it(clock, on_loop, blamed):
    looks = [None if name == "." else name for name in "b" + on_loop]  # the first look is at a loop that is alive
    found = iter(looks[1:])
    seen = []
    held = HeldLeases(LEASE, clock.monotonic)
    watch = LoopWatch(
        held, LEASE, 0.4, 0.1, lambda: seen.append(watch.blocking_turn), clock.monotonic, lambda: next(found)
    )
    for number in range(len(looks)):
        clock.seconds += 0.1
        if number == 0:
            watch.beat()
        watch.look()
    assert seen == [blamed]


def test_a_loop_that_beats_is_not_hanging(clock):
    hung = threading.Event()
    watch = LoopWatch(HeldLeases(LEASE, clock.monotonic), LEASE, 1.0, 0.1, hung.set, clock.monotonic)
    for _ in range(30):
        clock.seconds += 0.1
        watch.beat()
        watch.look()
    for _ in range(9):
        clock.seconds += 0.1
        watch.look()
    assert not hung.is_set()
    clock.seconds += 0.2
    watch.look()
    assert hung.is_set()


def test_time_in_which_the_process_stood_still_is_not_the_loops(clock):
    hung = threading.Event()
    watch = LoopWatch(HeldLeases(LEASE, clock.monotonic), LEASE, 1.0, 0.1, hung.set, clock.monotonic)
    clock.seconds += 3600
    watch.look()
    assert not hung.is_set()
