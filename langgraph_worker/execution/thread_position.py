"""Where a run continues its thread: at the start, where it was left, or at a question that is still open."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.pregel import Pregel
from langgraph.types import Interrupt, StateSnapshot

from langgraph_worker.domain import faults
from langgraph_worker.domain.models import Claim
from langgraph_worker.execution.breakpoints import breakpoint_at
from langgraph_worker.execution.run_fault import RunFaultError
from langgraph_worker.graphs.node_names import missing_names
from workflow_events.log_words import short_id

logger = logging.getLogger(__name__)


class ThreadState(Enum):
    """How a thread stands to a request that is about to run on it."""

    NEW = "new"
    """The thread holds nothing of its logical run: the graph starts with the request's input."""
    UNDER_WAY = "under way"
    """Its logical run is the latest on the thread, unfinished or finished: go on without input. A finished one gives
    its state, and no node runs."""
    INTERRUPTED = "interrupted"
    """Its logical run waits for a person, and this request answers nothing: the same result again, and no node runs."""


@dataclass(frozen=True, slots=True)
class ThreadPosition:
    """Where a request continues its thread.

    :param stop: the breakpoint at which it waits for a person, as a question.
    """

    state: ThreadState
    snapshot: StateSnapshot
    stop: Interrupt | None = None


async def find_position(
    graph: Pregel[Any], nodes: Collection[str], config: RunnableConfig, claim: Claim
) -> ThreadPosition:
    """Compare the latest checkpoint's ``run_id``, which the run's saver wrote, with the claim's logical run. LangGraph
    is not asked: it would compare the same ``run_id`` in graphs that nodes call.

    :param nodes: the graph's node names, as :func:`~langgraph_worker.graphs.node_names.node_names` gives them.
    :raises RunFaultError: ``graph_changed``: going on would end as if finished, without an error.
        ``interrupt_not_pending``: nothing is there that could be answered.
    """
    answers = bool(claim.event.answers)
    snapshot = await graph.aget_state(config)
    if snapshot.metadata is None or snapshot.metadata.get("run_id") != str(claim.logical_run):
        if answers:
            text = "another run has written to the thread since the question was asked"
            raise RunFaultError(faults.INTERRUPT_NOT_PENDING, text)
        if snapshot.next:
            logger.warning(
                "a new turn begins on a thread that another run left unfinished (graph %s, thread %s, request %s)",
                claim.graph,
                claim.thread_name or claim.thread_id,
                short_id(claim.correlation_id),
                extra={"action": "new_turn", "correlation_id": str(claim.correlation_id)},
            )
        return ThreadPosition(ThreadState.NEW, snapshot)
    gone = missing_names(claim.nodes or (), nodes)
    if gone:
        raise RunFaultError(faults.GRAPH_CHANGED, graph_changed(claim.graph, [f"the node {name!r}" for name in gone]))
    # LangGraph lists a question until its node has ended; the store knows whether it was answered before a crash.
    asked = {interrupt.id for interrupt in snapshot.interrupts}
    if asked:
        is_answered = bool(claim.answers) or bool(asked & claim.answered)
        return ThreadPosition(ThreadState.UNDER_WAY if is_answered else ThreadState.INTERRUPTED, snapshot)
    stop = await breakpoint_at(graph, config, snapshot)
    if stop is None or stop.id in claim.answered.union(claim.answers):
        return ThreadPosition(ThreadState.UNDER_WAY, snapshot)
    return ThreadPosition(ThreadState.INTERRUPTED, snapshot, stop)


def graph_changed(graph: str, gone: Sequence[str]) -> str:
    """What a run's error says when nodes or edges that it knew are gone.

    :param gone: in words.
    """
    return (
        f"graph {graph!r} no longer has {', '.join(gone)}, which the run knew when it started. "
        "Deploy a graph that has it, or clear the task with on_clear='restart' to start over"
    )
