"""``langgraph-worker runs checkpoints``: where a fork of a run can begin."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from langgraph_worker.checkpoints.history import MOST, CheckpointView, checkpoints_of
from langgraph_worker.cli.output import print_note
from langgraph_worker.cli.runs.as_json import written
from langgraph_worker.cli.text_table import table
from langgraph_worker.domain.run_views import RunDetail
from langgraph_worker.operations.store_access import find_one, opened_store
from langgraph_worker.settings.load import load_settings
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.sql.run_views import SqlRunViews
from workflow_events.log_words import in_utc

_HEAD = ("CHECKPOINT", "STEP", "WRITTEN", "WRITTEN BY", "NEXT")


def list_checkpoints(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Print the checkpoints of a run, the oldest first: a table, or a JSON object on each line; 0.

    :raises WorkerError: the settings are wrong, there is no such run, or the store cannot be used.
    """
    found = asyncio.run(_found(load_settings(flags), arguments.id))
    if arguments.as_json:
        for one in found:
            at = one.written_at.isoformat() if one.written_at is not None else None
            print(written({**asdict(one), "written_at": at, "next": list(one.next)}))
    elif found:
        print("\n".join(table(_HEAD, [_row(one) for one in found])))
    else:
        print_note("the run has no checkpoint: it has not begun, or it was pruned")
    if len(found) == MOST:
        print_note(f"these are the newest {MOST:,}")
    return 0


async def found_in(settings: WorkerSettings, given: str) -> tuple[RunDetail, list[CheckpointView]]:
    """The one run whose id begins so, and its checkpoints.

    :raises WorkerError: see :func:`~langgraph_worker.operations.store_access.find_one`; or the store cannot be used.
    """
    async with opened_store(settings) as store:
        detail = await find_one(SqlRunViews(store), given, settings)
        if detail.run.thread_id is None or detail.logical_run is None:
            return detail, []
        return detail, await checkpoints_of(store, detail.run.thread_id, detail.logical_run)


async def _found(settings: WorkerSettings, given: str) -> list[CheckpointView]:
    return (await found_in(settings, given))[1]


def _row(one: CheckpointView) -> Sequence[str]:
    return (
        one.checkpoint_id,
        "-" if one.step is None else str(one.step),
        "-" if one.written_at is None else in_utc(one.written_at).removesuffix(" UTC"),
        one.source or "-",
        ", ".join(one.next) or "(the end)",
    )
