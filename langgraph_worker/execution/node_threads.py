"""Threads for synchronous nodes. No thread can be stopped, so the worker has to know which run each still works for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, TypeVar

from langgraph_worker.domain.models import Lease

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
        """As the base class, and note the run that the call belongs to."""
        lease = running.get()
        future = super().submit(fn, *args, **kwargs)
        if lease is not None:
            with self._guard:
                self._busy.setdefault(lease, set()).add(future)
            future.add_done_callback(lambda done: self._forget(lease, done))
        return future

    def _forget(self, lease: Lease, future: Future[Any]) -> None:
        with self._guard:
            busy = self._busy.get(lease, set())
            busy.discard(future)
            if not busy:
                self._busy.pop(lease, None)

    def is_idle(self, lease: Lease) -> bool:
        """Whether no thread is at work for a run."""
        with self._guard:
            return lease not in self._busy

    async def wait_idle(self, lease: Lease) -> None:
        """Wait until no thread is at work for a run. It may take for ever: give it a limit."""
        while True:
            with self._guard:
                busy = [asyncio.wrap_future(future) for future in self._busy.get(lease, ())]
            if not busy:
                return
            for future in busy:
                future.add_done_callback(_ignore)
            await asyncio.wait(busy)


def _ignore(future: asyncio.Future[Any]) -> None:
    """What a node returns or raises after its run was stopped has no reader."""
    if not future.cancelled():
        future.exception()
