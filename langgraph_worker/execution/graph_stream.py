"""Runs a graph and follows its stream to the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.pregel import Pregel
from langgraph.runtime import RunControl
from langgraph.types import Interrupt

from langgraph_worker.execution.breakpoints import breakpoint_at, unnamed_stop
from langgraph_worker.execution.node_caches import guard_node_caches
from langgraph_worker.execution.run_meter import RunMeter
from langgraph_worker.execution.step_recorder import StepRecorder
from langgraph_worker.execution.superstep_clock import SuperstepClock
from langgraph_worker.execution.thread_position import ThreadPosition
from langgraph_worker.execution.unsaved_children import allow_unsaved_children
from langgraph_worker.telemetry.progress import RunProgress

allow_unsaved_children()
guard_node_caches()


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a graph's stream ended.

    :param state: what the graph's output schema names.
    :param interrupts: None if the graph is finished; at a breakpoint, the worker's own question.
    """

    state: Any
    interrupts: Sequence[Interrupt] | None

    def with_questions(self, stored: Sequence[Interrupt]) -> StreamEnd:
        """The same, with the stored questions that the stream did not show: LangGraph hides some nodes from it."""
        shown = {interrupt.id for interrupt in self.interrupts or ()}
        hidden = [question for question in stored if question.id not in shown]
        return StreamEnd(self.state, [*(self.interrupts or ()), *hidden]) if hidden else self


class TopLevelControl(RunControl):
    """A run's control, as the graph that its task runs sees it: graphs inside of nodes are asked no drain. A run over
    its budget is asked, too.

    They would end with ``GraphDrained``, an exception that a node may catch, take for a failure and store another
    branch for (rule 19). Create it in the task that follows the graph's stream: that task takes the steps of the run's
    own graph, and no others.
    """

    __slots__ = ("_clock", "_meter", "_outer", "_task")

    def __init__(self, outer: RunControl, meter: RunMeter | None = None, clock: SuperstepClock | None = None) -> None:
        super().__init__()
        self._outer = outer
        self._meter = meter
        self._clock = clock
        self._task = asyncio.current_task()

    def request_drain(self, reason: str = "shutdown") -> None:
        """From a node: the run ends before its next superstep."""
        self._outer.request_drain(reason)

    @property
    def drain_requested(self) -> bool:
        """Whether to stop now: only ever true in the run's own task. LangGraph asks once before each superstep."""
        if _current_task() is not self._task:
            return False
        if self._clock is not None:
            self._clock.begin()
        return self._outer.drain_requested or (self._meter is not None and self._meter.begin_step())

    @property
    def drain_reason(self) -> str | None:
        """Why the run drains."""
        return self._outer.drain_reason


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # the thread of a synchronous node


def end_at(graph: Pregel[Any], position: ThreadPosition) -> StreamEnd:
    """The end of a stream that stopped at this interrupted state. No node runs."""
    asked = position.snapshot.interrupts if position.stop is None else [position.stop]
    return StreamEnd(_output(graph, position.snapshot.values), asked)


async def follow_stream(
    graph: Pregel[Any],
    graph_input: Any,
    config: RunnableConfig,
    steps: StepRecorder,
    progress: RunProgress,
    control: RunControl,
    context: Any = None,
    meter: RunMeter | None = None,
    clock: SuperstepClock | None = None,
) -> StreamEnd:
    """Run a graph; record its steps, and report its progress.

    :param context: what nodes read as ``runtime.context``.
    :param control: a request to drain ends the graph before its next superstep, but no graph inside of a node.
    :param meter: counts its supersteps, and ends the graph so as well.
    :param clock: measures them.
    """
    state: Any = None
    interrupts: dict[str, Interrupt] = {}  # nodes that wait side by side report them one after the other
    stream = graph.astream(
        graph_input,
        config,
        context=context,
        stream_mode=["tasks", "values", *progress.modes],
        output_keys=graph.output_channels,
        durability="sync",
        control=TopLevelControl(control, meter, clock),
        subgraphs=True,
        version="v2",
    )
    async with contextlib.aclosing(stream):  # type: ignore[type-var]  # a generator, typed as an iterator
        async for part in stream:
            if part["type"] == "tasks":
                step = steps.see(part["ns"], part["data"])
                progress.step(step)
                if clock is not None and step.finished_at is None:
                    clock.task_begins()
                if meter is not None and not part["ns"] and step.finished_at is not None:
                    await meter.look()  # before the next superstep begins
            elif part["type"] == "values" and not part["ns"]:
                state = part["data"]
                interrupts |= {interrupt.id: interrupt for interrupt in part["interrupts"]}
            elif part["type"] != "values":
                progress.part(part["type"], part["ns"], part["data"])
    if not interrupts and (graph.interrupt_before_nodes or graph.interrupt_after_nodes or steps.has_open):
        snapshot = await graph.aget_state(config)
        if snapshot.next:
            stop = await breakpoint_at(graph, config, snapshot)
            return StreamEnd(state, [stop or unnamed_stop(snapshot)])
    return StreamEnd(state, list(interrupts.values()) or None)


def _output(graph: Pregel[Any], values: Any) -> Any:
    """A stored state, as the stream would give it: only what the graph's output schema names."""
    keys = graph.output_channels
    if isinstance(keys, str) or not isinstance(values, dict):
        return values
    return {key: values[key] for key in keys if key in values}
