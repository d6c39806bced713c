"""A PostgreSQL database, shared by every worker of a fleet: its URL, its connections, its transactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar, cast

import psycopg
from psycopg import errors as pg
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, StatementError

from langgraph_worker.errors import ConflictError, RowError, StoreError, UnstorableError
from langgraph_worker.settings.store_url import SETTING, parse_url, place_of, servers_of, without_values
from langgraph_worker.store.engines.database import (
    Database,
    DatabaseThread,
    Opened,
    Statement,
    final,
    transaction,
)
from langgraph_worker.store.engines.postgres_indexes import build_concurrently
from langgraph_worker.store.engines.postgres_session import (
    CancelledWaits,
    prepare_session,
    replication_risk,
    require_encoding,
    require_own_session,
    require_settings,
)
from langgraph_worker.store.migrations.migrate import SchemaError, new_indexes, upgrade

_DRIVER = "postgresql+psycopg"
_WANTED = "target_session_attrs"
_MIGRATING = 0x6C67_776B  # the advisory lock of workers that start at the same moment
_LOCK_POLL_SECONDS = 0.1
_MAX_CONFLICTS = 10
_BACK = "bring the replica back, or take it out of synchronous_standby_names"

_T = TypeVar("_T")

# Another transaction was in the way: the same transaction succeeds when it is repeated.
_CONFLICTS = (
    ConflictError,
    pg.SerializationFailure,
    pg.DeadlockDetected,
    pg.UniqueViolation,
    pg.ForeignKeyViolation,
)
_NOT_ALLOWED = (pg.InsufficientPrivilege,)
# SQLSTATE classes of errors that pass by themselves: connections, resources, an operator's intervention, the system.
_PASSING_CLASSES = ("08", "53", "57", "58", "40")
# SQLSTATE classes of errors that lie in what a row holds: too many or too large values, a constraint, a damaged page.
_ROW_CLASSES = ("21", "23", "54", "XX")
_PASSING = (pg.LockNotAvailable, pg.ReadOnlySqlTransaction, pg.IdleInTransactionSessionTimeout)


def server_url(url: str) -> URL:
    """The URL with the driver that this package uses. Of several servers, the one that takes writes."""
    parsed = parse_url(url).set(drivername=_DRIVER)
    if len(servers_of(parsed)) == 1 or _WANTED in parsed.query:
        return parsed
    return parsed.update_query_dict({_WANTED: "read-write"})


class PostgresDatabase(Database):
    """Transactions on one database, READ COMMITTED, durable at commit, whatever its own defaults are.

    :param lease_seconds: the server ends a transaction that stands idle for half of it: a worker that was stopped
        within a transaction would keep its rows locked, and no other could take its runs over.
    :param now: the store's clock; None is the database's own.
    """

    setting = SETTING

    def __init__(self, url: str, *, lease_seconds: float, now: Callable[[], datetime] | None = None) -> None:
        self._url = server_url(url)
        self._now = now
        self._idle_seconds = max(1.0, lease_seconds / 2)
        self.place = place_of(self._url)
        self.risk = ""
        self._cancelled_waits = CancelledWaits()
        # Commits that a replica may not have although they may stand, and how many of them it has by now.
        self._in_doubt = self._settled = 0
        self._opened = Opened(self.place)

    def open(self, alone: bool) -> None:
        self._opened.set(_engine(self._url, self._idle_seconds, self._cancelled_waits))
        try:
            with self.alone() as connection:
                self._require_sessions(connection)
                self.risk = replication_risk(connection, self.place)
                build_concurrently(connection, self._transact(lambda opened, _: new_indexes(opened)))
                # Repeated if a worker of the version before was in the way.
                self._transact(lambda connection, _: upgrade(connection))
        except SchemaError as error:
            self.close()
            raise final(f"the run store {self.place} {error}, or name another database in {SETTING}") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._opened.dispose()

    def write(self, work: Callable[[Connection, datetime], _T]) -> _T:
        try:
            return self._transact(work)
        except (StoreError, MemoryError):
            raise
        except Exception as error:
            raise RowError.caused_by(_origin(error), self.place) from error

    def _transact(self, work: Callable[[Connection, datetime], _T]) -> _T:
        """As :meth:`write`, but what ``work`` itself raises stays as it is."""
        conflicts = 0
        while True:
            try:
                return self._commit(work)
            except (DBAPIError, psycopg.Error, ConflictError) as error:
                conflicts += 1
                if not isinstance(_origin(error), _CONFLICTS) or conflicts > _MAX_CONFLICTS:
                    raise self._failed(error) from error

    def _commit(self, work: Callable[[Connection, datetime], _T]) -> _T:
        """One transaction. A commit that may be on this server alone is no commit: the next one has to wait for the
        replicas, also if it finds nothing left to write.
        """
        before = self._in_doubt
        self._cancelled_waits.take()
        try:
            with transaction(self._opened.engine) as connection:
                if before > self._settled:
                    connection.execute(text("SELECT txid_current()"))  # only a transaction with an id waits
                result = work(connection, self.time(connection))
            if self._cancelled_waits.take():
                raise StoreError(f"a commit in {self.place} no longer waits for its replica: {_BACK}")
        except BaseException:
            self._in_doubt += 1
            raise
        self._settled = max(self._settled, before)
        return result

    def read(self, work: Callable[[Connection], _T]) -> _T:
        try:
            with transaction(self._opened.engine) as connection:
                return work(connection)
        except (DBAPIError, psycopg.Error) as error:
            raise self._failed(error) from error

    def execute(self, connection: Connection, statements: Sequence[Statement]) -> None:
        raw = _raw(connection)
        with raw.pipeline(), raw.cursor(binary=True) as cursor:
            for statement in statements:
                if statement.many:
                    cursor.executemany(statement.sql, statement.rows)
                else:
                    cursor.execute(statement.sql, statement.rows[0])

    @contextmanager
    def alone(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection without a transaction. No other worker is in such a block at the same time.

        :raises StoreError: the database failed.
        """
        try:
            with self._opened.engine.connect() as pooled:
                connection = pooled.execution_options(isolation_level="AUTOCOMMIT")
                # Polled, not awaited in the database: LangGraph's savers create indexes concurrently, which waits for
                # every older statement, also for one that waits for this lock.
                while not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _MIGRATING}).scalar():
                    time.sleep(_LOCK_POLL_SECONDS)
                try:
                    yield _raw(connection)
                finally:
                    connection.invalidate()  # and with it the lock
        except (DBAPIError, psycopg.Error) as error:
            raise self._explained(error) from error

    def _require_sessions(self, alone: psycopg.Connection[Any]) -> None:
        """Check what only a look at the server can show.

        :param alone: of :meth:`alone`.
        :raises StoreError: the protocol cannot rely on this database's sessions.
        """
        with self._opened.engine.connect() as other:
            require_own_session(_raw(other), _MIGRATING, self.place)
        require_encoding(alone, self.place)
        require_settings(alone, self.place)

    def time(self, connection: Connection) -> datetime:
        if self._now is not None:
            return self._now()
        # Not now(), which is when the transaction began: since then it may have waited for its first lock.
        found: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return found

    def _failed(self, error: DBAPIError | psycopg.Error | ConflictError) -> StoreError:
        """As :meth:`_explained`, of a transaction. A server that takes no writes now is left by every session: another
        one is the primary, and those that only read would never notice.
        """
        if isinstance(_origin(error), pg.ReadOnlySqlTransaction):
            self._opened.leave_sessions()
        return self._explained(error)

    def _explained(self, error: DBAPIError | psycopg.Error | ConflictError) -> StoreError:
        """The error as a StoreError with the remedy. Its text never holds the statement and its values."""
        cause = _origin(error)
        if not isinstance(cause, psycopg.Error):
            return RowError.caused_by(cause, self.place)
        reason = next(iter(without_values(str(cause), self._url).strip().splitlines()), type(cause).__name__)
        if isinstance(cause, _NOT_ALLOWED):
            return final(
                f"the run store {self.place} does not allow it ({reason}): the user of {SETTING} must own the schema, "
                "or be granted it"
            )
        if isinstance(cause, psycopg.DataError):
            return UnstorableError(f"the run store {self.place} cannot keep a value: {reason}")
        if (cause.sqlstate or "")[:2] in _ROW_CLASSES:
            return RowError(f"the run store {self.place} refuses a row: {reason}")
        if cause.sqlstate is None and _passes(cause):
            # Also a wrong password, or a database that does not exist: libpq has only a text for it.
            remedy = f"start the database, or correct {SETTING}"
            return StoreError(f"the run store {self.place} cannot be reached ({reason}): {remedy}")
        return StoreError(f"the run store {self.place} failed: {reason}", retriable=_passes(cause))


