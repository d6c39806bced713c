"""A PostgreSQL database, shared by every worker of a fleet: its URL, its connections, its transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar, cast

import psycopg
from psycopg import errors as pg
from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from langgraph_worker.errors import StoreError, UnstorableError
from langgraph_worker.store.database import Database, Lane, Opened, Statement, final, transaction
from langgraph_worker.store.migrate import SchemaError, upgrade

SETTING = "LANGGRAPH_WORKER_STORE_URL"
_DRIVER = "postgresql+psycopg"
_MIGRATING = 0x6C67_776B  # the advisory lock of workers that start at the same moment
_LOOK_AGAIN = 0.1  # seconds
_CONFLICTS_IN_A_ROW = 10

_T = TypeVar("_T")

# Another transaction was in the way: the same again goes through.
_CONFLICTS = (pg.SerializationFailure, pg.DeadlockDetected, pg.UniqueViolation, pg.ForeignKeyViolation)
_NOT_ALLOWED = (pg.InsufficientPrivilege,)
# SQLSTATE classes whose trouble passes: connections, resources, an operator's intervention, the system's own.
_PASSING_CLASSES = ("08", "53", "57", "58", "40")
_PASSING = (pg.LockNotAvailable, pg.ReadOnlySqlTransaction, pg.IdleInTransactionSessionTimeout)


def server_url(url: str) -> URL:
    """The URL with this package's driver."""
    return make_url(url).set(drivername=_DRIVER)


class PostgresDatabase(Database):
    """Transactions on one database, READ COMMITTED, durable at commit.

    :param lease_seconds: a transaction that stands idle for half of it is ended by the server: a worker that was
        stopped within one would keep its rows locked, and nobody could take its runs over.
    :param now: the store's clock; None is the database's own.
    """

    setting = SETTING

    def __init__(self, url: str, *, lease_seconds: float, now: Callable[[], datetime] | None = None) -> None:
        self._url = server_url(url)
        self._now = now
        self._idle = max(1.0, lease_seconds / 2)
        self.place = f"{self._url.host or 'localhost'}:{self._url.port or 5432}/{self._url.database}"
        self._opened = Opened(self.place)

    def open(self, alone: bool) -> None:
        self._opened.set(_engine(self._url, self._idle))
        try:
            with self.alone():
                # Written again if a worker of the version before was in the way, as it writes its own again.
                self.write(lambda connection, _: upgrade(connection))
        except SchemaError as error:
            self.close()
            raise final(f"the run store {self.place} {error}, or name another database in {SETTING}") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._opened.dispose()

    def write(self, work: Callable[[Connection, datetime], _T]) -> _T:
        conflicts = 0
        while True:
            try:
                with transaction(self._opened.engine) as connection:
                    return work(connection, self.time(connection))
            except (DBAPIError, psycopg.Error) as error:
                conflicts += 1
                if not isinstance(_origin(error), _CONFLICTS) or conflicts > _CONFLICTS_IN_A_ROW:
                    raise self._explained(error) from error

    def read(self, work: Callable[[Connection], _T]) -> _T:
        try:
            with transaction(self._opened.engine) as connection:
                return work(connection)
        except (DBAPIError, psycopg.Error) as error:
            raise self._explained(error) from error

    def execute(self, connection: Connection, statements: Sequence[Statement]) -> None:
        raw: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
        with raw.pipeline(), raw.cursor(binary=True) as cursor:
            for statement in statements:
                if statement.many:
                    cursor.executemany(statement.sql, statement.rows)
                else:
                    cursor.execute(statement.sql, statement.rows[0])

    @contextmanager
    def alone(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection of its own without a transaction, and no other worker in such a block at the same time.

        :raises StoreError: the database failed.
        """
        try:
            with self._opened.engine.connect() as pooled:
                connection = pooled.execution_options(isolation_level="AUTOCOMMIT")
                # Not by waiting in the database: LangGraph's savers make indexes concurrently, and so wait for every
                # statement that was there before them, also for one that waits for this lock.
                while not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _MIGRATING}).scalar():
                    time.sleep(_LOOK_AGAIN)
                try:
                    yield cast("psycopg.Connection[Any]", connection.connection.driver_connection)
                finally:
                    connection.invalidate()  # and with it the lock
        except (DBAPIError, psycopg.Error) as error:
            raise self._explained(error) from error

    def time(self, connection: Connection) -> datetime:
        if self._now is not None:
            return self._now()
        # Not now(), the transaction's beginning: it may have waited for its first lock.
        found: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return found

    def _explained(self, error: DBAPIError | psycopg.Error) -> StoreError:
        """The error in the words of the store: what is wrong, and the remedy. Never the statement and its values."""
        cause = _origin(error)
        said = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        if isinstance(cause, _NOT_ALLOWED):
            return final(
                f"the run store {self.place} does not allow it ({said}): the user of {SETTING} must own the schema, or "
                "be granted it"
            )
        if isinstance(cause, psycopg.DataError):
            return UnstorableError(f"the run store {self.place} cannot keep a value: {said}")
        if getattr(cause, "sqlstate", None) is None and _passes(cause):
            # Also a wrong password, or a database that does not exist: libpq has only a text for it.
            remedy = f"start the database, or correct {SETTING}"
            return StoreError(f"the run store {self.place} cannot be reached ({said}): {remedy}")
        told = StoreError(f"the run store {self.place} failed: {said}")
        told.retriable = _passes(cause)
        return told


def _origin(error: DBAPIError | psycopg.Error) -> BaseException:
    if isinstance(error, DBAPIError):
        return error.orig if error.orig is not None else error
    return error


def _passes(cause: BaseException) -> bool:
    state = getattr(cause, "sqlstate", None)
    if state is None:  # not the server's word: the connection broke, or none could be made
        return isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError))
    return isinstance(cause, _PASSING) or state[:2] in _PASSING_CLASSES


def _engine(url: URL, idle_seconds: float) -> Engine:
    options = (
        f"-c idle_in_transaction_session_timeout={int(idle_seconds * 1000)} -c statement_timeout=60000 "
        "-c lock_timeout=20000"
    )
    given = dict(url.query)
    return create_engine(
        url,
        pool_size=len(Lane) + 1,  # and the leases' thread
        max_overflow=2,
        hide_parameters=True,
        connect_args={
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
            "application_name": given.get("application_name", "langgraph-worker"),
            "options": given.get("options", options),
        },
    )
