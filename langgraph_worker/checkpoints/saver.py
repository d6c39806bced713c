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
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME
from langgraph.types import Interrupt
from sqlalchemy import Connection

from langgraph_worker.checkpoints.checkpoint_ids import id_clock, let_ids_grow
from langgraph_worker.checkpoints.dialect import Saver
from langgraph_worker.checkpoints.earlier_calls import CALLED_BY, begin_new_call, called_by, may_be_anothers
from langgraph_worker.checkpoints.failed_tasks import require_output, without_output
from langgraph_worker.checkpoints.finished_nodes import finished_nodes
from langgraph_worker.checkpoints.loadable_classes import LoadableClasses
from langgraph_worker.checkpoints.make_dialect import make_dialect
from langgraph_worker.checkpoints.mended_langgraph import mend_older_langgraph
from langgraph_worker.checkpoints.own_place import require_own_namespace, require_own_thread
from langgraph_worker.checkpoints.resumed_graphs import GraphChangedError, ResumedGraphs
from langgraph_worker.checkpoints.serializer import NamingSerializer, NotStorableError
from langgraph_worker.checkpoints.state_size import WARN_STATE_BYTES, StateSize
from langgraph_worker.domain.breakpoints import stops_among
from langgraph_worker.domain.models import Claim, Lease
from langgraph_worker.errors import LeaseLostError, RowError, StoreError, WorkerError
from langgraph_worker.store.engines.database import Statement
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.store.sql.run_store import SqlRunStore
from langgraph_worker.store.sql.run_writes import PutCheckpoint
from langgraph_worker.telemetry.metrics import Metrics

_T = TypeVar("_T")

let_ids_grow()
mend_older_langgraph()


class Checkpoints:
    """The checkpoints of a run store's threads, in its database.

    :param store: open.
    :param ensure_lease: awaited behind each put: after a pause of the process, the lease is checked before the next
        node starts, since another worker may have run that node.
    :param loadable: what classes a checkpoint may name; None: those of LangGraph and LangChain.
    :param warn_state_bytes: see :class:`~langgraph_worker.checkpoints.state_size.StateSize`.
    :param metrics: counts the bytes that are written.
    """

    def __init__(
        self,
        store: SqlRunStore,
        ensure_lease: Callable[[Lease], Awaitable[None]] | None = None,
        loadable: LoadableClasses | None = None,
        warn_state_bytes: int = WARN_STATE_BYTES,
        metrics: Metrics | None = None,
    ) -> None:
        self.store = store
        self.serde = NamingSerializer(loadable or LoadableClasses())
        self.dialect = make_dialect(store, self.serde)
        self.ensure_lease = ensure_lease or _trust
        self.warn_state_bytes = warn_state_bytes
        self.metrics = metrics or Metrics()

    async def setup(self) -> None:
        """Create or upgrade the saver's tables.

        :raises StoreError: the database failed.
        """
        await asyncio.to_thread(self.dialect.setup)

    def saver_for(
        self, claim: Claim, without_output: Collection[str] = (), on_finished: Callable[[str], None] | None = None
    ) -> RunSaver:
        """The checkpointer for a claimed run. It writes for as long as the claim's lease is good.

        :param without_output: tasks of LangGraph's whose output is not kept, as if they had failed; it may grow.
        :param on_finished: called with the id of each of LangGraph's tasks once its output is durable.
        """
        return RunSaver(self, claim, without_output, on_finished or _ignore)


async def _trust(lease: Lease) -> None:
    """Nobody watches over it."""


def _ignore(task_id: str) -> None:
    """Nobody wants to know."""


def _count(answers: Any) -> int:
    return len(answers) if isinstance(answers, list) else 1


def _is_finished(writes: Sequence[tuple[str, Any]]) -> bool:
    return bool(writes) and not any(channel in (ERROR, INTERRUPT, RESUME) for channel, _ in writes)


