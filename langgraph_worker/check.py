"""``langgraph-worker check``: could a worker start here? One line for each thing it needs, without starting one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Mapping

from sqlalchemy import make_url

from langgraph_worker.errors import SettingsError, StoreLockedError, WorkerError
from langgraph_worker.graphs.project import load_project
from langgraph_worker.kafka.topics import ClusterAdmin, check_topics
from langgraph_worker.service import make_store
from langgraph_worker.settings import WorkerSettings, documentation, load_settings, misspelt_variables

_REACH_KAFKA = 8.0  # seconds
_OPEN_STORE = 10.0
_ANNOUNCED_WITHIN = 24 * 3600.0  # a member may have been cut off from the store for a while


def check(flags: Mapping[str, str]) -> int:
    """Print a line each for config, broker, topics, store and graphs; 0 if a worker could start, 2 for a wrong
    setting, 1 for anything else. Ends within about 20 seconds, whatever is away.
    """
    try:
        settings = load_settings(flags)
    except SettingsError as error:
        _print("config", False, str(error))
        return 2
    _print("config", True, _describe(flags))
    reachable, members = _broker_and_topics(settings)
    results = [reachable, _said("store", lambda: _store(settings, members))]
    results.append(_said("graphs", lambda: _graphs(settings)))
    return 0 if all(results) else 1


def _print(name: str, ok: bool, text: str) -> bool:
    first, *others = text.splitlines() or [""]
    print(f"{name:<7} {'ok  ' if ok else 'FAIL'} {first}")
    for line in others:
        print(f"{'':<12} {line}")
    return ok


def _said(name: str, examine: Callable[[], str]) -> bool:
    try:
        return _print(name, True, examine())
    except WorkerError as error:
        return _print(name, False, str(error))


def _describe(flags: Mapping[str, str]) -> str:
    names = {setting.env for setting in documentation()}
    given = sum(1 for name, value in os.environ.items() if name.upper() in names and value)
    text = f"{given} settings from the environment, {len(flags)} from flags, the others at their defaults"
    unknown = misspelt_variables()
    return f"{text}; no setting has the name {', '.join(unknown)}" if unknown else text


def _broker_and_topics(settings: WorkerSettings) -> tuple[bool, set[str]]:
    """Whether they are as they should be, and the ids of the workers in the group."""
    try:
        admin = ClusterAdmin(settings)
        cluster = admin.describe(_REACH_KAFKA)
    except WorkerError as error:
        _print("broker", False, str(error))
        return _print("topics", False, "unknown: the broker tells"), set()
    _print(
        "broker", True, f"{settings.kafka_bootstrap_servers}, {cluster.brokers} brokers, cluster {cluster.cluster_id}"
    )
    members: set[str] = set()

    def examine() -> str:
        text = check_topics(admin, cluster, settings)
        members.update(admin.members(settings.kafka_consumer_group_id))
        return text

    return _said("topics", examine), members


def _store(settings: WorkerSettings, members: Collection[str]) -> str:
    shown = make_url(settings.store_url).render_as_string(hide_password=True)
    try:
        known = asyncio.run(_workers(settings))
    except StoreLockedError:
        return f"{shown}, in use by a worker that is running"
    except TimeoutError:
        raise WorkerError(f"{shown} does not answer within {_OPEN_STORE:g} s") from None
    strangers = sorted(set(members) - known)
    if strangers:
        raise WorkerError(
            f"{shown} does not know {', '.join(strangers)}, now in group {settings.kafka_consumer_group_id}: it has "
            "another store, and requests would be lost between the two. Give all workers of a group one store, or this "
            "one a group of its own"
        )
    return f"{shown}, schema up to date, {len(known)} workers"


async def _workers(settings: WorkerSettings) -> set[str]:
    store = make_store(settings)
    async with asyncio.timeout(_OPEN_STORE):
        await store.open()
        try:
            return {worker.worker_id for worker in await store.workers(_ANNOUNCED_WITHIN)}
        finally:
            await store.close()


def _graphs(settings: WorkerSettings) -> str:
    return f"{', '.join(sorted(load_project(settings).names))} (from {settings.langgraph_json})"
