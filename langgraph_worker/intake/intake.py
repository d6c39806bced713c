"""From a record to an accepted request: validate, refuse in one place, store, and only then commit the offset."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from langgraph_worker.broker.port import Batch
from langgraph_worker.domain import faults
from langgraph_worker.domain.models import Accepted, Decision, Refusal, Request
from langgraph_worker.domain.pauses import PauseChange, holding
from langgraph_worker.errors import RowError
from langgraph_worker.intake.batch_queue import BatchQueue
from langgraph_worker.intake.clock_skew import ClockSkewWatch
from langgraph_worker.intake.event_notes import EventNotes
from langgraph_worker.intake.events_topic import EventsTopic
from langgraph_worker.intake.free_room import FreeRoom
from langgraph_worker.intake.screening import Rejected, ScreeningRules, refused_later, screen
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.telemetry.metrics import Metrics
from langgraph_worker.telemetry.progress import Progress
from workflow_events.codec import Record
from workflow_events.undecodable import UndecodablePlace

logger = logging.getLogger(__name__)

_Entry = tuple[Record, Request | Refusal]
_WILL_RUN = frozenset({Decision.FRESH, Decision.RESUMED, Decision.ANSWER})
_WORDS = {
    Decision.FRESH: "starts from its input",
    Decision.RESUMED: "goes on from its last checkpoint",
    Decision.ANSWERED: "does not run again, its stored result is sent",
    Decision.ANSWER: "goes on with an answer",
    Decision.LATE: "does not run",
    Decision.DUPLICATE: "does not run again, the request was delivered before",
    Decision.CANCELLED: "does not run",
    Decision.REFUSED: "is refused",
}
"""What each decision lets the graph do, for the log."""
_WAITS = "waits for a worker that serves it"
"""What a graph does that would run, and that no worker serves now."""
_PAUSED = "waits for the end of a pause"
"""What a graph does that would run, and that is paused."""


class DeadLetterWriter(Protocol):
    """Keeps what cannot run, for a person."""

    async def write(self, record: Record, error_type: str, reason: str) -> None:
        """Keep a record; durable when this returns.

        :raises DeadLetterError: it cannot be kept.
        """

    async def write_undecodable(self, place: UndecodablePlace) -> None:
        """Keep the place of records that cannot be decoded; durable when this returns.

        :raises DeadLetterError: it cannot be kept.
        """


@dataclass(frozen=True, slots=True)
class IntakeOutputs:
    """What a batch goes to, in this order; each when the one before is durable.

    :param dead_letters: gets the refused records.
    :param store: accepts the requests and the refusals.
    :param commit: commits the batch's offsets.
    :param free_room: counts what was taken.
    :param wake: called when all is done: the store has new requests, or results to publish.
    :param metrics: counts what was accepted and refused.
    """

    dead_letters: DeadLetterWriter
    store: RunStore
    commit: Callable[[Batch], None]
    free_room: FreeRoom
    wake: Callable[[], None]
    metrics: Metrics = field(default_factory=Metrics)


class Intake:
    """Takes batches one after the other, so that offsets are committed in order."""

    def __init__(
        self,
        batches: BatchQueue,
        rules: ScreeningRules,
        outputs: IntakeOutputs,
        progress: Progress,
        topic: EventsTopic | None = None,
        pauses: Callable[[], Sequence[PauseChange]] = tuple,
    ) -> None:
        self._batches = batches
        self._topic = topic
        self._rules = rules
        self._store = outputs.store
        self._dead_letters = outputs.dead_letters
        self._commit = outputs.commit
        self._free_room = outputs.free_room
        self._wake = outputs.wake
        self._metrics = outputs.metrics
        self._progress = progress
        self._pauses = pauses
        self._clocks = ClockSkewWatch()
        self._notes = EventNotes(outputs.store, rules.graphs, rules.graph_grace_seconds)

    def stop(self) -> None:
        """Let :meth:`run` return after what was offered before."""
        self._batches.close()

    async def run(self) -> None:
        """Take batches until :meth:`stop`.

        :raises DeadLetterError: a dead letter cannot be written; the batch is not committed.
        :raises BrokerError: the events topic was created anew; the batch is not committed.
        """
        while (batch := await self._batches.next()) is not None:
            await self._take(batch)

    async def _take(self, batch: Batch) -> None:
        if batch.records:
            last = batch.records[-1].where
            logger.debug("took %d records up to %s", len(batch.records), last, extra={"action": "taken"})
        records = batch.records if self._topic is None else await self._topic.named(batch.records)
        await asyncio.gather(*(self._bury_undecodable(place) for place in batch.undecodable))
        screened = [(record, judged) async for record, judged in self._screened(records)]
        if batch.is_ahead:  # all else waits for its order, what must be refused too
            screened = [(record, judged) for record, judged in screened if _is_answer(judged)]
        rejected = [(record, judged) for record, judged in screened if isinstance(judged, Rejected)]
        await asyncio.gather(*(self._bury(record, rejection) for record, rejection in rejected))
        taken = [(record, entry) for record, judged in screened if (entry := _entry(judged)) is not None]
        entries, accepted = [entry for _, entry in taken], await self._accepted(taken)
        if self._topic is not None:
            await self._topic.require_same()
        self._commit(batch)
        will_run = [entry.correlation_id for entry in accepted if entry.decision in _WILL_RUN]
        await self._report(entries, accepted, will_run)
        self._free_room.took(0 if batch.is_ahead else len(batch.records), will_run)
        self._wake()

    async def _screened(self, records: Sequence[Record]) -> AsyncIterator[tuple[Record, Request | Rejected]]:
        for record in records:
            yield record, self._judged(record)
            # A large event takes a good part of a second: a batch of them in one go would look like a loop that hangs.
            await asyncio.sleep(0)

    def _judged(self, record: Record) -> Request | Rejected:
        judged = screen(record, self._rules)
        if isinstance(judged, Request) and (why := self._free_room.overload(judged)):
            return refused_later(record, judged, faults.OVERLOADED, why, self._rules)
        return judged

    async def _accepted(self, taken: Sequence[_Entry]) -> list[Accepted]:
        """Store a batch. If the store cannot keep one of its requests, store each by itself, and refuse that one."""
        entries = [entry for _, entry in taken]
        if not entries:
            return []
        try:
            return await retry_store(lambda: self._store.accept(entries), "accept requests")
        except RowError as error:
            if len(taken) > 1:
                return [accepted for one in taken for accepted in await self._accepted([one])]
            return await self._refused(*taken[0], error)

    async def _refused(self, record: Record, entry: Request | Refusal, error: RowError) -> list[Accepted]:
        """Dead-letter a record that the store cannot keep, and answer its waiter if the store can keep that."""
        try:
            if isinstance(entry, Request):
                rejected = refused_later(record, entry, faults.NOT_STORABLE, str(error), self._rules)
                await self._bury(record, rejected)
                refusals = [rejected.refusal] if rejected.refusal else []
                return await retry_store(lambda: self._store.accept(refusals), "accept a refusal")
        except RowError as second:
            error = second
        # Its dead letter is written, also that of a record which was refused before.
        logger.error("%s: set aside without an answer: %s", record.where, error, extra={"action": "set_aside"})
        return []

    async def _bury(self, record: Record, rejected: Rejected) -> None:
        about = {"action": "refused", "error_type": rejected.fault.name}
        self._metrics.refused(rejected.fault.name)
        if not rejected.fault.dead_letter:  # the limits complain, not each request
            logger.info("refused: %s", rejected.reason, extra=about)
            return
        await self._dead_letters.write(record, rejected.fault.name, rejected.reason)
        logger.error("refused, and written to the dead-letter topic: %s", rejected.reason, extra=about)

    async def _bury_undecodable(self, place: UndecodablePlace) -> None:
        self._metrics.refused(faults.UNDECODABLE.name)
        await self._dead_letters.write_undecodable(place)
        logger.error(
            "written to the dead-letter topic, without an answer: %s",
            place,
            extra={"action": "refused", "error_type": faults.UNDECODABLE.name},
        )

    async def _report(
        self, entries: Sequence[Request | Refusal], accepted: Sequence[Accepted], will_run: Sequence[UUID]
    ) -> None:
        requests = {entry.event.event_id: entry for entry in entries if isinstance(entry, Request)}
        unserved = await self._notes.of([requests[one] for one in will_run if one in requests])
        for entry in accepted:
            request = requests.get(entry.correlation_id)
            if request is None:
                continue
            graph = entry.graph or request.graph
            self._metrics.accepted(graph, entry.decision)
            self._clocks.look(request.event)
            does = _WORDS[entry.decision]
            if entry.decision in _WILL_RUN:
                notes = self._notes.about(request, unserved)
                self._progress.accepted(request.event, entry, notes, request.traceparent)
                does = _WAITS if graph in unserved else does
                if held := holding(self._pauses(), graph, request.event.workflow_id):
                    does = _PAUSED
                    self._progress.paused(request.event, "; ".join(pause.in_words for pause in held))
            logger.info(
                "accepted: graph %s %s%s (request %s of %s, run %s)",
                graph,
                does,
                f": {entry.detail}" if entry.detail else "",
                entry.correlation_id,
                request.event.workflow_id,
                request.event.workflow_run_id,
                extra={"action": "accepted", "correlation_id": str(entry.correlation_id), "graph": graph},
            )


def _is_answer(judged: Request | Rejected) -> bool:
    return isinstance(judged, Request) and bool(judged.event.answers)


def _entry(judged: Request | Rejected) -> Request | Refusal | None:
    return judged if isinstance(judged, Request) else judged.refusal
