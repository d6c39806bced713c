"""The trail of what was asked for through the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol
from uuid import UUID

from langgraph_worker.domain.audit import AuditEntry, AuditRow, Outcome


class AuditTrail(Protocol):
    """What a run store keeps of it. Every backend passes ``tests/contract/store/test_audit.py``.

    Every method is one transaction, and may raise :exc:`~langgraph_worker.errors.StoreError`.
    """

    async def begin(self, entry: AuditEntry) -> int:
        """Keep that a client asks for this, before it is done; the row's number."""

    async def settle(self, seq: int, outcome: Outcome) -> None:
        """Keep what became of it."""

    async def rows(self, limit: int, before: int | None = None, target: UUID | None = None) -> list[AuditRow]:
        """The newest rows, newest first.

        :param before: only those with lower numbers.
        :param target: only those about this request.
        """

    async def remove(self, older_than: timedelta) -> int:
        """Remove what was asked for longer ago; how many rows that were."""
