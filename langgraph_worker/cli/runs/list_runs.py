"""``langgraph-worker runs list``: runs, the newest first."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from langgraph_worker.cli.output import print_note
from langgraph_worker.cli.runs.as_json import summary_json, written
from langgraph_worker.cli.runs.filters import read_filter, read_limit, read_page
from langgraph_worker.cli.text_table import table
from langgraph_worker.domain.run_views import PageKey, RunFilter, RunPage, RunSummary
from langgraph_worker.operations.store_access import opened_store
from langgraph_worker.settings.load import load_settings
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.sql.run_views import SqlRunViews
from workflow_events.fields import utcnow
from workflow_events.log_words import in_seconds, in_utc, short_id
from workflow_events.nearest_name import did_you_mean

_HEAD = ("ID", "STATUS", "GRAPH", "DAG", "RUN", "TRY", "ACCEPTED", "TOOK", "ERROR")
_ANNOUNCED_WITHIN_SECONDS = 24 * 3600.0


def list_runs(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Print a page of runs: a table, or a JSON object on each line; 0, also if there are none.

    :raises WorkerError: the settings or options are wrong, or the store cannot be used.
    """
    wanted, limit, after = read_filter(arguments, utcnow()), read_limit(arguments.most), read_page(arguments.page)
    page = asyncio.run(_page(load_settings(flags), wanted, limit, after))
    if arguments.as_json:
        for run in page.runs:
            print(written(summary_json(run)))
    elif page.runs:
        print("\n".join(run_table(page.runs, utcnow())))
    sys.stdout.flush()
    if page.next is not None:
        print_note(f"there are more; the next page: the same command with --page {page.next}")
    return 0


async def _page(settings: WorkerSettings, wanted: RunFilter, limit: int, after: PageKey | None) -> RunPage:
    async with opened_store(settings) as store:
        page = await SqlRunViews(store).find(wanted, limit, after)
        if not page.runs:
            print_note("no run fits" + await _about_graph(store, wanted.graph))
        return page


async def _about_graph(store: SqlRunStore, graph: str | None) -> str:
    """What is said of a graph without runs that no worker serves either; empty if there is nothing to say."""
    known = {name for worker in await store.workers(_ANNOUNCED_WITHIN_SECONDS) for name in worker.graphs}
    if graph is None or graph in known:
        return ""
    served = ", ".join(sorted(known)) or "none"
    return f": no worker has announced a graph {graph!r} today.{did_you_mean(graph, known)} There are: {served}"


def run_table(runs: Sequence[RunSummary], now: datetime) -> list[str]:
    """The lines of a table of runs."""
    return table(_HEAD, [_row(run, now) for run in runs])


def _row(run: RunSummary, now: datetime) -> Sequence[str]:
    return (
        short_id(run.correlation_id),
        run.status.value,
        run.graph or "-",
        run.workflow_id,
        run.workflow_run_id,
        str(run.try_number or "-"),
        in_utc(run.accepted_at).removesuffix(" UTC"),
        took(run, now),
        run.error_type or "",
    )


def took(run: RunSummary, now: datetime) -> str:
    """How long it ran, or has run by now; ``-`` if it never started."""
    if run.started_at is None:
        return "-"
    return lasted((run.finished_at or now) - run.started_at)


def lasted(time: timedelta) -> str:
    """``1.5 s``, ``2 min 5 s``, ``19 h 13 min``."""
    seconds = time.total_seconds()
    if seconds < 120:
        return in_seconds(seconds)
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"
