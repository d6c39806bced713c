"""One SQLite file as a database of one worker process: its URL, its lock, its connections, its transactions."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from langgraph_worker.errors import SettingsError, StoreError, StoreLockedError
from langgraph_worker.store.migrate import SchemaError, upgrade

SETTING = "LANGGRAPH_WORKER_STORE_URL"
_FORMS = "sqlite:///relative.db or sqlite:////absolute/path.db"
_BUSY_SECONDS = 10.0  # LangGraph's saver writes to the same file over a connection of its own, for milliseconds each


def path_of(url: str) -> Path:
    """The file that a store URL names, absolute.

    :raises SettingsError: it names anything else; the URL itself is not repeated, it may hold a password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError(f"{SETTING}: not a URL; use {_FORMS}") from None
    if parsed.get_backend_name() == "postgresql":
        raise SettingsError(f"{SETTING}: PostgreSQL is not supported yet; use {_FORMS}")
    if parsed.drivername != "sqlite":
        raise SettingsError(f"{SETTING}: {parsed.drivername!r} is not supported; use {_FORMS}")
    if parsed.host or parsed.query or parsed.database in (None, "", ":memory:"):
        raise SettingsError(f"{SETTING}: must name a file and nothing else: {_FORMS}")
    return Path(parsed.database or "").absolute()


class SqliteDatabase:
    """Transactions on one file, all in one event loop. Writers queue in the order they ask; readers do not wait."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(f"{path}.lock", thread_local=False)
        self._writer = asyncio.Lock()
        self._engine: AsyncEngine | None = None

    async def open(self) -> None:
        """Take the file for this process, and bring its schema up to date.

        :raises StoreLockedError: another process has it.
        :raises StoreError: it cannot be used, and why.
        """
        await asyncio.to_thread(self._take)
        self._engine = _engine(self.path)
        try:
            async with self.write() as connection:
                await connection.run_sync(upgrade)
        except SchemaError as error:
            await self.close()
            raise _final(f"the run store {self.path} {error}, or name another file in {SETTING}") from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connections, then let go of the lock. Closing twice is harmless."""
        engine, self._engine = self._engine, None
        try:
            if engine is not None:
                await engine.dispose()
        finally:
            self._lock.release()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One write transaction: committed, and on disk, when the block ends without an exception.

        :raises StoreError: the database refused.
        """
        # SQLite has one writer: queueing here is fair and wakes at once, its busy handler polls.
        async with self._writer, self._transaction(self._opened()) as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view, which no writer delays.

        :raises StoreError: the database refused.
        """
        async with self._transaction(self._opened().execution_options(reading=True)) as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        try:
            async with engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            # Not the exception's own text: that repeats the statement and its values.
            raise _failed(self.path, error.orig) from error
        except sqlite3.Error as error:  # from a connection's first statements
            raise _failed(self.path, error) from error

    def _opened(self) -> AsyncEngine:
        if self._engine is None:
            raise _final(f"the run store {self.path} is not open")
        return self._engine

    def _take(self) -> None:
        directory = self.path.parent
        try:
            if not directory.is_dir():
                raise _final(
                    f"the directory of the run store {self.path} does not exist: create it, or name another file in "
                    f"{SETTING}"
                )
            if self.path.is_dir():
                raise _final(f"the run store {self.path} is a directory: name a file in {SETTING}")
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StoreLockedError(
                f"the run store {self.path} is in use by another worker process (it holds {self._lock.lock_file}). "
                f"An SQLite store serves one process: stop that one, or name another file in {SETTING}"
            ) from None
        except OSError as error:
            raise _final(
                f"the run store {self.path} cannot be locked: {error}. Make {directory} writable for this user, "
                f"or name another file in {SETTING}"
            ) from error


def _engine(path: Path) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        pool_size=5,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"timeout": _BUSY_SECONDS},
    )
    event.listen(engine.sync_engine, "connect", _configure)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _configure(connection: object, record: object) -> None:
    raw: sqlite3.Connection = connection  # type: ignore[assignment]  # SQLAlchemy's adapter has the same surface
    raw.isolation_level = None  # transactions begin where _begin says, not where the driver guesses
    cursor = raw.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # FULL: in WAL mode, NORMAL may lose the last commits at a power cut, after Kafka's offsets were committed for them.
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A writer takes the write lock at once: a transaction that reads first and then finds another writer ahead of it
    # fails with SQLITE_BUSY, however long it was ready to wait.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NOT_WRITABLE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})
_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM})


def _final(text: str) -> StoreError:
    error = StoreError(text)
    error.retriable = False
    return error


def _failed(path: Path, error: BaseException | None) -> StoreError:
    """The error in the words of the store: what is wrong, and the remedy."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest only refines it
    if code in _DAMAGED:
        told = StoreError(
            f"the run store {path} is damaged or no SQLite file ({error}): restore it from a backup, move it away to "
            f"start with an empty store, or name another file in {SETTING}"
        )
    elif code in _NOT_WRITABLE:
        told = StoreError(
            f"the run store {path} cannot be written ({error}): make it and its directory writable for this user"
        )
    elif code == sqlite3.SQLITE_FULL:
        told = StoreError(f"the run store {path} cannot grow ({error}): free space on its disk")
    else:
        told = StoreError(f"the run store {path} failed: {error}")
    told.retriable = code in _PASSING | _NOT_WRITABLE | {sqlite3.SQLITE_FULL}
    return told
