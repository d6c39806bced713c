"""LangGraph's long-term memory for graphs that bring none: one for each graph and deployment, within common limits."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from weakref import WeakValueDictionary

import pydantic_core
from langgraph.store.base import GetOp, Op, PutOp, Result
from langgraph.store.memory import InMemoryStore

from langgraph_worker.errors import MemoryFullError

_Place = tuple[tuple[str, ...], str]  # a namespace and a key


class Memories:
    """The memories of one worker; they live as long as its process.

    No graph and no deployment reads what another has written: each has a store of its own, whatever its namespaces are.

    :param max_items: of all memories together.
    :param max_bytes: the same limit in bytes: the items' values as JSON, with their names.
    """

    def __init__(self, max_items: int = 100_000, max_bytes: int = 268_435_456) -> None:
        self._room = _Room(max_items, max_bytes)
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], GraphMemory] = {}
        # One that holds nothing is kept by its runs alone: the names of deployments are anybody's.
        self._known: WeakValueDictionary[tuple[str, str], GraphMemory] = WeakValueDictionary()

    def memory(self, graph: str, deployment: str) -> GraphMemory:
        """The memory of a graph for one deployment; plain requests are of the deployment ``""``."""
        with self._lock:
            self._kept = {name: memory for name, memory in self._kept.items() if not memory.is_empty}
            memory = self._known.get((graph, deployment))
            if memory is None:
                memory = self._known[graph, deployment] = GraphMemory(self._room, self, (graph, deployment))
            return memory

    def keep(self, name: tuple[str, str], memory: GraphMemory) -> None:
        """A memory has items now: it outlives its runs."""
        with self._lock:
            self._kept[name] = memory


class _Room:
    """What all memories hold, and may hold."""

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self._max_items, self._max_bytes = max_items, max_bytes
        self._lock = threading.Lock()
        self._items = self._bytes = 0

    def take(self, items: int, size: int) -> None:
        """Count more items and bytes, or fewer.

        :raises MemoryFullError: it would be more than may be.
        """
        with self._lock:
            if items > 0 and self._items + items > self._max_items:
                raise _full(f"{self._items + items:,} items", "LANGGRAPH_WORKER_MAX_MEMORY_ITEMS", self._max_items)
            if size > 0 and self._bytes + size > self._max_bytes:
                raise _full(f"{self._bytes + size:,} bytes", "LANGGRAPH_WORKER_MAX_MEMORY_BYTES", self._max_bytes)
            self._items += items
            self._bytes += size


def _full(what: str, setting: str, limit: int) -> MemoryFullError:
    return MemoryFullError(
        f"the long-term memory of this worker would hold {what}; {setting}={limit} is its limit, for all graphs "
        "together. Delete what is not needed, give the graph a store of its own (compile(store=...)), or raise it"
    )


class GraphMemory(InMemoryStore):
    """One graph's memory for one deployment. May be used by any thread."""

    def __init__(self, room: _Room, memories: Memories, name: tuple[str, str]) -> None:
        super().__init__()
        self._room = room
        self._memories = memories
        self._name = name
        self._lock = threading.Lock()
        self._sizes: dict[_Place, int] = {}

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing."""
        return not self._sizes

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Execute operations, all or none of those that write.

        :raises MemoryFullError: they would write more than the worker may hold.
        """
        wanted = [_as_kept(op) if isinstance(op, PutOp) else op for op in ops]
        puts = [op for op in wanted if isinstance(op, PutOp)]
        with self._lock:
            was_empty = self.is_empty
            try:
                # LangGraph's store reads before it writes, too. What fails here has neither written nor counted.
                read = iter(super().batch([op for op in wanted if not isinstance(op, PutOp)]))
                self._count({(op.namespace, op.key): op for op in puts})
                super().batch(puts)
            finally:
                self._forget_empty({op.namespace for op in wanted if isinstance(op, GetOp | PutOp)})
        if was_empty and not self.is_empty:
            self._memories.keep(self._name, self)
        return [None if isinstance(op, PutOp) else next(read) for op in wanted]

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """See :meth:`batch`, which waits for nothing."""
        return self.batch(ops)

    def _count(self, puts: dict[_Place, PutOp]) -> None:
        after = {place: _size(op) for place, op in puts.items() if op.value is not None}
        before = {place: self._sizes[place] for place in puts if place in self._sizes}
        self._room.take(len(after) - len(before), sum(after.values()) - sum(before.values()))
        for place in before:
            del self._sizes[place]
        self._sizes.update(after)

    def _forget_empty(self, namespaces: Iterable[tuple[str, ...]]) -> None:
        """LangGraph's store keeps a namespace for ever once it was asked for."""
        for namespace in namespaces:
            for held in (self._data, self._vectors):
                if namespace in held and not held[namespace]:
                    del held[namespace]


def _as_kept(op: PutOp) -> PutOp:
    """A put whose value is a mapping, as LangGraph's store makes one of it.

    :raises TypeError, ValueError: no mapping can be made of it.
    """
    return op if op.value is None else op._replace(value=dict(op.value))


def _size(op: PutOp) -> int:
    try:
        size = len(
            pydantic_core.to_json(op.value, inf_nan_mode="constants", serialize_unknown=True, bytes_mode="base64")
        )
    except ValueError:  # text or a key that is no UTF-8: it has no JSON, and is kept all the same
        size = len(repr(op.value))
    return size + sum(len(part) for part in (*op.namespace, op.key))
