"""A database as one worker process uses it: a few threads, plain transactions, troubles in the worker's words."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    """One statement of LangGraph's saver, for the driver itself.

    :param rows: the values of each row; one for a single execution.
    :param many: it came as ``executemany``.
    """

    sql: str
    rows: Sequence[Any]
    many: bool


class Lane(Enum):
    """Work that waits for each other only within its lane: each has a thread and a connection of its own."""

    RUNS = "runs"
    """What running runs write, many runs in one transaction."""
    REQUESTS = "requests"
    """Accepting, claiming, expiring."""
    READS = "reads"


class Database(Protocol):
    """What both databases do. Everything blocks; the loop goes through :class:`Lanes`."""

    setting: str
    place: str
    """For messages: which database, without its password."""

    def open(self, alone: bool) -> None:
        """Connect, and bring the schema up to date.

        :param alone: where only one process may work, be that one.
        :raises StoreError: it cannot be used, and why.
        """

    def close(self) -> None:
        """Close the connections. Closing twice is harmless."""

    def write(self, work: Callable[[Connection, datetime], _T]) -> _T:
        """One transaction: committed, and on disk, when this returns.

        :param work: gets the connection and the store's time; it may be called again after a conflict.
        :raises StoreError: the database refused, and nothing was written; or its answer to the commit was lost.
        """

    def read(self, work: Callable[[Connection], _T]) -> _T:
        """One consistent view, if ``work`` asks once.

        :raises StoreError: the database refused.
        """

    def time(self, connection: Connection) -> datetime:
        """The store's time."""

    def execute(self, connection: Connection, statements: Sequence[Statement]) -> None:
        """Run a saver's statements in the connection's transaction."""


class Lanes:
    """A database's threads, for callers in an event loop."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._closed = False
        self._threads = {lane: ThreadPoolExecutor(1, thread_name_prefix=f"{THREAD}-{lane.value}") for lane in Lane}

    async def run(self, lane: Lane, work: Callable[[], _T]) -> _T:
        """Call in the lane's thread. Cancelled, it goes on there, and its result is lost.

        :raises StoreError: closed.
        """
        if self._closed:
            raise not_open(self._place)
        return await asyncio.get_running_loop().run_in_executor(self._threads[lane], work)

    def close(self) -> None:
        """Start nothing more; what is under way ends by itself."""
        self._closed = True
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)


class Opened:
    """Holds the engine between open and close."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._engine: Engine | None = None
        self._guard = threading.Lock()

    def set(self, engine: Engine) -> None:
        """It is open."""
        with self._guard:
            self._engine = engine

    def dispose(self) -> None:
        """Close; twice is harmless."""
        with self._guard:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    @property
    def engine(self) -> Engine:
        """:raises StoreError: it is not open."""
        engine = self._engine
        if engine is None:
            raise not_open(self._place)
        return engine


@contextmanager
def transaction(engine: Engine, reading: bool = False) -> Iterator[Connection]:
    """A transaction whose connection is given up if anything at all goes wrong in it: savers write past SQLAlchemy,
    which would not notice that a connection of theirs is broken.
    """
    with engine.connect() as connection:
        if reading:
            connection = connection.execution_options(reading=True)
        try:
            with connection.begin():
                yield connection
        except BaseException:
            connection.invalidate()
            raise


def not_open(place: str) -> StoreError:
    """Not yet, or not any more."""
    return final(f"the run store {place} is not open")


def final(text: str) -> StoreError:
    """Trouble that no waiting helps."""
    error = StoreError(text)
    error.retriable = False
    return error
