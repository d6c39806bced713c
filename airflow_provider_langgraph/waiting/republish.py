"""Asks the workers to publish results again that can no longer be read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

from workflow_events.backoff import Backoff
from workflow_events.control import WorkflowQueryEvent

FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 300.0
MOST_IDS = 1_000


@dataclass(slots=True)
class _OpenQuery:
    """One query, and when it is repeated next.

    Workers answer a query once. Repeated, it is a new one: what they published may be gone again before it was read.
    """

    topic: str
    keys: set[bytes]
    due: float = 0.0
    pauses: Backoff = field(default_factory=lambda: Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS), init=False)


class RepublishRequests:
    """The queries that are open. A worker that is away receives one when it is repeated: it skips those that were sent
    before its start.

    Belongs to one thread.
    """

    def __init__(self) -> None:
        self._open: list[_OpenQuery] = []
        self._asked: set[bytes] = set()

    def add(self, keys: Collection[bytes], topic: str) -> None:
        """Ask for these correlation ids on that control topic, unless that is under way already."""
        new = iter([key for key in keys if key not in self._asked])
        while part := set(islice(new, MOST_IDS)):
            self._open.append(_OpenQuery(topic, part))
            self._asked |= part

    def is_open(self, key: bytes) -> bool:
        """Whether the workers are asked for this one, and it may come at any moment."""
        return key in self._asked

    def due(self, now: float, is_waited_for: Callable[[bytes], bool]) -> Iterator[tuple[str, WorkflowQueryEvent]]:
        """What is to be sent now, and where. An id without a waiter is dropped."""
        for query in [one for one in self._open if one.due <= now]:
            gone = {key for key in query.keys if not is_waited_for(key)}
            query.keys -= gone
            self._asked -= gone
            if not query.keys:
                self._open.remove(query)
                continue
            query.due = now + query.pauses.next_seconds()
            yield (
                query.topic,
                WorkflowQueryEvent(correlation_ids=[UUID(key.decode()) for key in sorted(query.keys)]),
            )
