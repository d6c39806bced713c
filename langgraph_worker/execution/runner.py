"""One run: start or continue the graph on its thread, and give its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langgraph.constants import START
from langgraph.errors import GraphDrained
from langgraph.pregel import Pregel
from langgraph.runtime import RunControl
from langgraph.types import Command, StateSnapshot

from langgraph_worker.checkpoints.memories import Memories
from langgraph_worker.checkpoints.saver import Checkpoints, RunSaver
from langgraph_worker.domain.breakpoints import values_for_graph
from langgraph_worker.domain.budgets import limits_of
from langgraph_worker.domain.exception_texts import leaves
from langgraph_worker.domain.models import Claim, Failure, StepStatus
from langgraph_worker.domain.redaction import RedactionError
from langgraph_worker.domain.reply_encoding import encode_reply
from langgraph_worker.domain.results import Outcome, Reporter, redacted, unredacted
from langgraph_worker.domain.retry_policy import RetryRules
from langgraph_worker.errors import StoreError
from langgraph_worker.execution.breakpoints import breakpoints
from langgraph_worker.execution.call_gate import CallGate
from langgraph_worker.execution.event_check import require_allowed, require_fitting
from langgraph_worker.execution.exception_rules import comes_from_cancellation
from langgraph_worker.execution.fork_start import ForkStart
from langgraph_worker.execution.graph_context import build_context
from langgraph_worker.execution.graph_stream import StreamEnd, end_at, follow_stream
from langgraph_worker.execution.hidden_steps import HiddenSteps, has_hidden_nodes
from langgraph_worker.execution.model_calls import heard_by
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
from langgraph_worker.execution.run_meter import RunMeter
from langgraph_worker.execution.run_outcome import outcome_of_end, outcome_of_error
from langgraph_worker.execution.run_retries import RunRetries
from langgraph_worker.execution.run_turns import RunTurns
from langgraph_worker.execution.run_values import run_values
from langgraph_worker.execution.shared_budget import SharedBudget
from langgraph_worker.execution.step_recorder import StepRecorder
from langgraph_worker.execution.stored_state import StoredState, reading_stored_state
from langgraph_worker.execution.superstep_clock import SuperstepClock
from langgraph_worker.execution.thread_position import ThreadPosition, ThreadState, find_position
from langgraph_worker.execution.turn_queue import TurnQueue
from langgraph_worker.execution.turn_wait import WaitsForTurnError, require_turns
from langgraph_worker.execution.uncounted_calls import count_uncounted_calls, note_earlier_messages
from langgraph_worker.graphs.graph_spec import GraphSpec
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.telemetry.progress import Progress
from langgraph_worker.telemetry.usage import UsageCounter
from workflow_events.results import ResultStatus


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What no run may exceed.

    :param recursion_limit: most supersteps of a run; None: what its graph says, or LangGraph's default.
    :param max_step_bytes: see :class:`~langgraph_worker.execution.step_recorder.StepRecorder`.
    :param max_result_bytes: see :func:`~langgraph_worker.domain.reply_encoding.encode_reply`.
    :param models: the models that events may choose.
    :param exception_texts: whether results and steps hold the text of a graph's exception, or its type alone.
    :param fallback_model: with which a run goes on whose input is too long for its model, where its graph names none.
    """

    recursion_limit: int | None
    max_step_bytes: int
    max_result_bytes: int
    models: Collection[str] = ()
    exception_texts: bool = True
    fallback_model: str | None = None

    @classmethod
    def from_settings(cls, settings: WorkerSettings) -> RunLimits:
        """The limits that the settings choose."""
        return cls(
            settings.recursion_limit,
            settings.max_step_bytes,
            settings.max_message_bytes,
            settings.allowed_models,
            settings.exception_texts,
            settings.fallback_model,
        )

    def retries_of(self, spec: GraphSpec) -> RetryRules:
        """Which errors of a graph are repeated."""
        return replace(spec.retries, fallback_model=spec.retries.fallback_model or self.fallback_model)


