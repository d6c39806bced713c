"""What tests of the savers need: claims, their savers, and graphs on them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.pregel import Pregel

from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.domain.models import Claim, Lease
from langgraph_worker.idempotency import RUN_MARK
from tests.support.run_store import LEASE, Backend, Clock, Store, claim_one, request


class Savers(Protocol):
    """Gives each claim a saver."""

    def of(self, claim: Claim) -> BaseCheckpointSaver[str]: ...


class MemorySavers(Savers):
    """LangGraph's own, for what is not about owning a thread."""

    def __init__(self) -> None:
        self._saver = InMemorySaver()

    def saver_for(self, claim: Claim) -> BaseCheckpointSaver[str]:
        return self._saver


@dataclass
class Shelf:
    """A run store's threads with their checkpoints."""

    backend: Backend
    store: Store
    savers: Savers
    seen: set[Lease] = field(default_factory=set)
    running: OnThread = field(init=False, repr=False)
    """The graph that :meth:`on` made last."""

    @property
    def clock(self) -> Clock:
        return self.backend.clock

    def beside(self, store: Store) -> Shelf:
        """The same database in another process."""
        return replace(self, store=store, savers=Checkpoints(store), seen=self.seen)

    async def claim(self, worker: str = "w1") -> Claim:
        """A new run on a thread of its own."""
        await self.store.accept([request()])
        return await claim_one(self.store, worker)

    async def claims(self, count: int, worker: str = "w1") -> list[Claim]:
        """So many new runs, each on a thread of its own."""
        await self.store.accept([request() for _ in range(count)])
        claims = await self.store.claim(worker, count, ["graph"])
        assert len(claims) == count
        return claims

    async def take_over(self, worker: str = "w2") -> Claim:
        """The only run again, when its lease has run out."""
        self.clock.advance(LEASE)
        return await claim_one(self.store, worker)

    def saver(self, claim: Claim) -> BaseCheckpointSaver[str]:
        """The claim's saver; a second one is that of a worker that takes the run up again."""
        if claim.lease in self.seen:
            claim = replace(claim, is_new=False)
        self.seen.add(claim.lease)
        return self.savers.saver_for(claim)

    def on(self, claim: Claim, graph: Any) -> OnThread:
        """A graph with the claim's saver."""
        compiled: Pregel[Any] = graph.compile() if hasattr(graph, "compile") else graph
        saver = self.saver(claim)
        self.running = OnThread(compiled.copy(update={"checkpointer": saver}), saver, config_of(claim))
        return self.running


@dataclass(frozen=True)
class OnThread:
    """A graph on a claim's thread, run as the worker runs it."""

    graph: Pregel[Any]
    saver: BaseCheckpointSaver[str]
    config: RunnableConfig

    @property
    def thread_id(self) -> str:
        return str(self.config["configurable"]["thread_id"])

    async def run(self, given: Any, config: RunnableConfig | None = None) -> Any:
        return await self.graph.ainvoke(given, config or self.config, durability="sync")

    async def state(self, **changes: Any) -> Any:
        return await self.graph.aget_state(self.config, **changes)

    async def values(self) -> Any:
        return (await self.state()).values


def config_of(claim: Claim) -> RunnableConfig:
    """LangGraph's config of a run, as far as a saver sees it."""
    run = str(claim.logical_run)
    return {"configurable": {"thread_id": claim.thread_id, RUN_MARK: run}, "metadata": {"logical_run": run}}


def put_config(claim: Claim, checkpoint_id: str | None = None) -> RunnableConfig:
    """The config of a put below a checkpoint."""
    named = {} if checkpoint_id is None else {"checkpoint_id": checkpoint_id}
    return {"configurable": {"thread_id": claim.thread_id, "checkpoint_ns": "", **named}}


def checkpoint(number: int, **values: Any) -> dict[str, Any]:
    """A thread's n-th checkpoint with these channels' values, all of them new."""
    versions = dict.fromkeys(values, f"{number:032}.0")
    return {
        "v": 4,
        "id": str(UUID(int=number)),
        "ts": "2026-03-01T12:00:00+00:00",
        "channel_values": values,
        "channel_versions": versions,
        "versions_seen": {},
        "updated_channels": None,
    }


async def put(saver: BaseCheckpointSaver[str], claim: Claim, number: int, **values: Any) -> None:
    """Put a thread's n-th checkpoint."""
    made = checkpoint(number, **values)
    metadata: Any = {"source": "loop", "step": number, "parents": {}}
    before = str(UUID(int=number - 1)) if number > 1 else None
    await saver.aput(put_config(claim, before), made, metadata, made["channel_versions"])  # type: ignore[arg-type]


async def latest(saver: BaseCheckpointSaver[str], claim: Claim) -> dict[str, Any] | None:
    """The channels' values of a thread's newest checkpoint."""
    found = await saver.aget_tuple(put_config(claim))
    return None if found is None else found.checkpoint["channel_values"]


class Commits:
    """Counts a store's transactions, and holds them back when a test says so. Ends with the test.

    :ivar count: transactions that have begun.
    :ivar began: set by each.
    """

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.began = threading.Event()
        self._go_on = threading.Event()
        self._go_on.set()
        self._write = store.database.write
        monkeypatch.setattr(store.database, "write", self._counted)

    def _counted(self, work: Callable[..., Any]) -> Any:
        self.count += 1
        self.began.set()
        assert self._go_on.wait(15)
        return self._write(work)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Until the block ends, nothing is written; it begins when one transaction waits at its start."""
        self._go_on.clear()
        self.began.clear()
        try:
            yield
        finally:
            self._go_on.set()

    async def waiting(self) -> None:
        """Until a transaction is held back."""
        assert await asyncio.to_thread(self.began.wait, 15)
