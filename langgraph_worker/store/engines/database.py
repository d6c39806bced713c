"""A database as one worker process uses it: a few threads, plain transactions, errors as :exc:`StoreError`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from langgraph_worker.errors import StoreError

THREAD = "run-store"
"""How the names of its threads begin."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of LangGraph's saver, to be executed by the database's driver.

    :param rows: the values of each execution; a single one unless ``many``.
    :param many: the saver called ``executemany``.
    """

    sql: str
    rows: Sequence[Any]
    many: bool


class DatabaseThread(Enum):
    """The threads for a database's work, each with a connection of its own: only work of one thread has to queue."""

    RUNS = "runs"
    """Writes of running runs, many runs in one transaction."""
    REQUESTS = "requests"
    """Writes that accept, claim, expire, prune and the like."""
    READS = "reads"
    """Transactions that only read."""
    COUNTS = "counts"
    """What calls of models wait for: the reading of counts, and turns."""


class Database(Protocol):
    """What both databases do. Every method blocks: call it from a thread, see :class:`DatabaseThreads`."""

    setting: str
    place: str
    """The database's name for messages, without a password."""
    risk: str
    """Once it is open: what can lose a committed transaction, in words; empty if nothing is known."""

    def open(self, alone: bool) -> None:
        """Connect, and bring the schema up to date.

        :param alone: take the database for this process alone, if it serves only one (SQLite).
        :raises StoreError: it cannot be used; the text says why.
        """

    def close(self) -> None:
        """Close the connections. Closing twice is harmless."""

    def write(self, work: Callable[[Connection, datetime], _T]) -> _T:
        """Run one transaction: it is committed, and on disk, when this returns.

        :param work: gets the connection and the store's time; it is called again after a conflict.
        :raises RowError: the database, or ``work``, refused what one row holds; nothing was written.
        :raises StoreError: the database refused, and nothing was written; or its answer to the commit was lost.
        """

    def read(self, work: Callable[[Connection], _T]) -> _T:
        """Run one transaction that only reads. Each statement of ``work`` has a consistent view of its own.

        :raises StoreError: the database refused.
        """

    def time(self, connection: Connection) -> datetime:
        """The store's time."""

    def execute(self, connection: Connection, statements: Sequence[Statement]) -> None:
        """Run a saver's statements in the connection's transaction."""


class DatabaseThreads:
    """A database's threads."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._closed = False
        self._executors = {
            thread: ThreadPoolExecutor(1, thread_name_prefix=f"{THREAD}-{thread.value}") for thread in DatabaseThread
        }

    async def run(self, thread: DatabaseThread, work: Callable[[], _T]) -> _T:
        """Call ``work`` in this thread. If the caller is cancelled, the work goes on there and its result is lost.

        :raises StoreError: closed.
        """
        return await asyncio.wrap_future(self.submit(thread, work))

    def submit(self, thread: DatabaseThread, work: Callable[[], _T]) -> Future[_T]:
        """Let ``work`` be called in this thread. Call it from any thread.

        :raises StoreError: closed.
        """
        if self._closed:
            raise not_open(self._place)
        return self._executors[thread].submit(work)

    def close(self) -> None:
        """Start nothing more; work that has begun ends by itself."""
        self._closed = True
        for executor in self._executors.values():
            executor.shutdown(wait=False, cancel_futures=True)


class Opened:
    """Holds a database's engine from its opening to its closing."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._engine: Engine | None = None
        self._guard = threading.Lock()

    def set(self, engine: Engine) -> None:
        """The database is open, with this engine."""
        with self._guard:
            self._engine = engine

    def dispose(self) -> None:
        """Close the engine. Closing twice is harmless."""
        with self._guard:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    def leave_sessions(self) -> None:
        """Let every later transaction begin in a new session; those that are under way end where they are."""
        engine = self._engine
        if engine is not None:
            engine.dispose()

    @property
    def engine(self) -> Engine:
        """:raises StoreError: the database is not open."""
        engine = self._engine
        if engine is None:
            raise not_open(self._place)
        return engine


@contextmanager
def transaction(engine: Engine, reading: bool = False) -> Iterator[Connection]:
    """A transaction. After any error its connection is given up: LangGraph's savers use the driver's connection, so
    SQLAlchemy would not notice that it is broken.
    """
    pool = engine.pool
    try:
        with engine.connect() as connection:
            if reading:
                connection = connection.execution_options(reading=True)
            try:
                with connection.begin():
                    yield connection
            except BaseException:
                connection.invalidate()
                raise
    finally:
        if engine.pool is not pool:  # the engine was disposed of meanwhile: the old pool has the connection back, open
            pool.dispose()


def not_open(place: str) -> StoreError:
    """The error of a store that is not open yet, or not any more."""
    return final(f"the run store {place} is not open")


def final(text: str) -> StoreError:
    """Trouble that no waiting helps."""
    return StoreError(text, retriable=False)
