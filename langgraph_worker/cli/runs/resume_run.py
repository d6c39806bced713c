"""``langgraph-worker runs resume``: ask workers to go on with a run. The command itself changes none."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import ValidationError

from langgraph_worker.cli.json_arguments import read_answer
from langgraph_worker.cli.runs.new_request import publish
from langgraph_worker.cli.user_name import user_name
from langgraph_worker.errors import SettingsError
from langgraph_worker.operations.resumption import (
    AnswerMisfitError,
    AsksFirstError,
    NotResumableError,
    Resumption,
    answer,
    go_on,
)
from langgraph_worker.operations.store_access import find_one, opened_views
from langgraph_worker.settings.load import load_settings
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.fields import utcnow
from workflow_events.models import EventSource

_DEADLINE = timedelta(hours=24)
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
    resumption = asyncio.run(_resumption(settings, arguments, utcnow() + _DEADLINE))
    about = {"how": resumption.how, "resumes": str(resumption.resumes)}
    publish(settings, resumption.event, arguments, about, _WORDS[resumption.how].format(resumption.resumes))
    return 0


async def _resumption(settings: WorkerSettings, arguments: argparse.Namespace, deadline: datetime) -> Resumption:
    given = [read_answer(text) for text in arguments.answer or ()]
    if arguments.by is not None and not given:
        raise SettingsError("--by: says who answers; give it with --answer, or leave it out")
    async with opened_views(settings) as views:
        detail = await find_one(views, arguments.id, settings)
        if not given:
            try:
                return await go_on(views, detail, deadline, EventSource.LANGGRAPH)
            except AsksFirstError as error:
                raise NotResumableError(f"{error}. Answer with --answer") from None
        try:
            return answer(detail, given, user_name(arguments.by), deadline, EventSource.LANGGRAPH)
        except AnswerMisfitError as error:
            raise SettingsError(f"--answer: {error}. An answer with its id is --answer ID=JSON") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            flag = "--by" if "answered_by" in first["loc"] else "--answer"
            raise SettingsError(f"{flag}: {first['msg'].removeprefix('Value error, ')}") from None
