"""The passes over a results topic that late waiters share, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_langgraph.triggers.backfill import Need, Passed
from airflow_provider_langgraph.triggers.seen import SeenResults

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0


class RunningBackfill(Protocol):
    """A read back that is under way."""

    def join_in(self, key: bytes, need: Need) -> None:
        """Let it look for one more reply."""

    def stop(self) -> None:
        """Ask it to end."""


StartBackfill = Callable[[dict[bytes, Need], dict[int, int], SeenResults], RunningBackfill]


@dataclass(frozen=True, slots=True)
class Ended:
    """A read back that is over.

    :param members: for whom it looked.
    :param passed: what it found out; None if nothing that counts.
    :param until: by partition, where it ended.
    :param trouble: why it failed; None if it did not.
    """

    members: list[bytes]
    passed: Passed | None
    until: dict[int, int]
    trouble: str | None = None


class ReadBacks:
    """At most one is under way. Who comes meanwhile joins in; whoever was too late for that has to come again.

    :param start: starts one; how it ends is told to :meth:`end`.
    :ivar may_begin_at: when the next may begin: what failed is not tried again at once.
    """

    def __init__(self, topic: str, start: StartBackfill, now: Callable[[], float]) -> None:
        self._topic = topic
        self._start = start
        self._now = now
        self._running: RunningBackfill | None = None
        self._members: dict[bytes, None] = {}
        self._until: dict[int, int] = {}
        self._counts = True
        self._pause = FIRST_PAUSE
        self.may_begin_at = 0.0

    @property
    def is_under_way(self) -> bool:
        """Whether one is."""
        return self._running is not None

    def stop(self) -> None:
        """Ask the one that is under way to end; does not wait for it."""
        if self._running is not None:
            self._running.stop()

    def disregard(self) -> None:
        """The topic is another one by now: nothing that the one under way finds out about the old one counts."""
        self._counts = False

    def look_for(self, needs: dict[bytes, Need], seen: SeenResults) -> bool:
        """Have replies looked for, up to where what was seen begins; False: not yet."""
        if self._running is None and self._now() < self.may_begin_at:
            return False
        self._members |= dict.fromkeys(needs)
        if self._running is None:
            self._until = dict(seen.complete_from)
            self._counts = True
            self._running = self._start(needs, self._until, SeenResults(max_bytes=seen.room, now=self._now))
        else:
            for key, need in needs.items():
                self._running.join_in(key, need)
        return True

    def end(self, passed: Passed | None, error: str) -> Ended:
        """The one under way has ended.

        :param passed: None if it could not read everything.
        :param error: why.
        """
        self._running = None
        members, self._members = list(self._members), {}
        if passed is None:
            log.warning(
                "Reading %s back failed: %s; again in %.1f s",
                self._topic,
                error,
                self._pause,
                extra={"action": "backfill_failed"},
            )
            self.may_begin_at = self._now() + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
            return Ended(members, None, self._until, f"reading {self._topic} back failed: {error}")
        self.may_begin_at = 0.0
        self._pause = FIRST_PAUSE
        return Ended(members, passed if self._counts else None, self._until)
