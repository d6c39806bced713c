"""``langgraph-worker runs show``: one run as a person reads it, what was asked and answered first."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping

from langgraph_worker.cli.runs.as_json import detail_json, written
from langgraph_worker.cli.runs.run_page import run_page
from langgraph_worker.domain.run_views import RunDetail
from langgraph_worker.graphs.command_redactor import command_redactor
from langgraph_worker.operations.redacted_detail import redacted_detail
from langgraph_worker.operations.store_access import find_one, opened_views
from langgraph_worker.settings.load import load_settings
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.fields import utcnow


def show_run(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Print one run, as text or as one JSON object; 0.

    :raises WorkerError: the settings are wrong, there is no such run, or the store cannot be used.
    """
    settings = load_settings(flags)
    detail = asyncio.run(_detail(settings, arguments.id))
    detail = redacted_detail(detail, command_redactor(settings))
    if arguments.as_json:
        print(written(detail_json(detail), indent=2))
    else:
        print("\n".join(run_page(detail, utcnow(), full=arguments.full)))
    return 0


async def _detail(settings: WorkerSettings, given: str) -> RunDetail:
    async with opened_views(settings) as views:
        return await find_one(views, given, settings)
