"""An in-memory run store, written from the port's own words: what the databases are compared with."""

from tests.support.memory_store.backend import MemoryBackend
from tests.support.memory_store.store import MemoryDatabase, MemoryRunStore

__all__ = ["MemoryBackend", "MemoryDatabase", "MemoryRunStore"]
