"""LangGraph's long-term memory for graphs that bring none: in the run store's database, shared by the fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from langgraph.store.base import BaseStore, Op, PutOp, Result
from sqlalchemy import Connection

from langgraph_worker.checkpoints.memory_dialect import MemoryDialect
from langgraph_worker.checkpoints.memory_namespaces import inside, outside
from langgraph_worker.checkpoints.memory_ops import Asked, asked, key_of, still, storable, to_refresh
from langgraph_worker.checkpoints.memory_vectors import Embedder, KnownVectors, TextsWanted, Vectors
from langgraph_worker.domain.memory import MemoryLimits, MemoryName
from langgraph_worker.domain.models import Claim
from langgraph_worker.errors import LeaseLostError, MemoryFullError, MemoryValueError, NoRoomError, RowError
from langgraph_worker.graphs.memory_config import MemoryConfig, MemoryIndex
from langgraph_worker.store.engines.sqlite import SqliteDatabase
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.store.sql import memory_writes
from langgraph_worker.store.sql.memory_rows import ItemKey
from langgraph_worker.store.sql.memory_store import SWEPT_AT_ONCE
from langgraph_worker.store.sql.memory_writes import PutMemory
from langgraph_worker.store.sql.run_store import SqlRunStore


class Memories:
    """The memories in one run store. No graph and no deployment reads what another has written.

    :param store: open.
    :param config: the project's ``store`` in ``langgraph.json``.
    """

    def __init__(
        self, store: SqlRunStore, config: MemoryConfig | None = None, limits: MemoryLimits | None = None
    ) -> None:
        self.store = store
        self.config = config or MemoryConfig()
        self.limits = limits or MemoryLimits()
        self.dialect = make_memory_dialect(store, self.config.index)
        self.embedder = Embedder(self.config.index)

    async def setup(self) -> None:
        """Create or upgrade LangGraph's tables.

        :raises StoreError: the database failed, or it cannot keep the vectors that ``store.index`` needs.
        """
        await asyncio.to_thread(self.dialect.setup)

    def memory_for(self, claim: Claim) -> RunMemory:
        """The memory of a claimed run's graph and deployment. Call it in the event loop."""
        return RunMemory(self, claim)

    async def sweep(self) -> int:
        """Remove some of the items that have expired; how many. Fewer than :data:`SWEPT_AT_ONCE` is all."""
        return await retry_store(lambda: self.store.memory.sweep(SWEPT_AT_ONCE), "remove expired items of memory")


def make_memory_dialect(store: SqlRunStore, index: MemoryIndex | None) -> MemoryDialect:
    """LangGraph's store for the database of a run store. Only that database's modules are imported."""
    database = store.database
    if isinstance(database, SqliteDatabase):
        from langgraph_worker.checkpoints.memory_sqlite import SqliteMemory

        return SqliteMemory(database, index)
    from langgraph_worker.checkpoints.memory_postgres import PostgresMemory
    from langgraph_worker.store.engines.postgres import PostgresDatabase

    assert isinstance(database, PostgresDatabase)
    return PostgresMemory(database, index)


