"""Which run a task of the event loop works for: asked by the thread that watches a loop which hangs."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextvars import Context
from typing import Any

from langgraph_worker.domain.models import Lease
from langgraph_worker.execution.node_threads import running


def lease_of(task: asyncio.Task[Any] | None) -> Lease | None:
    """The lease of the run that a task works for; None if for none, or if it is not known. Safe in every thread.

    It is read from the task's context, which each task has from the one that created it.
    """
    context = None if task is None else _context_of(task)
    return None if context is None else context.get(running)


def _context_of(task: asyncio.Task[Any]) -> Context | None:
    if sys.version_info >= (3, 12):
        return task.get_context()
    # Python 3.11 has no way to ask. Of what CPython's task refers to, its own context comes first; that of the callback
    # by which another task waits for it comes later.
    return next((found for found in gc.get_referents(task) if isinstance(found, Context)), None)
