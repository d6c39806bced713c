"""The progress of one request that its waiter has not written to the task's log yet."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_langgraph.task_log.phrases import ProgressLine
from airflow_provider_langgraph.task_log.run_position import RunPosition

MOST_MESSAGES = 20
"""Messages that are kept for a waiter that has no time to write them; the oldest go first."""


class ProgressInbox:
    """What the run of one request has reported. Belongs to the event loop.

    :param wake: called when there is something new to write.
    :ivar messages: what the waiter has not taken yet.
    :ivar dropped: how many more there were.
    :ivar has_heard: whether anything was reported at all.
    :ivar position: where the run stands, by all messages, also those that were dropped.
    """

    __slots__ = ("_wake", "dropped", "has_heard", "messages", "position")

    def __init__(self, wake: Callable[[], None]) -> None:
        self.messages: list[ProgressLine] = []
        self.dropped = 0
        self.has_heard = False
        self.position = RunPosition()
        self._wake = wake

    def add(self, message: ProgressLine) -> None:
        """Add a message, and wake the waiter if it has words."""
        self.has_heard = True
        self.position.note(message)
        if not message.words:
            return
        self.messages.append(message)
        if len(self.messages) > MOST_MESSAGES:
            del self.messages[0]
            self.dropped += 1
        self._wake()

    def take(self) -> tuple[list[ProgressLine], int]:
        """Take all messages, and how many were dropped before them."""
        taken = self.messages, self.dropped
        self.messages, self.dropped = [], 0
        return taken
