"""The read backs of a results topic that late waiters share, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_langgraph.waiting.catch_up import CatchUpResult, Need
from airflow_provider_langgraph.waiting.result_cache import ResultCache
from workflow_events.backoff import Backoff

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0


class RunningCatchUp(Protocol):
    """A read back that is under way."""

    def join_in(self, key: bytes, need: Need) -> None:
        """Let it look for one more reply."""

    def stop(self) -> None:
        """Ask it to end."""


StartCatchUp = Callable[[dict[bytes, Need], dict[int, int], ResultCache], RunningCatchUp]


@dataclass(frozen=True, slots=True)
class CatchUpEnd:
    """A read back that is over.

    :param members: the waiters whose replies it looked for.
    :param passed: what it found out; None if that does not count, or if it failed.
    :param until: by partition, where it ended.
    :param trouble: why it failed; None if it did not.
    """

    members: list[bytes]
    passed: CatchUpResult | None
    until: dict[int, int]
    trouble: str | None = None


class CatchUpSchedule:
    """At most one read back is under way. A waiter that comes meanwhile joins in; one that was too late for that has to
    come again.

    :param start: starts one; :meth:`end` has to be called when it ends.
    :ivar may_begin_at: when the next may begin: what failed is not tried again at once.
    """

    def __init__(self, topic: str, start: StartCatchUp, now: Callable[[], float]) -> None:
        self._topic = topic
        self._start = start
        self._now = now
        self._running: RunningCatchUp | None = None
        self._members: dict[bytes, None] = {}
        self._until: dict[int, int] = {}
        self._counts = True
        self._pauses = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        self.may_begin_at = 0.0

    @property
    def is_under_way(self) -> bool:
        """Whether a read back is under way."""
        return self._running is not None

    def stop(self) -> None:
        """Ask the one that is under way to end; does not wait for it."""
        if self._running is not None:
            self._running.stop()

    def disregard(self) -> None:
        """Note that the topic is another one by now: what the read back finds out about the old one does not count."""
        self._counts = False

    def look_for(self, needs: dict[bytes, Need], seen: ResultCache) -> bool:
        """Look for replies in what lies before the results that were seen. False: not yet, come again."""
        if self._running is None and self._now() < self.may_begin_at:
            return False
        self._members |= dict.fromkeys(needs)
        if self._running is None:
            self._until = dict(seen.complete_from)
            self._counts = True
            self._running = self._start(needs, self._until, ResultCache(max_bytes=seen.room, now=self._now))
        else:
            for key, need in needs.items():
                self._running.join_in(key, need)
        return True

    def end(self, passed: CatchUpResult | None, error: str) -> CatchUpEnd:
        """Note that the read back has ended.

        :param passed: None if it could not read everything.
        :param error: why.
        """
        self._running = None
        members, self._members = list(self._members), {}
        if passed is None:
            pause = self._pauses.next_seconds()
            log.warning(
                "Reading %s back failed: %s; again in %.1f s",
                self._topic,
                error,
                pause,
                extra={"action": "catch_up_failed"},
            )
            self.may_begin_at = self._now() + pause
            return CatchUpEnd(members, None, self._until, f"reading {self._topic} back failed: {error}")
        self.may_begin_at = 0.0
        self._pauses.reset()
        return CatchUpEnd(members, passed if self._counts else None, self._until)
