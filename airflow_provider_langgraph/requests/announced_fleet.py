"""What the workers of a fleet have announced, and whether that is all there is to know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from workflow_events.announcements import BELIEVED_SECONDS, Announcement, GraphAnnouncement, WorkerAnnouncement
from workflow_events.codec import Record, decode_announcement
from workflow_events.errors import DecodeError

_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class AnnouncedFleet:
    """The workers of one fleet that run, as far as they have announced themselves.

    :param workers: newest record first.
    :param graphs: by name and hash.
    """

    workers: tuple[WorkerAnnouncement, ...]
    graphs: dict[tuple[str, str], GraphAnnouncement]

    @classmethod
    def of(cls, announcements: Iterable[Announcement], events_topic: str, now: datetime) -> AnnouncedFleet:
        """The fleet that takes its requests from a topic.

        :param now: a worker's record counts as long as it is younger than :data:`BELIEVED_SECONDS`.
        """
        since, workers, graphs = now - timedelta(seconds=BELIEVED_SECONDS), [], {}
        for one in announcements:
            if isinstance(one, GraphAnnouncement):
                graphs[one.graph, one.digest] = one
            elif one.events_topic == events_topic and one.announced_at >= since:
                workers.append(one)
        return cls(tuple(sorted(workers, key=lambda worker: worker.announced_at, reverse=True)), graphs)

    @property
    def names(self) -> set[str]:
        """The graphs that one of the workers serves."""
        return {name for worker in self.workers for name in worker.graphs}

    @property
    def default_graph(self) -> str | None:
        """The graph of a request that names none; None if there is none, or they differ."""
        found = {worker.default_graph for worker in self.workers}
        return found.pop() if len(found) == 1 else None

    def variants(self, graph: str) -> list[GraphAnnouncement] | None:
        """A graph as its workers announce it, newest first: one for each release that differs in it. None if one of
        them has not said what it takes.
        """
        found: dict[str, GraphAnnouncement] = {}
        for worker in self.workers:
            if graph in worker.graphs:
                digest = worker.graphs[graph]
                announced = None if digest is None else self.graphs.get((graph, digest))
                if announced is None or digest is None:
                    return None
                found[digest] = announced
        return list(found.values())

    @property
    def doubt(self) -> str | None:
        """Why there may be graphs that are not announced, or are about to come; None if all is known."""
        if not self.workers:
            return f"no worker of the fleet has announced itself in the last {BELIEVED_SECONDS:g} s"
        silent = sorted(
            {name for worker in self.workers for name in worker.fleet} - {one.worker_id for one in self.workers}
        )
        if silent:
            more = f" and {len(silent) - _MOST_SHOWN} more" if len(silent) > _MOST_SHOWN else ""
            return (
                f"not all workers have announced their graphs: {', '.join(silent[:_MOST_SHOWN])}{more} has not. It is "
                "of an older version, or has just ended"
            )
        if not all(worker.steady for worker in self.workers):
            return "a worker has started or ended a moment ago, and others may follow"
        return None


def read_announcements(records: Iterable[Record]) -> list[Announcement]:
    """The announcements among records. One that cannot be read is left out: its worker then counts as silent."""
    found = []
    for record in records:
        try:
            found.append(decode_announcement(record))
        except DecodeError:
            continue
    return found
