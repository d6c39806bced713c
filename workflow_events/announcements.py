"""What workers announce on the graphs topic: which of them run, which graphs they serve, and what each graph takes.

The topic is compacted. There are two kinds of record:

- :class:`WorkerAnnouncement`, small and written every :data:`ANNOUNCE_SECONDS` under a key of the worker's own. So no
  worker overwrites another one, of another release or another fleet. A worker that stops writes an empty record under
  its key; one that dies does not, so nobody believes a record that is older than :data:`BELIEVED_SECONDS`.
- :class:`GraphAnnouncement`, with a graph's schemas. Its key has a hash of its content: workers with the same graph
  write the same record, and those of two releases write two. It counts as long as a worker's record names its hash.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import Field, JsonValue

from workflow_events.fields import Name, UtcDatetime, WireModel, utcnow

ANNOUNCE_SECONDS = 20.0
"""How often a worker writes its record again."""

BELIEVED_SECONDS = 65.0
"""How old a worker's record may be: three times :data:`ANNOUNCE_SECONDS`, and some seconds that clocks may differ."""

_DIGEST_CHARACTERS = 16


class GraphAnnouncement(WireModel):
    """What a graph takes and gives.

    :param graph: its name in ``langgraph.json``.
    :param input: JSON Schema of what a request may give; None: not known. It says no more than what a run needs: a
        field that several kinds of value can update has no type, and fields that nodes fill in are not required.
    :param output: JSON Schema of the result; None: not known.
    :param context: JSON Schema of ``runtime.context``; None: not known, or the graph has none.
    :param assistants: descriptions by name.
    :param digest: a hash of all that, by the worker that wrote it: a reader of another version may know fewer fields.
    """

    event_type: Literal["graph.announced"] = "graph.announced"
    graph: Name
    description: str = ""
    input: dict[str, JsonValue] | None = None
    output: dict[str, JsonValue] | None = None
    context: dict[str, JsonValue] | None = None
    assistants: dict[Name, str] = Field(default_factory=dict)
    digest: Name = Field(default_factory=lambda content: _digest(content))


def _digest(content: dict[str, Any]) -> str:
    """The same in each process, whatever the order of keys."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]


class WorkerAnnouncement(WireModel):
    """A worker that takes requests, and the graphs that it serves.

    :param events_topic: from which it takes them: its fleet. Several fleets may share one graphs topic.
    :param graphs: by name, the hash of the graph's :class:`GraphAnnouncement`; None: there is none.
    :param default_graph: the graph of a request that names none.
    :param fleet: the ids of all workers of its fleet that run now, by the run store; of older versions, too.
    :param steady: whether none of them has started or ended lately: for as long as a request would wait for a graph.
    """

    event_type: Literal["worker.announced"] = "worker.announced"
    worker_id: Name
    events_topic: Name
    graphs: dict[Name, str | None]
    default_graph: Name | None = None
    release: str | None = None
    version: str = ""
    fleet: list[Name] = Field(default_factory=list)
    steady: bool = False
    announced_at: UtcDatetime = Field(default_factory=utcnow)


Announcement = WorkerAnnouncement | GraphAnnouncement


def key_of(announcement: Announcement) -> str:
    """The record's key: a later record under the same key takes its place."""
    if isinstance(announcement, WorkerAnnouncement):
        return worker_key(announcement.events_topic, announcement.worker_id)
    return graph_key(announcement.graph, announcement.digest)


def worker_key(events_topic: str, worker_id: str) -> str:
    """The key of a worker's record. No name of a topic has a slash."""
    return f"worker/{events_topic}/{worker_id}"


def graph_key(graph: str, digest: str) -> str:
    """The key of a graph's record."""
    return f"graph/{digest}/{graph}"


ANNOUNCEMENTS: dict[str, type[Any]] = {
    "graph.announced": GraphAnnouncement,
    "worker.announced": WorkerAnnouncement,
}
"""The models by event type."""
