"""Turn texts into vectors before a transaction begins: an embedding may take seconds, and ask another server."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable, Mapping, Sequence

from langchain_core.embeddings import Embeddings
from langgraph.store.base.embed import EmbeddingsLambda

from langgraph_worker.errors import WorkerError
from langgraph_worker.graphs.memory_config import MemoryIndex

_LARGEST = 3.4e38  # about the largest number of four bytes, as both databases store it

Vectors = Mapping[str, Sequence[float]]
"""Texts, each with its vector."""


class EmbeddingError(WorkerError, ValueError):
    """The embedding function of ``langgraph.json`` gave no vector of ``dims`` numbers for a text."""


class Embedder:
    """The project's embedding function. May be used by any thread.

    :param index: None: nothing is embedded.
    """

    def __init__(self, index: MemoryIndex | None) -> None:
        self._index = index

    async def embed(self, texts: Iterable[str]) -> Vectors:
        """The vectors. A function that is not asynchronous runs in one of the threads of synchronous nodes.

        :raises EmbeddingError: what it gave is no vector of the right length. What it raises itself stays as it is.
        """
        wanted = list(dict.fromkeys(texts))
        if self._index is None or not wanted:
            return {}
        return self._checked(self._index, wanted, await self._index.embeddings.aembed_documents(wanted))

    def embed_here(self, texts: Iterable[str], loop: asyncio.AbstractEventLoop) -> Vectors:
        """The same in the calling thread, which is not the event loop's: it needs no other thread, all may be busy.

        :param loop: where an asynchronous function runs.
        """
        wanted = list(dict.fromkeys(texts))
        if self._index is None or not wanted:
            return {}
        embeddings = self._index.embeddings
        if isinstance(embeddings, EmbeddingsLambda) and _is_async(embeddings):
            return asyncio.run_coroutine_threadsafe(self.embed(wanted), loop).result()
        return self._checked(self._index, wanted, embeddings.embed_documents(wanted))

    @staticmethod
    def _checked(index: MemoryIndex, texts: Sequence[str], found: object) -> Vectors:
        expected = f"it must give {len(texts)} vectors, each a list of {index.dims} numbers (store.index.dims)"
        try:
            vectors = [[float(number) for number in vector] for vector in found]  # type: ignore[attr-defined]
        except (TypeError, ValueError) as error:
            raise EmbeddingError(f"langgraph.json: store.index.embed: {expected}: {error}") from None
        lengths = sorted({len(vector) for vector in vectors})
        if len(vectors) != len(texts) or lengths != [index.dims]:
            gave = f"{len(vectors)} vectors of {' and '.join(map(str, lengths))} numbers"
            raise EmbeddingError(f"langgraph.json: store.index.embed gave {gave}; {expected}")
        for number in (number for vector in vectors for number in vector):
            if not abs(number) <= _LARGEST:  # also of nan
                raise EmbeddingError(
                    f"langgraph.json: store.index.embed gave the number {number}; all must be finite, and at most "
                    f"{_LARGEST:.1e}"
                )
        return dict(zip(texts, vectors, strict=True))


def _is_async(embeddings: EmbeddingsLambda) -> bool:
    function = getattr(embeddings, "afunc", None)
    called = getattr(function, "__call__", None)  # noqa: B004  (of an object that is called like a function)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


class KnownVectors(Embeddings):
    """Gives LangGraph's store the vectors that were made before."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The known vectors."""
        return [list(self._vectors[text]) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """The known vector."""
        return list(self._vectors[text])


class TextsWanted(Embeddings):
    """Notes which texts LangGraph's store would embed."""

    def __init__(self, dims: int) -> None:
        self._dims = dims
        self.texts: list[str] = []

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Note them."""
        self.texts += texts
        return [[0.0] * self._dims for _ in texts]

    def embed_query(self, text: str) -> list[float]:
        """Note it."""
        return self.embed_documents([text])[0]
