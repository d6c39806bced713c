"""What was asked: every request with its bytes, and what may become of it."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from workflow_events import WorkflowEvent
from workflow_events.codec import Encoded

Relation = Literal["plain", "first", "retry", "clear", "late"]


@dataclass
class SentRequest:
    """One request.

    :param relation: what it is to its task; ``plain`` belongs to none.
    :param sent_at: by the wall clock, as all times here; None until it was handed to the producer.
    :param newer: the request of the same task that supersedes it.
    :param cancelled_at: when its first cancel was handed to the producer,
    :param cancel_acknowledged_at: and when the broker had it.
    :param down_since: no worker lived from then until after that cancel.
    """

    event: WorkflowEvent
    encoded: Encoded
    relation: Relation
    sent_at: float | None = None
    newer: UUID | None = None
    cancelled_at: float | None = None
    cancel_acknowledged_at: float | None = None
    down_since: float | None = None
    copies: int = 0
    history: list[tuple[float, str]] = field(default_factory=list)

    @property
    def id(self) -> UUID:
        return self.event.event_id

    @property
    def is_newest_attempt(self) -> bool:
        """Whether it is the last that its task has asked."""
        return self.relation in ("first", "retry", "clear") and self.newer is None


@dataclass(frozen=True, slots=True)
class Garbage:
    """A record that is no request.

    :param error_type: what the worker has to call it.
    :param waiter: the correlation id in its header, if any: it has to be answered.
    """

    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    error_type: str
    waiter: UUID | None


class SentRequests:
    """Everything that was asked. The load writes, the faults read: under a lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests: dict[UUID, SentRequest] = {}
        self.garbage: list[Garbage] = []
        self.waiters: set[UUID] = set()
        self.counts: dict[str, int] = defaultdict(int)

    def add(self, asked: SentRequest) -> None:
        with self.lock:
            self.requests[asked.id] = asked
            self.counts[asked.relation] += 1

    def drop(self, found: Garbage) -> bytes:
        """Note garbage; the key that names it."""
        with self.lock:
            self.garbage.append(found)
            if found.waiter is not None:
                self.waiters.add(found.waiter)
            return b"garbage-%d" % (len(self.garbage) - 1)

    @property
    def size(self) -> int:
        return len(self.requests) + len(self.waiters)

    def expected(self) -> set[UUID]:
        """Whoever waits for an answer."""
        with self.lock:
            return self.requests.keys() | self.waiters
