"""Requests as they come from Kafka, through the worker's own intake; and what is forgotten of earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta

from langgraph_worker.broker.port import Batch
from langgraph_worker.intake.batch_queue import BatchQueue
from langgraph_worker.intake.free_room import FreeRoom
from langgraph_worker.intake.intake import Intake, IntakeOutputs
from langgraph_worker.intake.screening import ScreeningRules
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.telemetry.progress import Progress
from workflow_events.codec import Record, encode
from workflow_events.models import WorkflowEvent

_RESULTS = "workflow-results"
_MOST_BYTES = 10_000_000
_LATER = timedelta(days=3)  # behind every deadline


class NoConsumer:
    """Delivers nothing by itself."""

    def allow(self, total: int) -> None:
        pass

    def look_ahead(self, wanted: bool) -> None:
        pass


class _NoDeadLetters:
    async def write(self, record: Record, error_type: str, reason: str) -> None:
        pass


class Inbox:
    """Takes requests in.

    :param graphs: their names.
    :param wake: called when the store has new requests, or results to publish.
    """

    def __init__(
        self, store: SqlRunStore, graphs: Collection[str], free_room: FreeRoom, wake: Callable[[], None]
    ) -> None:
        self._rules = ScreeningRules(set(graphs), None, _RESULTS, {_RESULTS}, (), _MOST_BYTES, "w1")
        self._outputs = IntakeOutputs(_NoDeadLetters(), store, lambda batch: None, free_room, wake)

    async def take(self, events: Sequence[WorkflowEvent]) -> None:
        """In one batch. When this returns, each has a row, and perhaps already its answer."""
        if not events:
            return
        batches = BatchQueue()
        batches.offer(Batch(tuple(map(_record, events)), {0: 1}))
        batches.close()
        await Intake(batches, self._rules, self._outputs, Progress()).run()


def _record(event: WorkflowEvent) -> Record:
    encoded = encode(event)
    offset = event.event_id.int % 2**40  # the same whenever it is delivered
    now = int(datetime.now(UTC).timestamp() * 1_000)
    return Record("workflow-events", 0, offset, encoded.value, encoded.headers, encoded.key, now, "cluster")


def case_of(event: WorkflowEvent) -> str:
    """The name of a request's case."""
    assert event.graph is not None
    return event.graph


async def forget(url: str, keep_checkpoints: int) -> None:
    """Let the command ``prune`` of later days remove what has ended, and all checkpoints that no run needs."""
    store = SqlRunStore(url, keep_checkpoints=keep_checkpoints, now=lambda: datetime.now(UTC) + _LATER)
    await store.open(alone=False)
    while (await retry_store(lambda: store.prune(timedelta(0), timedelta(days=1), 100), "prune")).runs:
        pass
    done: str | None = ""
    while done is not None:
        after = done
        done = (await retry_store(lambda after=after: store.trim_checkpoints(after, 100), "trim")).done
    await store.close()
