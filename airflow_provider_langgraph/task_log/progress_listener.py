"""What agents report while their tasks wait: one consumer of the progress topic for all of them, best effort.

Nothing here may hold up, fail or answer a wait: without its progress topic a task's log has fewer lines, no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from airflow_provider_langgraph.kafka.sharing import FanOut, Shared
from airflow_provider_langgraph.task_log.phrases import ProgressLine
from airflow_provider_langgraph.task_log.progress_inbox import ProgressInbox
from airflow_provider_langgraph.task_log.progress_thread import Lines, ProgressThread


class ProgressListener:
    """Hands each message to the waiters of its request. Belongs to one event loop; use :func:`join_progress`."""

    failed = False  # it tries again for ever

    def __init__(self, settings: dict[str, Any], topic: str, since: datetime) -> None:
        self._loop = asyncio.get_running_loop()
        self._followers: dict[bytes, list[ProgressInbox]] = {}
        self._fan_out = FanOut(self._loop, self._hand_out)
        self._thread = ProgressThread(settings, topic, since, self._deliver)
        self._thread.start()
        self.users = 0

    @property
    def trouble(self) -> str | None:
        """Why no progress can be read just now; None while it can."""
        return self._thread.trouble

    def covers(self, asked_at: datetime | None) -> bool:
        """Whether a request's acceptance cannot have been missed: all since then was read."""
        since = self._thread.covered_since
        return asked_at is not None and since is not None and since <= asked_at and self.trouble is None

    @property
    def heard_at(self) -> datetime | None:
        """When the latest message of any worker, about any request, was written; None if none was read."""
        return self._thread.heard_at

    @property
    def line_seconds(self) -> float:
        """How often a follower may write a line: each passes through Airflow's supervisor, one after the other."""
        return max(1.0, len(self._followers) / 50)

    def follow(self, key: bytes, wake: Callable[[], None]) -> ProgressInbox:
        """Receive the progress of one request from now on, and the latest message from before.

        :param wake: as for :class:`ProgressInbox`.
        """
        inbox = ProgressInbox(wake)
        self._followers.setdefault(key, []).append(inbox)
        self._thread.follow(key)
        return inbox

    def leave(self, key: bytes, inbox: ProgressInbox) -> None:
        """Receive no more."""
        followers = self._followers.get(key, [])
        if inbox in followers:
            followers.remove(inbox)
        if not followers and self._followers.pop(key, None) is not None:
            self._thread.leave(key)

    def close(self) -> None:
        """Stop reading. Returns at once."""
        self._thread.stop()

    def _deliver(self, batch: Lines) -> None:
        try:
            self._loop.call_soon_threadsafe(self._fan_out.add, batch)
        except RuntimeError:  # the loop is closed
            self._thread.stop()

    def _hand_out(self, line: tuple[bytes, ProgressLine]) -> None:
        key, message = line
        for inbox in self._followers.get(key, ()):
            inbox.add(message)


_shared: Shared[ProgressListener] = Shared()


def join_progress(settings: dict[str, Any], topic: str, since: datetime) -> ProgressListener:
    """The process's listener for a progress topic over a connection; :func:`leave_progress` when done.

    :param since: when the first request that is followed was published.
    """
    return _shared.join(settings, topic, lambda: ProgressListener(settings, topic, since))


def leave_progress(listener: ProgressListener) -> None:
    """Use it no more; it is closed with its last user."""
    _shared.leave(listener)