class RunMemory(BaseStore):
    """The long-term memory as one run sees it. May be used by any thread; the event loop's has to await.

    A put or delete is durable when it returns, and is written only under the run's lease: that of an owner that has
    lost its run raises :exc:`LeaseLostError` and changes nothing. It belongs to no superstep. LangGraph does not undo
    it if the node fails after it, and a node that runs again puts again: so a node gives its items keys that it can
    repeat, for example with :func:`langgraph_worker.idempotency.idempotency_key`. The operations of one ``batch`` are
    written together or not at all; its reads see what was there before. Reading needs no lease.

    Every method raises :exc:`StoreError` if the database fails for good; while it is away, it waits.
    """

    supports_ttl = True

    def __init__(self, memories: Memories, claim: Claim) -> None:
        super().__init__()
        self.ttl_config = memories.config.ttl
        self._memories = memories
        self._dialect = memories.dialect
        self._store = memories.store
        self._claim = claim
        self._label = MemoryName(claim.deployment, claim.graph).label
        self._loop = asyncio.get_running_loop()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """From a thread: see :meth:`abatch`.

        :raises RuntimeError: the thread is the event loop's.
        """
        if _running_loop() is self._loop:
            raise RuntimeError(
                "an asynchronous node calls a synchronous method of the store, which would wait for itself: await its "
                "asynchronous form (aput, aget, asearch, adelete, abatch and the like)"
            )
        wanted = self._asked(ops)
        vectors = self._memories.embedder.embed_here(wanted.texts, self._loop)
        return asyncio.run_coroutine_threadsafe(self._execute(wanted, vectors), self._loop).result()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Execute operations, all or none of those that write.

        :raises LeaseLostError: the run has another owner, or none.
        :raises MemoryFullError: it would be more than the memory may hold.
        :raises MemoryValueError: a value is none that JSON can hold.
        :raises EmbeddingError: the project's embedding function gave no vector of the right length.
        """
        work = self._embed_and_execute(self._asked(ops))
        if asyncio.get_running_loop() is self._loop:
            return await work
        # A node that runs in a thread may have a loop of its own there.
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _embed_and_execute(self, wanted: Asked) -> list[Result]:
        return await self._execute(wanted, await self._memories.embedder.embed(wanted.texts))

    def _asked(self, ops: Iterable[Op]) -> Asked:
        limits = self._memories.limits
        own = [storable(op, limits) if isinstance(op, PutOp) else op for op in ops]
        return asked([inside(self._label, op) for op in own], self._texts_of)

    def _texts_of(self, put: PutOp) -> list[str]:
        """What has to be embedded for a put."""
        index = self._memories.config.index
        if index is None:
            return []
        noted = TextsWanted(index.dims)
        self._dialect.record([put], noted)
        return noted.texts

    async def _execute(self, wanted: Asked, vectors: Vectors) -> list[Result]:
        known = KnownVectors(vectors)
        reads = [op for op in wanted.ops if not isinstance(op, PutOp)]
        read = iter(await self._read(reads, known) if reads else ())
        if wanted.puts:
            await self._put(wanted.puts, known)
        return [None if isinstance(op, PutOp) else outside(next(read)) for op in wanted.ops]

    async def _read(self, ops: Sequence[Op], known: KnownVectors) -> Sequence[Result]:
        plain = [still(op) for op in ops]
        memory = self._store.memory

        def work(connection: Connection) -> tuple[list[Result], list[ItemKey]]:
            results = self._dialect.reader(connection, known).batch(plain)
            return results, memory_writes.expiring(connection, to_refresh(ops, results))

        try:
            while (found := await retry_store(lambda: memory.read(work), "read the long-term memory")) is None:
                await self._memories.sweep()
        except RowError as error:
            raise ValueError(f"the long-term memory cannot be asked this: {error}") from error
        results, expiring = found
        if expiring:
            await retry_store(lambda: memory.refresh(expiring), "let items of the long-term memory live longer")
        return results

    async def _put(self, batches: Sequence[Sequence[PutOp]], known: KnownVectors) -> None:
        try:
            statements = [one for puts in batches for one in self._dialect.record(puts, known)]
        except TypeError as error:
            raise MemoryValueError(f"store.put: {error}") from error
        keys = [key_of(op) for puts in batches for op in puts]
        write = PutMemory(self._claim, statements, keys, self._memories.limits)
        try:
            written = await retry_store(lambda: self._store.memory.put(write), "write the long-term memory")
        except NoRoomError as error:
            raise MemoryFullError(str(error)) from None
        except RowError as error:
            raise MemoryValueError(f"store.put: {error}") from error
        if not written:
            raise LeaseLostError(f"{self._claim.correlation_id}: its lease is lost, so its memory is not written")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
