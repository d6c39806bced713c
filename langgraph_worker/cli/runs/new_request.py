"""The request that a command below ``runs`` asks the workers for."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from contextlib import suppress

from langgraph_worker.broker.kafka.end_offsets import TopicEnd, end_of
from langgraph_worker.cli.output import print_note
from langgraph_worker.cli.runs.as_json import written
from langgraph_worker.domain.pauses import PauseChange, holding
from langgraph_worker.errors import StoreError, WorkerError
from langgraph_worker.operations.sending import NotSentError, encode_request, send_all
from langgraph_worker.operations.store_access import opened_store
from langgraph_worker.publishing.request_handle import handle_of
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.errors import WorkflowEventsError
from workflow_events.models import WorkflowEvent

_CONNECTION = "kafka_default"


def publish(
    settings: WorkerSettings, event: WorkflowEvent, arguments: argparse.Namespace, about: Mapping[str, str], words: str
) -> None:
    """Publish a request, unless ``--dry-run`` is given, and print its id, or with ``--json`` its handle.

    :param about: what the JSON says beside the handle.
    :param words: what the request does.
    :raises NotSentError: the broker has not acknowledged it.
    :raises WorkerError: it is larger than the workers take, or Kafka cannot be reached.
    """
    topic = event.reply_topic or settings.kafka_workflow_results_topic
    results = TopicEnd(topic)
    if not arguments.dry_run:
        results = end_of(settings, topic) if arguments.as_json else results
        _send(settings, event)
    if arguments.as_json:
        print(written({**handle_of(event, results, settings, _CONNECTION), **about}))
    else:
        print(event.event_id)
        print_note(f"{'nothing is sent; the request would be one that' if arguments.dry_run else 'sent: it'} {words}")
    with suppress(StoreError):  # the request is sent
        for pause in asyncio.run(_held_by(settings, event))[:1]:
            print_note(f"{pause.in_words}: it starts when that has ended ({pause.unpause_command})")


async def _held_by(settings: WorkerSettings, event: WorkflowEvent) -> list[PauseChange]:
    async with opened_store(settings) as store:
        return list(holding(await store.pauses(), event.graph or settings.default_graph or "", event.workflow_id))


def _send(settings: WorkerSettings, event: WorkflowEvent) -> None:
    try:
        message = encode_request(event, settings)
    except WorkflowEventsError as error:
        raise WorkerError(str(error)) from None
    [problem] = asyncio.run(send_all(settings, settings.kafka_workflow_events_topic, [message]))
    if problem is not None:
        raise NotSentError(f"request {event.event_id} is not acknowledged: {problem}. Look whether it came (runs list)")
