"""Vectors without a model: how often each of three words is in a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.store.base.embed import ensure_embeddings

from langgraph_worker.graphs.memory_config import MemoryConfig, MemoryIndex

WORDS = ("tea", "rain", "code")


def vectors(texts: Sequence[str]) -> list[list[float]]:
    """Texts about the same thing are near each other."""
    return [[float(text.count(word)) + 0.1 for word in WORDS] for text in texts]


def word_index(embed: Any = vectors, fields: tuple[str, ...] = ("$",), dims: int = 3) -> MemoryConfig:
    """The configuration of a memory that finds by meaning."""
    return MemoryConfig(MemoryIndex(dims, ensure_embeddings(embed), fields))
