"""The idempotency keys of requests to the API: what was asked for under each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What a client has asked for under a key of its own.

    :param key: of the client's name, what it asks, and the key that it chose.
    :param digest: of the request: the same key with another one asks for something else.
    :param correlation_id: of the request that the workers get.
    """

    key: UUID
    digest: str
    correlation_id: UUID


class RequestKeys(Protocol):
    """What a run store keeps of them. Every backend passes ``tests/contract/store/test_request_keys.py``.

    Every method is one transaction, and may raise :exc:`~langgraph_worker.errors.StoreError`.
    """

    async def keep(self, asked: RequestKey) -> RequestKey:
        """What is kept under the key, now or from before: of several that come at once, all get the same one."""

    async def find(self, key: UUID) -> RequestKey | None:
        """What is kept under a key."""

    async def remove(self, older_than: timedelta) -> int:
        """Forget the keys that are older; how many that were."""
