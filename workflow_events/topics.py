"""The names of a fleet's topics and of its consumer group, and how the topics are created."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

DAY_MS = 86_400_000

COMPRESSION = "compression.type"
UNCOMPRESSED = "uncompressed"
"""The only :data:`COMPRESSION` with which a broker compares the size that a record has for its readers with the topic's
limit. With any other, a record of some kilobytes may become many megabytes when it is read.
"""

CONSUMER_GROUP = "langgraph-consumer-group"
"""The workers' consumer group of a fleet without a name."""

_FLEET_NAME = re.compile(r"[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*")
_LONGEST_NAME_CHARACTERS = 200  # a topic's name has at most 249

_DELETE = {"cleanup.policy": "delete"}
_SMALL_SEGMENTS = {"segment.bytes": "52428800", "segment.ms": str(DAY_MS // 4)}
"""A broker compacts no segment that it still writes to, and each reader of the topic reads all of that one."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic is created.

    :param partitions: the events of one task, and the results of one request, share a partition.
    :param compacted: of records with the same key only the last one is kept, and that for the retention.
    """

    name: str
    partitions: int
    retention_ms: int
    compacted: bool = False

    @property
    def config(self) -> dict[str, str]:
        """The topic's configuration for Kafka's admin client."""
        policy = {"cleanup.policy": "compact,delete", **_SMALL_SEGMENTS} if self.compacted else _DELETE
        return {COMPRESSION: UNCOMPRESSED, "retention.ms": str(self.retention_ms), **policy}


@dataclass(frozen=True, slots=True)
class Fleet:
    """The topics of one fleet of workers: one events topic, one consumer group, one run store, one set of graphs.

    Without arguments it is the fleet that has no name. :meth:`named` gives another one.
    """

    events: str = "workflow-events"
    results: str = "workflow-results"
    progress: str = "workflow-progress"
    control: str = "workflow-control"
    dead_letters: str = "workflow-events-dlq"
    graphs: str = "workflow-graphs"

    def __post_init__(self) -> None:
        names = [getattr(self, field.name) for field in fields(self)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"one topic cannot serve two purposes: {', '.join(twice)}")

    @classmethod
    def named(cls, name: str) -> Fleet:
        """The topics of the fleet with this name: ``risk`` has ``risk.workflow-events`` and so on. The empty name
        is the fleet that has no name.

        :raises ValueError: no topic can have such a name; the text says which names are possible.
        """
        prefix = prefix_of(name)
        default = cls()
        return cls(**{field.name: prefix + getattr(default, field.name) for field in fields(cls)})

    def specs(self) -> tuple[TopicSpec, ...]:
        """Every topic with its default partitions and retention. Control messages are kept as long as events."""
        week = 7 * DAY_MS
        return (
            TopicSpec(self.events, 12, week),
            TopicSpec(self.results, 12, week),
            TopicSpec(self.progress, 6, DAY_MS),
            TopicSpec(self.control, 1, week),
            TopicSpec(self.dead_letters, 1, 30 * DAY_MS),
            TopicSpec(self.graphs, 1, week, compacted=True),
        )


def prefix_of(fleet: str) -> str:
    """The beginning of the names of a fleet's topics and of its consumer group; empty for the fleet without a name.

    :raises ValueError: no topic can have such a name.
    """
    if not fleet:
        return ""
    if len(fleet) > _LONGEST_NAME_CHARACTERS or not _FLEET_NAME.fullmatch(fleet):
        raise ValueError(
            f"{fleet[:50]!r} is no name for a fleet: use letters, digits, '-' and '_', with '.' between them, at most "
            f"{_LONGEST_NAME_CHARACTERS} characters"
        )
    return f"{fleet}."


def consumer_group_of(fleet: str) -> str:
    """The consumer group of a fleet's workers.

    :raises ValueError: no topic can have such a name.
    """
    return prefix_of(fleet) + CONSUMER_GROUP
