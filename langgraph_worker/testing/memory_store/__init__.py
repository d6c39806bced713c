"""An in-memory run store, written from the port's own words: what the databases are compared with."""

from langgraph_worker.testing.memory_store.store import MemoryDatabase, MemoryRunStore

__all__ = ["MemoryDatabase", "MemoryRunStore"]
