"""Asking the workers to publish results again that can no longer be read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from workflow_events.control import WorkflowQueryEvent

FIRST_PAUSE = 10.0
LONGEST_PAUSE = 300.0
MOST_IDS = 1_000


@dataclass(slots=True)
class _Inquiry:
    """One question, and when it is repeated next.

    Workers answer a query once. Repeated, it is a new one: what they published may be gone again before it was read.
    """

    topic: str
    keys: set[bytes]
    due: float = 0.0
    pause: float = FIRST_PAUSE


class Inquiries:
    """The questions that are open. A worker that is away hears of one when it is repeated: those from before its start
    it skips.

    Belongs to one thread.
    """

    def __init__(self) -> None:
        self._open: list[_Inquiry] = []
        self._asked: set[bytes] = set()

    def add(self, keys: Collection[bytes], topic: str) -> None:
        """Ask for these correlation ids on that control topic, unless that is under way already."""
        new = iter([key for key in keys if key not in self._asked])
        while part := set(islice(new, MOST_IDS)):
            self._open.append(_Inquiry(topic, part))
            self._asked |= part

    def due(self, now: float, is_waited_for: Callable[[bytes], bool]) -> Iterator[tuple[str, WorkflowQueryEvent]]:
        """What is to be sent now, and where. An id that nobody waits for any more is dropped."""
        for inquiry in [one for one in self._open if one.due <= now]:
            gone = {key for key in inquiry.keys if not is_waited_for(key)}
            inquiry.keys -= gone
            self._asked -= gone
            if not inquiry.keys:
                self._open.remove(inquiry)
                continue
            inquiry.due = now + inquiry.pause
            inquiry.pause = min(inquiry.pause * 2, LONGEST_PAUSE)
            yield (
                inquiry.topic,
                WorkflowQueryEvent(correlation_ids=[UUID(key.decode()) for key in sorted(inquiry.keys)]),
            )
