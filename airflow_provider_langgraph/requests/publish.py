"""Publishing a request, so that neither its reply can be missed nor a kill leaves its agent running."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from airflow_provider_langgraph.airflow_compat.task_state import has_ended
from airflow_provider_langgraph.airflow_compat.trace_context import trace_id_of
from airflow_provider_langgraph.exceptions import (
    KafkaError,
    MessageRefusedError,
    PublishError,
    RunCancelled,
    SettingsError,
)
from airflow_provider_langgraph.kafka.topic_admin import EndOffsets
from airflow_provider_langgraph.requests.cancel import KILLED, NO_WAITER, Canceller, NoCanceller
from airflow_provider_langgraph.requests.client import FleetClient
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.kill_signal import KillSignal
from workflow_events.errors import EncodeError, MessageTooLargeError
from workflow_events.log_words import counted, in_utc, short_id
from workflow_events.models import WorkflowEvent
from workflow_events.plain_text import one_line


def publish_request(
    client: FleetClient,
    event: WorkflowEvent,
    kill: KillSignal,
    canceller: Canceller,
    log: Any,
    traceparent: str | None = None,
) -> RequestHandle:
    """Publish a request, and announce a newer try of its task. When this returns, the request is durable.

    :param traceparent: the trace of the task, for the message's header; None: it has none.
    :raises PublishError: not acknowledged; publishing it again is safe.
    :raises KafkaError: the broker cannot be reached, or a topic is missing.
    :raises SettingsError: the request cannot be encoded, or is too large.
    :raises RunCancelled: the task was killed before anything was published.
    """
    return _publish(client, event, _end_offsets(client, kill), kill, canceller, log, traceparent)


def nothing_was_sent(error: Exception) -> bool:
    """Whether an error of :func:`publish_request` says for certain that Kafka has nothing of the request. Without an
    acknowledgement it may have it all the same.
    """
    if isinstance(error, PublishError):
        return isinstance(error, MessageRefusedError)
    return isinstance(error, KafkaError | SettingsError | RunCancelled)


def publish_requests(
    client: FleetClient,
    requests: Iterable[tuple[WorkflowEvent, Any]],
    kill: KillSignal,
    canceller: Canceller,
    traceparent: str | None = None,
) -> list[RequestHandle]:
    """:func:`publish_request` for the requests of a task with several agents. If one fails, those before it are
    cancelled.

    :param requests: each with the logger of its agent.
    """
    ends = _end_offsets(client, kill)
    handles: list[RequestHandle] = []
    try:
        for event, log in requests:
            handles.append(_publish(client, event, ends, kill, canceller, log, traceparent, is_first=not handles))
    except BaseException:
        canceller.cancel_all([handle.correlation_id for handle in handles], KILLED if kill.is_set else NO_WAITER)
        raise
    return handles


def publish_further(
    client: FleetClient, event: WorkflowEvent, log: Any, traceparent: str | None = None
) -> RequestHandle:
    """:func:`publish_request` for a task that has asked before, and has left its slot."""
    kill = KillSignal()
    ends = _end_offsets(client, kill)
    return _publish(client, event, ends, kill, NoCanceller(log), log, traceparent, is_first=False)


def _end_offsets(client: FleetClient, kill: KillSignal) -> EndOffsets:
    """Where results end, before any request is out: no reply can lie before that, however fast the agent is."""
    kill.stop_with(client.abandon)
    client.require_topics(client.topics.events)
    return client.end_offsets(client.topics.results)


def _publish(
    client: FleetClient,
    event: WorkflowEvent,
    ends: EndOffsets,
    kill: KillSignal,
    canceller: Canceller,
    log: Any,
    traceparent: str | None,
    is_first: bool = True,
) -> RequestHandle:
    topics = client.topics
    if kill.is_set:
        raise RunCancelled("the task was killed before it asked")
    try:
        client.publish(event, topics.events, traceparent=traceparent)
    except (MessageTooLargeError, EncodeError) as error:
        raise SettingsError(f"input: {error}") from error
    except PublishError:
        if kill.is_set and event.event_id is not None:  # the broker may have it all the same
            canceller.cancel(event.event_id, KILLED)
        raise
    if is_first and not kill.is_set:
        _announce(client, event, log)
    log.info(
        "%s%s; the answer is due by %s (request %s)",
        _what_is_done(event),
        f" on thread {one_line(event.thread_id)}" if event.thread_id else "",  # often a value of the DAG run's conf
        "its deadline" if event.deadline is None else in_utc(event.deadline),
        short_id(event.event_id),
    )
    return _handle(client, event, ends, trace_id_of(traceparent))


def _what_is_done(event: WorkflowEvent) -> str:
    if event.answers:  # the run that asked has its graph
        asking = f" of request {short_id(event.answers_to)}" if event.answers_to else ""
        return f"Answered {counted(len(event.answers), 'question')}{asking}"
    return f"Asked graph {one_line(event.graph)}" if event.graph else "Asked the fleet's default graph"


def require_wanted(request: UUID, ti: Any, kill: KillSignal, canceller: Canceller) -> None:
    """Check that the task still wants its request: between publishing and deferring no trigger could end its agent.

    :raises RunCancelled: the task was killed; the run is cancelled.
    """
    if kill.is_set or has_ended(ti):
        canceller.cancel(request, KILLED)
        raise RunCancelled(f"the task was killed before it waited for request {request}")


def _handle(client: FleetClient, event: WorkflowEvent, ends: EndOffsets, trace_id: str | None) -> RequestHandle:
    topics = client.topics
    return RequestHandle(
        correlation_id=event.event_id,
        workflow_id=event.workflow_id,
        workflow_run_id=event.workflow_run_id,
        kafka_config_id=client.kafka_config_id,
        events_topic=topics.events,
        results_topic=topics.results,
        cluster=ends.cluster,
        start_offsets=ends.offsets,
        deadline=event.deadline or datetime.now(UTC),
        results_topic_id=ends.topic_id,
        control_topic=topics.control,
        progress_topic=topics.progress,
        asked_at=event.timestamp,
        thread_id=event.thread_id,
        trace_id=trace_id,
    )


def _announce(client: FleetClient, event: WorkflowEvent, log: Any) -> None:
    """Announce a newer try: a full fleet takes no request in, and would let the runs of older tries go on."""
    if event.attempt is None or event.attempt.try_number < 2:
        return
    control = client.topics.control
    try:
        client.require_topics(control)
        client.announce(event.attempt, control)
    except KafkaError as error:
        log.warning(
            "A run of an older try may go on until a worker accepts this one, as none could be informed of it: %s",
            error,
        )
