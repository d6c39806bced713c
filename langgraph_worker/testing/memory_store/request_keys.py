"""The idempotency keys in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from langgraph_worker.store.request_keys import RequestKey, RequestKeys


class MemoryRequestKeys(RequestKeys):
    """The port on a dictionary.

    :param clock: the store's.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._kept: dict[UUID, tuple[RequestKey, datetime]] = {}

    async def keep(self, asked: RequestKey) -> RequestKey:
        return self._kept.setdefault(asked.key, (asked, self._clock()))[0]

    async def find(self, key: UUID) -> RequestKey | None:
        found = self._kept.get(key)
        return None if found is None else found[0]

    async def remove(self, older_than: timedelta) -> int:
        old = [key for key, (_, at) in self._kept.items() if at < self._clock() - older_than]
        for key in old:
            del self._kept[key]
        return len(old)
