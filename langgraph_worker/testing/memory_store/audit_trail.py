"""The audit trail in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from langgraph_worker.domain.audit import AuditEntry, AuditRow, Outcome
from langgraph_worker.store.audit import AuditTrail


class MemoryAuditTrail(AuditTrail):
    """The port on a list.

    :param clock: the store's.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._next = 1
        self._kept: dict[int, AuditRow] = {}

    async def begin(self, entry: AuditEntry) -> int:
        seq, self._next = self._next, self._next + 1
        self._kept[seq] = AuditRow(seq, self._clock(), entry.storable(), None)
        return seq

    async def settle(self, seq: int, outcome: Outcome) -> None:
        self._kept[seq] = replace(self._kept[seq], outcome=outcome)

    async def rows(self, limit: int, before: int | None = None, target: UUID | None = None) -> list[AuditRow]:
        fitting = [
            row
            for row in self._kept.values()
            if (before is None or row.seq < before) and target in (None, row.entry.target)
        ]
        return sorted(fitting, key=lambda row: row.seq, reverse=True)[:limit]

    async def remove(self, older_than: timedelta) -> int:
        old = [seq for seq, row in self._kept.items() if row.at < self._clock() - older_than]
        for seq in old:
            del self._kept[seq]
        return len(old)
