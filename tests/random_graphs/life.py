"""One worker's life: take in requests, run them on the real executor and store, publish, and end or be killed."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.execution.executor import Executor
from langgraph_worker.execution.graph_shares import GraphShares
from langgraph_worker.execution.lease_keeper import LeaseKeeper, LeaseTiming
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.execution.run_context import RunContext
from langgraph_worker.execution.runner import RunLimits, Runner
from langgraph_worker.graphs.graph_spec import GraphSpec
from langgraph_worker.graphs.loader import Graph, Graphs
from langgraph_worker.intake.backlog_limits import BacklogLimits
from langgraph_worker.intake.free_room import FreeRoom
from langgraph_worker.settings.load import load_settings
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.store.sql.run_store import SqlRunStore
from tests.random_graphs.builder import Builder
from tests.random_graphs.inbox import Inbox, NoConsumer, case_of, forget
from tests.random_graphs.job import Job
from tests.random_graphs.ledger import Entry, FileLedger, Place
from tests.random_graphs.traps import Trapped, note_durable
from workflow_events.models import WorkflowEvent
from workflow_events.results import ResultStatus, WorkflowResultEvent

LEASE_SECONDS = 60.0
_NODE_THREADS = 16
_DRAIN_SECONDS = 5.0
_LOOK_EVERY_SECONDS = 0.2  # for results


class Life:
    """See the module. Make it in the event loop."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._ledger = FileLedger(job.ledger, job.life)
        self._results = os.open(job.results, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        # Known before anything runs: a run that was taken in by the worker before is claimed at once.
        self._failed = self._known_failures()
        self._tries = {**job.tries, **{case_of(event): 2 for event in self._failed}}
        # The lease of a killed worker is over when the next one lives; on SQLite its lock proves it dead.
        ahead = timedelta(seconds=2 * LEASE_SECONDS * job.life)
        self._store = SqlRunStore(
            job.url,
            lease_seconds=LEASE_SECONDS,
            keep_checkpoints=job.keep_checkpoints,
            now=lambda: datetime.now(UTC) + ahead,
        )
        self._wake = asyncio.Event()
        self._is_drained = False
        self._open: dict[UUID, WorkflowEvent] = {}

    async def run(self) -> None:
        """Until every request is answered, or a trap springs."""
        loop = asyncio.get_running_loop()
        nodes = NodeThreads(_NODE_THREADS)
        loop.set_default_executor(nodes)
        await self._store.open()
        executor, free_room = await self._executor(nodes)
        note_durable(self._ledger)
        trapped = Trapped(self._store, self._job.traps, lambda: loop.call_soon_threadsafe(self._drain))
        parts = [asyncio.create_task(executor.keep_leases()), asyncio.create_task(executor.run())]
        self._inbox = Inbox(self._store, list(self._job.graphs), free_room, executor.wake)
        await self._take_in()
        while self._open and not self._is_drained:
            await self._next_wake(parts)
            await self._publish()
        await executor.drain(_DRAIN_SECONDS)
        await self._publish()
        self._say(f"{trapped.count} transactions")

    async def _next_wake(self, parts: list[asyncio.Task[None]]) -> None:
        woken = asyncio.create_task(self._wake.wait())
        # As the outbox: nothing wakes it where the answer to the commit of a result was lost.
        await asyncio.wait({woken, *parts}, timeout=_LOOK_EVERY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()
        for part in parts:
            if part.done():
                part.result()
        self._wake.clear()

    async def _executor(self, nodes: NodeThreads) -> tuple[Executor, FreeRoom]:
        job = self._job
        settings = load_settings({"worker_id": f"life-{job.life}", "lease_seconds": str(LEASE_SECONDS)})
        keeper = LeaseKeeper(self._store, settings.worker_id, LeaseTiming.from_settings(settings))
        checkpoints = Checkpoints(self._store, keeper.ensure_lease)
        await checkpoints.setup()
        memories = Memories(self._store)
        await memories.setup()
        graphs = Graphs({name: self._graph(name) for name in job.graphs})
        runner = Runner(
            graphs, checkpoints, memories, self._store, settings.worker_id, RunLimits(100, 2_000, 1_000_000)
        )
        context = RunContext(self._store, runner, nodes, settings.worker_id, LEASE_SECONDS, self._wake.set)
        shares = GraphShares(list(job.graphs), len(job.graphs), {})
        free_room = FreeRoom(NoConsumer(), self._store, len(job.graphs), 0, BacklogLimits(self._store, settings))
        return Executor(context, keeper, shares, free_room), free_room

    def _graph(self, name: str) -> Graph:
        builder = Builder(self._ledger, Place(name), lambda: self._tries[name], self._job.renamed[name])
        built = builder.build(self._job.graphs[name])
        return Graph.from_variable(GraphSpec(name, "x", False, "x"), built)

    def _drain(self) -> None:
        self._is_drained = True
        self._wake.set()

    # ---- requests and results ----

    async def _take_in(self) -> None:
        """All that was sent and not answered: a request that has a result is answered again, with the same bytes."""
        await self._accept([*self._job.requests.values(), *self._failed])
        if self._job.prunes:
            await forget(self._job.url, self._job.keep_checkpoints)
        await self._publish()

    def _known_failures(self) -> list[WorkflowEvent]:
        """What Airflow has sent because of results that were published already."""
        published = read_results(self._job)
        return [
            event
            for name, event in self._job.retries.items()
            if any(result.status is ResultStatus.FAILURE for result in published.get(name, ()))
        ]

    async def _accept(self, events: Sequence[WorkflowEvent]) -> None:
        self._open.update({event.event_id: event for event in events})
        await self._inbox.take(events)

    async def _try_again(self, event: WorkflowEvent) -> None:
        self._tries[case_of(event)] = 2
        await self._accept([event])

    async def _publish(self) -> None:
        while found := await retry_store(lambda: self._store.unpublished(100), "read results"):
            for one in found:
                os.write(self._results, _line(one.correlation_id, one.value))
                event = self._open.pop(one.correlation_id, None)
                result = WorkflowResultEvent.model_validate_json(one.value)
                again = self._job.retries.get(str(one.correlation_id))
                if event is not None and again is not None and result.status is ResultStatus.FAILURE:
                    self._ledger.add(Entry(case_of(event), "loss", life=self._job.life))
                    await self._try_again(again)
            ids = [one.correlation_id for one in found]
            await retry_store(lambda ids=ids: self._store.published(ids), "note results as published")

    def _say(self, text: str) -> None:
        os.write(1, f"{text}\n".encode())


def _line(correlation_id: UUID, value: bytes) -> bytes:
    return (json.dumps([str(correlation_id), value.decode()]) + "\n").encode()


def read_results(job: Job) -> dict[str, list[WorkflowResultEvent]]:
    """The different results of each request; more than one is a fault."""
    found: dict[str, dict[str, None]] = {}
    lines = job.results.read_text().splitlines() if job.results.exists() else []
    for name, value in map(json.loads, lines):
        found.setdefault(name, {})[value] = None
    return {
        name: [WorkflowResultEvent.model_validate_json(value) for value in values] for name, values in found.items()
    }
