"""The idempotency keys on SQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, select

from langgraph_worker.store.migrations.schema import request_keys
from langgraph_worker.store.request_keys import RequestKey, RequestKeys
from langgraph_worker.store.sql.statements import insert_missing

_rows = request_keys.c


class SqlRequestKeys(RequestKeys):
    """The port on an open store.

    :param write: does work in a transaction, with the store's time.
    :param read: does work in a transaction that only reads.
    """

    def __init__(
        self,
        write: Callable[[Callable[[Connection, datetime], Any]], Awaitable[Any]],
        read: Callable[[Callable[[Connection], Any]], Awaitable[Any]],
    ) -> None:
        self._write = write
        self._read = read

    async def keep(self, asked: RequestKey) -> RequestKey:
        def work(connection: Connection, now: datetime) -> RequestKey | None:
            connection.execute(insert_missing(connection, request_keys), {**asdict(asked), "at": now})
            return _find(connection, asked.key)

        kept: RequestKey = await self._write(work)
        return kept

    async def find(self, key: UUID) -> RequestKey | None:
        kept: RequestKey | None = await self._read(lambda connection: _find(connection, key))
        return kept

    async def remove(self, older_than: timedelta) -> int:
        def work(connection: Connection, now: datetime) -> int:
            return connection.execute(delete(request_keys).where(_rows.at < now - older_than)).rowcount

        removed: int = await self._write(work)
        return removed


def _find(connection: Connection, key: UUID) -> RequestKey | None:
    row = connection.execute(select(request_keys).where(_rows.key == key)).one_or_none()
    return None if row is None else RequestKey(row.key, row.digest, row.correlation_id)
