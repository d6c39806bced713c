"""One run: continue or start the graph on its thread, follow its stream, say how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.pregel import Pregel
from langgraph.runtime import RunControl
from langgraph.types import Command, StateSnapshot
from langgraph.types import Interrupt as GraphInterrupt

from langgraph_worker import faults
from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.checkpoints.serializer import NamingSerializer, NotStorableError
from langgraph_worker.errors import GraphLoadError, StoreError
from langgraph_worker.faults import Fault
from langgraph_worker.graphs.loader import Graphs, node_names
from langgraph_worker.outcome import NotSerializableError, Outcome, Reporter, describe, locate, to_json
from langgraph_worker.patience import persist
from langgraph_worker.progress import Progress, RunProgress
from langgraph_worker.reply import encode_reply
from langgraph_worker.steps import StepRecorder
from langgraph_worker.store.port import Claim, Failure, RunStore, StepStatus
from langgraph_worker.usage import UsageCounter
from workflow_events.results import Interrupt

logger = logging.getLogger(__name__)


class Standing(Enum):
    """What a thread is to a request that is about to run on it."""

    NEW = "new"
    """Nothing of its logical run is there: the graph starts with the request's input."""
    UNDER_WAY = "under way"
    """Its logical run is the latest on the thread, unfinished or finished: go on without input. A finished one gives
    its state, and no node runs."""
    INTERRUPTED = "interrupted"
    """Its logical run waits for a person, and this request answers nothing: the same result again, and no node runs."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a request takes up its thread."""

    standing: Standing
    state: StateSnapshot


class _FaultError(Exception):
    """Ends a run with one of the worker's own faults."""

    def __init__(self, fault: Fault, text: str) -> None:
        self.fault = fault
        super().__init__(text)


async def find_position(graph: Pregel[Any], config: RunnableConfig, claim: Claim) -> Position:
    """Look at the thread. LangGraph compares the latest checkpoint's ``run_id`` with the config's in the same way; the
    worker decides itself, since there it is only a comment in the source.

    :raises _FaultError: ``graph_changed``: going on would end as if finished, without an error.
        ``interrupt_not_pending``: nothing is there that could be answered.
    """
    answers = bool(claim.event.answers)
    state = await graph.aget_state(config)
    if state.metadata is None or state.metadata.get("run_id") != str(claim.logical_run):
        if answers:
            text = "another run has written to the thread since the question was asked"
            raise _FaultError(faults.INTERRUPT_NOT_PENDING, text)
        if state.next:
            logger.warning(
                "thread %s was left unfinished by another run; %s starts a new turn on it",
                claim.thread_id,
                claim.correlation_id,
                extra={"action": "new_turn", "correlation_id": str(claim.correlation_id)},
            )
        return Position(Standing.NEW, state)
    gone = sorted((claim.nodes or frozenset()) - node_names(graph))
    if gone:
        raise _FaultError(
            faults.GRAPH_CHANGED,
            f"graph {claim.graph!r} no longer has the node {', '.join(map(repr, gone))}, which the run knew when it "
            "started. Deploy a graph that has it, or clear the task with on_clear='restart' to start over",
        )
    # LangGraph lists a question until its node has ended; whether it was answered before a crash, the store knows.
    asked = {interrupt.id for interrupt in state.interrupts}
    is_answered = bool(claim.answers) or bool(asked & claim.answered)
    if not is_answered and (asked or _at_breakpoint(graph, state)):
        return Position(Standing.INTERRUPTED, state)
    return Position(Standing.UNDER_WAY, state)


def _at_breakpoint(graph: Pregel[Any], state: StateSnapshot) -> bool:
    """Whether a thread may stand at a static breakpoint, which leaves no question in the state."""
    if not state.next:
        return False
    before = graph.interrupt_before_nodes
    if before == "*" or set(before) & set(state.next):
        return True
    # The state does not tell which node wrote last: rather ask a person once more than go on without one.
    return bool(graph.interrupt_after_nodes)


