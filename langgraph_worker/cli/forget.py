"""``langgraph-worker forget``: remove all that the run store keeps of a task, a DAG run, a thread, or in a memory."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import UUID

from langgraph_worker.cli.output import print_note
from langgraph_worker.domain.memory import MemoryName
from langgraph_worker.domain.run_views import RunFilter
from langgraph_worker.errors import SettingsError, WorkerError
from langgraph_worker.operations.store_access import NotFoundError, find_one, opened_store
from langgraph_worker.settings.load import load_settings
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.settings.store_url import shown_url
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.store.sql.erasure import Erased, ErasedRun, forks_of
from langgraph_worker.store.sql.memory_store import SWEPT_AT_ONCE
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.sql.run_views import SqlRunViews
from workflow_events.log_words import counted

_AT_ONCE = 100  # requests: bounds how long one transaction holds its locks

NOT_REACHED = (
    "not removed, because it is elsewhere: records in Kafka (they go with their topics' retention), backups of the "
    "store, logs and traces, and in Airflow the XComs, rendered fields and logs"
)


class NotForgottenError(WorkerError):
    """Something of what was chosen cannot go now; what it says was removed is gone."""


@dataclass
class _Done:
    """What was removed, or would be."""

    runs: dict[UUID, ErasedRun] = field(default_factory=dict)
    threads: int = 0
    shared: set[str] = field(default_factory=set)
    forks: list[UUID] = field(default_factory=list)
    refusals: dict[UUID, str] = field(default_factory=dict)
    items: int = 0

    def add(self, erased: Erased) -> None:
        self.runs |= {run.correlation_id: run for run in erased.runs}
        self.threads += erased.threads
        self.shared |= set(erased.shared)
        self.refusals |= {one.correlation_id: one.why for one in erased.refusals}


def forget(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Remove, or without ``--yes`` show what would be removed.

    :returns: 0 if it was removed, 2 without ``--yes``.
    :raises SettingsError: the command line is wrong; nothing was removed.
    :raises NotForgottenError: some of it cannot go now.
    :raises WorkerError: there is no such run, or the store cannot be used.
    """
    settings = load_settings(flags)
    _require_choice(arguments)
    done = asyncio.run(_forget(settings, arguments))
    _print(done, arguments)
    if done.refusals:
        raise NotForgottenError(f"{counted(len(done.refusals), 'request')} cannot go now, nor what was asked with it")
    return 0 if arguments.yes else 2


def _require_choice(arguments: argparse.Namespace) -> None:
    by_run = [name for name in ("thread", "dag") if getattr(arguments, name) is not None]
    if bool(arguments.id) + bool(by_run) + (arguments.memory is not None) != 1:
        raise SettingsError(
            "forget: say what: ids of requests; or --dag, perhaps with --run; or --thread; or --memory with --graph"
        )
    if arguments.run is not None and arguments.dag is None:
        raise SettingsError("--run: names a DAG run of a DAG; give --dag too")
    if arguments.graph is not None and arguments.id:
        raise SettingsError("--graph: narrows --dag or --thread, or names whose --memory it is; leave it out with ids")
    if arguments.memory is not None and arguments.graph is None:
        raise SettingsError("--memory: each graph has a memory of its own; give --graph too")
    if arguments.deployment is not None and arguments.memory is None:
        raise SettingsError("--deployment: says whose --memory it is; leave it out")


async def _forget(settings: WorkerSettings, arguments: argparse.Namespace) -> _Done:
    done = _Done()
    async with opened_store(settings) as store:
        if arguments.memory is not None:
            done.items = await _forget_memory(store, arguments)
            return done
        chosen = await _chosen(store, settings, arguments)
        tombstones = timedelta(days=settings.tombstone_days)
        for first in range(0, len(chosen), _AT_ONCE):
            some = set(chosen[first : first + _AT_ONCE]).difference(done.runs, done.refusals)
            erase = partial(store.erase, some, tombstones, is_trial=not arguments.yes)
            done.add(await retry_store(erase, "forget runs"))
        done.forks = await store.read(lambda connection: forks_of(connection, list(done.runs)))
    return done


