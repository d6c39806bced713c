"""LangGraph's SQLite store. Its ``_cursor()`` is private: a contract test pins it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore, PutOp, SearchOp
from langgraph.store.sqlite import SqliteStore
from sqlalchemy import Connection

from langgraph_worker.checkpoints.dialect import Recording
from langgraph_worker.checkpoints.memory_dialect import MemoryDialect, index_config, look_at_all, wrong_dimensions
from langgraph_worker.checkpoints.vector_distance import prepare_distances
from langgraph_worker.graphs.memory_config import MemoryIndex
from langgraph_worker.store.engines.database import Statement
from langgraph_worker.store.engines.sqlite import SqliteDatabase

_NUMBER_BYTES = 4
_BYTES = "SELECT length(embedding) FROM store_vectors LIMIT 1"


class _NoConnection:
    """Of a store that only records."""

    def create_function(self, *_: Any, **__: Any) -> None:
        """Nothing is executed."""


class _WithoutExtensions:
    """A connection on which LangGraph may create its tables for vectors where SQLite loads no extensions."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw

    def enable_load_extension(self, _: bool) -> None:
        """No table needs one."""

    def load_extension(self, *_: Any, **__: Any) -> None:
        """No table needs one."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


class _Recorder(SqliteStore):
    def __init__(self, index: Any) -> None:
        super().__init__(cast(sqlite3.Connection, _NoConnection()), index=index)
        self.recording = Recording(_frozen)

    @contextmanager
    def _cursor(self, *, transaction: bool = True) -> Iterator[Any]:
        yield self.recording


class _Reader(SqliteStore):
    """Reads in a transaction of the caller's; the tables exist."""

    @contextmanager
    def _cursor(self, *, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        yield self.conn.cursor()

    def _prepare_batch_search_queries(
        self, search_ops: Sequence[tuple[int, SearchOp]]
    ) -> tuple[list[tuple[str, list[Any], bool]], list[tuple[int, str]]]:
        """As LangGraph's, but the search by meaning looks at all vectors."""
        queries, wanted = super()._prepare_batch_search_queries(search_ops)
        for number, _ in wanted:
            look_at_all(queries[number][1])
        return queries, wanted


class SqliteMemory(MemoryDialect):
    """Long-term memory in the run store's file."""

    def __init__(self, database: SqliteDatabase, index: MemoryIndex | None) -> None:
        self._database = database
        self._index = index

    def setup(self) -> None:
        def create(connection: Connection) -> None:
            # Without a transaction of SQLAlchemy's: LangGraph begins and ends its own.
            plain = cast(sqlite3.Connection, _WithoutExtensions(_raw(connection)))
            SqliteStore(plain, index=index_config(self._index, None)).setup()
            if self._index is not None:
                self._require_dimensions(plain, self._index)

        self._database.bare(create)

    def _require_dimensions(self, connection: sqlite3.Connection, index: MemoryIndex) -> None:
        row = connection.execute(_BYTES).fetchone()
        found = row[0] // _NUMBER_BYTES if row else index.dims
        if found != index.dims:
            raise wrong_dimensions(index, found, self._database.place, "execute DELETE FROM store_vectors")

    def record(self, puts: Sequence[PutOp], embeddings: Embeddings | None) -> Sequence[Statement]:
        recorder = _Recorder(index_config(self._index, embeddings))
        recorder.batch(puts)
        return recorder.recording.statements

    def reader(self, connection: Connection, embeddings: Embeddings | None) -> BaseStore:
        raw = _raw(connection)
        if self._index is not None:
            prepare_distances(raw)
        return _Reader(raw, index=index_config(self._index, embeddings))


def _raw(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def _frozen(values: Sequence[Any]) -> list[Any]:
    """The values with instants as SQLite's CURRENT_TIMESTAMP writes them: they are compared as texts."""
    return [f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else value for value in values]
