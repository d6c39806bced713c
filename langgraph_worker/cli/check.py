"""``langgraph-worker check``: could a worker start here? One line for each thing that it needs; none is started."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from langgraph_worker.broker.kafka.admin import Cluster, ClusterAdmin
from langgraph_worker.broker.kafka.graphs_topic import not_announced
from langgraph_worker.broker.kafka.preflight import check_topics
from langgraph_worker.broker.kafka.topic_risks import compressed, few_copies, kept_too_short, shorter_than_deadlines
from langgraph_worker.cli.trial_store import trial_store
from langgraph_worker.domain.models import WorkerInfo
from langgraph_worker.errors import SettingsError, StoreLockedError, WorkerError
from langgraph_worker.intake.clock_skew import TOLERANCE as CLOCK_TOLERANCE
from langgraph_worker.runtime.make_store import make_store
from langgraph_worker.settings.explain import documentation
from langgraph_worker.settings.load import load_settings, misspelt_warnings
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.settings.store_url import missing_file, shown_url
from langgraph_worker.telemetry.logs import masked, redact_logs
from workflow_events.log_words import counted
from workflow_events.plain_text import one_line

_REACH_KAFKA_SECONDS = 8.0
_OPEN_STORE_SECONDS = 10.0
_ANNOUNCED_WITHIN_SECONDS = 24 * 3600.0  # a member may have been cut off from the store for a while


def check(flags: Mapping[str, str]) -> int:
    """Print a line each for config, broker, topics, store and graphs. Ends within about 20 seconds, whatever is away.

    :returns: 0 if a worker could start, 2 for a wrong setting, 1 for anything else.
    """
    try:
        settings = load_settings(flags)
    except SettingsError as error:
        _print("config", False, str(error))
        return 2
    _print("config", True, _describe(flags))
    reachable, members = _broker_and_topics(settings)
    results = [reachable, _verdict("store", lambda: describe_opened_store(settings, members))]
    results.append(check_graphs(settings))
    check_traces()
    return 0 if all(results) else 1


def _print(name: str, ok: bool, text: str) -> bool:
    first, *others = masked(text).split("\n")
    print(f"{name:<7} {'ok  ' if ok else 'FAIL'} {one_line(first)}", flush=True)
    for line in others:
        _continue(line)
    return ok


def _continue(text: str) -> None:
    print(f"{'':<12} {one_line(text)}")


def _verdict(name: str, examine: Callable[[], str]) -> bool:
    try:
        return _print(name, True, examine())
    except WorkerError as error:
        return _print(name, False, str(error))


def _describe(flags: Mapping[str, str]) -> str:
    names = {setting.env for setting in documentation()}
    given = sum(1 for name, value in os.environ.items() if name.upper() in names and value)
    text = f"{counted(given, 'setting')} from the environment, {len(flags)} from flags, the others at their defaults"
    return "\n".join([text, *(f"warning: {one}" for one in misspelt_warnings())])


def _broker_and_topics(settings: WorkerSettings) -> tuple[bool, set[str]]:
    """Whether broker and topics are as they should be, and the ids of the workers in the group."""
    try:
        admin = ClusterAdmin(settings)
        cluster = admin.describe(_REACH_KAFKA_SECONDS)
    except WorkerError as error:
        _print("broker", False, str(error))
        return _print("topics", False, "unknown: only the broker knows them"), set()
    brokers = counted(cluster.brokers, "broker")
    _print("broker", True, f"{settings.kafka_bootstrap_servers}, {brokers}, cluster {cluster.cluster_id}")
    members: set[str] = set()

    def examine() -> str:
        topics = check_topics(admin, cluster, settings)
        group = settings.kafka_consumer_group_id
        members.update(admin.members(group))
        found = [f"warning: {one}" for one in topic_problems(admin, cluster, settings)]
        return "\n".join([f"{settings.fleet_in_words}, group {group}: {topics}", *found])

    return _verdict("topics", examine), members


def topic_problems(admin: ClusterAdmin, cluster: Cluster, settings: WorkerSettings) -> list[str]:
    """What the topics' settings may lose, or do to their readers."""
    found = compressed(admin, cluster, settings) + not_announced(admin, cluster, settings)
    found += few_copies(admin, cluster, settings)
    retention = admin.retention(settings.kafka_workflow_events_topic)
    if retention is not None:
        found += kept_too_short(admin, settings, retention) + shorter_than_deadlines(settings, retention)
    return found


