"""The idempotency keys on SQL."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, select

from langgraph_worker.store.migrations.schema import request_keys
from langgraph_worker.store.request_keys import RequestKey, RequestKeys
from langgraph_worker.store.sql.api_table import ApiTable
from langgraph_worker.store.sql.statements import insert_missing

_rows = request_keys.c


class SqlRequestKeys(ApiTable, RequestKeys):
    """The port on an open store."""

    table = request_keys

    async def keep(self, asked: RequestKey) -> RequestKey:
        def work(connection: Connection, now: datetime) -> RequestKey | None:
            connection.execute(insert_missing(connection, request_keys), {**asdict(asked), "at": now})
            return _find(connection, asked.key)

        kept: RequestKey = await self._write(work)
        return kept

    async def find(self, key: UUID) -> RequestKey | None:
        kept: RequestKey | None = await self._read(lambda connection: _find(connection, key))
        return kept


def _find(connection: Connection, key: UUID) -> RequestKey | None:
    row = connection.execute(select(request_keys).where(_rows.key == key)).one_or_none()
    return None if row is None else RequestKey(row.key, row.digest, row.correlation_id)
