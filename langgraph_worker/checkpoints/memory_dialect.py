"""What the worker needs from LangGraph's store, for each of the two databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from langchain_core.embeddings import Embeddings
from langgraph.store.base import BaseStore, PutOp
from sqlalchemy import Connection

from langgraph_worker.errors import StoreError
from langgraph_worker.graphs.memory_config import MemoryIndex
from langgraph_worker.store.engines.database import Statement, final


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


_ALL = 2**62


def look_at_all(values: list[Any]) -> None:
    """Let a search by meaning choose among all vectors.

    LangGraph's takes the nearest few, and only then drops an item's other vectors, skips what ``offset`` says and
    counts to ``limit``: so later pages are empty, and an item with many vectors hides others.

    :param values: of its query; the last three are: how many vectors, ``limit``, ``offset``.
    """
    values[-3] = _ALL


def wrong_dimensions(index: MemoryIndex, found: int, place: str, remedy: str) -> StoreError:
    """The database has vectors of another model.

    :param found: how many numbers they have.
    :param remedy: what removes them: "execute ...".
    """
    return final(
        f"store.index.dims of langgraph.json is {index.dims}, but the vectors in the run store {place} have {found} "
        f"numbers: correct it, or {remedy}; the items stay, and are found by meaning again when they are put again"
    )


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
