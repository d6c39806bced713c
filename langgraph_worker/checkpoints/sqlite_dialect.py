"""LangGraph's SQLite saver. Its ``cursor()`` is documented as internal: a contract test pins it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from langgraph.checkpoint.sqlite import SqliteSaver
from sqlalchemy import Connection

from langgraph_worker.checkpoints.dialect import Dialect, Recording, Saver
from langgraph_worker.checkpoints.serializer import NamingSerializer
from langgraph_worker.store.engines.database import Statement
from langgraph_worker.store.engines.sqlite import SqliteDatabase

_T = TypeVar("_T")
_NO_CONNECTION = cast(sqlite3.Connection, None)


class _Recorder(SqliteSaver):
    def __init__(self, serde: NamingSerializer) -> None:
        super().__init__(_NO_CONNECTION, serde=serde)
        self.recording = Recording()

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[Any]:
        yield self.recording


class _Reader(SqliteSaver):
    """Reads in a transaction of the caller's; the tables exist."""

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        yield self.conn.cursor()


class SqliteCheckpoints(Dialect):
    """Checkpoints in the run store's file."""

    def __init__(self, database: SqliteDatabase, serde: NamingSerializer) -> None:
        self._database = database
        self._serde = serde
        self._recorder = _Recorder(self._serde)

    def setup(self) -> None:
        def create(connection: Connection) -> None:
            # Without a transaction of SQLAlchemy's: the saver begins and ends its own.
            SqliteSaver(_raw(connection)).setup()

        self._database.bare(create)

    def record(self, put: Callable[[Saver], _T]) -> tuple[_T, Sequence[Statement]]:
        self._recorder.recording = recording = Recording()
        return put(self._recorder), recording.statements

    def reader(self, connection: Connection) -> Saver:
        return _Reader(_raw(connection), serde=self._serde)

    def next_version(self, current: Any) -> Any:
        return self._recorder.get_next_version(current, None)


def _raw(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)
