"""The checkpointer that a run's graph gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
)
from langgraph.checkpoint.serde.types import INTERRUPT, RESUME

from langgraph_worker.checkpoints.dialect import Dialect, Saver
from langgraph_worker.checkpoints.postgres import PostgresCheckpoints
from langgraph_worker.checkpoints.serializer import NamingSerializer, NotStorableError
from langgraph_worker.checkpoints.sqlite import SqliteCheckpoints
from langgraph_worker.errors import LeaseLostError, UnstorableError
from langgraph_worker.patience import persist
from langgraph_worker.store.port import Claim, Lease
from langgraph_worker.store.postgres import PostgresDatabase
from langgraph_worker.store.sql import SqlRunStore
from langgraph_worker.store.sqlite import SqliteDatabase
from langgraph_worker.store.writes import PutCheckpoint

_T = TypeVar("_T")


class Checkpoints:
    """The checkpoints of a run store's threads, in its database.

    :param store: open.
    :ivar ensure: awaited behind each put, before the graph goes on: an owner that stood still must not begin a node
        that another may have ended.
    """

    def __init__(self, store: SqlRunStore) -> None:
        self.store = store
        self.dialect = _dialect(store)
        self.ensure: Callable[[Lease], Awaitable[None]] = _trust

    async def setup(self) -> None:
        """Create or upgrade the saver's tables.

        :raises StoreError: the database failed.
        """
        await asyncio.to_thread(self.dialect.setup)

    def of(self, claim: Claim) -> RunSaver:
        """The checkpointer for a claimed run. It writes for as long as the claim's lease is good."""
        return RunSaver(self, claim)


async def _trust(lease: Lease) -> None:
    """Nobody watches over it."""


def _dialect(store: SqlRunStore) -> Dialect:
    database = store.database
    if isinstance(database, PostgresDatabase):
        return PostgresCheckpoints(database)
    assert isinstance(database, SqliteDatabase)
    return SqliteCheckpoints(database)


def _count(answers: Any) -> int:
    return len(answers) if isinstance(answers, list) else 1


class RunSaver(BaseCheckpointSaver[str]):
    """One run's checkpointer. When a put returns, it is durable.

    Every method raises :exc:`StoreError` if the database fails for good; while it is away, it waits.
    """

    def __init__(self, checkpoints: Checkpoints, claim: Claim) -> None:
        super().__init__(serde=NamingSerializer())
        self._checkpoints = checkpoints
        self._store = checkpoints.store
        self._dialect = checkpoints.dialect
        self._claim = claim
        self._loop = asyncio.get_running_loop()
        self._is_empty = claim.is_new  # until the first put
        self._progress = claim.takeovers > 0  # to be noted with the next checkpoint
        self._asked: dict[str, set[str]] = {}  # by id of LangGraph's task: ids of the questions that it waits for,
        self._had: dict[str, int] = {}  # and how many answers it has
        self._answers = set(claim.answers)  # ids of those that no checkpoint holds yet

    def get_next_version(self, current: str | None, channel: None) -> str:
        """As the database's own saver counts."""
        return self._dialect.next_version(current)  # type: ignore[no-any-return]

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """:raises LeaseLostError: the run has another owner, or none."""
        progress = self._progress
        # The graph itself, not a subgraph, has left whatever was asked: also a question that its node no longer asks,
        # and one whose writes this checkpoint overtakes, since LangGraph does not wait for them.
        answers = () if config["configurable"].get("checkpoint_ns") else frozenset(self._answers)
        made = await self._put(
            lambda saver: saver.put(config, checkpoint, metadata, new_versions), progress=progress, answers=answers
        )
        self._progress = self._progress and not progress
        return made

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """:raises LeaseLostError: the run has another owner, or none."""
        # Of a task that waits for its subgraph, the questions are the subgraph's: the answers that it has are older.
        has = max((_count(value) for channel, value in writes if channel == RESUME), default=0)
        asked = self._asked.get(task_id, set()) if has > self._had.get(task_id, 0) else set()
        answers = self._answers & asked
        await self._put(lambda saver: saver.put_writes(config, writes, task_id, task_path), answers=answers)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """A checkpoint, the newest if the config names none."""
        if self._is_empty:
            return None
        found = await self._read(lambda saver: saver.get_tuple(config))
        if found is not None:
            # A graph is resumed from what it reads here, and so is each of its subgraphs, wherever a node keeps it.
            self._see(found.pending_writes or ())
        return found

    def _see(self, writes: Sequence[PendingWrite]) -> None:
        for task_id, channel, value in writes:
            if channel == INTERRUPT:
                self._asked[task_id] = {interrupt.id for interrupt in value}
            elif channel == RESUME:
                self._had[task_id] = _count(value)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """A thread's checkpoints, newest first."""
        for found in await self._read(
            lambda saver: list(saver.list(config, filter=filter, before=before, limit=limit))
        ):
            yield found

    async def aget_delta_channel_history(self, *, config: RunnableConfig, channels: Sequence[str]) -> Mapping[str, Any]:
        """What LangGraph rebuilds a delta channel from."""
        return await self._read(lambda saver: saver.get_delta_channel_history(config=config, channels=channels))

    async def adelete_thread(self, thread_id: str) -> None:
        """:raises LeaseLostError: the run has another owner, or none."""
        await self._put(lambda saver: saver.delete_thread(thread_id))

    async def _put(self, put: Callable[[Saver], _T], *, progress: bool = False, answers: Collection[str] = ()) -> _T:
        self._is_empty = False
        made, statements = self._dialect.record(put)
        write = PutCheckpoint(self._claim, statements, progress, answers)
        try:
            written = await persist(lambda: self._store.put_checkpoint(write), "write a checkpoint")
        except UnstorableError as error:
            raise NotStorableError(str(error)) from error
        if not written:
            raise LeaseLostError(f"{self._claim.correlation_id}: its lease is lost, so its checkpoint is not written")
        self._answers.difference_update(answers)
        await self._checkpoints.ensure(self._claim.lease)
        return made

    async def _read(self, read: Callable[[Saver], _T]) -> _T:
        return await persist(
            lambda: self._store.read(lambda connection: read(self._dialect.reader(connection))), "read a checkpoint"
        )

    # A synchronous node that runs a subgraph comes here from its thread.

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """From a thread: see :meth:`aput`."""
        return self._wait(self.aput(config, checkpoint, metadata, new_versions))

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """From a thread: see :meth:`aput_writes`."""
        self._wait(self.aput_writes(config, writes, task_id, task_path))

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """From a thread: see :meth:`aget_tuple`."""
        return self._wait(self.aget_tuple(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """From a thread: see :meth:`alist`."""

        async def collect() -> Sequence[CheckpointTuple]:
            return [found async for found in self.alist(config, filter=filter, before=before, limit=limit)]

        yield from self._wait(collect())

    def get_delta_channel_history(self, *, config: RunnableConfig, channels: Sequence[str]) -> Mapping[str, Any]:
        """From a thread: see :meth:`aget_delta_channel_history`."""
        return self._wait(self.aget_delta_channel_history(config=config, channels=channels))

    def delete_thread(self, thread_id: str) -> None:
        """From a thread: see :meth:`adelete_thread`."""
        self._wait(self.adelete_thread(thread_id))

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        try:
            here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            work.close()
            raise RuntimeError(
                "an asynchronous node calls a graph's synchronous method, which would wait for itself: await its "
                "asynchronous form (ainvoke, aget_state and the like)"
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
