"""Where a run continues its thread: at the start, where it was left, or at a question that is still open."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.pregel import Pregel
from langgraph.types import StateSnapshot

from langgraph_worker.domain import faults
from langgraph_worker.domain.faults import Fault
from langgraph_worker.domain.models import Claim
from langgraph_worker.errors import WorkerError
from langgraph_worker.graphs.node_names import missing_names

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
    """Where a request continues its thread."""

    state: ThreadState
    snapshot: StateSnapshot


class RunFaultError(WorkerError):
    """Ends a run with one of the worker's own faults."""

    def __init__(self, fault: Fault, text: str) -> None:
        self.fault = fault
        super().__init__(text)


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
                "thread %s was left unfinished by another run; %s starts a new turn on it",
                claim.thread_id,
                claim.correlation_id,
                extra={"action": "new_turn", "correlation_id": str(claim.correlation_id)},
            )
        return ThreadPosition(ThreadState.NEW, snapshot)
    gone = missing_names(claim.nodes or (), nodes)
    if gone:
        raise RunFaultError(faults.GRAPH_CHANGED, graph_changed(claim.graph, [f"the node {name!r}" for name in gone]))
    # LangGraph lists a question until its node has ended; the store knows whether it was answered before a crash.
    asked = {interrupt.id for interrupt in snapshot.interrupts}
    is_answered = bool(claim.answers) or bool(asked & claim.answered)
    if not is_answered and (asked or _at_breakpoint(graph, snapshot)):
        return ThreadPosition(ThreadState.INTERRUPTED, snapshot)
    return ThreadPosition(ThreadState.UNDER_WAY, snapshot)


def graph_changed(graph: str, gone: Sequence[str]) -> str:
    """What a run's error says when nodes or edges that it knew are gone.

    :param gone: in words.
    """
    return (
        f"graph {graph!r} no longer has {', '.join(gone)}, which the run knew when it started. "
        "Deploy a graph that has it, or clear the task with on_clear='restart' to start over"
    )


def _at_breakpoint(graph: Pregel[Any], snapshot: StateSnapshot) -> bool:
    """Whether a thread may stand at a static breakpoint, which leaves no question in the state."""
    if not snapshot.next:
        return False
    before = graph.interrupt_before_nodes
    if before == "*" or set(before) & set(snapshot.next):
        return True
    # The snapshot does not say which node wrote last: rather ask a person once more than go on without one.
    return bool(graph.interrupt_after_nodes)
