"""One run: start or continue the graph on its thread, and give its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.pregel import Pregel
from langgraph.runtime import RunControl
from langgraph.types import Command

from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.domain.breakpoints import values_for_graph
from langgraph_worker.domain.exception_texts import leaves
from langgraph_worker.domain.models import Claim, Failure, StepStatus
from langgraph_worker.domain.reply_encoding import encode_reply
from langgraph_worker.domain.results import Outcome, Reporter
from langgraph_worker.errors import StoreError
from langgraph_worker.execution.breakpoints import breakpoints
from langgraph_worker.execution.event_check import require_allowed, require_fitting
from langgraph_worker.execution.exception_rules import comes_from_cancellation
from langgraph_worker.execution.graph_context import build_context
from langgraph_worker.execution.graph_stream import StreamEnd, end_at, follow_stream
from langgraph_worker.execution.hidden_steps import HiddenSteps, has_hidden_nodes
from langgraph_worker.execution.node_caches import CacheScope, caching_in
from langgraph_worker.execution.recursion_limits import recursion_limit
from langgraph_worker.execution.release_policy import (
    StartOverError,
    require_same_release,
    start_over_if_other_release,
)
from langgraph_worker.execution.resume_line import log_resume
from langgraph_worker.execution.run_config import run_config, set_limits
from langgraph_worker.execution.run_input import first_input
from langgraph_worker.execution.run_outcome import outcome_of_end, outcome_of_error
from langgraph_worker.execution.run_values import run_values
from langgraph_worker.execution.step_recorder import StepRecorder
from langgraph_worker.execution.stored_state import StoredState, reading_stored_state
from langgraph_worker.execution.thread_position import ThreadPosition, ThreadState, find_position
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.telemetry.progress import Progress
from langgraph_worker.telemetry.usage import UsageCounter


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What no run may exceed.

    :param recursion_limit: most supersteps of a run; None: what its graph says, or LangGraph's default.
    :param max_step_bytes: see :class:`~langgraph_worker.execution.step_recorder.StepRecorder`.
    :param max_result_bytes: see :func:`~langgraph_worker.domain.reply_encoding.encode_reply`.
    :param models: the models that events may choose.
    :param exception_texts: whether results and steps hold the text of a graph's exception, or its type alone.
    """

    recursion_limit: int | None
    max_step_bytes: int
    max_result_bytes: int
    models: Collection[str] = ()
    exception_texts: bool = True

    @classmethod
    def from_settings(cls, settings: WorkerSettings) -> RunLimits:
        """The limits that the settings choose."""
        return cls(
            settings.recursion_limit,
            settings.max_step_bytes,
            settings.max_message_bytes,
            settings.allowed_models,
            settings.exception_texts,
        )


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs claims. Writes steps and checkpoints; the caller stores the outcome.

    :param memories: for graphs that bring no long-term memory.
    :param progress: where the runs' progress is published.
    """

    graphs: Graphs
    checkpoints: Checkpoints
    memories: Memories
    store: RunStore
    worker_id: str
    limits: RunLimits
    progress: Progress = field(default_factory=Progress)

    async def run(self, claim: Claim, control: RunControl) -> Outcome:
        """Run to an end: success, interrupt, failure or deadline. A cancellation is no end: it propagates.

        A node that was in flight when an earlier owner crashed runs again; finished nodes do not, except error handlers
        of a superstep that had not ended.

        :param control: a request to drain ends the run before its next superstep, with everything durable.
        :raises GraphDrained: it was drained.
        :raises StartOverError: another release began it, and its graph's entry says that it then starts over.
        :raises StoreError: run store or checkpoints failed; the run can go on later, elsewhere.
        """
        usage = UsageCounter()
        started_at = datetime.now(UTC)
        deadline = claim.event.deadline
        left = None if deadline is None else (deadline - started_at).total_seconds()
        texts = self.limits.exception_texts
        async with StepRecorder(self.store, claim, self.limits.max_step_bytes, exception_texts=texts) as steps:
            limit = asyncio.timeout(left)
            try:
                async with limit:
                    end = await self._drive(claim, usage, steps, control)
                waits = end.interrupts is not None
                steps.close_open(StepStatus.INTERRUPTED if waits else StepStatus.COMPLETED, None)
                outcome = outcome_of_end(self._reporter(claim, started_at, usage), end)
            except (StoreError, StartOverError, asyncio.CancelledError, GeneratorExit):
                raise  # no end of the run: the database's trouble, or ours, or it starts over
            except BaseException as error:
                if isinstance(error, GraphDrained) and control.drain_requested:
                    raise
                if not limit.expired():
                    _raise_if_no_end(error)
                steps.close_open(StepStatus.FAILED, "the run ended before the node did")
                reporter = self._reporter(claim, started_at, usage)
                return outcome_of_error(reporter, error, steps, timed_out=limit.expired())
            return self._sendable(outcome)

    def _reporter(self, claim: Claim, started_at: datetime, usage: UsageCounter) -> Reporter:
        return Reporter(claim, self.worker_id, started_at, usage.usage_metadata, self.limits.exception_texts)

    def _sendable(self, outcome: Outcome) -> Outcome:
        # The store would replace it as well; but then the log would report a success that is never sent.
        sent, _ = encode_reply(outcome.result, self.limits.max_result_bytes)
        if sent.status is outcome.result.status:
            return outcome
        return Outcome(sent, Failure(sent.error_type or "", sent.error or "", ""))

    async def _drive(self, claim: Claim, usage: UsageCounter, steps: StepRecorder, control: RunControl) -> StreamEnd:
        spec, asked = self.graphs.spec(claim.graph), claim.event.config
        start_over_if_other_release(claim, spec.on_new_release)
        values = run_values(claim.event, spec)
        require_allowed(claim.event, claim.graph, spec.rights, self.limits.models)
        config, memory = run_config(claim, values, usage), self.memories.memory_for(claim)
        async with self.graphs.open(claim.graph, config, memory, values.configurable()) as opened:
            require_fitting(claim.event, claim.graph, opened, spec.rights)
            context = build_context(opened, values.layers, claim.graph)
            saver = self.checkpoints.saver_for(claim)
            graph: Pregel[Any] = opened.copy(update={"checkpointer": saver, **breakpoints(opened, asked, claim.graph)})
            limit = recursion_limit(opened, asked, self.limits.recursion_limit)
            set_limits(config, claim, opened, limit)
            position = await self._position(claim, opened, graph, config)
            if position.state is not ThreadState.NEW:
                require_same_release(claim, spec.on_new_release)
            elif spec.on_new_release == "restart":
                saver.begin()
            if position.state is ThreadState.INTERRUPTED:
                return end_at(graph, position)
            watchers: list[BaseCallbackHandler] = [usage]
            if position.state is not ThreadState.NEW:
                watchers.append(saver.resumed_graphs)
            if has_hidden_nodes(opened):
                watchers.append(HiddenSteps(steps))
            config["callbacks"] = watchers
            is_answered = position.state is not ThreadState.NEW and bool(claim.answers or claim.answered)
            progress = self.progress.for_run(claim)
            stored, texts = StoredState.from_position(claim, position), self.limits.exception_texts
            if position.state is ThreadState.UNDER_WAY:
                progress.resumed(log_resume(claim, saver.finished_nodes, position.snapshot))
            with (
                caching_in(CacheScope(claim.graph, values, is_answered)),
                limit.explaining(),
                stored.explaining(steps, exception_texts=texts),
            ):
                run_input = _input(claim, position)
                end = await follow_stream(graph, run_input, config, steps, progress, control, context)
            return end.with_questions(saver.questions)

    async def _position(
        self, claim: Claim, opened: Pregel[Any], graph: Pregel[Any], config: RunnableConfig
    ) -> ThreadPosition:
        nodes = self.graphs.node_names(claim.graph, opened)
        with reading_stored_state(claim, exception_texts=self.limits.exception_texts):
            position = await find_position(graph, nodes, config, claim)
        if position.state is ThreadState.NEW:
            await retry_store(lambda: self.store.remember_nodes(claim, nodes), "remember a graph's nodes")
        return position


def _raise_if_no_end(error: BaseException) -> None:
    """Raise what is no end of a run, although other exceptions are around it: a group, or what a cleanup raised.

    :raises StoreError: the database's trouble.
    :raises StartOverError: see :meth:`Runner.run`.
    :raises asyncio.CancelledError: the worker has cancelled the run.
    """
    for leaf in leaves(error):
        if isinstance(leaf, (StoreError, StartOverError)):
            raise leaf
    task = asyncio.current_task()
    if task is not None and task.cancelling() and comes_from_cancellation(error):
        raise asyncio.CancelledError from error


def _input(claim: Claim, position: ThreadPosition) -> Any:
    """What the graph gets: an input, the answers that its ``interrupt()`` waits for, or nothing to go on."""
    if position.state is ThreadState.NEW:
        return first_input(claim.event.payload)
    answers = values_for_graph(claim.answers)
    return Command(resume=answers) if answers else None
