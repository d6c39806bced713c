"""LangGraph's PostgreSQL store. Its ``_cursor()`` is private: a contract test pins it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore, PutOp, SearchOp
from langgraph.store.postgres import PostgresStore
from sqlalchemy import Connection

from langgraph_worker.checkpoints.dialect import Recording
from langgraph_worker.checkpoints.memory_dialect import MemoryDialect, index_config, look_at_all, wrong_dimensions
from langgraph_worker.checkpoints.postgres_dialect import frozen
from langgraph_worker.graphs.memory_config import MemoryIndex
from langgraph_worker.store.engines.database import Statement, final
from langgraph_worker.store.engines.postgres import PostgresDatabase

_NO_CONNECTION = cast("psycopg.Connection[dict[str, Any]]", None)
_MAX_DIMENSIONS = 16_000
"""The most that pgvector's type ``vector`` has."""

_EXTENSION = b"""
SELECT exists(SELECT FROM pg_extension WHERE extname = 'vector'),
    exists(SELECT FROM pg_available_extensions WHERE name = 'vector')
"""
_UNSEEN_SCHEMA = b"""
SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector' AND to_regtype('vector') IS NULL
"""
_COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_FORGET_VECTORS = """
DELETE FROM store_vectors USING unnest(%s::text[], %s::text[]) AS put (prefix, key)
WHERE store_vectors.prefix = put.prefix AND store_vectors.key = put.key
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


class _Reader(PostgresStore):
    def _get_filter_condition(self, key: str, op: str, value: Any) -> tuple[str, list[Any]]:
        """As LangGraph's, but numbers are compared as numbers: as texts, 9 is more than 10."""
        comparison = _COMPARISONS.get(op)
        if comparison is None or not isinstance(value, int | float):
            return super()._get_filter_condition(key, op, value)
        is_number = "jsonb_typeof(value->%s) = 'number'"
        return f"CASE WHEN {is_number} THEN (value->>%s)::numeric {comparison} %s::numeric END", [key, key, value]

    def _prepare_batch_search_queries(
        self, search_ops: Sequence[tuple[int, SearchOp]]
    ) -> tuple[list[tuple[str, list[Any]]], list[tuple[int, str]]]:
        """As LangGraph's, but the search by meaning looks at all vectors, and one without direction comes last."""
        queries, wanted = super()._prepare_batch_search_queries(search_ops)
        for number, _ in wanted:
            query, values = queries[number]
            look_at_all(values)
            query = query.replace("1 - uniq.neg_score", "1 - nullif(uniq.neg_score, 'NaN')")
            queries[number] = query.replace("ORDER BY score DESC", "ORDER BY score DESC NULLS LAST"), values
        return queries, wanted


class PostgresMemory(MemoryDialect):
    """Long-term memory in the run store's database."""

    def __init__(self, database: PostgresDatabase, index: MemoryIndex | None) -> None:
        self._database = database
        self._index = index

    def setup(self) -> None:
        with self._database.alone() as connection:
            if self._index is not None:
                self._require_few_dimensions(self._index)
                self._require_vectors(connection)
                self._require_seen_vectors(connection)
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

    def _require_seen_vectors(self, connection: psycopg.Connection[Any]) -> None:
        for (schema,) in connection.execute(_UNSEEN_SCHEMA):
            raise final(
                f"store.index of langgraph.json needs the extension pgvector, which the database of the run store "
                f"{self._database.place} has in the schema {schema}, and this user does not find it there: grant USAGE "
                f"ON SCHEMA {schema} and add it to the user's search_path (ALTER ROLE ... SET search_path = public, "
                f"{schema}), or move it (ALTER EXTENSION vector SET SCHEMA public)"
            )

    def _require_few_dimensions(self, index: MemoryIndex) -> None:
        if index.dims > _MAX_DIMENSIONS:
            raise final(
                f"store.index.dims of langgraph.json is {index.dims}, and pgvector, which the run store "
                f"{self._database.place} needs for it, has at most {_MAX_DIMENSIONS}: use a model with fewer"
            )

    def _require_dimensions(self, connection: psycopg.Connection[Any], index: MemoryIndex) -> None:
        row = connection.execute(_DIMENSIONS).fetchone()
        if row is not None and row[0] != index.dims:
            remedy = "execute DROP TABLE store_vectors, vector_migrations"
            raise wrong_dimensions(index, row[0], self._database.place, remedy)

    def record(self, puts: Sequence[PutOp], embeddings: Embeddings | None) -> Sequence[Statement]:
        recorder = _Recorder(index_config(self._index, embeddings))
        changed = [op for op in puts if op.value is not None]
        if self._index is not None and changed:
            # LangGraph writes the new vectors over the old ones, but leaves those that the new value has none for.
            prefixes, keys = [".".join(op.namespace) for op in changed], [op.key for op in changed]
            recorder.recording.execute(_FORGET_VECTORS, (prefixes, keys))
        recorder.batch(puts)
        return recorder.recording.statements

    def reader(self, connection: Connection, embeddings: Embeddings | None) -> BaseStore:
        raw = cast("psycopg.Connection[dict[str, Any]]", connection.connection.driver_connection)
        return _Reader(raw, index=index_config(self._index, embeddings))
