"""Hears of every call of a model that a run makes, also of one that brings callbacks of its own.

LangChain adds the callbacks of a config to a call only if the call has none. So they are taken from the context of the
run, which LangChain asks at each call, and which tasks and the threads of LangChain and LangGraph inherit. A thread
that a node starts by itself does not: its calls belong to no run, and are logged.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook

from langgraph_worker.execution.call_gate import CallGate
from langgraph_worker.telemetry.usage import NO_NAME, CalledModel, ModelCallHandler, UsageCounter

logger = logging.getLogger(__name__)

_MOST_LOGGED = 100  # models


class OutsideOfRuns(ModelCallHandler):
    """Logs the calls of models that belong to no run, once for each model."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def on_chat_model_start(self, serialized: Any, messages: Any, *, metadata: Any = None, **rest: Any) -> None:
        """A chat model is called."""
        self._log(CalledModel.from_start(serialized, metadata, rest))

    def on_llm_start(self, serialized: Any, prompts: Any, *, metadata: Any = None, **rest: Any) -> None:
        """A model of the older kind is called."""
        self._log(CalledModel.from_start(serialized, metadata, rest))

    def _log(self, model: CalledModel) -> None:
        name = model.name or NO_NAME
        if name not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(name)
            logger.warning(
                "model %s is called outside of a run: its calls count for no run and no budget. A node that starts "
                "threads has to pass its context on, as LangChain's ContextThreadPoolExecutor does",
                name,
                extra={"action": "call_outside_of_runs", "model": name},
            )


_outside = OutsideOfRuns()
_counter: ContextVar[BaseCallbackHandler | None] = ContextVar("model_calls", default=_outside)
_blocking: ContextVar[BaseCallbackHandler | None] = ContextVar("blocking_calls", default=None)
_awaited: ContextVar[BaseCallbackHandler | None] = ContextVar("awaited_calls", default=None)

_tracers = [ContextVar[BaseCallbackHandler | None](f"tracer_{number}", default=None) for number in (1, 2)]

for _tracer in _tracers:
    register_configure_hook(_tracer, inheritable=True)
register_configure_hook(_blocking, inheritable=True)
register_configure_hook(_counter, inheritable=True)
# The last: if it raises, LangChain leaves the coroutines of later handlers without awaiting them, and Python warns.
register_configure_hook(_awaited, inheritable=True)


def traced_by(tracers: Sequence[BaseCallbackHandler]) -> None:
    """Let these hear of the nodes, models and tools of a run. Call it in the context that the run's task gets.

    :param tracers: two at most.
    """
    for variable, tracer in zip(_tracers, tracers, strict=False):
        variable.set(tracer)


@contextlib.contextmanager
def heard_by(counter: UsageCounter, gate: CallGate | None) -> Iterator[None]:
    """Let a run's calls be counted; let them wait, or be stopped where it has no budget for them. Enter it in the run's
    own task.

    :param gate: None: nothing holds them up.
    """
    counting = _counter.set(counter)
    blocking = _blocking.set(None if gate is None else gate.for_threads)
    awaited = _awaited.set(None if gate is None else gate.for_loops)
    try:
        yield
    finally:
        _counter.reset(counting)
        _blocking.reset(blocking)
        _awaited.reset(awaited)
        if gate is not None:
            gate.close()
