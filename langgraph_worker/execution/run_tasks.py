"""Which run a task of the event loop works for: asked by the thread that watches a loop which hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any
from weakref import WeakKeyDictionary

from langgraph_worker.domain.models import Lease
from langgraph_worker.execution.node_threads import running

_leases: WeakKeyDictionary[asyncio.Future[Any], Lease] = WeakKeyDictionary()


def note_run_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Note for each task that is created from now on for which run it is, if for one.

    A project may put a factory of its own in the place of this one: then nothing is known of its tasks.
    """
    inner = loop.get_task_factory()

    def create(
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        context: Context | None = None,
        **more: Any,
    ) -> asyncio.Future[Any]:
        if context is not None:
            more["context"] = context
        task = asyncio.Task(work, loop=loop, **more) if inner is None else inner(loop, work, **more)
        lease = running.get() if context is None else context.get(running)
        if lease is not None:
            _leases[task] = lease
        return task

    loop.set_task_factory(create)


def lease_of(task: asyncio.Task[Any] | None) -> Lease | None:
    """The lease of the run that a task works for; None if for none, or if it is not known."""
    return None if task is None else _leases.get(task)
