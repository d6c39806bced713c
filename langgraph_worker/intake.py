"""From a record to an accepted request: validate, refuse in one place, store, and only then commit the offset."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from langgraph_worker import faults
from langgraph_worker.clocks import Clocks
from langgraph_worker.deadletters import DeadLetters
from langgraph_worker.faults import Fault
from langgraph_worker.kafka.port import Batch
from langgraph_worker.patience import persist
from langgraph_worker.progress import Progress
from langgraph_worker.settings import WorkerSettings
from langgraph_worker.store.port import Accepted, Decision, Origin, Refusal, Request, RunStore
from workflow_events.codec import Record, decode_event
from workflow_events.errors import DecodeError, UnsupportedSchemaError
from workflow_events.headers import correlation_id_of
from workflow_events.models import EventType, Name, WorkflowEvent
from workflow_events.results import WorkflowResultEvent

logger = logging.getLogger(__name__)

DEFAULT_DEADLINE = timedelta(hours=24)
"""From acceptance, for events that name none: every request has a deadline."""

_NAME: TypeAdapter[str] = TypeAdapter(Name)
_UNKNOWN = "unknown"  # a result must name a workflow, even for a body that cannot be read
_WILL_RUN = frozenset({Decision.FRESH, Decision.RESUMED, Decision.ANSWER})


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot run.

    :param refusal: the answer to its waiter; None if the record does not say who waits.
    """

    fault: Fault
    reason: str
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class Rules:
    """What this worker takes.

    :param graphs: the names it knows; an event may name others, which a worker elsewhere may know.
    :param default_graph: for events that name none.
    """

    graphs: Collection[str]
    default_graph: str | None
    results_topic: str
    reply_topics: Collection[str]
    models: Collection[str]
    max_bytes: int
    worker_id: str
    max_deadline: timedelta = timedelta(days=30)

    @classmethod
    def of(cls, settings: WorkerSettings, graphs: Collection[str]) -> Rules:
        """The rules of a worker with these settings and graphs."""
        only = next(iter(graphs)) if len(graphs) == 1 else None
        return cls(
            graphs=frozenset(graphs),
            default_graph=settings.default_graph or only,
            results_topic=settings.kafka_workflow_results_topic,
            reply_topics=settings.reply_topics,
            models=frozenset(settings.allowed_models),
            max_bytes=settings.max_message_bytes,
            worker_id=settings.worker_id,
            max_deadline=timedelta(days=settings.max_deadline_days),
        )


def screen(record: Record, rules: Rules) -> Request | Rejected:
    """Judge one record. The only place where an event is refused before it is stored. Never raises."""
    origin = Origin(record.cluster, record.topic, record.partition, record.offset)
    try:
        return _judge(record, rules, origin)
    except Exception as error:
        # What nobody foresaw must not stop every worker of the fleet at this record, again and again.
        logger.exception("%s: reading the event failed", record.where, extra={"action": "refused"})
        reason = f"{record.where}: reading the event failed: {type(error).__name__}"
        return _unread(record, faults.INVALID_EVENT, reason, rules, origin, (_UNKNOWN, _UNKNOWN))


