"""Topic names, and what each topic needs of the broker."""

from __future__ import annotations

from dataclasses import dataclass, fields

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How a topic should be created.

    :param partitions: results are spread over them; a task's events share one.
    :param retention_ms: None for a compacted topic.
    """

    name: str
    partitions: int
    retention_ms: int | None

    @property
    def config(self) -> dict[str, str]:
        """The topic's configuration for Kafka's admin client."""
        if self.retention_ms is None:
            return {"cleanup.policy": "compact"}
        return {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}


@dataclass(frozen=True, slots=True)
class Fleet:
    """The topics of one fleet of workers: one events topic, one consumer group, one run store, one set of graphs."""

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

    def specs(self) -> tuple[TopicSpec, ...]:
        """Every topic with its defaults: partitions and retention. Control lives as long as events do."""
        week = 7 * DAY_MS
        return (
            TopicSpec(self.events, 12, week),
            TopicSpec(self.results, 12, week),
            TopicSpec(self.progress, 6, DAY_MS),
            TopicSpec(self.control, 1, week),
            TopicSpec(self.dead_letters, 1, 30 * DAY_MS),
            TopicSpec(self.graphs, 1, None),
        )