async def _chosen(store: SqlRunStore, settings: WorkerSettings, arguments: argparse.Namespace) -> Sequence[UUID]:
    views = SqlRunViews(store)
    if arguments.id:
        return [(await find_one(views, given, settings)).run.correlation_id for given in arguments.id]
    wanted = RunFilter(
        graph=arguments.graph, workflow_id=arguments.dag, workflow_run_id=arguments.run, thread=arguments.thread
    )
    found: list[UUID] = []
    after = None
    while True:
        page = await views.find(wanted, 1_000, after)
        found += [run.correlation_id for run in page.runs]
        after = page.next
        if after is None:
            break
    if not found:
        given = {name: getattr(arguments, name) for name in ("dag", "run", "thread", "graph")}
        named = " ".join(f"--{name} {value!r}" for name, value in given.items() if value is not None)
        raise NotFoundError(
            f"{shown_url(settings.store_url)} has no request of {named}: it was pruned or forgotten, the name is "
            "another one, or it is in another store (LANGGRAPH_WORKER_STORE_URL). `langgraph-worker runs list` shows "
            "the names"
        )
    return found


async def _forget_memory(store: SqlRunStore, arguments: argparse.Namespace) -> int:
    name = MemoryName(arguments.deployment or "", arguments.graph)
    labels = [label for label in arguments.memory.split("/") if label]
    removed = await store.memory.count(name, labels)
    if not removed:
        raise NotFoundError(await _no_items(store, arguments))
    if not arguments.yes:
        return removed
    removed = 0
    while True:
        found = await retry_store(lambda: store.memory.forget(name, SWEPT_AT_ONCE, labels), "forget items of memory")
        removed += found
        if found < SWEPT_AT_ONCE:
            return removed


async def _no_items(store: SqlRunStore, arguments: argparse.Namespace) -> str:
    there = await store.memory.memories_of(arguments.graph)
    whose = f"deployment {arguments.deployment!r}" if arguments.deployment else "plain requests"
    others = [
        f"{f'--deployment {name}' if name else 'plain requests'} ({counted(items, 'item')})"
        for name, items in there.items()
        if items
    ]
    return (
        f"graph {arguments.graph!r} remembers nothing in {arguments.memory!r} for {whose}. It has memory for: "
        f"{', '.join(others) or 'nobody'}"
    )


def _print(done: _Done, arguments: argparse.Namespace) -> None:
    if arguments.as_json:
        about = {
            "removed": bool(arguments.yes),
            "requests": [str(name) for name in done.runs],
            "threads": done.threads,
            "threads_kept": sorted(done.shared),
            "forks_kept": [str(name) for name in done.forks],
            "refused": {str(name): why for name, why in done.refusals.items()},
            "memory_items": done.items,
        }
        print(json.dumps(about, indent=2))
        return
    for line in _lines(done, arguments):
        print(line)
    if done.runs or done.items:
        print_note(NOT_REACHED if arguments.yes else "nothing is removed yet. The same command with --yes removes it")


def _lines(done: _Done, arguments: argparse.Namespace) -> Iterator[str]:
    verb = "removed" if arguments.yes else "to be removed"
    if arguments.memory is not None:
        yield f"{verb}: {counted(done.items, 'item')} of long-term memory"
        return
    yield f"{verb}: {counted(len(done.runs), 'request')}, {counted(done.threads, 'thread')} with all checkpoints"
    for run in done.runs.values():
        graph = f"graph {run.graph}, " if run.graph else ""
        yield f"  request {run.correlation_id} ({graph}DAG {run.workflow_id}, run {run.workflow_run_id})"
    for name, why in done.refusals.items():
        yield f"not removed: request {name}: {why}"
    for thread in sorted(done.shared):
        yield f"thread {thread} stays, and its checkpoints may hold it: other runs use it (forget --thread {thread})"
    for name in done.forks:
        yield f"request {name} stays: it is a fork, and its checkpoints hold a copy (forget {name})"