def _judge(record: Record, rules: Rules, origin: Origin) -> Request | Rejected:
    size = _size(record)
    if size > rules.max_bytes:
        text = (
            f"{record.where}: the event is {size:,} bytes, over this worker's limit of {rules.max_bytes:,}. Pass a "
            "reference to large data, or raise LANGGRAPH_WORKER_MAX_MESSAGE_BYTES"
        )
        return _unread(record, faults.EVENT_TOO_LARGE, text, rules, origin, (_UNKNOWN, _UNKNOWN))
    try:
        event = decode_event(record)
    except UnsupportedSchemaError as error:
        return _unread(record, faults.UNSUPPORTED_SCHEMA, str(error), rules, origin, _names_in(record.value))
    except DecodeError as error:
        return _unread(record, faults.INVALID_EVENT, str(error), rules, origin, _names_in(record.value))
    graph = event.graph or rules.default_graph
    if event.answers:
        graph = graph or ""  # the run that asked knows
    problem = _problem(event, graph, rules)
    if problem is not None or graph is None:
        fault, text = problem or (faults.NO_GRAPH_NAMED, "")
        reason = f"{record.where}: {text}"
        names = (event.workflow_id, event.workflow_run_id)
        topic = event.reply_topic if event.reply_topic in rules.reply_topics else rules.results_topic
        return Rejected(fault, reason, _refusal(event.event_id, names, fault, reason, rules, topic or "", origin))
    now = datetime.now(UTC)
    deadline = min(event.deadline or now + DEFAULT_DEADLINE, now + rules.max_deadline)
    event = event.model_copy(update={"deadline": deadline})
    return Request(event, graph, event.reply_topic or rules.results_topic, origin)


def _problem(event: WorkflowEvent, graph: str | None, rules: Rules) -> tuple[Fault, str] | None:
    if unsupported := _unsupported(event):
        return faults.NOT_SUPPORTED, f"{unsupported} not supported by this version of the worker; leave it out"
    if graph is None:
        known = ", ".join(sorted(rules.graphs))
        return faults.NO_GRAPH_NAMED, (
            f"field 'graph': must name one of {known}, as this worker has no default. Set it, or "
            "LANGGRAPH_WORKER_DEFAULT_GRAPH"
        )
    if event.config.model is not None and event.config.model not in rules.models:
        allowed = ", ".join(sorted(rules.models)) or "none"
        return faults.MODEL_NOT_ALLOWED, (
            f"field 'config.model': {event.config.model!r} is not allowed here (allowed: {allowed}). Choose one of "
            "them, or add it to LANGGRAPH_WORKER_ALLOWED_MODELS"
        )
    if event.reply_topic is not None and event.reply_topic not in rules.reply_topics:
        return faults.REPLY_TOPIC_NOT_ALLOWED, (
            f"field 'reply_topic': {event.reply_topic!r} is not allowed here (allowed: "
            f"{', '.join(sorted(rules.reply_topics))}). Leave it out, or add it to "
            "LANGGRAPH_WORKER_ALLOWED_REPLY_TOPICS; this answer went to the results topic"
        )
    return None


def _unsupported(event: WorkflowEvent) -> str | None:
    # Ignoring any of these would run something else than was asked for.
    if event.budget is not None:
        return "field 'budget': budgets are"
    if event.round > 0 and event.event_type is not EventType.WORKFLOW_RESUMED:
        return "field 'round': a round above 0 without answers is"
    return None


def _size(record: Record) -> int:
    headers = sum(len(name.encode()) + len(value or b"") for name, value in record.headers or ())
    return len(record.key or b"") + len(record.value or b"") + headers


def _unread(
    record: Record, fault: Fault, reason: str, rules: Rules, origin: Origin, names: tuple[str, str]
) -> Rejected:
    correlation = correlation_id_of(record.headers)
    if correlation is None:
        return Rejected(fault, reason, None)
    return Rejected(fault, reason, _refusal(correlation, names, fault, reason, rules, rules.results_topic, origin))


def _names_in(value: bytes | None) -> tuple[str, str]:
    """The workflow's and the run's name if the body, though wrong, tells them."""
    try:
        body = pydantic_core.from_json(value or b"{}")
    except ValueError:
        body = {}
    found = [body.get(name) if isinstance(body, dict) else None for name in ("workflow_id", "workflow_run_id")]
    workflow, run = (_name_or_unknown(name) for name in found)
    return workflow, run


def _name_or_unknown(value: object) -> str:
    try:
        return _NAME.validate_python(value, strict=True)
    except ValidationError:
        return _UNKNOWN