def describe_opened_store(settings: WorkerSettings, members: Collection[str]) -> str:
    """As :func:`describe_store`, after opening it; further lines say what can lose a committed transaction, and whether
    its clock is another one than this host's.

    :raises WorkerError: it cannot be used, or a member of the group has another one.
    """
    shown = shown_url(settings.store_url)
    is_new = missing_file(settings.store_url) is not None
    try:
        with trial_store(settings) as opened:
            known, risks = asyncio.run(_workers_and_risks(opened))
    except StoreLockedError:
        return f"{shown}, in use by a worker that is running"
    except TimeoutError:
        raise WorkerError(f"{shown} does not answer within {_OPEN_STORE_SECONDS:g} s") from None
    described = describe_store(shown, known, members, settings)
    if is_new:
        described = f"{shown} does not exist yet: the worker's first start makes it"
    return "\n".join([described, *(f"warning: {risk}" for risk in risks)])


def describe_store(shown: str, known: Sequence[WorkerInfo], members: Collection[str], settings: WorkerSettings) -> str:
    """The store in words, and the workers that announced themselves in it.

    :param shown: the store's place.
    :param members: the ids of the workers in the group.
    :raises WorkerError: a member of the group has another store.
    """
    strangers = sorted(set(members) - {worker.worker_id for worker in known})
    if strangers:
        raise WorkerError(
            f"{shown} does not know {', '.join(strangers)}, now in group {settings.kafka_consumer_group_id}: it has "
            "another store, and requests would be lost between the two. Give all workers of a group one store, or this "
            "one a group of its own"
        )
    topic = settings.kafka_workflow_events_topic
    others = sorted({worker.events_topic for worker in known if worker.events_topic != topic})
    text = f"{shown}, schema up to date, {len(known)} workers"
    if not others:
        return text
    return (
        f"{text}; some read {', '.join(others)} and not {topic}: if they are another fleet, give it another store, or "
        "each fleet runs the other's requests"
    )


async def _workers_and_risks(settings: WorkerSettings) -> tuple[list[WorkerInfo], list[str]]:
    store = make_store(settings)
    async with asyncio.timeout(_OPEN_STORE_SECONDS):
        await store.open()
        try:
            risks = [store.database.risk, clock_risk(await store.read(store.database.time) - datetime.now(UTC))]
            return await store.workers(_ANNOUNCED_WITHIN_SECONDS), [risk for risk in risks if risk]
        finally:
            await store.close()


def clock_risk(ahead: timedelta) -> str:
    """What a difference of the clocks does; empty if it is small.

    :param ahead: how far the store's clock is before this host's.
    """
    if abs(ahead) <= CLOCK_TOLERANCE:
        return ""
    which = "ahead of" if ahead > timedelta(0) else "behind"
    return (
        f"the store's clock is {abs(ahead).total_seconds():.0f} s {which} this host's, and both judge deadlines. Let "
        "NTP set the clocks of both hosts"
    )


def check_graphs(settings: WorkerSettings) -> bool:
    """Print whether the graphs can be loaded, and a line for each thing of the project that is missing or not served:
    those that a worker logs at its start.
    """
    # Imported only now: LangGraph takes seconds to import, and what does not need it is reported first.
    from langgraph_worker.cli.check_memory import describe_memory
    from langgraph_worker.graphs.project import load_project

    notes: list[str] = []

    def examine() -> str:
        graphs = load_project(settings, notes.append, on_redactor=redact_logs)
        text = f"{', '.join(sorted(graphs.names))} (from {settings.langgraph_json})"
        memory = describe_memory(settings, graphs.memory)
        return f"{text}\n{memory}" if memory else text

    loaded = _verdict("graphs", examine)
    for note in notes:
        _continue(note)
    return loaded


def check_traces() -> None:
    """Print where traces go, and what is set and has no effect, if anything is set: after the graphs, because a project
    may set it. A worker starts without them.
    """
    from langgraph_worker.telemetry.traces.make_tracing import trace_targets

    targets = trace_targets()
    if targets.in_words or targets.problems:
        text = f"to {targets.in_words}, {targets.content_in_words}" if targets.in_words else "to nowhere"
        _print("traces", True, "\n".join([text, *(f"warning: {one}" for one in targets.problems)]))
