"""A worker without Kafka: the program that holds it brings the requests, and takes the results.

All that lies behind the consumer is a real worker's: the checks of an event, the store, the executor, the leases, the
checkpoints, the encoding of results.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from langgraph_worker.broker.port import Batch, BestEffortProducer
from langgraph_worker.domain.models import Cancel, Outbound, RunStatus
from langgraph_worker.errors import WorkerError
from langgraph_worker.execution.executor import Executor
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.intake.backlog_limits import BacklogLimits
from langgraph_worker.intake.batch_queue import BatchQueue
from langgraph_worker.intake.free_room import FreeRoom
from langgraph_worker.intake.intake import Intake, IntakeOutputs
from langgraph_worker.intake.screening import ScreeningRules
from langgraph_worker.runtime.run_parts import RunParts, Surroundings, make_executor, open_run_parts
from langgraph_worker.runtime.traces import open_tracing
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.store.sql.open_questions import questions_before, questions_of
from langgraph_worker.telemetry.progress import Progress
from langgraph_worker.telemetry.traces.port import Tracing
from workflow_events.codec import Record
from workflow_events.headers import build
from workflow_events.models import EventType
from workflow_events.results import Interrupt, WorkflowResultEvent
from workflow_events.undecodable import UndecodablePlace

_TOPIC = "local"  # what errors name as the place of an event
_LOOK_EVERY_SECONDS = 0.2  # for results whose commit was not answered
_PROGRESS_PER_SECOND = 1_000.0  # nothing is shared here that a run could fill
_CANCEL_KEPT = timedelta(days=1)
_MOST_RESULTS = 100  # read at once


class UnansweredError(WorkerError):
    """A request waits for its conversation, which waits for a person.

    :param questions: what the conversation asks.
    """

    def __init__(self, questions: list[Interrupt]) -> None:
        self.questions = questions
        super().__init__("the conversation waits for an answer to what it asked")


class LocalWorker:
    """Answers one request at a time. Get it from :func:`local_worker`."""

    def __init__(self, settings: WorkerSettings, graphs: Graphs, parts: RunParts, progress: Progress) -> None:
        self._store = parts.store
        self._graphs = graphs
        self._rules = ScreeningRules.from_settings(settings, graphs.names)
        self._progress = progress
        limits = BacklogLimits(parts.store, settings, graphs.names)
        self._free_room = FreeRoom(_NoConsumer(), parts.store, settings.concurrency, settings.prefetch, limits)
        self._wake = asyncio.Event()
        self._results: dict[UUID, WorkflowResultEvent] = {}
        self._executor: Executor
        self._parts: list[asyncio.Task[None]]

    def start(self, settings: WorkerSettings, nodes: NodeThreads, parts: RunParts, tracing: Tracing) -> None:
        """Run what the store holds, and from now on what is asked."""
        around = Surroundings(self._progress, self._free_room, self._wake.set, tracing)
        self._executor = make_executor(settings, self._graphs, nodes, parts, around)
        self._parts = [
            asyncio.create_task(self._executor.keep_leases(), name="leases"),
            asyncio.create_task(self._executor.run(), name="executor"),
        ]

    async def stop(self) -> None:
        """End what runs at once; it stays in the store, unfinished."""
        await self._executor.drain(0.0)
        for part in self._parts:
            part.cancel()
        await asyncio.gather(*self._parts, return_exceptions=True)

    async def ask(self, body: Mapping[str, Any]) -> WorkflowResultEvent:
        """Run one request, or answer it again: the same ``event_id`` is the same request.

        A cancellation of this call cancels the request.

        :param body: a :class:`~workflow_events.models.WorkflowEvent` as JSON, with an ``event_id``.
        :returns: its result. A request that is refused has one too, with status ``error``.
        :raises UnansweredError: the thread that it names waits for a person.
        :raises StoreError: the store fails for good.
        """
        event_id = UUID(str(body["event_id"]))
        await self._take_in(_record(body, event_id))
        try:
            return await self._result(event_id)
        except asyncio.CancelledError:
            cancel = Cancel(event_id, "the program that asked for it was stopped")
            await asyncio.shield(self._store.cancel([cancel], _CANCEL_KEPT))
            raise

    async def questions(self, workflow_id: str, workflow_run_id: str) -> list[Interrupt]:
        """What a workflow's run still asks a person."""
        return await self._store.read(lambda connection: questions_of(connection, workflow_id, workflow_run_id))

    async def _take_in(self, record: Record) -> None:
        batches = BatchQueue()
        batches.offer(Batch((record,), {0: record.offset + 1}))
        batches.close()
        outputs = IntakeOutputs(_NoDeadLetters(), self._store, lambda batch: None, self._free_room, self._look)
        await Intake(batches, self._rules, outputs, self._progress).run()

    def _look(self) -> None:
        self._executor.wake()
        self._wake.set()

    async def _result(self, event_id: UUID) -> WorkflowResultEvent:
        while True:
            await self._collect()
            if event_id in self._results:
                return self._results.pop(event_id)
            asked = await self._questions_before(event_id)
            if asked:
                await self._store.cancel([Cancel(event_id, "its conversation waits for an answer")], _CANCEL_KEPT)
                raise UnansweredError(asked)
            await self._next_wake()

    async def _collect(self) -> None:
        found: list[Outbound] = await retry_store(lambda: self._store.unpublished(_MOST_RESULTS), "read results")
        for one in found:
            self._results[one.correlation_id] = WorkflowResultEvent.model_validate_json(one.value)
        ids = [one.correlation_id for one in found]
        await retry_store(lambda: self._store.published(ids), "note results as taken")

    async def _questions_before(self, event_id: UUID) -> list[Interrupt]:
        """What has to be answered before this request can start; nothing while it can, or while something runs."""
        if await self._store.can_start([event_id], self._graphs.names):
            return []
        if (await self._store.counts()).get(RunStatus.RUNNING, 0):
            return []
        await self._collect()  # it may have ended meanwhile
        if event_id in self._results:
            return []
        return await self._store.read(lambda connection: questions_before(connection, event_id))

    async def _next_wake(self) -> None:
        woken = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait({woken, *self._parts}, timeout=_LOOK_EVERY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        for part in self._parts:
            if part.done():
                part.result()
        self._wake.clear()


@asynccontextmanager
async def local_worker(
    settings: WorkerSettings,
    graphs: Graphs,
    nodes: NodeThreads,
    producer: BestEffortProducer | None = None,
    now: Callable[[], datetime] | None = None,
) -> AsyncIterator[LocalWorker]:
    """A worker of these graphs on the settings' store. Nothing of Kafka is asked.

    :param nodes: the default executor of the event loop.
    :param producer: gets the progress of runs, as messages of a topic.
    :param now: the store's clock, UTC; None: the database's own.
    :raises StoreError: the store cannot be used.
    """
    async with AsyncExitStack() as stack:
        parts = await open_run_parts(stack, settings, graphs, now)
        rate = _PROGRESS_PER_SECOND
        progress = Progress()
        if producer is not None:
            # Each node's start is told at once: nothing is sent that could be spared.
            progress = Progress(producer, _TOPIC, None, settings.worker_id, rate, 0.0, redactor=graphs.redactor)
        worker = LocalWorker(settings, graphs, parts, progress)
        worker.start(settings, nodes, parts, open_tracing(stack, settings, graphs.redactor))
        stack.push_async_callback(worker.stop)
        yield worker


def _record(body: Mapping[str, Any], event_id: UUID) -> Record:
    """The event as Kafka would deliver it: its place is the same whenever it is asked again."""
    value = json.dumps(body).encode()
    headers = build(event_id, str(body.get("event_type", EventType.WORKFLOW_TRIGGERED.value)))
    now_ms = int(datetime.now(UTC).timestamp() * 1_000)
    return Record(_TOPIC, 0, event_id.int % 2**40, value, headers, None, now_ms, _TOPIC)


class _NoConsumer:
    """Delivers nothing by itself."""

    def allow(self, total: int) -> None:
        """The requests come one by one."""

    def look_ahead(self, wanted: bool) -> None:
        """Nothing waits behind them."""


class _NoDeadLetters:
    """The one who asks sees the refusal."""

    async def write(self, record: Record, error_type: str, reason: str) -> None:
        """Nothing is kept."""

    async def write_undecodable(self, place: UndecodablePlace) -> None:
        """There are none."""
