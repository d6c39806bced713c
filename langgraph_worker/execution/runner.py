"""One run: start or continue the graph on its thread, and give its outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langgraph.errors import GraphDrained
from langgraph.pregel import Pregel
from langgraph.runtime import RunControl
from langgraph.types import Command

from langgraph_worker.checkpoints.saver import Checkpoints
from langgraph_worker.domain.models import Claim, Failure, StepStatus
from langgraph_worker.domain.reply_encoding import encode_reply
from langgraph_worker.domain.results import Outcome, Reporter
from langgraph_worker.errors import StoreError
from langgraph_worker.execution.event_check import require_allowed
from langgraph_worker.execution.graph_stream import StreamEnd, end_at, follow_stream
from langgraph_worker.execution.hidden_steps import HiddenSteps, has_hidden_nodes
from langgraph_worker.execution.node_caches import CacheScope, caching_in
from langgraph_worker.execution.release_policy import require_same_release
from langgraph_worker.execution.run_config import run_config
from langgraph_worker.execution.run_outcome import outcome_of_end, outcome_of_error
from langgraph_worker.execution.step_recorder import StepRecorder
from langgraph_worker.execution.thread_position import ThreadState, find_position
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.port import RunStore
from langgraph_worker.store.retrying import retry_store
from langgraph_worker.telemetry.progress import Progress
from langgraph_worker.telemetry.usage import UsageCounter


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What no run may exceed.

    :param recursion_limit: most supersteps of a run.
    :param max_step_bytes: see :class:`~langgraph_worker.execution.step_recorder.StepRecorder`.
    :param max_result_bytes: see :func:`~langgraph_worker.domain.reply_encoding.encode_reply`.
    :param models: the models that events may choose.
    :param exception_texts: whether results and steps hold the text of a graph's exception, or its type alone.
    """

    recursion_limit: int
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

    :param progress: where the runs' progress is published.
    """

    graphs: Graphs
    checkpoints: Checkpoints
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
            except (StoreError, asyncio.CancelledError, GeneratorExit):
                raise  # no end of the run: the database's trouble, or ours
            except BaseException as error:
                if isinstance(error, GraphDrained) and control.drain_requested:
                    raise
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
        config = run_config(claim, self.limits.recursion_limit, usage)
        watchers: list[BaseCallbackHandler] = [usage]
        async with self.graphs.open(claim.graph, config, claim.deployment) as opened:
            require_allowed(claim.event, claim.graph, opened, self.graphs.rights(claim.graph), self.limits.models)
            saver = self.checkpoints.saver_for(claim)
            graph: Pregel[Any] = opened.copy(update={"checkpointer": saver})
            own_limit = (graph.config or {}).get("recursion_limit")
            if own_limit is not None:
                config["recursion_limit"] = min(config["recursion_limit"], own_limit)
            nodes = self.graphs.node_names(claim.graph, opened)
            position = await find_position(graph, nodes, config, claim)
            if position.state is not ThreadState.NEW:
                require_same_release(claim, self.graphs.on_new_release(claim.graph))
            if position.state is ThreadState.INTERRUPTED:
                return end_at(graph, position.snapshot)
            graph_input: Any = Command(resume=dict(claim.answers)) if claim.answers else None
            if position.state is ThreadState.NEW:
                graph_input = claim.event.payload.data
                await retry_store(lambda: self.store.remember_nodes(claim, nodes), "remember a graph's nodes")
            else:
                watchers.append(saver.resumed_graphs)
            if has_hidden_nodes(opened):
                watchers.append(HiddenSteps(steps))
            config["callbacks"] = watchers
            is_answered = position.state is not ThreadState.NEW and bool(claim.answers or claim.answered)
            with caching_in(CacheScope.of_claim(claim, is_answered=is_answered)):
                end = await follow_stream(graph, graph_input, config, steps, self.progress.for_run(claim), control)
            return end.with_questions(saver.questions)
