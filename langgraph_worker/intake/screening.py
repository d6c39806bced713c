"""Judge one record: a request to be stored, or a refusal with its dead letter and its answer.

It also sets the deadline of a request that names none, and brings a deadline that is too late forward.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from langgraph_worker.domain import faults
from langgraph_worker.domain.attempts import drawn_too_late
from langgraph_worker.domain.faults import Fault
from langgraph_worker.domain.models import Origin, Refusal, Request
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.codec import Record, read_event
from workflow_events.errors import DecodeError, UnsupportedSchemaError
from workflow_events.headers import correlation_id_of
from workflow_events.models import EventType, Name, WorkflowEvent
from workflow_events.results import WorkflowResultEvent
from workflow_events.trace_context import traceparent_of

logger = logging.getLogger(__name__)

DEFAULT_DEADLINE = timedelta(hours=24)
"""Counted from acceptance, for events that name none: every request has a deadline."""

_RESUMED = EventType.WORKFLOW_RESUMED.value.encode()
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_LOOK_INTO_BYTES = 65_536  # of a record that is too large to be read: senders write the id first
_UNKNOWN = "unknown"  # a result must name a workflow, even if the body cannot be read


@dataclass(frozen=True, slots=True)
class _NamedRun:
    """The run that asks, as a result has to name it."""

    workflow_id: str
    workflow_run_id: str


_UNKNOWN_RUN = _NamedRun(_UNKNOWN, _UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Named:
    """What a body that cannot run names all the same.

    :param correlation_id: its ``event_id``; None if it has none that is a UUID.
    :param reply_topic: as it stands there: it may be one that is not allowed.
    """

    run: _NamedRun = _UNKNOWN_RUN
    correlation_id: UUID | None = None
    reply_topic: str | None = None


@dataclass(frozen=True, slots=True)
class _Waiter:
    """The request that a refusal answers, and where its waiter reads."""

    correlation_id: UUID
    run: _NamedRun
    reply_topic: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot run.

    :param refusal: the answer to its waiter; None if neither header nor body names a correlation id.
    """

    fault: Fault
    reason: str
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class ScreeningRules:
    """What this worker accepts.

    :param graphs: the names that it knows; an event may name others, which another worker may know.
    :param default_graph: for events that name none.
    :param graph_grace_seconds: how long a request waits for a graph that no worker serves.
    """

    graphs: Collection[str]
    default_graph: str | None
    results_topic: str
    reply_topics: Collection[str]
    models: Collection[str]
    max_bytes: int
    worker_id: str
    max_deadline: timedelta = timedelta(days=30)
    graph_grace_seconds: float = 60.0

    @classmethod
    def from_settings(cls, settings: WorkerSettings, graphs: Collection[str]) -> ScreeningRules:
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
            graph_grace_seconds=settings.unknown_graph_grace_seconds,
        )


def may_be_answer(record: Record) -> bool:
    """Whether a record may answer a question. Quick: the event type is looked for in the body, which is not parsed."""
    return _RESUMED in (record.value or b"")


def screen(record: Record, rules: ScreeningRules) -> Request | Rejected:
    """Judge one record. The only place where an event is refused before it is stored. Never raises."""
    try:
        return _judge(record, rules)
    except Exception as error:
        # An unforeseen error must not stop every worker of the fleet at this record, again and again.
        logger.exception("%s: reading the event failed", record.where, extra={"action": "refused"})
        reason = f"{record.where}: reading the event failed: {type(error).__name__}"
        return _unread(record, faults.INVALID_EVENT, reason, rules, _Named())


def refused_later(record: Record, request: Request, fault: Fault, why: str, rules: ScreeningRules) -> Rejected:
    """The refusal of a request that passed, but for which there is no room, or that the store cannot keep."""
    reason, event = f"{record.where}: {why}", request.event
    waiter = _Waiter(event.event_id, _NamedRun(event.workflow_id, event.workflow_run_id), request.reply_topic)
    return Rejected(fault, reason, _refusal(record, waiter, fault, reason, rules.worker_id))