def _refusal(
    correlation: UUID,
    names: tuple[str, str],
    fault: Fault,
    reason: str,
    rules: Rules,
    reply_topic: str,
    origin: Origin,
) -> Refusal:
    result = WorkflowResultEvent(
        correlation_id=correlation,
        workflow_id=names[0],
        workflow_run_id=names[1],
        status=fault.status,
        error=reason,
        error_type=fault.name,
        retriable=fault.retriable,
        finished_at=datetime.now(UTC),
        worker_id=rules.worker_id,
    )
    return Refusal(result, reply_topic, origin)


class Intake:
    """Takes batches one after the other, so that offsets are committed in order.

    :param commit: called with a batch when every record of it is stored, or acknowledged as a dead letter.
    :param on_accepted: called with the number of new requests that wait for a slot.
    """

    def __init__(
        self,
        rules: Rules,
        store: RunStore,
        dead_letters: DeadLetters,
        progress: Progress,
        commit: Callable[[Batch], None],
        on_accepted: Callable[[int], None],
    ) -> None:
        self._rules = rules
        self._store = store
        self._dead_letters = dead_letters
        self._progress = progress
        self._commit = commit
        self._on_accepted = on_accepted
        self._clocks = Clocks()
        self._batches: asyncio.Queue[Batch | None] = asyncio.Queue()
        self.taken = 0
        """Records taken since the start, whatever became of them."""

    def offer(self, batch: Batch) -> None:
        """Queue a batch; never blocks."""
        self._batches.put_nowait(batch)

    def stop(self) -> None:
        """Let :meth:`run` return after what was offered before."""
        self._batches.put_nowait(None)

    async def run(self) -> None:
        """Take batches until :meth:`stop`.

        :raises DeadLetterError: a dead letter cannot be written; the batch is not committed.
        """
        while (batch := await self._batches.get()) is not None:
            await self._take(batch)

    async def _take(self, batch: Batch) -> None:
        logger.debug("took %d records up to %s", len(batch.records), batch.records[-1].where, extra={"action": "taken"})
        screened = [(record, found) async for record, found in self._screened(batch)]
        await asyncio.gather(*(self._bury(record, found) for record, found in screened if isinstance(found, Rejected)))
        entries = [entry for _, found in screened if (entry := _entry(found)) is not None]
        accepted = await persist(lambda: self._store.accept(entries), "accept requests") if entries else []
        self._commit(batch)
        self._tell(entries, accepted)
        self.taken += len(batch.records)
        self._on_accepted(sum(found.decision in _WILL_RUN for found in accepted))

    async def _screened(self, batch: Batch) -> AsyncIterator[tuple[Record, Request | Rejected]]:
        for record in batch.records:
            yield record, screen(record, self._rules)
            # A large event takes a good part of a second; a batch of them at one go would pass for a loop that hangs.
            await asyncio.sleep(0)

    async def _bury(self, record: Record, rejected: Rejected) -> None:
        await self._dead_letters.write(record, rejected.fault.name, rejected.reason)
        logger.error(
            "refused, and written to the dead-letter topic: %s",
            rejected.reason,
            extra={"action": "refused", "error_type": rejected.fault.name},
        )

    def _tell(self, entries: Sequence[Request | Refusal], accepted: Sequence[Accepted]) -> None:
        requests = {entry.event.event_id: entry for entry in entries if isinstance(entry, Request)}
        for found in accepted:
            request = requests.get(found.correlation_id)
            if request is None:
                continue
            self._clocks.look(request.event)
            if found.decision in _WILL_RUN:
                self._progress.accepted(request.event, found)
            logger.info(
                "accepted %s: graph %s, %s%s, from %s of %s",
                found.correlation_id,
                request.graph,
                found.decision.value,
                f" ({found.detail})" if found.detail else "",
                request.event.workflow_run_id,
                request.event.workflow_id,
                extra={"action": "accepted", "correlation_id": str(found.correlation_id), "graph": request.graph},
            )


def _entry(found: Request | Rejected) -> Request | Refusal | None:
    return found if isinstance(found, Request) else found.refusal
