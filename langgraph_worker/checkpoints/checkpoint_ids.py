"""Lets the ids of a thread's checkpoints grow, whichever workers wrote them.

The checkpoint with the greatest id is a thread's state. LangGraph makes the ids from the host's clock. So if a worker
goes on with what another one wrote, and its clock is behind, nobody would ever read what it writes.
"""

from __future__ import annotations

import threading
import time
from uuid import UUID

from langgraph.checkpoint.base import id as langgraph_ids

_TICK_NS = 100  # of an id's time
_UUID_EPOCH = 0x01B21DD213814000  # ticks from 1582-10-15, where an id's time begins, to 1970


class IdClock:
    """The clock of this process's checkpoint ids, in place of the host's: behind no id that was read, and never twice
    the same. Any thread may use it.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._latest = 0

    def time_ns(self) -> int:
        """Nanoseconds since 1970, later than at the call before."""
        with self._guard:
            self._latest = max(time.time_ns(), self._latest + _TICK_NS)
            return self._latest

    def see(self, checkpoint_id: str) -> None:
        """From now on, be later than this id. One that LangGraph did not make has no time."""
        ticks = _ticks(checkpoint_id)
        if ticks is not None:
            with self._guard:
                self._latest = max(self._latest, (ticks - _UUID_EPOCH) * _TICK_NS)


def _ticks(checkpoint_id: str) -> int | None:
    try:
        parsed = UUID(checkpoint_id)
    except ValueError:
        return None
    if parsed.version != 6:
        return None
    return parsed.time_low << 28 | parsed.time_mid << 12 | parsed.time_hi_version & 0x0FFF


id_clock = IdClock()
"""The one of this process."""


def let_ids_grow() -> None:
    """Give LangGraph this clock for its checkpoint ids. Calling twice is harmless."""
    langgraph_ids.time = id_clock  # type: ignore[assignment, attr-defined]
