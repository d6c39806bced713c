"""Which deployments use the fleet: whether one of them can stand in the way of another."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

from workflow_events.codec import Record

_FORGET_AFTER_SECONDS = 86_400.0
_IN_ATTEMPT = re.compile(rb'"attempt"\s*:\s*\{[^{}]{0,8192}?"deployment"\s*:\s*"([^"\\]{0,2048})"')


class SeenDeployments:
    """Keeps the two that were seen last: more are not needed to tell whether there are several.

    May be used by any thread.

    :param now: seconds of a monotonic clock.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}

    def see(self, deployment: str) -> None:
        """A deployment has sent a request. Requests without attempt are of the deployment ``""``."""
        with self._lock:
            self._last.pop(deployment, None)
            self._last[deployment] = self._now()
            while len(self._last) > 2:
                del self._last[next(iter(self._last))]

    def look_at(self, record: Record) -> None:
        """See the deployment of an event that is not parsed. Quick: an event behind a full store may be any size."""
        found = _IN_ATTEMPT.search(record.value or b"")
        self.see(found.group(1).decode(errors="replace") if found else "")

    @property
    def are_several(self) -> bool:
        """Whether more than one was seen within a day."""
        with self._lock:
            return sum(self._now() - at < _FORGET_AFTER_SECONDS for at in self._last.values()) > 1