@dataclass(frozen=True, slots=True)
class _Start:
    """What accompanies one start of a run."""

    claim: Claim
    meter: RunMeter
    saver: RunSaver
    usage: UsageCounter
    clock: SuperstepClock


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs claims. Writes steps and checkpoints; the caller stores the outcome.

    :param memories: for graphs that bring no long-term memory.
    :param progress: where the runs' progress is published.
    :param turns: for which calls of limited models wait; None: nothing limits them.
    """

    graphs: Graphs
    checkpoints: Checkpoints
    memories: Memories
    store: RunStore
    worker_id: str
    limits: RunLimits
    progress: Progress = field(default_factory=Progress)
    turns: TurnQueue | None = None

    def meter_for(self, claim: Claim) -> RunMeter:
        """What counts a start of this run, which begins now. Call it in the event loop."""
        loop = asyncio.get_running_loop()
        limits, of_accounts = limits_of(claim.event, self.graphs.spec(claim.graph).budget, claim.graph)
        shared = SharedBudget(self.store, claim, of_accounts) if of_accounts else None
        return RunMeter(claim.spent, limits, lambda: loop.time(), shared)

    async def run(self, claim: Claim, control: RunControl, meter: RunMeter | None = None) -> Outcome:
        """Run to an end: success, interrupt, failure or deadline; or to an error that is to be repeated. A cancellation
        is no end: it propagates.

        A node that was in flight when an earlier owner crashed runs again; finished nodes do not, except error handlers
        of a superstep that had not ended.

        :param control: a request to drain ends the run before its next superstep, with everything durable.
        :param meter: see :meth:`meter_for`; None: made here.
        :raises GraphDrained: it was drained.
        :raises WaitsForTurnError: its next call of a model has to wait so long that the run is to go on later.
        :raises StartOverError: another release began it, and its graph's entry says that it then starts over.
        :raises StoreError: run store or checkpoints failed; the run can go on later, elsewhere.
        """
        meter = meter or self.meter_for(claim)
        clock, started_at = SuperstepClock(asyncio.get_running_loop().time), datetime.now(UTC)
        rules = self.limits.retries_of(self.graphs.spec(claim.graph))
        turns = None if self.turns is None else RunTurns(self.turns, claim, control, rules)
        saver = self.checkpoints.saver_for(claim, meter.refused_tasks, None if turns is None else turns.finished)
        start = _Start(claim, meter, saver, UsageCounter(meter.count), clock)
        retries = RunRetries(claim, rules, saver, start.usage, clock, meter)
        deadline = claim.event.deadline
        left = None if deadline is None else (deadline - started_at).total_seconds()
        texts, most_bytes = self.limits.exception_texts, self.limits.max_step_bytes
        async with StepRecorder(
            self.store, claim, most_bytes, exception_texts=texts, redactor=self.graphs.redactor, meter=meter
        ) as steps:
            limit = asyncio.timeout(sooner(left, meter.seconds_left()))
            try:
                gate = CallGate(meter, turns) if meter.is_limited or turns is not None else None
                with heard_by(start.usage, gate):
                    async with limit:
                        end = await self._drive(start, steps, control)
                meter.require_store()
                require_turns(turns, retries.with_turns)
                waits = end.interrupts is not None
                steps.close_open(StepStatus.INTERRUPTED if waits else StepStatus.COMPLETED, None)
                outcome = outcome_of_end(self._reporter(claim, started_at, meter), end, meter.excess)
            except (StoreError, StartOverError, WaitsForTurnError, asyncio.CancelledError, GeneratorExit):
                meter.touch_if_limited()
                raise  # no end of the run: the database's trouble, or ours, or it starts over
            except BaseException as error:
                if isinstance(error, GraphDrained) and control.drain_requested and meter.excess is None:
                    meter.touch_if_limited()
                    raise
                if not limit.expired():
                    _raise_if_no_end(error)
                    if meter.excess is None:
                        meter.touch_if_limited()
                        require_turns(turns, retries.with_turns)
                steps.close_open(StepStatus.FAILED, "the run ended before the node did")
                timed_out = limit.expired() and not meter.time_is_up()
                reporter = self._reporter(claim, started_at, meter)
                outcome = outcome_of_error(reporter, error, steps, retries, timed_out=timed_out, excess=meter.excess)
            if outcome.result.status is not ResultStatus.SUCCESS or meter.shared is not None:
                meter.touch()  # what the logical run has spent counts when it goes on, and for its accounts
            outcome = self._redacted(outcome)
            return self._sendable(outcome) if outcome.failure is None else outcome

    def _reporter(self, claim: Claim, started_at: datetime, meter: RunMeter) -> Reporter:
        return Reporter(claim, self.worker_id, started_at, meter.total().usage, self.limits.exception_texts)

    def _redacted(self, outcome: Outcome) -> Outcome:
        try:
            return redacted(outcome, self.graphs.redactor)
        except RedactionError as error:
            return unredacted(outcome, error)

    def _sendable(self, outcome: Outcome) -> Outcome:
        # The store would replace it as well; but then the log would report a success that is never sent.
        sent, _ = encode_reply(outcome.result, self.limits.max_result_bytes)
        if sent.status is outcome.result.status:
            return outcome
        return Outcome(sent, Failure(sent.error_type or "", sent.error or "", ""))

    async def _drive(self, start: _Start, steps: StepRecorder, control: RunControl) -> StreamEnd:
        claim, meter, saver = start.claim, start.meter, start.saver
        spec, asked = self.graphs.spec(claim.graph), claim.event.config
        start_over_if_other_release(claim, spec.on_new_release)
        values = run_values(claim.event, spec, claim.retried.model)
        require_allowed(claim.event, claim.graph, spec.rights, self.limits.models)
        config, memory = run_config(claim, values), self.memories.memory_for(claim)
        async with self.graphs.open(claim.graph, config, memory, values.configurable()) as opened:
            require_fitting(claim.event, claim.graph, opened, spec.rights)
            context = build_context(opened, values.layers, claim.graph)
            graph: Pregel[Any] = opened.copy(update={"checkpointer": saver, **breakpoints(opened, asked, claim.graph)})
            limit = recursion_limit(opened, asked, self.limits.recursion_limit, claim.retried.steps)
            set_limits(config, claim, opened, limit)
            if claim.event.fork is not None:
                note_earlier_messages(meter, await self._begin_fork(start, opened, graph, config))
            position = await self._position(claim, opened, graph, config)
            _count_earlier(meter, claim, opened, position)
            if position.state is not ThreadState.NEW:
                require_same_release(claim, spec.on_new_release)
            elif spec.on_new_release == "restart":
                saver.begin()
            if position.state is ThreadState.INTERRUPTED:
                return end_at(graph, position)
            watchers: list[BaseCallbackHandler] = []
            if position.state is not ThreadState.NEW:
                watchers.append(saver.resumed_graphs)
            if has_hidden_nodes(opened):
                watchers.append(HiddenSteps(steps))
            config["callbacks"] = watchers
            is_answered = position.state is not ThreadState.NEW and bool(claim.answers or claim.answered)
            progress = self.progress.for_run(claim, lambda: meter.total().tokens)
            stored, texts = StoredState.from_position(claim, position), self.limits.exception_texts
            if position.state is ThreadState.UNDER_WAY:
                progress.resumed(log_resume(claim, saver.finished_nodes, position.snapshot))
            start.clock.limit_first(graph, claim.retried.step_seconds)
            await meter.look()
            with (
                closing(progress),
                caching_in(CacheScope(claim.graph, values, is_answered, meter.refused_tasks)),
                limit.explaining(),
                start.clock.explaining(),
                stored.explaining(steps, exception_texts=texts),
            ):
                run_input = _input(claim, position)
                end = await follow_stream(
                    graph, run_input, config, steps, progress, control, context, meter, start.clock
                )
            return end.with_questions(saver.questions)

    async def _begin_fork(
        self, start: _Start, opened: Pregel[Any], graph: Pregel[Any], config: RunnableConfig
    ) -> StateSnapshot:
        claim, nodes = start.claim, self.graphs.node_names(start.claim.graph, opened)
        await retry_store(lambda: self.store.remember_nodes(claim, nodes), "remember a graph's nodes")
        policy = self.graphs.spec(claim.graph).on_new_release
        with reading_stored_state(claim, exception_texts=self.limits.exception_texts):
            return await ForkStart(claim, start.saver, graph, nodes, policy).begin(config)

    async def _position(
        self, claim: Claim, opened: Pregel[Any], graph: Pregel[Any], config: RunnableConfig
    ) -> ThreadPosition:
        nodes = self.graphs.node_names(claim.graph, opened)
        with reading_stored_state(claim, exception_texts=self.limits.exception_texts):
            position = await find_position(graph, nodes, config, claim)
        if position.state is ThreadState.NEW:
            await retry_store(lambda: self.store.remember_nodes(claim, nodes), "remember a graph's nodes")
        return position


def sooner(one: float | None, other: float | None) -> float | None:
    """The shorter time; None stands for no end."""
    return min((seconds for seconds in (one, other) if seconds is not None), default=None)


def _count_earlier(meter: RunMeter, claim: Claim, graph: Pregel[Any], position: ThreadPosition) -> None:
    """Take in what the thread says of spending, before the graph runs."""
    if position.state is not ThreadState.NEW:
        count_uncounted_calls(meter, claim, position.snapshot)
        return
    note_earlier_messages(meter, position.snapshot)
    if START in graph.nodes and claim.event.payload.command is None:
        meter.starts_with_input()


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