def run_config(claim: Claim, recursion_limit: int, usage: UsageCounter) -> RunnableConfig:
    """LangGraph's config of one run: the event may choose a model, tags and values, and lower the step limit."""
    asked = claim.event.config
    configurable: dict[str, Any] = dict(asked.configurable)
    if asked.model is not None:
        configurable["model"] = asked.model
    return {
        "configurable": configurable | {"thread_id": claim.thread_id},
        "metadata": {
            "run_id": str(claim.logical_run),
            "correlation_id": str(claim.correlation_id),
            "workflow_id": claim.event.workflow_id,
            "workflow_run_id": claim.event.workflow_run_id,
        },
        "tags": list(asked.tags),
        "recursion_limit": min(recursion_limit, asked.recursion_limit or recursion_limit),
        "callbacks": [usage],
    }


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs claims. Writes steps and checkpoints; the outcome is the caller's to store.

    :param recursion_limit: most supersteps of a run.
    :param max_step_bytes: see :class:`~langgraph_worker.steps.StepRecorder`.
    :param max_result_bytes: see :func:`~langgraph_worker.reply.encode_reply`.
    :param progress: whom it tells what happens.
    """

    graphs: Graphs
    checkpoints: Checkpoints
    store: RunStore
    worker_id: str
    recursion_limit: int
    max_step_bytes: int
    max_result_bytes: int
    progress: Progress = field(default_factory=Progress)

    async def run(self, claim: Claim, control: RunControl) -> Outcome:
        """Run to an end: success, interrupt, failure or deadline. Being cancelled is no end: it propagates.

        A node that was in flight when an earlier owner crashed runs again; finished ones do not.

        :param control: a request to drain ends it before its next superstep, with everything durable.
        :raises GraphDrained: it was drained.
        :raises StoreError: run store or checkpoints failed; the run can go on later, elsewhere.
        """
        usage = UsageCounter()
        started_at = datetime.now(UTC)
        deadline = claim.event.deadline
        left = None if deadline is None else (deadline - started_at).total_seconds()
        async with StepRecorder(self.store, claim, self.max_step_bytes) as steps:
            limit = asyncio.timeout(left)
            try:
                async with limit:
                    end = await self._drive(claim, usage, steps, control)
                waits = end.interrupts is not None
                steps.close_open(StepStatus.INTERRUPTED if waits else StepStatus.COMPLETED, None)
                outcome = _ended(Reporter(claim, self.worker_id, started_at, usage.usage_metadata), end)
            except (StoreError, asyncio.CancelledError, GeneratorExit):
                raise  # no end of the run: the database's trouble, or ours
            except BaseException as error:
                if isinstance(error, GraphDrained) and control.drain_requested:
                    raise
                steps.close_open(StepStatus.FAILED, "the run ended before the node did")
                reporter = Reporter(claim, self.worker_id, started_at, usage.usage_metadata)
                return _failed(reporter, error, steps, timed_out=limit.expired())
            return self._sendable(outcome)

    def _sendable(self, outcome: Outcome) -> Outcome:
        # The store would replace it as well; but then the log would tell of a success that nobody gets.
        sent, _ = encode_reply(outcome.result, self.max_result_bytes)
        if sent.status is outcome.result.status:
            return outcome
        return Outcome(sent, Failure(sent.error_type or "", sent.error or "", ""))

    async def _drive(self, claim: Claim, usage: UsageCounter, steps: StepRecorder, control: RunControl) -> _End:
        config = run_config(claim, self.recursion_limit, usage)
        async with self.graphs.open(claim.graph, config) as opened:
            graph: Pregel[Any] = opened.copy(update={"checkpointer": self.checkpoints.of(claim)})
            own_limit = (graph.config or {}).get("recursion_limit")
            if own_limit is not None:
                config["recursion_limit"] = min(config["recursion_limit"], own_limit)
            position = await find_position(graph, config, claim)
            if position.standing is Standing.INTERRUPTED:
                return _End(_output(graph, position.state.values), position.state.interrupts)
            given: Any = Command(resume=dict(claim.answers)) if claim.answers else None
            if position.standing is Standing.NEW:
                given = claim.event.payload.data
                nodes = node_names(graph)
                await persist(lambda: self.store.remember_nodes(claim, nodes), "remember a graph's nodes")
            return await _follow(graph, given, config, steps, self.progress.of(claim), control)


@dataclass(frozen=True, slots=True)
class _End:
    """How the stream ended.

    :param interrupts: None if the graph is finished; empty at a breakpoint, which has no question.
    """

    state: Any
    interrupts: Sequence[GraphInterrupt] | None


async def _follow(
    graph: Pregel[Any],
    given: Any,
    config: RunnableConfig,
    steps: StepRecorder,
    progress: RunProgress,
    control: RunControl,
) -> _End:
    state: Any = None
    interrupts: dict[str, GraphInterrupt] = {}  # nodes that wait side by side tell it one after the other
    stream = graph.astream(
        given,
        config,
        stream_mode=["tasks", "values", *progress.modes],
        output_keys=graph.output_channels,
        durability="sync",
        control=control,
        subgraphs=True,
        version="v2",
    )
    async with contextlib.aclosing(stream):  # type: ignore[type-var]  # a generator, typed as an iterator
        async for part in stream:
            if part["type"] == "tasks":
                progress.step(steps.see(part["ns"], part["data"]))
            elif part["type"] == "values" and not part["ns"]:
                state = part["data"]
                interrupts |= {interrupt.id: interrupt for interrupt in part["interrupts"]}
            elif part["type"] != "values":
                progress.part(part["type"], part["ns"], part["data"])
    if not interrupts and (graph.interrupt_before_nodes or graph.interrupt_after_nodes):
        snapshot = await graph.aget_state(config)
        return _End(state, () if snapshot.next else None)
    return _End(state, list(interrupts.values()) or None)


def _output(graph: Pregel[Any], values: Any) -> Any:
    """A stored state, as the stream would give it: only what the graph's output schema names."""
    keys = graph.output_channels
    if isinstance(keys, str) or not isinstance(values, dict):
        return values
    return {key: values[key] for key in keys if key in values}