def _judge(record: Record, rules: ScreeningRules) -> Request | Rejected:
    size = _size(record)
    if size > rules.max_bytes:
        text = (
            f"{record.where}: the event is {size:,} bytes, over this worker's limit of {rules.max_bytes:,}. Pass a "
            "reference to large data, or raise LANGGRAPH_WORKER_MAX_MESSAGE_BYTES"
        )
        return _unread(record, faults.EVENT_TOO_LARGE, text, rules, _named_in(record, most_bytes=_LOOK_INTO_BYTES))
    try:
        read = read_event(record)
    except UnsupportedSchemaError as error:
        # Which request its body names, this side cannot know.
        named = replace(_named_in(record), correlation_id=None, reply_topic=None)
        return _unread(record, faults.UNSUPPORTED_SCHEMA, str(error), rules, named)
    except DecodeError as error:
        return _unread(record, faults.INVALID_EVENT, str(error), rules, _named_in(record))
    event = read.event
    graph = event.graph or rules.default_graph
    if event.answers:
        graph = graph or ""  # the run that asked the question knows its graph
    problem = _problem(event, graph, rules)
    if problem is not None or graph is None:
        fault, text = problem or (faults.NO_GRAPH_NAMED, "")
        reason = f"{record.where}: {text}"
        topic = event.reply_topic if event.reply_topic in rules.reply_topics else rules.results_topic
        waiter = _Waiter(event.event_id, _NamedRun(event.workflow_id, event.workflow_run_id), topic or "")
        return Rejected(fault, reason, _refusal(record, waiter, fault, reason, rules.worker_id))
    now = datetime.now(UTC)
    deadline = min(event.deadline or now + DEFAULT_DEADLINE, now + rules.max_deadline)
    event = event.model_copy(update={"deadline": deadline})
    topic, trace = event.reply_topic or rules.results_topic, traceparent_of(record.headers)
    return Request(event, graph, topic, _origin(record), read.unknown, trace)


def _problem(event: WorkflowEvent, graph: str | None, rules: ScreeningRules) -> tuple[Fault, str] | None:
    if event.attempt is not None and (text := drawn_too_late(event.attempt, datetime.now(UTC))):
        return faults.INVALID_EVENT, text
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
        remedy = "Choose one of them" if rules.models else "Leave it out"
        return faults.MODEL_NOT_ALLOWED, (
            f"field 'config.model': {event.config.model!r} is not allowed here (allowed: {allowed}). {remedy}, "
            "or add it to LANGGRAPH_WORKER_ALLOWED_MODELS"
        )
    if event.reply_topic is not None and event.reply_topic not in rules.reply_topics:
        return faults.REPLY_TOPIC_NOT_ALLOWED, (
            f"field 'reply_topic': {event.reply_topic!r} is not allowed here (allowed: "
            f"{', '.join(sorted(rules.reply_topics))}). Leave it out, or add it to "
            "LANGGRAPH_WORKER_ALLOWED_REPLY_TOPICS; this answer went to the results topic"
        )
    return None


def _unsupported(event: WorkflowEvent) -> str | None:
    # A worker that ignored one of these would run something else than was requested.
    if event.round > 0 and event.event_type is not EventType.WORKFLOW_RESUMED:
        return "field 'round': a round above 0 without answers is"
    return None


def _size(record: Record) -> int:
    headers = sum(len(name.encode()) + len(value or b"") for name, value in record.headers or ())
    return len(record.key or b"") + len(record.value or b"") + headers


def _unread(record: Record, fault: Fault, reason: str, rules: ScreeningRules, named: _Named) -> Rejected:
    """The refusal of a record that is no request. Its header names the waiter, else its body does: the store answers
    an id that it knows already with what it has.
    """
    correlation_id = correlation_id_of(record.headers) or named.correlation_id
    if correlation_id is None:
        return Rejected(fault, reason, None)
    topic = named.reply_topic if named.reply_topic in rules.reply_topics else None
    waiter = _Waiter(correlation_id, named.run, topic or rules.results_topic)
    return Rejected(fault, reason, _refusal(record, waiter, fault, reason, rules.worker_id))


def _named_in(record: Record, most_bytes: int | None = None) -> _Named:
    """The names that the body has, though it is wrong. Of a body whose headers cannot be read nothing is believed.

    :param most_bytes: look no further than that.
    """
    value = record.value or b"{}"
    text = value if most_bytes is None else value[:most_bytes].decode("utf-8", "ignore")
    try:
        body = pydantic_core.from_json(text, allow_partial=most_bytes is not None)
    except ValueError:
        body = None
    if not isinstance(body, dict) or not record.headers_readable:
        return _Named()
    topic = body.get("reply_topic")
    run = _NamedRun(_name_or_unknown(body.get("workflow_id")), _name_or_unknown(body.get("workflow_run_id")))
    return _Named(run, _uuid_or_none(body.get("event_id")), topic if isinstance(topic, str) else None)


def _uuid_or_none(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _name_or_unknown(value: object) -> str:
    try:
        return _NAME.validate_python(value, strict=True)
    except ValidationError:
        return _UNKNOWN


def _origin(record: Record) -> Origin:
    return Origin(record.cluster, record.topic, record.partition, record.offset)


def _refusal(record: Record, waiter: _Waiter, fault: Fault, reason: str, worker_id: str) -> Refusal:
    result = WorkflowResultEvent(
        correlation_id=waiter.correlation_id,
        workflow_id=waiter.run.workflow_id,
        workflow_run_id=waiter.run.workflow_run_id,
        status=fault.status,
        error=reason,
        error_type=fault.name,
        retriable=fault.retriable,
        finished_at=datetime.now(UTC),
        worker_id=worker_id,
    )
    return Refusal(result, waiter.reply_topic, _origin(record))
