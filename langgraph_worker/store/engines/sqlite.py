"""An SQLite file as the database of one worker process: its lock, its connections, its transactions."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from langgraph_worker.errors import RowError, StoreError, StoreLockedError
from langgraph_worker.settings.store_url import SETTING
from langgraph_worker.store.engines.database import Database, Opened, Statement, final, transaction
from langgraph_worker.store.engines.lasting_disk import disk_risk
from langgraph_worker.store.migrations.migrate import SchemaError, upgrade

_MODE = 0o600  # prompts, checkpoints and results are for the worker's user alone
_BUSY_SECONDS = 10.0  # `langgraph-worker prune` writes to the same file, for milliseconds each

_NEEDED = {
    "journal_mode": "wal",  # readers do not wait for the writer
    # FULL: in WAL mode, NORMAL may lose the last commits at a power cut, after Kafka's offsets were committed for them.
    "synchronous": 2,
    "foreign_keys": 1,
}
"""The settings of each connection, as SQLite reports them."""

_T = TypeVar("_T")


class SqliteDatabase(Database):
    """Transactions on one file, by the threads of one process. Writers queue; readers do not wait.

    :param now: the store's clock.
    """

    setting = SETTING

    def __init__(self, path: Path, *, now: Callable[[], datetime]) -> None:
        self.path = path
        self.place = str(path)
        self.risk = disk_risk(path)
        self._now = now
        self._lock = FileLock(f"{path}.lock", mode=_MODE, thread_local=False)
        self._writer = threading.Lock()
        self._opened = Opened(self.place)

    def open(self, alone: bool) -> None:
        """Take the file for this process, and bring its schema up to date.

        :param alone: False if other processes may have it open too.
        :raises StoreLockedError: another process has it.
        :raises StoreError: it cannot be used; the text says why.
        """
        if alone:
            self._take()
        elif not self.path.is_file():
            raise final(f"the run store {self.path} does not exist: name the worker's in {SETTING}")
        try:
            self._opened.set(_engine(self.path))
            self.read(self._require_settings)
            self._transact(lambda connection, now: upgrade(connection))
        except SchemaError as error:
            self.close()
            raise final(f"the run store {self.path} {error}, or name another file in {SETTING}") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections, then release the lock. Closing twice is harmless."""
        try:
            self._opened.dispose()
        finally:
            self._lock.release()

    def write(self, work: Callable[[Connection, datetime], _T]) -> _T:
        # SQLite has one writer: queueing here wakes at once, its busy handler polls.
        try:
            return self._transact(work)
        except (StoreError, MemoryError):
            raise
        except Exception as error:
            raise RowError.caused_by(error, self.place) from error

    def _transact(self, work: Callable[[Connection, datetime], _T]) -> _T:
        """As :meth:`write`, but what ``work`` itself raises stays as it is."""
        with self._writer, self._explaining(), transaction(self._opened.engine) as connection:
            return work(connection, self._now())

    def read(self, work: Callable[[Connection], _T]) -> _T:
        with self._explaining(), transaction(self._opened.engine, reading=True) as connection:
            return work(connection)

    def time(self, connection: Connection) -> datetime:
        return self._now()

    def execute(self, connection: Connection, statements: Sequence[Statement]) -> None:
        raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
        for statement in statements:
            raw.executemany(statement.sql, statement.rows)

    def bare(self, work: Callable[[Connection], None]) -> None:
        """Run work that makes its own transactions.

        :raises StoreError: the database refused.
        """
        with self._writer, self._explaining(), self._opened.engine.connect() as connection:
            work(connection)

    def _require_settings(self, connection: Connection) -> None:
        # SQLite reports none of them as an error: a file system without shared memory has no WAL, for example.
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in _NEEDED}
        wrong = [f"{name} is {found[name]} and not {value}" for name, value in _NEEDED.items() if found[name] != value]
        if wrong:
            raise final(
                f"the run store {self.path} does not take its settings ({', '.join(wrong)}): put it on a local disk, "
                f"or name another file in {SETTING}"
            )

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            # Not the exception's own text: that repeats the statement and its values.
            raise _failed(self.path, error.orig) from error
        except sqlite3.Error as error:  # from a connection's first statements, or a saver's
            raise _failed(self.path, error) from error

    def _take(self) -> None:
        directory = self.path.parent
        try:
            if not directory.is_dir():
                raise final(
                    f"the directory of the run store {self.path} does not exist: create it, or name another file in "
                    f"{SETTING}"
                )
            if self.path.is_dir():
                raise final(f"the run store {self.path} is a directory: name a file in {SETTING}")
            self._lock.acquire(timeout=0)
            self._keep_private()
        except Timeout:
            raise StoreLockedError(
                f"the run store {self.path} is in use by another worker process (it holds {self._lock.lock_file}). "
                f"An SQLite store serves one process: stop that one, name another file in {SETTING}, or use PostgreSQL"
            ) from None
        except OSError as error:
            raise final(
                f"the run store {self.path} cannot be locked: {error}. Make {directory} writable for this user, "
                f"or name another file in {SETTING}"
            ) from error

    def _keep_private(self) -> None:
        """Let no other user read what runs hold: SQLite gives its further files the mode of the first one."""
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL, _MODE))
        for file in (self.path, *(Path(f"{self.path}{ending}") for ending in ("-wal", "-shm", ".lock"))):
            with suppress(FileNotFoundError, PermissionError):  # not there yet, or another user's to change
                file.chmod(_MODE)


def _engine(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=5,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"timeout": _BUSY_SECONDS},
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: object, record: object) -> None:
    raw: sqlite3.Connection = connection  # type: ignore[assignment]
    raw.isolation_level = None  # transactions begin where _begin says, not where the driver guesses
    cursor = raw.cursor()
    for name, value in _NEEDED.items():
        cursor.execute(f"PRAGMA {name}={value}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A writer takes the write lock at once: a transaction that reads first and then finds another writer ahead of it
    # fails with SQLITE_BUSY, however long it was ready to wait.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NOT_WRITABLE = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})
_OF_A_ROW = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG})
_PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM})


def _failed(path: Path, error: BaseException | None) -> StoreError:
    """The error as a StoreError with the remedy."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest only refines it
    # The driver itself has no code for it: text that is no UTF-8, a value of a type that it does not know.
    by_driver = isinstance(error, sqlite3.OperationalError | sqlite3.InterfaceError | sqlite3.DataError) and not code
    if code in _OF_A_ROW or by_driver:
        return RowError(f"the run store {path} refuses a row: {error}")
    if code in _DAMAGED:
        text = (
            f"the run store {path} is damaged or no SQLite file ({error}): restore it from a backup, move it away to "
            f"start with an empty store, or name another file in {SETTING}"
        )
    elif code in _NOT_WRITABLE:
        text = f"the run store {path} cannot be written ({error}): make it and its directory writable for this user"
    elif code == sqlite3.SQLITE_FULL:
        text = f"the run store {path} cannot grow ({error}): free space on its disk"
    else:
        text = f"the run store {path} failed: {error}"
    return StoreError(text, retriable=code in _PASSING | _NOT_WRITABLE | {sqlite3.SQLITE_FULL})
