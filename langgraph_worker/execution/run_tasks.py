"""Which run the event loop's present turn works for: asked by the thread that watches a loop which hangs."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextvars import Context
from typing import Any

from langgraph_worker.domain.models import Lease
from langgraph_worker.execution.node_threads import running

Turn = asyncio.Task[Any] | asyncio.Handle
"""What an event loop is doing: a task's step, or a callback that belongs to no task."""


def turn_on(loop: asyncio.AbstractEventLoop, thread: int) -> Turn | None:
    """What a loop is doing now; None if nothing, or if it is not known. Safe in every thread.

    :param thread: the identifier of the loop's thread.
    """
    return asyncio.current_task(loop) or _callback_in(thread)


def lease_of(turn: Turn | None) -> Lease | None:
    """The lease of the run that a turn works for; None if for none, or if it is not known. Safe in every thread.

    It is read from the turn's context, which each task and each callback has from what created it.
    """
    context = None if turn is None else _context_of(turn)
    return None if context is None else context.get(running)


def _callback_in(thread: int) -> asyncio.Handle | None:
    frame = sys._current_frames().get(thread)
    while frame is not None:
        if frame.f_code is asyncio.Handle._run.__code__:
            found = frame.f_locals.get("self")
            return found if isinstance(found, asyncio.Handle) else None
        frame = frame.f_back
    return None


def _context_of(turn: Turn) -> Context | None:
    if isinstance(turn, asyncio.Handle):
        return _as_context(getattr(turn, "_context", None))
    if sys.version_info >= (3, 12):
        ask = getattr(turn, "get_context", None)  # a task of another library may have none
        return _as_context(ask()) if ask is not None else None
    # Python 3.11 has no way to ask. Of what CPython's task refers to, its own context comes first; that of the callback
    # by which another task waits for it comes later.
    return next((found for found in gc.get_referents(turn) if isinstance(found, Context)), None)


def _as_context(found: object) -> Context | None:
    return found if isinstance(found, Context) else None
