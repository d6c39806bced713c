"""What the worker needs from LangGraph's store, for each of the two databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore, PutOp
from sqlalchemy import Connection

from langgraph_worker.graphs.memory_config import MemoryIndex
from langgraph_worker.store.engines.database import Statement


class MemoryDialect(Protocol):
    """One database's store."""

    def setup(self) -> None:
        """Create or upgrade LangGraph's tables. Blocks.

        :raises StoreError: the database failed, or it cannot keep vectors and the index needs it to.
        """

    def record(self, puts: Sequence[PutOp], embeddings: Embeddings | None) -> Sequence[Statement]:
        """Record what LangGraph's store would execute, with every value in its stored form. From any thread.

        :param embeddings: gives the vectors, at once; None without an index.
        """

    def reader(self, connection: Connection, embeddings: Embeddings | None) -> BaseStore:
        """LangGraph's store for reading in the connection's transaction."""


def index_config(index: MemoryIndex | None, embeddings: Embeddings | None) -> Any:
    """LangGraph's ``index`` argument. Its SQLite store has another name for ``fields``.

    Without pgvector's approximate index: LangGraph's own query does not use it, and it has a limit of 2,000 dimensions.
    """
    if index is None:
        return None
    fields = list(index.fields)
    return {
        "dims": index.dims,
        "embed": embeddings or index.embeddings,
        "fields": fields,
        "text_fields": fields,
        "ann_index_config": {"kind": "flat", "vector_type": "vector"},
    }