class RunSaver(BaseCheckpointSaver[str]):
    """One run's checkpointer. When a put returns, it is durable.

    The transaction of each put checks the run's lease, in ``store/sql/leases.py``. The lease is for one thread, so each
    method raises :exc:`ForeignThreadError` for another one: LangGraph lends this saver to each graph that a node runs,
    also with a config in which the node has replaced the thread's id. Each checkpoint's metadata names the logical run
    as ``run_id``, by which the next worker knows where to go on.

    Every method raises :exc:`StoreError` if the database fails for good; while it is away, it waits. After that, every
    put raises it again: the run ends, whatever a node has made of it. So it is with :exc:`GraphChangedError`.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        claim: Claim,
        without_output: Collection[str] = (),
        on_finished: Callable[[str], None] = _ignore,
    ) -> None:
        super().__init__(serde=checkpoints.serde)
        self._checkpoints = checkpoints
        self._store = checkpoints.store
        self._dialect = checkpoints.dialect
        self._claim = claim
        self._without_output = without_output
        self._on_finished = on_finished
        self._size = StateSize(claim, checkpoints.warn_state_bytes, checkpoints.metrics)
        self._loop = asyncio.get_running_loop()
        self._is_empty = claim.is_new  # until the first put
        self._progress = claim.takeovers > 0 or bool(claim.retried)  # to be stored with the next checkpoint
        self._checkpoints_to_progress = 1
        self._has_finished_node = False
        self._asked: dict[str, set[str]] = {}  # ids of the questions that a task of LangGraph's waits for, by task id
        self._answer_counts: dict[str, int] = {}  # how many answers a task has, by its id
        self._answers = set(claim.answers)  # ids of the questions whose answers no checkpoint holds yet
        self.questions: list[Interrupt] = []
        """What the run's own graph asks, as it is stored: also what LangGraph leaves out of its streams."""
        self._trouble: WorkerError | None = None  # the first; a node around a graph may have caught it (rule 19)
        self.finished_nodes: list[str] = []
        """Those of the run's own graph, as the checkpoint says that was read last."""
        self.resumed_graphs = ResumedGraphs()
        """To be called back by a run that goes on with an earlier one's checkpoints."""

    def get_next_version(self, current: str | None, channel: None) -> str:
        """As the database's own saver counts."""
        return self._dialect.next_version(current)  # type: ignore[no-any-return]

    def begin(self) -> None:
        """Its run may have been started over: its next checkpoint is not further than its lost owners came."""
        self._progress = False
        self._checkpoints_to_progress = 2

    @property
    def has_progressed(self) -> bool:
        """Whether this start of the run has come further than the one before: with a new checkpoint, or with a node of
        the run's own graph that has finished, which does not run again.
        """
        return self._checkpoints_to_progress <= 0 or self._has_finished_node

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """:raises LeaseLostError: the run has another owner, or none.
        :raises ForeignNamespaceError: a graph inside of a node was given the place of a graph around it.
        :raises GraphChangedError: a graph inside of a node would skip nodes that it had left.
        :raises NoOutputError: it would hold the output of a task whose output is not kept.
        """
        self._require_own(config["configurable"]["thread_id"])
        namespace = config["configurable"].get("checkpoint_ns", "")
        require_own_namespace(namespace, metadata)
        require_output(namespace, self._without_output)
        self._check(lambda graphs: graphs.check_checkpoint(namespace, checkpoint))
        progress = self._progress
        # With a checkpoint of the graph itself, not of a subgraph, every question is settled: also one that its node no
        # longer asks, and one whose writes come after this checkpoint, because LangGraph does not wait for them.
        answers = stops_among(self._answers) if namespace else frozenset(self._answers)
        marked: Any = {**metadata, **called_by(config), "run_id": str(self._claim.logical_run)}
        made = await self._put(
            lambda saver: saver.put(config, checkpoint, marked, new_versions), progress=progress, answers=answers
        )
        self._progress = self._progress and not progress
        self._checkpoints_to_progress -= 1
        return made

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Of a task that has failed, its output is left out: it runs again when the thread goes on.

        :raises LeaseLostError: the run has another owner, or none.
        :raises GraphChangedError: a graph inside of the task has skipped the nodes that it had left.
        """
        self._require_own(config["configurable"]["thread_id"])
        writes = without_output(writes, has_failed=task_id in self._without_output)
        if not writes:
            return
        if not any(channel in (ERROR, INTERRUPT) for channel, _ in writes):
            namespace = config["configurable"].get("checkpoint_ns", "")
            self._check(lambda graphs: graphs.check_writes(namespace, task_id, task_path))
        # Whatever a run writes first, it has passed the breakpoint that it was let pass.
        # A task that waits for its subgraph has older answers: the questions are the subgraph's, and it has no new one.
        count = max((_count(value) for channel, value in writes if channel == RESUME), default=0)
        asked = self._asked.get(task_id, set()) if count > self._answer_counts.get(task_id, 0) else set()
        answers = (self._answers & asked) | stops_among(self._answers)
        await self._put(lambda saver: saver.put_writes(config, writes, task_id, task_path), answers=answers)
        if _is_finished(writes):
            self._on_finished(task_id)
        if not config["configurable"].get("checkpoint_ns"):
            self._has_finished_node |= _is_finished(writes)
            self.questions += [one for channel, value in writes if channel == INTERRUPT for one in value]

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """A checkpoint, the newest if the config names none."""
        self._require_own(config["configurable"]["thread_id"])
        if self._is_empty:
            return None
        found = await self._read(lambda saver: saver.get_tuple(config))
        if found is not None and may_be_anothers(config, found.metadata):
            found = await self._read_own_call(config) or found
        if found is not None:
            begin_new_call(config, found.metadata)
            id_clock.see(found.checkpoint["id"])
            # A graph resumes from what it reads here, and so does each of its subgraphs, whichever node runs it.
            self._see(found.pending_writes or ())
            namespace = config["configurable"].get("checkpoint_ns", "")
            caller = called_by(config).get(CALLED_BY)
            self.resumed_graphs.read(namespace, found.checkpoint, found.pending_writes or (), caller)
            if not namespace:
                self.finished_nodes = finished_nodes(found.checkpoint)
        return found

    async def _read_own_call(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The newest checkpoint of a graph inside of a node that was called by the task of this config."""
        names = ("thread_id", "checkpoint_ns")
        place: Any = {"configurable": {name: config["configurable"][name] for name in names}}
        own = called_by(config)
        found = await self._read(lambda saver: list(saver.list(place, filter=own, limit=1))) if own else []
        return found[0] if found else None

    def _check(self, check: Callable[[ResumedGraphs], None]) -> None:
        try:
            check(self.resumed_graphs)
        except GraphChangedError as error:
            self._trouble = error
            raise

    def _see(self, writes: Sequence[PendingWrite]) -> None:
        for task_id, channel, value in writes:
            if channel == INTERRUPT:
                self._asked[task_id] = {interrupt.id for interrupt in value}
            elif channel == RESUME:
                self._answer_counts[task_id] = _count(value)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The thread's checkpoints, newest first. The config may not be left out: other threads have other owners."""
        self._require_own(None if config is None else config["configurable"]["thread_id"])
        for found in await self._read(
            lambda saver: list(saver.list(config, filter=filter, before=before, limit=limit))
        ):
            yield found

    async def aget_delta_channel_history(self, *, config: RunnableConfig, channels: Sequence[str]) -> Mapping[str, Any]:
        """What LangGraph rebuilds a delta channel from."""
        self._require_own(config["configurable"]["thread_id"])
        return await self._read(lambda saver: saver.get_delta_channel_history(config=config, channels=channels))

    async def adelete_thread(self, thread_id: str) -> None:
        """:raises LeaseLostError: the run has another owner, or none."""
        self._require_own(thread_id)
        await self._put(lambda saver: saver.delete_thread(thread_id))

    def _require_own(self, thread_id: object) -> None:
        require_own_thread(self._claim.thread_id, thread_id)

    async def _put(self, put: Callable[[Saver], _T], *, progress: bool = False, answers: Collection[str] = ()) -> _T:
        made, statements = self._dialect.record(put)
        await self.write(statements, progress=progress, answers=answers)
        return made

    async def write(
        self, statements: Sequence[Statement], *, progress: bool = False, answers: Collection[str] = ()
    ) -> None:
        """Execute statements that change the thread's checkpoints, under the run's lease. Durable when it returns.

        :raises LeaseLostError: the run has another owner, or none; nothing is written.
        """
        self._is_empty = False
        if self._trouble is not None:
            raise self._trouble
        self._size.note(statements)
        write = PutCheckpoint(self._claim, statements, progress, answers)
        try:
            written = await retry_store(lambda: self._store.put_checkpoint(write), "write a checkpoint")
        except RowError as error:
            raise NotStorableError(str(error)) from error
        except StoreError as error:
            self._trouble = error
            raise
        if not written:
            raise LeaseLostError(f"{self._claim.correlation_id}: its lease is lost, so its checkpoint is not written")
        self._answers.difference_update(answers)
        await self._checkpoints.ensure_lease(self._claim.lease)

    async def _read(self, read: Callable[[Saver], _T]) -> _T:
        return await self.read_store(lambda connection: read(self._dialect.reader(connection)))

    async def read_store(self, read: Callable[[Connection], _T]) -> _T:
        """Read the store's database, in a transaction."""
        try:
            return await retry_store(lambda: self._store.read(read), "read a checkpoint")
        except StoreError as error:
            self._trouble = error
            raise

    # The methods below are called by a synchronous node that runs a subgraph, from the node's thread.

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
