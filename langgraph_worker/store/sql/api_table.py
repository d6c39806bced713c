"""What the tables of the API have in common: their rows stay until they are old."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import Connection, Table, delete


class ApiTable:
    """A table whose rows have the instant ``at``, in an open store.

    :param write: does work in a transaction, with the store's time.
    :param read: does work in a transaction that only reads.
    """

    table: ClassVar[Table]

    def __init__(
        self,
        write: Callable[[Callable[[Connection, datetime], Any]], Awaitable[Any]],
        read: Callable[[Callable[[Connection], Any]], Awaitable[Any]],
    ) -> None:
        self._write = write
        self._read = read

    async def remove(self, older_than: timedelta) -> int:
        """Remove the rows that are older; how many that were."""
        old = delete(self.table)
        removed: int = await self._write(
            lambda connection, now: connection.execute(old.where(self.table.c.at < now - older_than)).rowcount
        )
        return removed
