"""Stands before each call of a model: a call for which its run has no budget is not sent, others wait for their turn.

What LangChain does with handlers of callbacks, for each kind of call (tested, since it is no promise):

- ``model.ainvoke``: an ``async`` method is awaited in the loop of the call, a plain one is called in it if its handler
  is inline, else in a thread of the loop's default executor;
- ``model.invoke``: a plain method is called in the caller's thread; an ``async`` one runs in a loop made for it, and
  what it raises is swallowed.

So there are two handlers, and each does nothing for the calls of the other kind.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from langchain_core.callbacks.manager import handle_event
from langchain_core.outputs import LLMResult

from langgraph_worker.execution.run_meter import BudgetExceededError, RunMeter
from langgraph_worker.execution.run_turns import RunTurns, Tasks
from langgraph_worker.execution.waiting_calls import CallStoppedError, Wait, wait_in_loop, wait_in_thread
from langgraph_worker.telemetry.usage import CalledModel, ModelCallHandler

_FRAMES = 4  # between LangChain's function and ours


class CallGate:
    """What one start of a run asks before each call.

    :param turns: of models that are limited; None: there are none.
    """

    def __init__(self, meter: RunMeter, turns: RunTurns | None = None) -> None:
        self._meter = meter
        self.turns = turns
        self._over = threading.Event()
        self._blocking: set[UUID] = set()
        self.for_threads = _BlockingCalls(self)
        self.for_loops = _AwaitedCalls(self)

    def close(self) -> None:
        """The run is over: none of its calls waits any more."""
        self._over.set()
        if self.turns is not None:
            self.turns.close()

    def block(self, call: UUID, model: CalledModel, metadata: Any) -> None:
        """Let a synchronous call wait in its thread.

        :raises BudgetExceededError: the run has no budget for the call.
        :raises CallStoppedError: the run goes on later, or elsewhere.
        """
        try:
            wait_in_thread(self._wait(call, model, tasks_of(metadata), in_loop=_in_loop()), self._over)
        except (BudgetExceededError, CallStoppedError):
            self._meter.refused_tasks |= set(tasks_of(metadata))
            raise

    async def wait(self, call: UUID, model: CalledModel, metadata: Any) -> None:
        """As :meth:`block`, for an asynchronous call."""
        if call in self._blocking:
            self._blocking.discard(call)
            return
        try:
            await wait_in_loop(self._wait(call, model, tasks_of(metadata), in_loop=False))
        except (BudgetExceededError, CallStoppedError):
            self._meter.refused_tasks |= set(tasks_of(metadata))
            raise

    def is_awaited(self, call: UUID) -> bool:
        """Whether a call that has just begun is asynchronous: the other handler will wait for it."""
        if not _in_loop():
            return False
        if not _is_called_by(handle_event):
            return True
        self._blocking.add(call)
        return False

    def _wait(self, call: UUID, model: CalledModel, tasks: Tasks, *, in_loop: bool) -> Wait[None]:
        yield from self._meter.require_call(model)
        if self.turns is None:
            return
        total = 0.0
        while (waited := (yield from self.turns.take(call, model, tasks, in_loop=in_loop))) > 0:
            total += waited
            # Other runs may have spent what was left meanwhile.
            try:
                yield from self._meter.require_call(model)
            except BaseException:
                self.turns.give_back(call)
                raise
            if self.turns.is_in_time(call):
                break
            self.turns.give_back(call)
        self.turns.begin(call, model, total, tasks)


def tasks_of(metadata: Any) -> Tasks:
    """The tasks in which a call is made, as LangGraph's metadata of the call say it."""
    # "node:task|node of a graph inside of it:its task"
    namespace = str((metadata or {}).get("langgraph_checkpoint_ns") or "")
    return tuple(part.rpartition(":")[2] for part in namespace.split("|") if part)


class _BlockingCalls(ModelCallHandler):
    """Waits for synchronous calls; and hears of the end of all calls."""

    raise_error = True

    def __init__(self, gate: CallGate) -> None:
        self._gate = gate

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, metadata: Any = None, **rest: Any
    ) -> None:
        """See :meth:`CallGate.block`."""
        self._start(run_id, serialized, metadata, rest)

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, metadata: Any = None, **rest: Any) -> None:
        """See :meth:`CallGate.block`."""
        self._start(run_id, serialized, metadata, rest)

    def _start(self, call: UUID, serialized: Any, metadata: Any, rest: Mapping[str, Any]) -> None:
        if not self._gate.is_awaited(call):
            self._gate.block(call, CalledModel.from_start(serialized, metadata, rest), metadata)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """A model has answered."""
        if self._gate.turns is not None:
            self._gate.turns.end(run_id, response)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, response: Any = None, **_: Any) -> None:
        """A call failed, or was left before its end."""
        if self._gate.turns is not None:
            self._gate.turns.fail(run_id, error, response)


class _AwaitedCalls(ModelCallHandler):
    """Waits for asynchronous calls."""

    raise_error = True

    def __init__(self, gate: CallGate) -> None:
        self._gate = gate

    @property
    def ignore_chat_model(self) -> bool:
        """Without a loop LangChain would make one, for nothing."""
        return not _in_loop()

    @property
    def ignore_llm(self) -> bool:
        """See :attr:`ignore_chat_model`."""
        return not _in_loop()

    async def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, metadata: Any = None, **rest: Any
    ) -> None:
        """See :meth:`CallGate.wait`."""
        await self._gate.wait(run_id, CalledModel.from_start(serialized, metadata, rest), metadata)

    async def on_llm_start(
        self, serialized: Any, prompts: Any, *, run_id: UUID, metadata: Any = None, **rest: Any
    ) -> None:
        """See :meth:`CallGate.wait`."""
        await self._gate.wait(run_id, CalledModel.from_start(serialized, metadata, rest), metadata)


def _in_loop() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _is_called_by(function: Any) -> bool:
    """Whether a function is among the nearest callers of our caller."""
    frame = sys._getframe(1)
    for _ in range(_FRAMES):
        if frame.f_back is None:
            return False
        frame = frame.f_back
        if frame.f_code is function.__code__:
            return True
    return False
