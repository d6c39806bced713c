"""``langgraph-worker runs resume``: ask workers to go on with a run. The command itself changes none."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from langgraph_worker.broker.kafka.end_offsets import TopicEnd, end_of
from langgraph_worker.cli.json_arguments import read_answer
from langgraph_worker.cli.output import print_note
from langgraph_worker.cli.publishing import NotSentError, send_all, user_name
from langgraph_worker.cli.runs.as_json import written
from langgraph_worker.cli.runs.reading import find_one, opened_views
from langgraph_worker.cli.runs.resumption import Resumption, answer, go_on
from langgraph_worker.errors import SettingsError, WorkerError
from langgraph_worker.settings.load import load_settings
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.codec import encode
from workflow_events.errors import WorkflowEventsError
from workflow_events.fields import utcnow
from workflow_events.models import WorkflowEvent

_DEADLINE = timedelta(hours=24)
_CONNECTION = "kafka_default"
_WORDS = {
    "retry": "goes on with request {} as a retry; any try that Airflow makes goes before it",
    "continuation": "goes on with request {}",
    "answer": "answers request {}",
}


def resume_run(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Publish the event that goes on with a run, or answers its question; print the new request's id, or its handle.

    :returns: 0 once the broker has it, or with ``--dry-run``.
    :raises WorkerError: the settings or options are wrong, there is nothing to go on with, the store cannot be used, or
        the broker has not acknowledged the event.
    """
    settings = load_settings(flags)
    now = utcnow()
    resumption = asyncio.run(_resumption(settings, arguments, now + _DEADLINE))
    event = resumption.event
    end = None
    if not arguments.dry_run:
        end = end_of(settings, _results_topic(settings, event)) if arguments.as_json else None
        _send(settings, event)
    if arguments.as_json:
        about = {"how": resumption.how, "resumes": str(resumption.resumes)}
        print(written({**_handle(settings, event, end, now), **about}))
    else:
        print(event.event_id)
        words = _WORDS[resumption.how].format(resumption.resumes)
        print_note(f"{'nothing is sent; the request would be one that' if arguments.dry_run else 'sent: it'} {words}")
    return 0


async def _resumption(settings: WorkerSettings, arguments: argparse.Namespace, deadline: datetime) -> Resumption:
    given = [read_answer(text) for text in arguments.answer or ()]
    if arguments.by is not None and not given:
        raise SettingsError("--by: says who answers; give it with --answer, or leave it out")
    async with opened_views(settings) as views:
        detail = await find_one(views, arguments.id, settings)
        if not given:
            return await go_on(views, detail, deadline)
        try:
            return answer(detail, given, user_name(arguments.by), deadline)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            flag = "--by" if "answered_by" in first["loc"] else "--answer"
            raise SettingsError(f"{flag}: {first['msg'].removeprefix('Value error, ')}") from None


def _send(settings: WorkerSettings, event: WorkflowEvent) -> None:
    try:
        message = encode(event, max_bytes=settings.max_message_bytes, limit_set_by="LANGGRAPH_WORKER_MAX_MESSAGE_BYTES")
    except WorkflowEventsError as error:
        raise WorkerError(str(error)) from None
    [problem] = asyncio.run(send_all(settings, settings.kafka_workflow_events_topic, [message]))
    if problem is not None:
        raise NotSentError(f"request {event.event_id} is not acknowledged: {problem}. Look whether it came (runs list)")


def _results_topic(settings: WorkerSettings, event: WorkflowEvent) -> str:
    return event.reply_topic or settings.kafka_workflow_results_topic


def _handle(settings: WorkerSettings, event: WorkflowEvent, end: TopicEnd | None, now: datetime) -> dict[str, Any]:
    """What a ``LangGraphResultSensor`` waits by."""
    return {
        "correlation_id": str(event.event_id),
        "workflow_id": event.workflow_id,
        "workflow_run_id": event.workflow_run_id,
        "kafka_config_id": _CONNECTION,
        "events_topic": settings.kafka_workflow_events_topic,
        "results_topic": _results_topic(settings, event),
        "control_topic": settings.kafka_workflow_control_topic,
        "progress_topic": settings.kafka_workflow_progress_topic,
        "cluster": end.cluster if end is not None else "",
        "start_offsets": {str(number): offset for number, offset in end.offsets.items()} if end is not None else {},
        "deadline": event.deadline.isoformat() if event.deadline is not None else None,
        "asked_at": now.isoformat(),
        "thread_id": event.thread_id,
    }