def _ended(reporter: Reporter, end: _End) -> Outcome:
    now = datetime.now(UTC)
    try:
        state = to_json(end.state)
        if end.interrupts is None:
            return reporter.success(state, now)
        asked = [Interrupt(id=interrupt.id, value=to_json(interrupt.value)) for interrupt in end.interrupts]
        return reporter.interrupted(state, asked, now)
    except NotSerializableError as error:
        text = f"the result cannot be sent as JSON: {error}. Return plain values, or leave it out of the output"
        return reporter.fault(faults.RESULT_NOT_SERIALIZABLE, text, now, error)


def _failed(reporter: Reporter, error: BaseException, steps: StepRecorder, *, timed_out: bool) -> Outcome:
    now = datetime.now(UTC)
    if timed_out:
        return reporter.past_deadline(now)
    if isinstance(error, _FaultError):
        return reporter.fault(error.fault, str(error), now)
    if isinstance(error, GraphLoadError):
        return reporter.fault(faults.GRAPH_NOT_USABLE, str(error), now, error)
    if isinstance(error, NotStorableError):
        return reporter.fault(faults.RESULT_NOT_SERIALIZABLE, _not_storable(error, steps), now, error)
    if steps.started == 0 and faults.rejects_input(error):
        return reporter.fault(faults.BAD_INPUT, f"the graph rejects its input: {describe(error)}", now, error)
    return reporter.raised(error, steps.failed_node, now)


def _not_storable(error: NotStorableError, steps: StepRecorder) -> str:
    node, output = steps.last_output or ("", None)
    place = locate(output, NamingSerializer().dumps_typed)
    where = f"node {node!r}: {place}" if place is not None else str(error)
    return f"the graph's state cannot be stored: {where}. Return plain values from nodes"