def _origin(error: Exception) -> Exception:
    """What the driver raised, or the transaction's own code."""
    origin = error.orig if isinstance(error, StatementError) else None
    return origin if isinstance(origin, Exception) else error


def _passes(cause: psycopg.Error) -> bool:
    state = cause.sqlstate
    if state is None:  # no error of the server: the connection broke, or none could be made
        return isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError))
    return isinstance(cause, _PASSING) or state[:2] in _PASSING_CLASSES


def _engine(url: URL, idle_seconds: float, cancelled_waits: CancelledWaits) -> Engine:
    engine = create_engine(
        url,
        pool_size=len(DatabaseThread) + 1,  # and the leases' thread
        max_overflow=2,
        hide_parameters=True,
        connect_args={
            "connect_timeout": 5,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
            "application_name": url.query.get("application_name", "langgraph-worker"),
        },
    )

    def prepare(connection: psycopg.Connection[Any], record: object) -> None:
        prepare_session(connection, idle_seconds, str(url.query.get("options", "")))
        cancelled_waits.watch(connection)

    event.listen(engine, "connect", prepare, insert=True)  # before SQLAlchemy's own first query
    return engine


def _raw(pooled: Connection) -> psycopg.Connection[Any]:
    return cast("psycopg.Connection[Any]", pooled.connection.driver_connection)
