"""The audit trail on SQL."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select, update

from langgraph_worker.domain.audit import AuditEntry, AuditRow, Outcome
from langgraph_worker.store.audit import AuditTrail
from langgraph_worker.store.migrations.schema import audit_entries
from langgraph_worker.store.sql.api_table import ApiTable

_rows = audit_entries.c


class SqlAuditTrail(ApiTable, AuditTrail):
    """The port on an open store."""

    table = audit_entries

    async def begin(self, entry: AuditEntry) -> int:
        def work(connection: Connection, now: datetime) -> int:
            values = {**asdict(entry.storable()), "at": now}
            added = connection.execute(insert(audit_entries).values(values).returning(_rows.seq))
            return int(added.scalar_one())

        seq: int = await self._write(work)
        return seq

    async def settle(self, seq: int, outcome: Outcome) -> None:
        change = update(audit_entries).where(_rows.seq == seq).values(outcome=outcome.value)
        await self._write(lambda connection, _: connection.execute(change) and None)

    async def rows(self, limit: int, before: int | None = None, target: UUID | None = None) -> list[AuditRow]:
        wanted = select(audit_entries).order_by(_rows.seq.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(_rows.seq < before)
        if target is not None:
            wanted = wanted.where(_rows.target == target)
        found: list[AuditRow] = await self._read(lambda connection: [_row(row) for row in connection.execute(wanted)])
        return found


def _row(row: Row[Any]) -> AuditRow:
    values = dict(row._mapping)
    seq, at, outcome = (values.pop(name) for name in ("seq", "at", "outcome"))
    return AuditRow(seq, at, AuditEntry(**values), None if outcome is None else Outcome(outcome))
