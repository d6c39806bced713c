"""Threads for synchronous nodes. None can be stopped, so it has to be known which run each still works for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, TypeVar

from langgraph_worker.store.port import Lease

THREAD = "sync-node"
"""How the names of its threads begin."""

running: ContextVar[Lease | None] = ContextVar("running", default=None)
"""The lease of the run that the present code belongs to."""

_T = TypeVar("_T")


class NodeThreads(ThreadPoolExecutor):
    """The event loop's default executor, where LangGraph runs synchronous nodes. Further ones wait for a thread.

    :param size: most threads.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, thread_name_prefix=THREAD)
        self._guard = threading.Lock()
        self._busy: dict[Lease, set[Future[Any]]] = {}

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        """As the base class, and note for whom."""
        lease = running.get()
        future = super().submit(fn, *args, **kwargs)
        if lease is not None:
            with self._guard:
                self._busy.setdefault(lease, set()).add(future)
            future.add_done_callback(lambda done: self._forget(lease, done))
        return future

    def _forget(self, lease: Lease, future: Future[Any]) -> None:
        with self._guard:
            left = self._busy.get(lease, set())
            left.discard(future)
            if not left:
                self._busy.pop(lease, None)

    async def leave(self, lease: Lease, seconds: float) -> bool:
        """Wait so long for a run's threads; False if one is still at work then."""
        with self._guard:
            left = [asyncio.wrap_future(future) for future in self._busy.get(lease, ())]
        if not left:
            return True
        for future in left:
            future.add_done_callback(_ignore)
        _, at_work = await asyncio.wait(left, timeout=seconds)
        return not at_work


def _ignore(future: asyncio.Future[Any]) -> None:
    """What a node gives or raises after its run was stopped is nobody's news."""
    if not future.cancelled():
        future.exception()
