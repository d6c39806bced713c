"""Two transactions of PostgreSQL that meet: one begins while the other is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from langgraph_worker.store.sql.endings import EndingContext
from langgraph_worker.store.sql.run_store import SqlRunStore

_WAITS = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
_T = TypeVar("_T")


async def while_in(
    store: SqlRunStore, work: Callable[[Connection, EndingContext], _T], other: Callable[[], Any]
) -> tuple[_T, Any]:
    """Do something in a transaction of one worker; before that ends, another begins, and comes as far as it can."""
    loop = asyncio.get_running_loop()

    def write(connection: Connection, now: datetime) -> tuple[_T, Future[Any]]:
        done = work(connection, EndingContext(1_000_000, "p1", now))
        meanwhile = asyncio.run_coroutine_threadsafe(other(), loop)
        while not meanwhile.done() and not connection.execute(_WAITS).scalar_one():
            pass
        return done, meanwhile

    done, meanwhile = await asyncio.to_thread(store.database.write, write)
    return done, await asyncio.wrap_future(meanwhile)
