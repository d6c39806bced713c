"""How fast results are published again: a repeated request, or a query, is small, and its result may be large."""

from __future__ import annotations

import time
from collections.abc import Callable
from uuid import UUID

from langgraph_worker.domain.models import Outbound

LEAST_PAUSE_SECONDS = 10.0
"""Between two repeats of one result. What asks for it meanwhile is answered by the next one."""


class RepublishPace:
    """Delays repeats, and drops none: the store keeps them. First publications are never delayed.

    :param bytes_per_second: of repeats, all together.
    :param now: seconds of a monotonic clock.
    """

    def __init__(self, bytes_per_second: float, now: Callable[[], float] = time.monotonic) -> None:
        self._bytes_per_second = bytes_per_second
        self._now = now
        self._repeated: dict[UUID, float] = {}  # by result: when its next repeat may be sent
        self._reserved: dict[UUID, float] = {}  # when a repeat has its turn
        self._free_at = now()

    def delayed(self) -> set[UUID]:
        """The results that must not be sent now."""
        now = self._now()
        self._repeated = {one: at for one, at in self._repeated.items() if at > now}
        # Another worker may have sent one whose turn has come: its turn is kept for a pause.
        self._reserved = {one: at for one, at in self._reserved.items() if at > now - LEAST_PAUSE_SECONDS}
        return {*self._repeated, *(one for one, at in self._reserved.items() if at > now)}

    def may_go(self, outbound: Outbound) -> bool:
        """Whether a result may be sent at once. If not, it has a turn from now on, see :meth:`delayed`."""
        if not outbound.is_repeat or self._reserved.pop(outbound.correlation_id, None) is not None:
            return True
        now = self._now()
        turn = max(now, self._free_at)
        self._free_at = turn + len(outbound.value) / self._bytes_per_second
        if turn > now:
            self._reserved[outbound.correlation_id] = turn
        return turn <= now

    def sent(self, outbound: Outbound) -> None:
        """A result was published."""
        if outbound.is_repeat:
            self._repeated[outbound.correlation_id] = self._now() + LEAST_PAUSE_SECONDS
