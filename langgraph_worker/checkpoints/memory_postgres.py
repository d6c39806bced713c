"""LangGraph's PostgreSQL store. Its ``_cursor()`` is private: a contract test pins it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore, PutOp
from langgraph.store.postgres import PostgresStore
from sqlalchemy import Connection

from langgraph_worker.checkpoints.dialect import Recording
from langgraph_worker.checkpoints.memory_dialect import MemoryDialect, index_config
from langgraph_worker.checkpoints.postgres_dialect import frozen
from langgraph_worker.graphs.memory_config import MemoryIndex
from langgraph_worker.store.engines.database import Statement, final
from langgraph_worker.store.engines.postgres import PostgresDatabase

_NO_CONNECTION = cast("psycopg.Connection[dict[str, Any]]", None)
_EXTENSION = b"""
SELECT exists(SELECT FROM pg_extension WHERE extname = 'vector'),
    exists(SELECT FROM pg_available_extensions WHERE name = 'vector')
"""
_DIMENSIONS = b"""
SELECT atttypmod FROM pg_attribute
WHERE attrelid = to_regclass('store_vectors') AND attname = 'embedding' AND atttypmod > 0
"""


class _Recorder(PostgresStore):
    def __init__(self, index: Any) -> None:
        super().__init__(_NO_CONNECTION, index=index)
        self.recording = Recording(frozen)

    @contextmanager
    def _cursor(self, *, pipeline: bool = False) -> Iterator[Any]:
        yield self.recording


class PostgresMemory(MemoryDialect):
    """Long-term memory in the run store's database."""

    def __init__(self, database: PostgresDatabase, index: MemoryIndex | None) -> None:
        self._database = database
        self._index = index

    def setup(self) -> None:
        with self._database.alone() as connection:
            if self._index is not None:
                self._require_vectors(connection)
            PostgresStore(connection, index=index_config(self._index, None)).setup()
            if self._index is not None:
                self._require_dimensions(connection, self._index)

    def _require_vectors(self, connection: psycopg.Connection[Any]) -> None:
        is_there, can_be_made = connection.execute(_EXTENSION).fetchone() or (False, False)
        if is_there:
            return
        place = f"the database of the run store {self._database.place}"
        if not can_be_made:
            raise final(
                f"store.index of langgraph.json needs the extension pgvector, and the server of {place} does not have "
                "it: install pgvector on that server, or remove store.index"
            )
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except psycopg.errors.InsufficientPrivilege:
            raise final(
                f"store.index of langgraph.json needs the extension pgvector in {place}, and this user may not create "
                "it: let an administrator execute CREATE EXTENSION vector there, or remove store.index"
            ) from None

    def _require_dimensions(self, connection: psycopg.Connection[Any], index: MemoryIndex) -> None:
        row = connection.execute(_DIMENSIONS).fetchone()
        if row is not None and row[0] != index.dims:
            raise final(
                f"store.index.dims of langgraph.json is {index.dims}, but the vectors in the run store "
                f"{self._database.place} have {row[0]} numbers: correct it, or execute DROP TABLE store_vectors, "
                "vector_migrations; the items stay, and are found by meaning again when they are put again"
            )

    def record(self, puts: Sequence[PutOp], embeddings: Embeddings | None) -> Sequence[Statement]:
        recorder = _Recorder(index_config(self._index, embeddings))
        recorder.batch(puts)
        return recorder.recording.statements

    def reader(self, connection: Connection, embeddings: Embeddings | None) -> BaseStore:
        raw = cast("psycopg.Connection[dict[str, Any]]", connection.connection.driver_connection)
        return PostgresStore(raw, index=index_config(self._index, embeddings))
